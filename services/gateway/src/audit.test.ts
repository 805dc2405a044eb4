import { type AuditEntry, createAuditChecker, newId, type Payload, routes } from '@aitbc/contracts';
import { eventually, openByHand, openPeers } from '@aitbc/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { verifyAudit } from '../../../scripts/verify.ts';
import { KEYS, startTestGateway, type TestGateway } from './testing/gateway.ts';

const { audit, adminCreateKey, adminRotateKey, adminRevokeKey, createKey } = routes.gateway;

let gateway: TestGateway;
let peers: Awaited<ReturnType<typeof openPeers>>;
beforeAll(async () => {
  gateway = await startTestGateway({ RATE_LIMIT_CLIENT_PER_MINUTE: '100000' });
  peers = await openPeers(gateway.env.REDIS_URL as string);
});
afterAll(async () => {
  await peers.close();
  await gateway.stop();
});

const admin = () => gateway.client(KEYS.admin);
type Query = Partial<NonNullable<Parameters<ReturnType<typeof admin>['call']>[1]>> & object;
const page = async (query: object = {}): Promise<{ items: AuditEntry[]; next_cursor: string | null }> => {
  const reply = await admin().call(audit, { query: { limit: 500, ...query } } as Query as never);
  if (!reply.ok) throw new Error(JSON.stringify(reply.body));
  return reply.body as never;
};
const entries = async (query: object = {}) => (await page(query)).items;
const headers = { 'x-api-key': KEYS.admin };
const creditOf = (more: Partial<Payload<'payments.audited'>> = {}): Payload<'payments.audited'> => ({
  id: newId(),
  action: 'account.credited',
  actor: { account_id: newId(), credential_id: newId() },
  object: newId(),
  account_id: newId(),
  details: { amount: 1.5, reason: 'a trial' },
  at_ms: Date.now(),
  ...more,
});

test('the keys of the configuration stand in it: nobody called', async () => {
  const made = await entries({ action: 'key.created' });
  expect(made.length).toBe(4);
  for (const entry of made)
    expect(entry).toMatchObject({ actor_id: null, credential_id: null, details: { source: 'environment' } });
});

test('a key that is made, rotated and revoked: who did it, to what, and nothing of the key', async () => {
  const body = { scopes: ['client' as const], label: 'for a test' };
  const made = await admin().call(adminCreateKey, { body });
  if (!made.ok) throw new Error(JSON.stringify(made.body));
  const rotated = await admin().call(adminRotateKey, {
    params: { key_id: made.body.id },
    body: { overlap_seconds: 0 },
  });
  if (!rotated.ok) throw new Error(JSON.stringify(rotated.body));
  const params = { key_id: rotated.body.id };
  expect((await admin().call(adminRevokeKey, { params })).status).toBe(200);
  expect((await admin().call(adminRevokeKey, { params })).status).toBe(409);

  const mine = await entries({ account_id: made.body.account_id });
  expect(mine.map(({ action, object, details }) => [action, object, details.replaces])).toEqual([
    ['key.revoked', rotated.body.id, made.body.id],
    ['key.rotated', rotated.body.id, made.body.id],
    ['key.created', made.body.id, null],
  ]);
  const [by] = mine;
  for (const entry of mine) {
    expect([entry.actor_id, entry.credential_id]).toEqual([by?.actor_id, by?.credential_id]);
    expect(entry.actor_id).not.toBe(made.body.account_id);
  }
  const text = JSON.stringify(await page());
  for (const secret of [made.body.key, rotated.body.key, made.body.prefix, ...Object.values(KEYS)])
    expect(text).not.toContain(secret);
});

test('what is refused is not written', async () => {
  const before = (await entries()).length;
  const unknown = { scopes: ['client' as const], label: 'x', account_id: newId() };
  expect((await admin().call(adminCreateKey, { body: unknown })).status).toBe(422);
  expect((await gateway.client(KEYS.client).call(createKey, { body: unknown } as never)).status).toBe(403);
  expect((await entries()).length).toBe(before);
});

test('an act of another service is written once, however often it is told', async () => {
  const act = creditOf();
  for (let time = 0; time < 3; time += 1) await peers.send('payments.audited', act);
  const after = creditOf();
  await peers.send('payments.audited', after);
  await eventually(async () => (await entries({ account_id: after.account_id })).length === 1);
  expect(await entries({ account_id: act.account_id })).toMatchObject([
    {
      id: act.id,
      service: 'payments',
      action: 'account.credited',
      at: new Date(act.at_ms).toISOString(),
      actor_id: act.actor?.account_id,
      credential_id: act.actor?.credential_id,
      object: act.object,
      details: act.details,
    },
  ]);
  expect(await entries({ actor_id: act.actor?.account_id })).toHaveLength(1);
});

test('it is read in pages, newest first, and checked as a whole', async () => {
  const read: AuditEntry[] = [];
  let cursor: string | undefined;
  const checker = createAuditChecker();
  do {
    const { items, next_cursor } = await page({ limit: 2, cursor });
    read.push(...items);
    cursor = next_cursor ?? undefined;
  } while (cursor !== undefined);
  for (const entry of read) expect(checker.check(entry)).toBeNull();
  expect([checker.isWhole(), read.length]).toEqual([true, read[0]?.seq]);
  const verdict = await verifyAudit({ url: gateway.url, headers, known: read.at(-1)?.hash });
  expect(verdict).toEqual({ entries: read.length, head: read[0]?.hash, wrong: null });
  const other = await verifyAudit({ url: gateway.url, headers, known: 'a'.repeat(64) });
  expect(other.wrong?.reason).toBe('the entry that was known is gone');
  const odd = await admin().call(audit, { query: { cursor: Buffer.from('odd').toString('base64url') } });
  expect(odd.status).toBe(422);
});

test('the database lets nobody change it, and who takes that away is found out', async () => {
  const url = gateway.env.DATABASE_URL as string;
  const tables = await openByHand(url);
  try {
    await expect(tables.exec(`UPDATE audit SET object = 'x' WHERE seq = 2`)).rejects.toThrow('never changed');
    await expect(tables.exec('DELETE FROM audit WHERE seq = 2')).rejects.toThrow('nothing is taken out');
    const [second] = await tables.all('SELECT * FROM audit WHERE seq = 2');
    const copy = { ...second, seq: 1_000, id: newId(), hash: 'b'.repeat(64) };
    const values = Object.values(copy).map((value) => (value === null ? 'NULL' : `'${value}'`));
    await expect(tables.exec(`INSERT INTO audit (${Object.keys(copy)}) VALUES (${values})`)).rejects.toThrow(
      /unique/i,
    );
  } finally {
    await tables.close();
  }
  const guards = await openByHand(url, 'off');
  try {
    await guards.exec(`UPDATE audit SET object = 'x' WHERE seq = 2`);
  } finally {
    await guards.close();
  }
  const { wrong } = await verifyAudit({ url: gateway.url, headers });
  expect(wrong).toEqual({ seq: 2, reason: 'its hash is not that of its fields' });
});
