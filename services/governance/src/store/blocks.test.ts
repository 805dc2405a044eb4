import { builder, openStore, type Store } from '@aitbc/chassis';
import { newId, type Payload } from '@aitbc/contracts';
import { propertyRuns, scratchDatabase, sqliteOnly, timeLimit } from '@aitbc/testing';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { migrations } from '../../migrations/index.ts';
import type { Tables } from '../tables.ts';
import { KEPT_BLOCKS, latestSnapshot, missingFrom, notePart, powerAt, snapshotAt } from './blocks.ts';
import { insertProposal } from './proposals.ts';

type Part = Payload<'payments.block_sealed'>;

const db = builder<Tables>();
const accounts = Array.from({ length: 6 }, newId);
const TREASURY = 1_000;

let store: Store;
const open = async () => {
  store = await openStore({
    url: scratchDatabase('governance'),
    service: 'governance',
    migrations,
  });
};
beforeEach(open);
afterEach(() => store.close());

const note = (part: Part) => store.transact('note', (trx) => notePart(trx, part));
const block = (height: number, balances: Record<number, number>, changes: Partial<Part> = {}): Part => ({
  height,
  part: 0,
  parts: 1,
  sealed_at_ms: 1_000 + height,
  supply_minor: 1_000_000,
  treasury_minor: TREASURY,
  balances: Object.entries(balances).map(([index, balance_minor]) => ({
    account_id: accounts[Number(index)] as string,
    balance_minor,
  })),
  ...changes,
});

/** A ledger of blocks, each in one to three parts, and what everybody held at each height. */
const ledgers = fc
  .array(
    fc.record({
      balances: fc.dictionary(
        fc.integer({ min: 0, max: accounts.length - 1 }).map(String),
        fc.integer({ min: 0, max: 100_000 }),
      ),
      parts: fc.integer({ min: 1, max: 3 }),
    }),
    { minLength: 1, maxLength: 8 },
  )
  .chain((blocks) => {
    const parts = blocks.flatMap(({ balances, parts: count }, height) => {
      const entries = Object.entries(balances);
      return Array.from({ length: count }, (_, part) =>
        block(height, Object.fromEntries(entries.filter((_entry, index) => index % count === part)), {
          part,
          parts: count,
        }),
      );
    });
    return fc.record({
      blocks: fc.constant(blocks),
      // Any order, and any of them twice.
      arrivals: fc
        .shuffledSubarray([...parts, ...parts], { minLength: parts.length * 2, maxLength: parts.length * 2 })
        .filter((arrivals) => arrivals.length === parts.length * 2),
    });
  });

test(
  'in whatever order and however often the parts come, power at every height is what the ledger held',
  async () => {
    await fc.assert(
      fc.asyncProperty(ledgers, async ({ blocks, arrivals }) => {
        await store.close();
        await open();
        const came = new Set<Part>();
        for (const part of arrivals) {
          await note(part);
          came.add(part);
          // What is offered as a snapshot is whole, and so is all before it.
          const height = (await latestSnapshot(store.read))?.height ?? -1;
          expect(arrivals.filter((each) => each.height <= height).every((each) => came.has(each))).toBe(true);
        }
        const held = new Array<number>(accounts.length).fill(0);
        for (const [height, { balances }] of blocks.entries()) {
          for (const [index, balance] of Object.entries(balances)) held[Number(index)] = balance;
          expect(await Promise.all(accounts.map((id) => powerAt(store.read, id, height)))).toEqual(held);
          // The powers sum to the voting supply of that block.
          expect((await snapshotAt(store.read, height))?.voting_supply_minor).toBe(
            held.reduce((a, b) => a + b, 0),
          );
        }
        expect((await latestSnapshot(store.read))?.height).toBe(blocks.length - 1);
      }),
      { numRuns: propertyRuns(25) },
    );
  },
  timeLimit(60_000),
);

test('a missing part keeps its block, and all after it, from being a snapshot', async () => {
  await note(block(0, { 0: 10 }));
  await note(block(1, { 0: 20 }, { part: 0, parts: 2 }));
  await note(block(2, { 1: 5 }));
  expect(await latestSnapshot(store.read)).toMatchObject({ height: 0, voting_supply_minor: 10 });
  expect(await missingFrom(store.read)).toBe(1);
  await note(block(1, { 2: 7 }, { part: 1, parts: 2 }));
  expect(await latestSnapshot(store.read)).toMatchObject({ height: 2, voting_supply_minor: 32 });
  expect(await missingFrom(store.read)).toBeNull();
});

const proposalAt = (snapshot_height: number) =>
  store.transact('propose', (trx) =>
    insertProposal(trx, {
      id: newId(),
      proposer_account_id: accounts[0] as string,
      title: 'a title',
      description: 'a description',
      type: 'policy_change',
      target: '{}',
      state: 'rejected',
      quorum_parts: 200_000,
      approval_parts: 600_000,
      snapshot_height,
      voting_supply_minor: 1,
      for_minor: 0,
      against_minor: 0,
      abstain_minor: 0,
      voters: 0,
      created_at_ms: 1,
      voting_ends_at_ms: 2,
      decided_at_ms: 2,
      timelock_ends_at_ms: null,
      cancelled_at_ms: null,
      cancelled_by: null,
      veto_reason: null,
      due_at_ms: null,
    }),
  );

test('of old balances only those stay that were held when a proposal was made', async () => {
  const SHOWN = [3, 20, 21];
  const last = KEPT_BLOCKS + 40;
  for (let height = 0; height <= last; height++) {
    // The second account holds the same all the time, the third every tenth block more.
    const tenth = height % 10 === 0 ? { 2: 7 + height } : {};
    await note(block(height, { 0: 100 + height, ...(height === 0 ? { 1: 55 } : {}), ...tenth }));
    if (SHOWN.includes(height)) await proposalAt(height);
  }
  const powers = (height: number) =>
    Promise.all(accounts.slice(0, 3).map((id) => powerAt(store.read, id, height)));
  const held = (height: number) => [100 + height, 55, 7 + height - (height % 10)];
  const newest = Array.from({ length: KEPT_BLOCKS }, (_, back) => last - back);
  for (const height of [...SHOWN, ...newest]) expect(await powers(height)).toEqual(held(height));
  const rows = await store.read.all(
    db
      .selectFrom('checkpoint')
      .select(['account_id', 'height'])
      .where('height', '<', last - KEPT_BLOCKS)
      .orderBy('height'),
  );
  const heightsOf = (at: number) =>
    rows.filter(({ account_id }) => account_id === accounts[at]).map(({ height }) => height);
  expect([heightsOf(0), heightsOf(1), heightsOf(2)]).toEqual([SHOWN, [0], [0, 20]]);
  expect((await snapshotAt(store.read, last))?.voting_supply_minor).toBe(
    held(last).reduce((sum, power) => sum + power, 0),
  );
});

test('nothing is a snapshot before the first block came', async () => {
  expect(await missingFrom(store.read)).toBeNull();
  await note(block(1, { 0: 20 }));
  expect(await latestSnapshot(store.read)).toBeUndefined();
  expect(await missingFrom(store.read)).toBe(0);
});

test.each([
  ['another number of parts', { part: 1, parts: 3 }],
  ['another supply', { part: 1, parts: 2, supply_minor: 999_999 }],
  ['a part beyond the last', { part: 2, parts: 2 }],
])('a part that contradicts its block is refused and changes nothing: %s', async (_name, changes) => {
  await note(block(0, { 0: 10 }, { part: 0, parts: 2 }));
  await expect(note(block(0, { 1: 10 }, changes))).rejects.toThrow('contradict');
  expect(await powerAt(store.read, accounts[1] as string, 0)).toBe(0);
  await note(block(0, { 1: 10 }, { part: 1, parts: 2 }));
  expect(await latestSnapshot(store.read)).toMatchObject({ height: 0, voting_supply_minor: 20 });
});

test('voters that hold more than exists outside mint and treasury are refused', async () => {
  await expect(note(block(0, { 0: 9_001 }, { supply_minor: 10_000 }))).rejects.toThrow(/CHECK/i);
  expect(await latestSnapshot(store.read)).toBeUndefined();
});

sqliteOnly('plans in the words of EXPLAIN QUERY PLAN').test(
  'power at a past block is one step down an index, however long the history',
  async () => {
    const [account] = accounts as [string];
    for (let height = 0; height <= 2 * KEPT_BLOCKS; height += 1) await note(block(height, { 0: height }));
    const query = db
      .selectFrom('checkpoint')
      .select('balance_minor')
      .where('account_id', '=', account)
      .where('height', '<=', KEPT_BLOCKS + 34)
      .orderBy('height', 'desc')
      .limit(1)
      .compile();
    const plan = await store.read.all<{ detail: string }>({
      compile: () => ({ ...query, sql: `EXPLAIN QUERY PLAN ${query.sql}` }),
    });
    expect(plan.map((row) => row.detail)).toEqual([
      'SEARCH checkpoint USING PRIMARY KEY (account_id=? AND height<?)',
    ]);
    expect(await powerAt(store.read, account, KEPT_BLOCKS + 34)).toBe(KEPT_BLOCKS + 34);
  },
);
