/**
 * A Redis written in JavaScript, as a process of its own: `node js-broker.ts <port>`.
 * The package's own command listens on every interface; this one stays on loopback. BROKER_PASSWORD is asked for.
 */
import { createRedisCommandExecutor, RedisServerState, Resp2Server } from 'js-redis-server/core';

const { server } = new Resp2Server({
  server: new RedisServerState({
    databaseCount: 16,
    // Not an argument: those are shown to everybody.
    ...(process.env.BROKER_PASSWORD ? { requirepass: process.env.BROKER_PASSWORD } : {}),
  }),
  executor: createRedisCommandExecutor(),
});
server.listen(Number(process.argv[2]), '127.0.0.1');
