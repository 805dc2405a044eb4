import { createAuditChecker, routes } from '@aitbc/contracts';
import { eventually, hasPostgres, type PostgresServer, rememberSecret, startPostgres } from '@aitbc/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { gatewayEnv, KEYS, startTestGateway, type TestGateway } from './testing/gateway.ts';
import { startUpstream, type TestUpstream } from './testing/upstream.ts';

const { adminCreateKey, adminRevokeKey, audit, me } = routes.gateway;
/** As the README has it; the rest is for a busy machine. */
const REVOKED_WITHIN_MS = 5_000;

let server: PostgresServer;
let upstream: TestUpstream;
let gateways: readonly TestGateway[] = [];
beforeAll(async () => {
  if (!hasPostgres) return;
  server = await startPostgres();
  upstream = await startUpstream();
}, 60_000);
afterAll(async () => {
  await Promise.all(gateways.map((gateway) => gateway.stop()));
  await upstream?.stop();
  await server?.stop();
});

test.skipIf(!hasPostgres)(
  'two gateways that start at once have the same accounts; a key revoked at one is refused by the other',
  async () => {
    const database = await server.database();
    const env = { ...(await gatewayEnv(upstream)), DATABASE_URL: database };
    const start = () => startTestGateway({}, { env, upstream });
    gateways = await Promise.all([start(), start()]);
    const [first, second] = gateways as [TestGateway, TestGateway];
    const accountOf = async (gateway: TestGateway, key: string) => {
      const reply = await gateway.client(key).call(me, {});
      if (!reply.ok) throw new Error(JSON.stringify(reply.body));
      return reply.body.user_id;
    };
    const accounts = new Set<string>();
    const keys = [KEYS.client, KEYS.client2, KEYS.miner];
    for (const key of keys) {
      expect(await accountOf(second, key)).toBe(await accountOf(first, key));
      accounts.add(await accountOf(first, key));
    }
    expect(accounts.size).toBe(keys.length);

    const made = await first.client(KEYS.admin).call(adminCreateKey, {
      body: { scopes: ['client'], label: 'for a test' },
    });
    if (!made.ok) throw new Error(JSON.stringify(made.body));
    const key = rememberSecret(made.body.key);
    expect((await second.client(key).call(me, {})).status).toBe(200);
    const revokedAt = performance.now();
    const params = { key_id: made.body.id };
    expect((await first.client(KEYS.admin).call(adminRevokeKey, { params })).status).toBe(200);
    await eventually(async () => (await second.client(key).call(me, {})).status === 401);
    expect(performance.now() - revokedAt).toBeLessThan(REVOKED_WITHIN_MS);

    // Both write into the one line of the audit log at once.
    const makings = Array.from({ length: 12 }, (_, at) =>
      (at % 2 === 0 ? first : second).client(KEYS.admin).call(adminCreateKey, {
        body: { scopes: ['client'], label: 'at once' },
      }),
    );
    expect((await Promise.all(makings)).map(({ status }) => status)).toEqual(makings.map(() => 201));
    const log = await first.client(KEYS.admin).call(audit, { query: { limit: 500 } });
    if (!log.ok) throw new Error(JSON.stringify(log.body));
    const checker = createAuditChecker();
    for (const entry of log.body.items) expect(checker.check(entry)).toBeNull();
    expect([checker.isWhole(), log.body.items.length]).toEqual([true, 4 + 2 + makings.length]);
  },
  60_000,
);
