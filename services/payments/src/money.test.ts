import { type Caller, MAX_AMOUNT, routes, SUPPLY_CAP, toMinor } from '@aitbc/contracts';
import { openByHand } from '@aitbc/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { aJob, type Stand, standForTest } from './testing/stand.ts';

/** As they stand in the body: JSON has no other way to write some of them. */
const BAD_AMOUNTS = [
  '0',
  '-0',
  '-1',
  '-0.00000001',
  '0.000000001',
  '1.123456789',
  '0.30000000000000004',
  '9999999.999999999',
  '10000000.00000001',
  '10000001',
  '1e21',
  '1e308',
  '1e400',
  '-1e400',
  '5e-324',
  '9007199254740993',
  '"1"',
  '"1.5"',
  '""',
  '"0x10"',
  '"NaN"',
  'null',
  'true',
  '[]',
  '[1]',
  '{}',
  '{"valueOf":1}',
];

let stand: Stand;
let payer: Caller;
let job: ReturnType<typeof aJob>;
beforeAll(async () => {
  stand = await standForTest();
  payer = await stand.funded(1_000);
  job = aJob(payer);
  await stand.peers.send('jobs.submitted', job.submitted(null));
  // Answered once the job is known.
  await stand.as(payer).call(routes.payments.getByJob, { params: { job_id: job.job_id } });
});
afterAll(() => stand.stop());

const postRaw = (caller: Caller, path: string, body: string) =>
  fetch(stand.url + path, {
    method: 'POST',
    headers: { ...stand.headersOf(caller)('POST', path), 'content-type': 'application/json' },
    body,
  });

const rows = async () => {
  const db = await openByHand(stand.databaseUrl);
  const counts: [string, unknown][] = [];
  for (const table of [
    'account',
    'transfer',
    'payment',
    'resolution',
    'credit',
    'credential_spend',
    'idempotency',
  ])
    counts.push([table, (await db.all(`SELECT count(*) AS n FROM ${table}`))[0]?.n]);
  await db.close();
  return Object.fromEntries(counts);
};

describe('bad amounts leave no row', () => {
  it('there are at least 25 kinds', () => {
    expect(new Set(BAD_AMOUNTS).size).toBeGreaterThanOrEqual(25);
  });

  const fields = [
    {
      field: 'the amount of a payment',
      send: (amount: string) =>
        postRaw(payer, '/v1/payments', `{"job_id":"${job.job_id}","amount":${amount}}`),
    },
    {
      field: 'the amount of a credit',
      send: (amount: string) =>
        postRaw(
          stand.admin,
          `/v1/admin/accounts/${payer.account_id}/credit`,
          `{"amount":${amount},"reason":"test"}`,
        ),
    },
    {
      field: 'the amount of a credit to the treasury',
      send: (amount: string) =>
        postRaw(stand.admin, '/v1/admin/accounts/treasury/credit', `{"amount":${amount},"reason":"test"}`),
    },
  ];
  it.each(fields)('$field', async ({ send }) => {
    const before = await rows();
    for (const amount of BAD_AMOUNTS) {
      const reply = await send(amount);
      const body = (await reply.json()) as {
        error: { code: string; details: { issues: { path: string }[] } };
      };
      expect([amount, reply.status, body.error.code]).toEqual([amount, 422, 'VALIDATION_ERROR']);
      expect(body.error.details.issues[0]?.path).toMatch(/^amount/);
    }
    expect(await rows()).toEqual(before);
  });

  it('and missing, twice or beside unknown fields neither', async () => {
    const before = await rows();
    const id = job.job_id;
    for (const body of [
      `{"job_id":"${id}"}`,
      `{"job_id":"${id}","amount":1,"fee":0}`,
      `{"job_id":"${id}","amount":1,"currency":"BTC"}`,
      `{"job_id":"${id}","amount":1,"escrow_timeout_seconds":299}`,
      `{"job_id":"${id}","amount":1,"escrow_timeout_seconds":86401}`,
      `{"job_id":"${id}","amount":1,"escrow_timeout_seconds":300.5}`,
      `{"job_id":"${id}","amount":1,"payment_method":"card"}`,
      `{"job_id":"nobody","amount":1}`,
    ])
      expect([body, (await postRaw(payer, '/v1/payments', body)).status]).toEqual([body, 422]);
    for (const amount of ['NaN', 'Infinity', '1.', '.5', '+1', '01', '0x1', "'1'"])
      expect((await postRaw(payer, '/v1/payments', `{"job_id":"${id}","amount":${amount}}`)).status).toBe(
        400,
      );
    expect(await rows()).toEqual(before);
  });
});

describe('the supply', () => {
  it('ends at its cap, and every balance up to it is exact', async () => {
    const rich = await stand.funded(0.00000001);
    const give = (account: Caller, amount: number) =>
      stand.as(stand.admin).call(routes.payments.credit, {
        params: { account_id: account.account_id },
        body: { amount, reason: 'to the cap' },
      });
    let available = 1;
    for (;;) {
      const reply = await give(rich, MAX_AMOUNT);
      if (!reply.ok) {
        expect(reply).toMatchObject({ status: 409, body: { error: { code: 'SUPPLY_CAP_REACHED' } } });
        break;
      }
      available += toMinor(MAX_AMOUNT);
    }
    expect(available).toBe(1 + 5 * toMinor(MAX_AMOUNT));
    // The thousand of the first account, the unit of this one, and the two last that fit.
    expect((await give(rich, SUPPLY_CAP - 5 * MAX_AMOUNT - 1_000)).status).toBe(409);
    expect((await give(rich, 9_998_999.99999998)).status).toBe(201);
    available += toMinor(9_998_999.99999998);
    const { available: shown } = await stand.balanceOf(rich);
    expect(shown.toFixed(8)).toBe('59998999.99999999');
    expect(toMinor(shown)).toBe(available);
    expect((await give(rich, 0.00000001)).status).toBe(201);
    expect((await give(rich, 0.00000001)).status).toBe(409);
  });
});
