import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { builder, createListeners, createParameters, openStore, type Store, type Trx } from '@aitbc/chassis';
import { newId } from '@aitbc/contracts';
import { scratchDirectory, someone, sqliteOnly } from '@aitbc/testing';
import { sql } from 'kysely';
import { expect } from 'vitest';
import { migrations } from '../migrations/index.ts';
import { auditAccounts } from './audit.ts';
import { creditFromMint } from './commands/mint.ts';
import type { Deps } from './commands/resolve.ts';
import { settle } from './commands/settle.ts';
import { createConsumers } from './consumers.ts';
import { collectDebt, openDebt } from './exchange/commands/debts.ts';
import { listDebts, owedBy } from './exchange/store/debts.ts';
import { outputsOf } from './exchange/store/outputs.ts';
import { createDeps } from './exchange/testing/stand.ts';
import { sealBlock } from './seal.ts';
import { openSigner } from './signing.ts';
import { type AccountRef, findUser, MINT, openEscrows, openUser } from './store/accounts.ts';
import { findJob } from './store/jobs.ts';
import { findPayment, type PaymentView } from './store/payments.ts';
import { move, transferId } from './store/transfers.ts';
import type { Tables } from './tables.ts';
import { aJob } from './testing/stand.ts';
import { toStatement } from './views.ts';

const { test } = sqliteOnly('files of releases that knew SQLite alone');

const db = builder<Tables>();
const NOW_MS = 1_000;
const miner = someone(['miner']);
const run = (trx: Trx, statement: ReturnType<typeof sql>) =>
  trx.run({ compile: () => statement.compile(db) as never });

/** A file of the release that ended with this migration. */
const openBefore = async (first: string) => {
  const url = `sqlite:///${join(scratchDirectory(), 'payments.db')}`;
  const sqlite = Object.fromEntries(Object.entries(migrations.sqlite).filter(([name]) => name < first));
  const before = { ...migrations, sqlite };
  const open = (known: typeof migrations) => openStore({ url, service: 'payments', migrations: known });
  return { old: await open(before), openNow: () => open(migrations) };
};
/** The commands of today, over a file that was brought up to date. */
const commandsOf = async (store: Store) => {
  const deps: Deps = {
    parameters: await createParameters(store, 'payments'),
    listeners: await createListeners(store),
    now: () => NOW_MS,
  };
  return { deps, consumers: createConsumers(deps) };
};
const credit = async (trx: Trx, accountId: string, amount: number): Promise<void> => {
  await openUser(trx, accountId, NOW_MS);
  const reference = newId();
  const to = { transfer_id: transferId('credit', reference), account_id: accountId, amount_minor: amount };
  await creditFromMint(trx, { ...to, kind: 'credit', reference, now_ms: NOW_MS });
};
/** Written by hand: what holds today may write columns that the old file does not have. */
const hold = async (
  trx: Trx,
  of: { job_id: string } | { order_id: string },
  payerId: string,
  amount: number,
) => {
  const id = newId();
  const payer = await openUser(trx, payerId, NOW_MS);
  const escrow = (await openEscrows(trx, [id], NOW_MS)).get(id) as AccountRef;
  const [job, order] = 'job_id' in of ? [of.job_id, null] : [null, of.order_id];
  await run(
    trx,
    sql`INSERT INTO payment (id, job_id, order_id, payer, escrow, amount_minor, fee_basis_points, status, created_at_ms,
        updated_at_ms, expires_at_ms)
      VALUES (${id}, ${job}, ${order}, ${payer.id}, ${escrow.id}, ${amount}, 1000, 'escrowed', 1, 1,
        ${job === null ? null : 9_000})`,
  );
  const transfer = {
    // Releases before named the transfers of a payment in another way.
    id: randomUUID(),
    kind: 'hold',
    reference: id,
    from: payer,
    to: escrow,
  } as const;
  await move(trx, { ...transfer, amount_minor: amount, now_ms: NOW_MS });
  return id;
};

test('payments from before jobs named what it pays with end as was promised', async () => {
  const { old, openNow } = await openBefore('0030-refund-requests');
  const payer = someone(['client']);
  const owner = someone(['miner']);
  const orderId = newId();
  const job = () => aJob(payer, miner);
  const jobs = {
    waits: job(),
    runs: job(),
    runsOn: job(),
    isPaid: job(),
    isOwed: job(),
    goesBack: job(),
    unpaid: job(),
  };
  const ids: Record<string, string> = {};
  await old.transact('old', async (trx) => {
    await credit(trx, payer.account_id, 7_000);
    for (const [name, { job_id, miner_id }] of Object.entries(jobs)) {
      const isStarted = name !== 'waits';
      const ended =
        name === 'goesBack' ? 'failed' : ['isPaid', 'isOwed', 'unpaid'].includes(name) ? 'completed' : null;
      await run(
        trx,
        sql`INSERT INTO job VALUES (${job_id}, ${payer.account_id}, ${isStarted ? 1 : 0}, ${isStarted ? miner_id : null},
          ${isStarted ? miner.account_id : null}, ${isStarted ? 8_000 : null}, ${ended}, ${ended && 5})`,
      );
      if (name !== 'unpaid') ids[name] = await hold(trx, { job_id }, payer.account_id, 1_000);
    }
    await run(
      trx,
      sql`INSERT INTO booking (order_id, owner_account_id) VALUES (${orderId}, ${owner.account_id})`,
    );
    ids.booking = await hold(trx, { order_id: orderId }, payer.account_id, 1_000);
    // Decided and not carried out when the old release stopped.
    for (const [name, kind, earned, fee, refunded] of [
      ['isPaid', 'release', 900, 100, 0],
      ['goesBack', 'refund', 0, 0, 1_000],
    ] as const)
      await run(
        trx,
        sql`INSERT INTO resolution (payment_id, amount_minor, kind, payee_account_id, earned_minor, fee_minor,
            refunded_minor, reason, decided_at_ms, due_at_ms)
          VALUES (${ids[name]}, 1000, ${kind}, ${miner.account_id}, ${earned}, ${fee}, ${refunded}, 'old', 5, 5)`,
      );
  });
  await old.close();

  const store = await openNow();
  const { deps, consumers } = await commandsOf(store);
  const id = (name: string) => ids[name] as string;
  const asPayment = (name: string) => ({ id: id(name), amount_minor: 1_000 });
  expect(await findUser(store.read, payer.account_id)).toMatchObject({ balance_minor: 0, held_minor: 7_000 });
  // A completed job is paid by what was held for it; one that has not ended, or had no payment, names none.
  for (const [name, { job_id }] of Object.entries(jobs))
    expect([name, (await findJob(store.read, job_id))?.ended_payment_id]).toEqual([
      name,
      name === 'isPaid' || name === 'isOwed' ? id(name) : null,
    ]);

  await store.transact('new', async (trx) => {
    await consumers['jobs.ended'](trx, jobs.waits.ended('cancelled', null, false));
    // The words of the release before this one were on their way: they have no payment in them.
    const { payment_id: _, price_minor: __, ...oldWords } = jobs.runs.ended('completed');
    await consumers['jobs.ended'](trx, oldWords);
    // The miner of the old row loses it, and another completes it.
    await consumers['jobs.requeued'](trx, jobs.runsOn.requeued(1));
    expect(await findJob(trx, jobs.runsOn.job_id)).toMatchObject({ miner_id: null, miner_account_id: null });
    await consumers['jobs.started'](trx, {
      ...jobs.runsOn.started(),
      attempt: 2,
      miner_account_id: owner.account_id,
    });
    const second = {
      ...jobs.runsOn.ended('completed', asPayment('runsOn')),
      miner_account_id: owner.account_id,
    };
    await consumers['jobs.ended'](trx, second);
    // Said again, in the words of today.
    for (const name of ['isPaid', 'isOwed'] as const)
      await consumers['jobs.ended'](trx, jobs[name].ended('completed', asPayment(name)));
    await consumers['jobs.ended'](trx, jobs.goesBack.ended('failed'));
    await consumers['market.booking_ended'](trx, {
      order_id: orderId,
      pay_minor: 400,
      reason: 'RELEASED_BY_BOOKER',
    });
  });
  await store.transact('settle', async (trx) => {
    for (const each of Object.values(ids)) await settle(trx, deps, each);
  });
  const ended = async (name: string) => {
    const payment = await findPayment(store.read, id(name));
    return [payment?.status, payment?.payee_account_id, payment?.earned_minor, payment?.refunded_minor];
  };
  expect(await ended('waits')).toEqual(['refunded', null, 0, 1_000]);
  expect(await ended('runs')).toEqual(['released', miner.account_id, 900, 0]);
  expect(await ended('runsOn')).toEqual(['released', owner.account_id, 900, 0]);
  expect(await ended('isPaid')).toEqual(['released', miner.account_id, 900, 0]);
  expect(await ended('isOwed')).toEqual(['released', miner.account_id, 900, 0]);
  expect(await ended('goesBack')).toEqual(['refunded', miner.account_id, 0, 1_000]);
  expect(await ended('booking')).toEqual(['released', owner.account_id, 360, 600]);
  const statement = await toStatement(
    store.read,
    (await findPayment(store.read, id('booking'))) as PaymentView,
    9,
  );
  expect(statement.transfers.map(({ kind, amount }) => [kind, Math.round(amount * 100_000_000)])).toEqual([
    ['hold', 1_000],
    ['release', 360],
    ['fee', 40],
    ['refund', 600],
  ]);
  expect(await findUser(store.read, payer.account_id)).toMatchObject({ balance_minor: 2_600, held_minor: 0 });
  expect((await auditAccounts(store.read, 0, 1_000)).wrong).toEqual([]);
  await store.close();
});

test('money from before there were debts is owed by nobody, until its bitcoin leaves the chain', async () => {
  const { old, openNow } = await openBefore('0020-debts');
  const [buyer, other] = [newId(), newId()];
  const invoiceId = newId();
  const txid = 'd'.repeat(64);
  let heldId = '';
  await old.transact('old', async (trx) => {
    await credit(trx, other, 500);
    await openUser(trx, buyer, NOW_MS);
    const transferHash = await creditFromMint(trx, {
      transfer_id: transferId('exchange', invoiceId),
      account_id: buyer,
      amount_minor: 1_000,
      kind: 'exchange',
      reference: invoiceId,
      now_ms: NOW_MS,
    });
    await run(
      trx,
      sql`INSERT INTO exchange_invoice (id, account_id, root_id, address, script, amount_sats, amount_minor, rate_minor,
          created_at_ms, expires_at_ms, status, received_sats, confirmations, confirmations_required, credited_minor,
          credited_sats, credit_txid, transfer_hash, credited_at_ms, updated_at_ms)
        VALUES (${invoiceId}, ${buyer}, ${invoiceId}, 'address', 'aa', 10, 1000, 100, 1, 2, 'confirmed', 10, 6, 6, 1000,
          10, ${txid}, ${transferHash}, 3, 3)`,
    );
    await run(
      trx,
      sql`INSERT INTO exchange_output VALUES (${txid}, 0, ${invoiceId}, 'aa', 10, 'confirmed', 100, ${'b'.repeat(64)}, 1,
        1)`,
    );
    const jobId = newId();
    await run(trx, sql`INSERT INTO job (id, owner_account_id) VALUES (${jobId}, ${buyer})`);
    heldId = await hold(trx, { job_id: jobId }, buyer, 300);
  });
  await old.close();

  const store = await openNow();
  const { deps, consumers } = await commandsOf(store);
  const user = async (accountId: string) =>
    (await findUser(store.read, accountId)) as NonNullable<Awaited<ReturnType<typeof findUser>>>;
  expect(await listDebts(store.read, { status: undefined, before: undefined, limit: 9 })).toEqual([]);
  expect(await user(buyer)).toMatchObject({ balance_minor: 700, held_minor: 300 });
  expect(await user(other)).toMatchObject({ balance_minor: 500, held_minor: 0 });
  const toMint = async (trx: Trx, reference: string) =>
    move(trx, {
      id: newId(),
      kind: 'exchange',
      reference,
      from: { id: (await user(other)).id, address: 'other' },
      to: MINT,
      amount_minor: 1,
      now_ms: NOW_MS,
    });
  await expect(store.transact('theft', (trx) => toMint(trx, 'nothing'))).rejects.toThrow('only a debt');

  // All of an old balance can be spent, and what was held moves as before.
  const spends = aJob({ ...someone(['client']), account_id: other });
  await store.transact('spend', (trx) => consumers['jobs.submitted'](trx, spends.submitted(500)));
  expect(await user(other)).toMatchObject({ balance_minor: 0, held_minor: 500 });

  // The credit of the old release is as good as one of today: it is owed once its output is gone.
  await store.transact('reorganised', async (trx) => {
    const [output] = await outputsOf(trx, invoiceId);
    if (output === undefined) throw new Error('the old output is gone');
    await openDebt(trx, createDeps({ now: () => NOW_MS }), output);
  });
  expect(await owedBy(store.read, (await user(buyer)).id)).toBe(1_000);
  const spendsOwed = aJob({ ...someone(['client']), account_id: buyer });
  await store.transact('spend', (trx) => consumers['jobs.submitted'](trx, spendsOwed.submitted(1)));
  expect(await user(buyer)).toMatchObject({ balance_minor: 700, held_minor: 300 });
  const held = await findPayment(store.read, heldId);
  await store.transact('refund', async (trx) => {
    const job = { ...aJob({ ...someone(['client']), account_id: buyer }).ended('cancelled', null, false) };
    await consumers['jobs.ended'](trx, { ...job, job_id: held?.job_id as string });
    await trx.flush();
    await settle(trx, deps, heldId);
  });
  const [debt] = await listDebts(store.read, { status: 'open', before: undefined, limit: 9 });
  await store.transact('collect', (trx) => collectDebt(trx, () => NOW_MS, debt?.id as string));
  expect(await owedBy(store.read, (await user(buyer)).id)).toBe(0);
  expect(await user(buyer)).toMatchObject({ balance_minor: 0, held_minor: 0 });
  expect((await auditAccounts(store.read, 0, 1_000)).wrong).toEqual([]);
  await store.close();
});

test('a ledger from before accounts could give goes on: the same transfers, blocks and rules', async () => {
  const { old, openNow } = await openBefore('0050-transfers');
  const [giver, taker] = [newId(), newId()];
  await old.transact('old', async (trx) => {
    await credit(trx, giver, 500);
    await credit(trx, taker, 1);
  });
  const signer = await openSigner(old, { NODE_ENV: 'test' });
  await signer.keep();
  await sealBlock(old, signer, 0, NOW_MS);
  const everything = async (store: Store) => ({
    transfers: await store.read.all(db.selectFrom('transfer').selectAll().orderBy('seq')),
    blocks: await store.read.all(db.selectFrom('block').selectAll().orderBy('height')),
  });
  const kept = await everything(old);
  expect([kept.transfers.length, kept.blocks.length]).toEqual([2, 1]);
  await old.close();

  const store = await openNow();
  expect(await everything(store)).toEqual(kept);
  const give = (amount: number, kind: 'transfer' | 'allocation') =>
    store.transact('give', async (trx) => {
      const [from, to] = [await openUser(trx, giver, NOW_MS), await openUser(trx, taker, NOW_MS)];
      const transfer = { id: newId(), kind, reference: newId(), from, to };
      await move(trx, { ...transfer, amount_minor: amount, now_ms: NOW_MS });
    });
  await give(100, 'transfer');
  await expect(give(100, 'allocation')).rejects.toThrow('does not go this way');
  await expect(give(401, 'transfer')).rejects.toThrow();
  const change = sql`UPDATE transfer SET amount_minor = 1`;
  await expect(store.transact('forge', (trx) => run(trx, change))).rejects.toThrow('never changed');
  const forget = sql`DELETE FROM transfer`;
  await expect(store.transact('forget', (trx) => run(trx, forget))).rejects.toThrow('never deleted');
  expect(await findUser(store.read, taker)).toMatchObject({ balance_minor: 101 });
  expect((await auditAccounts(store.read, 0, 1_000)).wrong).toEqual([]);
  await store.close();
});
