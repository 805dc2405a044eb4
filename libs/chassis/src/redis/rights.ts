import type { RedisClient } from './connect.ts';

/**
 * What the scripts of BullMQ and ours do with keys, each as a harmless call: K is a key that is not there, and what is
 * written is deleted again. A test compares this list with the scripts; deploy/README.md gives it to operators.
 */
const ON_KEYS: readonly string[] = [
  'DEL K',
  'EXISTS K',
  'EXPIRE K 1',
  'GET K',
  'HDEL K f',
  'HEXISTS K f',
  'HGET K f',
  'HGETALL K',
  'HINCRBY K f 1',
  'HLEN K',
  'HMGET K f',
  'HMSET K f 1',
  'HSET K f 1',
  'DEL K',
  'INCR K',
  'INCRBY K 1',
  'MGET K',
  'MSET K 1',
  'DEL K',
  'LINDEX K 0',
  'LLEN K',
  'LPOP K',
  'LPOS K e',
  'LPUSH K e',
  'LRANGE K 0 -1',
  'LREM K 0 e',
  'LSET K 0 e',
  'LTRIM K 0 -1',
  'RPUSH K e',
  'RPOPLPUSH K K',
  'RPOP K',
  'DEL K',
  'PERSIST K',
  'PEXPIRE K 1',
  'PEXPIREAT K 1',
  'PTTL K',
  'RENAME K K',
  'SADD K e',
  'SCARD K',
  'SINTER K',
  'SISMEMBER K e',
  'SMEMBERS K',
  'SMISMEMBER K e',
  'SRANDMEMBER K',
  'SREM K e',
  'SET K 1 PX 1000',
  'TTL K',
  'TYPE K',
  'UNLINK K',
  'XADD K MAXLEN 1 * f v',
  'XDEL K 0-1',
  'XLEN K',
  'XRANGE K - +',
  'XREAD COUNT 1 STREAMS K 0',
  'XTRIM K MAXLEN 0',
  'DEL K',
  'ZADD K 1 e',
  'ZCARD K',
  'ZCOUNT K 0 1',
  'ZLEXCOUNT K - +',
  'ZMSCORE K e',
  'ZRANGE K 0 0',
  'ZRANGEBYLEX K - +',
  'ZRANGEBYSCORE K 0 1',
  'ZRANK K e',
  'ZREM K e',
  'ZREMRANGEBYRANK K 0 0',
  'ZREMRANGEBYSCORE K 0 1',
  'ZREVRANGE K 0 0',
  'ZREVRANGEBYSCORE K 1 0',
  'ZSCORE K e',
  'BZPOPMIN K 0.001',
  'ZPOPMIN K',
  'TIME',
  'DEL K',
];

/** The connection itself, the scripts, revocations, and what is looked at at the start and for the dashboard. */
const BESIDE = [
  'ping',
  'hello',
  'select',
  'quit',
  'info',
  'scan',
  'eval',
  'evalsha',
  'publish',
  'subscribe',
  'unsubscribe',
  'multi',
  'exec',
];
const ON_A_CLUSTER = ['cluster|slots', 'cluster|info', 'readonly', 'asking'];
const NAMED = ['client|setname'];

const commandOf = (call: string): string => (call.split(' ', 1)[0] as string).toLowerCase();

/** The rules of the least ACL user: what follows `ACL SETUSER name on >password`. */
export const leastRights = (prefix: string): string[] => [
  'resetkeys',
  'resetchannels',
  '-@all',
  `~${prefix}:*`,
  `&${prefix}:*`,
  ...[...new Set(ON_KEYS.map(commandOf)), ...BESIDE, ...ON_A_CLUSTER, ...NAMED].map((name) => `+${name}`),
];

/** Commands that a script may be refused with: `no such key` and the like are answers, not refusals. */
const PROBE = `
local refused = {}
for _, call in ipairs(ARGV) do
  local words = {}
  for word in string.gmatch(call, '%S+') do words[#words + 1] = word == 'K' and KEYS[1] or word end
  local answer = redis.pcall(unpack(words))
  if type(answer) == 'table' and answer.err and (string.find(answer.err, "can't run") or string.find(answer.err, "can't access") or string.find(answer.err, 'NOPERM')) then
    refused[#refused + 1] = words[1]
  end
end
return refused`;

/**
 * Does once, on a key of its own, all that scripts do later: a right that is missed only when a job fails would be
 * missed at night. @returns what is refused, in Redis's words or by command; undefined when nothing is.
 */
export const missingRights = async (redis: RedisClient, prefix: string): Promise<string | undefined> => {
  try {
    const refused = (await redis.eval(PROBE, 1, `${prefix}:rights:${process.pid}`, ...ON_KEYS)) as string[];
    await redis.publish(`${prefix}:rights`, '');
    return refused.length === 0 ? undefined : [...new Set(refused)].join(', ');
  } catch (error) {
    const { message } = error as Error;
    if (message.startsWith('NOPERM')) return message;
    throw error;
  }
};
