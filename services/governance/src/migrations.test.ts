import { join } from 'node:path';
import { builder, openStore } from '@aitbc/chassis';
import { newId } from '@aitbc/contracts';
import { scratchDirectory, sqliteOnly } from '@aitbc/testing';
import { sql } from 'kysely';
import { expect } from 'vitest';
import { migrations } from '../migrations/index.ts';
import { currentValue, listChanges, recordChange } from './store/parameters.ts';
import { findExecution, findProposal, listVotes } from './store/proposals.ts';
import type { Tables } from './tables.ts';

const { test } = sqliteOnly('files of releases that knew SQLite alone');

const db = builder<Tables>();

test('a file of the release before keeps its votes and the history of its parameters, and takes resets and vetoes', async () => {
  const options = {
    url: `sqlite:///${join(scratchDirectory(), 'governance.db')}`,
    service: 'governance' as const,
  };
  const first = migrations.sqlite['0001-governance'] as NonNullable<(typeof migrations.sqlite)[string]>;
  const old = await openStore({
    ...options,
    migrations: { '0001-governance': first },
  });
  const run = (statement: ReturnType<typeof sql>) =>
    old.transact('test', (trx) => trx.run({ compile: () => statement.compile(db) as never }));
  const [alice, waiting, stopped] = [newId(), newId(), newId()];
  const [loose, strict] = [newId(), newId()];
  const executed = [newId(), newId()];
  await run(sql`INSERT INTO block VALUES (0, 1, 1, 1000, 600, 100, 1, 500)`);
  await run(sql`INSERT INTO block_part VALUES (0, 0)`);
  await run(sql`INSERT INTO checkpoint VALUES (${alice}, 0, 500)`);
  const later = sql`WITH RECURSIVE later (height) AS (SELECT 1 UNION ALL SELECT height + 1 FROM later WHERE height < 150)`;
  await run(sql`INSERT INTO block ${later} SELECT height, 1, 1, 1000, 600, 100, 1, 500 FROM later`);
  await run(sql`INSERT INTO checkpoint ${later} SELECT ${alice}, height, 500 FROM later`);
  const propose = (
    id: string,
    state: string,
    ends: { due?: number; cancelled?: number },
    parts = [100_000, 500_000],
  ) =>
    run(sql`INSERT INTO proposal (id, proposer_account_id, title, description, type, target, state, quorum_parts,
        approval_parts, snapshot_height, voting_supply_minor, for_minor, voters, created_at_ms, voting_ends_at_ms,
        decided_at_ms, timelock_ends_at_ms, cancelled_at_ms, cancelled_by, due_at_ms)
      VALUES (${id}, ${alice}, 'a title', 'a description', 'parameter_change',
        '{"parameter":"platform_fee_basis_points","value":300}', ${state}, ${parts[0]}, ${parts[1]}, 0, 500, 500, 1,
        1, 2, 2, 3, ${ends.cancelled ?? null}, ${ends.cancelled === undefined ? null : alice}, ${ends.due ?? null})`);
  for (const id of executed) await propose(id, 'executed', {});
  await propose(waiting, 'queued', { due: 3 });
  await propose(stopped, 'cancelled', { cancelled: 3 });
  // Its own rules judge it: one vote of a hundred, and one for of a hundred cast.
  await propose(loose, 'active', { due: 2 }, [10_000, 10_000]);
  await propose(strict, 'active', { due: 2 }, [200_000, 600_000]);
  for (const id of [...executed, waiting, stopped])
    await run(sql`INSERT INTO vote VALUES (${id}, ${alice}, ${newId()}, 'for', 500, NULL, 1)`);
  for (const [index, id] of executed.entries()) {
    await run(sql`INSERT INTO execution VALUES (${id}, 'executed', '{}', NULL, NULL, 4, 4)`);
    await run(sql`INSERT INTO parameter_change
      VALUES ('platform_fee_basis_points', ${index + 1}, ${String(300 + index)}, ${id}, ${4 + index})`);
  }
  await old.close();

  const store = await openStore({ ...options, migrations });
  const history = () => listChanges(store.read, 'platform_fee_basis_points', undefined, 10);
  const voted = (index: number) => ({
    name: 'platform_fee_basis_points',
    version: index + 1,
    value: String(300 + index),
    proposal_id: executed[index],
    reset_by: null,
    reset_reason: null,
    changed_at_ms: 4 + index,
  });
  expect(await history()).toEqual([voted(1), voted(0)]);
  expect(await currentValue(store.read, 'platform_fee_basis_points')).toBe(301);
  expect(await findProposal(store.read, stopped)).toMatchObject({ state: 'cancelled', veto_reason: null });
  expect(await findExecution(store.read, executed[0] as string)).toMatchObject({ status: 'executed' });
  for (const id of [...executed, waiting, stopped])
    expect(await listVotes(store.read, id, undefined, 10)).toHaveLength(1);

  expect(await findProposal(store.read, loose)).toMatchObject({
    quorum_parts: 100_000,
    approval_parts: 500_000,
  });
  expect(await findProposal(store.read, strict)).toMatchObject({
    quorum_parts: 200_000,
    approval_parts: 600_000,
  });

  // Of the balances only that of the proposals' block and the newest hundred are left.
  const kept = await store.read.all(db.selectFrom('checkpoint').select('height').orderBy('height'));
  expect(kept.map(({ height }) => height)).toEqual([0, ...Array.from({ length: 101 }, (_, at) => 50 + at)]);

  // What is new: an operator's reset after those votes, and a veto of a proposal that was queued before.
  const [operator, reason] = [newId(), 'the votes were a mistake'];
  const reset = { name: 'platform_fee_basis_points', value: 250, changed_at_ms: 9 } as const;
  const record = (source: { proposal_id?: string; reset_by?: string; reset_reason?: string }) =>
    store.transact('test', (trx) =>
      recordChange(trx, { ...reset, proposal_id: null, reset_by: null, reset_reason: null, ...source }),
    );
  expect(await record({ reset_by: operator, reset_reason: reason })).toBe(3);
  expect((await history())[0]).toMatchObject({ value: '250', reset_by: operator, proposal_id: null });
  const change = (id: string, columns: Partial<Tables['proposal']>) =>
    store.transact('test', (trx) => trx.run(db.updateTable('proposal').set(columns).where('id', '=', id)));
  const veto = { veto_reason: reason, cancelled_by: operator };
  await change(waiting, { ...veto, state: 'cancelled', cancelled_at_ms: 9, due_at_ms: null });
  expect(await findProposal(store.read, waiting)).toMatchObject({ state: 'cancelled', ...veto });

  // What must never be: a value from nobody, from two, without a reason, twice from one vote; a veto of what was done.
  await expect(record({})).rejects.toThrow('CHECK');
  await expect(record({ proposal_id: waiting, reset_by: operator, reset_reason: reason })).rejects.toThrow(
    'CHECK',
  );
  await expect(record({ reset_by: operator })).rejects.toThrow('CHECK');
  await expect(record({ proposal_id: executed[0] as string })).rejects.toThrow('UNIQUE');
  await expect(record({ proposal_id: newId() })).rejects.toThrow('FOREIGN KEY');
  await expect(change(executed[0] as string, veto)).rejects.toThrow('CHECK');
  await store.close();
});
