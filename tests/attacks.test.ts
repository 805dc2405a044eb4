import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { eventually } from '@aitbc/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Coordinator, STARTING_MS, startCoordinator } from './coordinator.ts';

// What somebody with a key, or without one, tries from outside: plain HTTP against one running system, so that nothing
// but the public routes decides whether an attack works.

type Json = Record<string, unknown>;
interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: whatever came, right or wrong; the test says what it has to be.
  readonly body: any;
  readonly bytes: number;
}
interface Account {
  readonly id: string;
  readonly key: string;
}

let coordinator: Coordinator;
beforeAll(async () => {
  coordinator = await startCoordinator();
}, STARTING_MS);
afterAll(() => coordinator?.stop());

const ask = async (
  key: string | null,
  method: string,
  path: string,
  body?: Json | string,
  headers: Record<string, string> = {},
): Promise<Answer> => {
  const reply = await fetch(coordinator.url + path, {
    method,
    headers: {
      ...(key === null ? {} : { 'x-api-key': key }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await reply.text();
  let parsed: unknown = text;
  try {
    parsed = JSON.parse(text);
  } catch {
    // Metrics and pages are no JSON.
  }
  return { status: reply.status, body: parsed, bytes: Buffer.byteLength(text) };
};
const good = (answer: Answer): Answer['body'] => {
  if (answer.status >= 300) throw new Error(`${answer.status}: ${JSON.stringify(answer.body)}`);
  return answer.body;
};
const refusal = ({ status, body }: Answer): string => `${status} ${body?.error?.code}`;

const account = async (scopes: string[], more: Json = {}): Promise<Account> => {
  const made = good(
    await ask(coordinator.keys.admin, 'POST', '/v1/admin/api-keys', { scopes, label: 'for a test', ...more }),
  );
  return { id: made.account_id, key: made.key };
};
/** One that payments knows, with money. */
const payer = async (amount: number, scopes = ['client'], more: Json = {}): Promise<Account> => {
  const made = await account(scopes, more);
  await eventually(async () =>
    good(
      await ask(coordinator.keys.admin, 'POST', `/v1/admin/accounts/${made.id}/credit`, {
        amount,
        reason: 'to pay with',
      }),
    ),
  );
  return made;
};
const registered = async (owner: Account, more: Json): Promise<string> =>
  good(
    await ask(owner.key, 'POST', '/v1/miner/register', {
      address: 'ait1-somewhere',
      capabilities: ['embedding'],
      gpus: [{ model: 'RTX 4090', vram_gb: 24, count: 1 }],
      concurrency: 8,
      ...more,
    }),
  ).id;
const workOf = (model: string, more: Json = {}): Json => ({
  job_type: 'embedding',
  parameters: { model, input: 'something' },
  ...more,
});
const submit = (who: Account, job: Json) => ask(who.key, 'POST', '/v1/client/jobs', job);
const jobOf = async (who: Account, id: string) => good(await ask(who.key, 'GET', `/v1/client/jobs/${id}`));
const reasonOf = async (who: Account, id: string): Promise<string | null> =>
  good(await ask(who.key, 'GET', `/v1/client/jobs/${id}/status`)).waiting_reason;
const poll = async (owner: Account, minerId: string, seconds = 20, most = 8): Promise<Answer['body'][]> =>
  good(
    await ask(
      owner.key,
      'GET',
      `/v1/miner/jobs?wait_seconds=${seconds}&max_jobs=${most}&miner_id=${minerId}`,
    ),
  ).items;
const complete = (owner: Account, work: { id: string; lease: string }, result: unknown = 1) =>
  ask(owner.key, 'POST', '/v1/miner/result', {
    job_id: work.id,
    lease: work.lease,
    status: 'completed',
    result,
  });
const paymentOf = async (who: Account, jobId: string) =>
  eventually(async () => good(await ask(who.key, 'GET', `/v1/jobs/${jobId}/payment`)));
const held = async (who: Account, jobId: string) =>
  eventually(async () => (await paymentOf(who, jobId)).status === 'escrowed');

describe('work for less than a miner asks', () => {
  test('no payment, a promise of max_price, a payment below the reserve: alone or in a batch, no priced miner gets it', async () => {
    const [client, owner] = [await payer(100), await account(['miner'])];
    const minerId = await registered(owner, { models: ['asks-five'], price_per_job: 5 });
    const polling = poll(owner, minerId);
    const cheap = [
      {},
      { constraints: { max_price: 10 } },
      { constraints: { max_price: 5 } },
      { payment_amount: 4.99999999 },
      { payment_amount: 1, constraints: { max_price: 10 } },
      { payment_amount: 9, constraints: { max_price: 1 } },
    ].map((more) => workOf('asks-five', more));
    const ids: string[] = [];
    for (const job of cheap) ids.push(good(await submit(client, job)).id);
    for (const { job } of good(await ask(client.key, 'POST', '/v1/client/jobs/batch', { jobs: cheap })).items)
      ids.push(job.id);
    // A payment that comes later, too small.
    good(await ask(client.key, 'POST', '/v1/payments', { job_id: ids[0], amount: 4.99 }));
    for (const id of ids)
      await eventually(async () => (await reasonOf(client, id)) === 'price_too_low', { withinMs: 20_000 });
    // The one who pays is served by the poll that was open all the time.
    const paid = good(await submit(client, workOf('asks-five', { payment_amount: 5 }))).id;
    expect((await polling).map(({ id }) => id)).toEqual([paid]);
    expect(await poll(owner, minerId, 1)).toEqual([]);
  });
});

describe('rounding', () => {
  test('of the smallest payments the miner gets all', async () => {
    const [client, owner] = [await payer(1), await account(['miner'])];
    const minerId = await registered(owner, { models: ['dust'] });
    for (const amount of [0.00000001, 0.00000002]) {
      const { id } = good(await submit(client, workOf('dust', { payment_amount: amount })));
      const [work] = await poll(owner, minerId);
      good(await complete(owner, work));
      const payment = await eventually(async () => {
        const now = await paymentOf(client, id);
        return now.status === 'released' && now;
      });
      expect([payment.amount, payment.fee]).toEqual([amount, 0]);
    }
    await eventually(
      async () => good(await ask(owner.key, 'GET', `/v1/users/${owner.id}/balance`)).available === 0.00000003,
    );
  });
});

describe('bought with bitcoin', () => {
  const invoice = async (who: Account) => {
    const made = good(
      await ask(who.key, 'POST', '/v1/exchange/create-payment', { btc_amount: 0.0099 }),
    ).payment_id;
    good(await ask(who.key, 'POST', '/v1/dev/bitcoin/send', { payment_id: made }));
    await eventually(async () => (await statusOf(who, made)).status === 'processing');
    return made;
  };
  const statusOf = async (who: Account, id: string) =>
    good(await ask(who.key, 'GET', `/v1/exchange/payment-status/${id}`));
  const mine = async (blocks: number) => {
    const miner = await account(['client']);
    good(await ask(miner.key, 'POST', '/v1/dev/bitcoin/mine', { blocks }));
  };

  test('twelve accounts with 0.0099 BTC each: one reorganisation could not take back more than its depth is worth', async () => {
    const bought: { who: Account; id: string }[] = [];
    for (let turn = 0; turn < 12; turn += 1) {
      const who = await account(['client']);
      bought.push({ who, id: await invoice(who) });
    }
    /** Once all have the block: those that are credited. */
    const creditedAt = async (depth: number) => {
      await mine(1);
      return eventually(async () => {
        const now = await Promise.all(bought.map(({ who, id }) => statusOf(who, id)));
        if (now.some(({ confirmations }) => confirmations < depth)) return undefined;
        return { credited: now.filter(({ credited }) => credited !== null).length };
      });
    };
    // Below 0.01 BTC in all with one confirmation, below 0.1 with two.
    expect(await creditedAt(1)).toEqual({ credited: 1 });
    expect(await creditedAt(2)).toEqual({ credited: 10 });
    expect(await creditedAt(3)).toEqual({ credited: 12 });
  });
});

describe('whose turn it is', () => {
  test('250 unpaid jobs of priority 9 do not go before one that pays', async () => {
    const [crowd, client, owner] = [await account(['client']), await payer(20), await account(['miner'])];
    const jobs = Array.from({ length: 250 }, () => workOf('turns', { priority: 9 }));
    good(await ask(crowd.key, 'POST', '/v1/client/jobs/batch', { jobs }));
    const { id } = good(await submit(client, workOf('turns', { priority: 0, payment_amount: 20 })));
    await held(client, id);
    await eventually(
      async () => good(await ask(client.key, 'GET', `/v1/client/jobs/${id}/status`)).queue_position === 0,
    );
    const minerId = await registered(owner, { models: ['turns'] });
    const [first] = await poll(owner, minerId, 20, 1);
    expect(first.id).toBe(id);
  });

  test('600 models of one account, for a second each, do not keep an idle miner from the job it fits', async () => {
    const [crowd, client, owner] = [
      await account(['client']),
      await account(['client']),
      await account(['miner']),
    ];
    // A type of its own: the miner takes any model, and would take what other tests left.
    const chat = (model: string, more: Json = {}): Json => ({
      job_type: 'llm_inference',
      parameters: { model, prompt: 'something' },
      ...more,
    });
    const { id } = good(await submit(client, chat('fits')));
    // Nothing of it waits any more when the miner comes: what is over must not cost anybody anything.
    const jobs = Array.from({ length: 600 }, (_, at) => chat(`other-${at}`, { ttl_seconds: 1 }));
    const { items } = good(await ask(crowd.key, 'POST', '/v1/client/jobs/batch', { jobs }));
    await eventually(async () => (await jobOf(crowd, items.at(-1).job.id)).status === 'expired');
    const minerId = await registered(owner, { models: [], capabilities: ['llm_inference'] });
    const startedAt = performance.now();
    expect((await poll(owner, minerId)).map((work) => work.id)).toEqual([id]);
    expect(performance.now() - startedAt).toBeLessThan(10_000);
  });
});

describe('the asked price', () => {
  test('of nothing is no advantage: two equal miners take turns, and get what a job pays', async () => {
    const client = await payer(100);
    const wins = [0, 0];
    const polls = await Promise.all(
      [0, 1].map(async (price_per_job) => {
        const owner = await account(['miner']);
        const id = await registered(owner, { models: ['asked'], price_per_job });
        const open = () => poll(owner, id, 25, 1).then(([work]) => ({ price_per_job, work, owner, open }));
        return { polling: open() };
      }),
    );
    const waiting = polls.map(({ polling }) => polling);
    for (let turn = 0; turn < 8; turn += 1) {
      good(await submit(client, workOf('asked', { payment_amount: 5 })));
      const { price_per_job, work, owner, open } = await Promise.race(waiting);
      wins[price_per_job] = (wins[price_per_job] ?? 0) + 1;
      good(await complete(owner, work));
      waiting[price_per_job] = open();
    }
    expect(Math.min(...wins)).toBeGreaterThanOrEqual(2);
    // Both polls end with work, and none hangs beyond the test.
    for (let turn = 0; turn < 2; turn += 1)
      good(await submit(client, workOf('asked', { payment_amount: 5 })));
    await Promise.all(waiting);
  });
});

describe('limits', () => {
  test('batches side by side do not pass a limit that fits one', async () => {
    const crowd = await account(['client'], { rate_limit_per_minute: 100 });
    const jobs = Array.from({ length: 1_000 }, () => workOf('nobody-has-it', { ttl_seconds: 1 }));
    const body = JSON.stringify({ jobs });
    const answers = await Promise.all(
      Array.from({ length: 6 }, () => ask(crowd.key, 'POST', '/v1/client/jobs/batch', body)),
    );
    const passed = answers.filter(({ status }) => status === 207);
    expect(passed).toHaveLength(1);
    for (const answer of answers) if (answer.status !== 207) expect(refusal(answer)).toBe('429 RATE_LIMITED');
  });
});

describe('trust', () => {
  const reputationOf = async (id: string) => {
    const { items } = good(await ask(null, 'GET', '/v1/miners?limit=500'));
    return items.find((each: { id: string }) => each.id === id)?.reputation;
  };

  test('own and unpaid jobs make no reputation', async () => {
    const both = await payer(10, ['client', 'miner']);
    const owner = await account(['miner']);
    const minerId = await registered(both, { models: ['own'], concurrency: 64 });
    const strangerId = await registered(owner, { models: ['own-not'], concurrency: 64 });
    const before = await eventually(async () => reputationOf(minerId));
    const batch = (model: string, payment: Json) => ({
      jobs: Array.from({ length: 100 }, () => workOf(model, payment)),
    });
    good(await ask(both.key, 'POST', '/v1/client/jobs/batch', batch('own', {})));
    good(await ask(both.key, 'POST', '/v1/client/jobs/batch', batch('own', { payment_amount: 0.01 })));
    good(await ask(both.key, 'POST', '/v1/client/jobs/batch', batch('own-not', {})));
    const runAll = async (worker: Account, id: string, count: number) => {
      for (let done = 0; done < count; ) {
        const taken = await poll(worker, id, 20, 32);
        const results = taken.map((work) => ({
          job_id: work.id,
          lease: work.lease,
          status: 'completed',
          result: 1,
        }));
        if (results.length > 0) good(await ask(worker.key, 'POST', '/v1/miner/result', { results }));
        done += taken.length;
      }
    };
    await runAll(both, minerId, 200);
    await runAll(owner, strangerId, 100);
    for (const [who, id, count] of [
      [both, minerId, 200],
      [owner, strangerId, 100],
    ] as const)
      await eventually(
        async () =>
          good(await ask(who.key, 'GET', '/v1/miner/me')).items.find((one: { id: string }) => one.id === id)
            .jobs_completed === count,
      );
    expect(await reputationOf(minerId)).toBe(before);
    expect(await reputationOf(strangerId)).toBe(before);
  });

  test('a bad name is not shed with a new one', async () => {
    const owner = await account(['miner']);
    const minerId = await registered(owner, { models: ['breaks'], name: 'first' });
    const before = (await eventually(async () => reputationOf(minerId))) as number;
    for (let turn = 0; turn < 15; turn += 1) {
      const client = await account(['client']);
      good(await submit(client, workOf('breaks', { max_attempts: 1 })));
      const [work] = await poll(owner, minerId, 20, 1);
      const report = { job_id: work.id, lease: work.lease, status: 'failed', retryable: true };
      good(await ask(owner.key, 'POST', '/v1/miner/result', report));
    }
    const low = await eventually(async () => {
      const now = (await reputationOf(minerId)) as number;
      return now < before - 0.1 && now;
    });
    const again = await registered(owner, { models: ['breaks'], name: 'second' });
    expect(await eventually(async () => reputationOf(again))).toBeLessThan(low + 0.05);
  });
});

describe('what keys may do', () => {
  test('a client key neither proposes nor votes, whatever its account holds', async () => {
    const rich = await payer(5_000, ['client'], { spend_cap: 0.00000001 });
    const proposal = {
      title: 'A proposal of mine',
      description: 'It is long enough to be one, and it asks for nothing that anybody needs.',
      type: 'policy_change',
      target: { policy: 'x', text: 'y' },
    };
    expect(refusal(await ask(rich.key, 'POST', '/v1/governance/proposals', proposal))).toBe('403 FORBIDDEN');
    const vote = { proposal_id: rich.id, vote: 'for' };
    expect(refusal(await ask(rich.key, 'POST', '/v1/governance/vote', vote))).toBe('403 FORBIDDEN');
  });

  test('a key has one cap, for jobs and batches side by side', async () => {
    const spender = await payer(100, ['client'], { spend_cap: 5 });
    const jobs = Array.from({ length: 10 }, () => workOf('never', { payment_amount: 1 }));
    const ids: string[] = [];
    await Promise.all([
      ...jobs.map(async (job) => ids.push(good(await submit(spender, job)).id)),
      ask(spender.key, 'POST', '/v1/client/jobs/batch', { jobs }).then((answer) =>
        ids.push(...good(answer).items.map(({ job }: Answer['body']) => job.id)),
      ),
    ]);
    const statuses = await eventually(async () => {
      const now = await Promise.all(ids.map(async (id) => (await paymentOf(spender, id)).status));
      return now.every((status) => status !== 'pending') && now;
    });
    expect(statuses.filter((status) => status === 'escrowed')).toHaveLength(5);
  });
});

describe('public hashes', () => {
  test('of a short prompt and result cannot be guessed', async () => {
    const [client, owner] = [await account(['client']), await account(['miner'])];
    const minerId = await registered(owner, { models: ['secret'] });
    const job = workOf('secret');
    const { id } = good(await submit(client, job));
    const [work] = await poll(owner, minerId);
    good(await complete(owner, work, 'yes'));
    const { items } = good(await ask(null, 'GET', '/v1/explorer/receipts?limit=500'));
    const receipt = items.find((one: { job_id: string }) => one.job_id === id);
    const hash = (value: unknown) => createHash('sha256').update(JSON.stringify(value)).digest('hex');
    const guesses = ['yes', 'no', { input: 'something', model: 'secret' }, job.parameters].map(hash);
    expect(guesses).not.toContain(receipt.result_sha256);
    expect(guesses).not.toContain(receipt.parameters_sha256);
  });
});

describe('sockets', () => {
  const send = (text: string) =>
    new Promise<void>((resolve) => {
      const { hostname, port } = new URL(coordinator.url);
      const socket = connect(Number(port), hostname, () => {
        socket.write(text, () => {
          setImmediate(() => {
            socket.resetAndDestroy();
            resolve();
          });
        });
      });
      socket.on('error', () => resolve());
    });

  test('a CONNECT, an Upgrade or nonsense that is reset ends no process', async () => {
    const attempts = [
      'CONNECT x:1 HTTP/1.1\r\nHost: a\r\n\r\n',
      'GET /health HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n',
      'GET /v1/miners HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n',
      'nonsense\r\n\r\n',
      'POST /v1/client/jobs HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    ];
    for (let turn = 0; turn < 10; turn += 1) await Promise.all(attempts.map(send));
    expect((await ask(null, 'GET', '/health')).status).toBe(200);
    expect(coordinator.said.filter(({ line }) => /exited|ended by/.test(line))).toEqual([]);
  });
});
