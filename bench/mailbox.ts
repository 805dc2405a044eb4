import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectRedis, createLog, createPostal, openSender } from '@aitbc/chassis';
import { messages, newId } from '@aitbc/contracts';
import { ready, spawnStandIn } from '../libs/chassis/src/testing-processes/child.ts';
import { startPostgres } from '../libs/testing/src/postgres.ts';
import { startServer } from '../libs/testing/src/redis-servers.ts';

// How many messages a second one and two processes take out of one mailbox on PostgreSQL: node bench/mailbox.ts
// Each message writes a row and sends an answer.

const MESSAGES = Number(process.env.MESSAGES ?? 20_000);
const BATCH = Number(process.env.BATCH ?? 100);
const SECRET = 'a-secret-for-a-benchmark-0123456789abcdef';
const PREFIX = 'bench';

/** A tick of the kernel's accounts is 10 ms. What a machine is busy with beside us does not count in it. */
const cpuMs = (pid: number): number => {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
};

const folder = mkdtempSync(join(tmpdir(), 'bench-mailbox-'));
const server = await startPostgres();
const broker = await startServer(folder);
const redisUrl = `redis://127.0.0.1:${broker.port}`;
const redis = connectRedis(redisUrl, createLog('bench', 'silent'));
await new Promise((resolve) => redis.once('ready', resolve));
const postal = createPostal({ SECRET_KEY: SECRET, REDIS_PREFIX: PREFIX });

for (const count of [1, 2, 1, 2]) {
  await redis.flushdb();
  const database = await server.database();
  const sender = openSender({ from: 'jobs', to: 'payments', redis, postal });
  for (let seq = 1; seq <= MESSAGES; seq += BATCH)
    await sender.send({
      stream: 'jobs-bench',
      messages: Array.from({ length: BATCH }, (_, n) => ({
        seq: seq + n,
        name: 'jobs.submitted',
        version: messages['jobs.submitted'].version,
        payload: {
          job_id: newId(),
          account_id: newId(),
          credential_id: null,
          spend_cap_minor: null,
          payment_amount_minor: 1,
          submitted_at_ms: 0,
        },
      })),
    });
  await sender.close();
  const env = {
    NODE_ENV: 'test',
    LOG_LEVEL: 'silent',
    SECRET_KEY: SECRET,
    REDIS_URL: redisUrl,
    REDIS_PREFIX: PREFIX,
    HOST: '127.0.0.1',
    STAND_IN: 'payments',
    DATABASE_URL: database,
  };
  const name = new URL(database).pathname.slice(1);
  const heard = async (): Promise<number> =>
    Number(
      (await server.sql('SELECT count(*) AS n FROM payments.effect', name).catch(() => [{ n: 0 }]))[0]?.n,
    );
  const backends = async (): Promise<number[]> =>
    (
      await server.sql(
        `SELECT pid FROM pg_stat_activity WHERE datname = '${name}' AND pid <> pg_backend_pid()`,
      )
    ).map(({ pid }) => Number(pid));
  const children = await Promise.all(Array.from({ length: count }, () => spawnStandIn(env).then(ready)));
  const cpu = async () => ({
    node: children.reduce((sum, child) => sum + cpuMs(child.process.pid as number), 0),
    postgres: (await backends()).reduce((sum, pid) => sum + cpuMs(pid), 0),
  });
  const first = { at: performance.now(), heard: await heard(), cpu: await cpu() };
  while ((await heard()) < MESSAGES) await new Promise((resolve) => setTimeout(resolve, 100));
  const seconds = (performance.now() - first.at) / 1_000;
  const last = await cpu();
  const done = MESSAGES - first.heard;
  const [facts] = await server.sql(
    `SELECT xact_rollback AS n FROM pg_stat_database WHERE datname = '${name}'`,
    name,
  );
  const [twice] = await server.sql(
    'SELECT count(*) AS n FROM (SELECT about FROM payments.effect GROUP BY about HAVING count(*) > 1) AS d',
    name,
  );
  console.log(
    `${count} processes: ${Math.round(done / seconds)} messages/s; CPU of one: ${Math.round(((last.node - first.cpu.node) * 1_000) / done)} µs node, ${Math.round(((last.postgres - first.cpu.postgres) * 1_000) / done)} µs PostgreSQL; ${facts?.n} transactions undone, ${twice?.n} effects doubled`,
  );
  for (const child of children) child.process.kill('SIGKILL');
  await Promise.all(children.map(({ ended }) => ended));
}
redis.disconnect();
broker.client.disconnect();
await broker.kill();
await server.stop();
process.exit(0);
