import { builder, hot, type Params, type Reader, type Trx } from '@aitbc/chassis';
import type { ProposalType, VoteChoice } from '@aitbc/contracts';
import { type Event, next, type State, type TallyMinor } from '../domain.ts';
import type { ExecutionRow, ProposalRow, Tables, VoteRow } from '../tables.ts';

const db = builder<Tables>();

const find = hot((p: Params<{ id: string }>) =>
  db.selectFrom('proposal').selectAll().where('id', '=', p('id')),
);
const findVoteOf = hot((p: Params<{ proposal_id: string; account_id: string }>) =>
  db
    .selectFrom('vote')
    .selectAll()
    .where('proposal_id', '=', p('proposal_id'))
    .where('account_id', '=', p('account_id')),
);
const saveVote = hot((p: Params<VoteRow>) =>
  db
    .insertInto('vote')
    .values({
      proposal_id: p('proposal_id'),
      account_id: p('account_id'),
      id: p('id'),
      choice: p('choice'),
      weight_minor: p('weight_minor'),
      reason: p('reason'),
      cast_at_ms: p('cast_at_ms'),
    })
    .onConflict((conflict) =>
      conflict.columns(['proposal_id', 'account_id']).doUpdateSet({
        id: p('id'),
        choice: p('choice'),
        weight_minor: p('weight_minor'),
        reason: p('reason'),
        cast_at_ms: p('cast_at_ms'),
      }),
    ),
);
const shiftTally = hot(
  (p: Params<{ id: string; for: number; against: number; abstain: number; voters: number }>) =>
    db
      .updateTable('proposal')
      .set((eb) => ({
        for_minor: eb('for_minor', '+', p('for')),
        against_minor: eb('against_minor', '+', p('against')),
        abstain_minor: eb('abstain_minor', '+', p('abstain')),
        voters: eb('voters', '+', p('voters')),
      }))
      .where('id', '=', p('id')),
);
const sumVotes = hot((p: Params<{ proposal_id: string }>) =>
  db
    .selectFrom('vote')
    .select((eb) => ['choice', eb.fn.sum<number>('weight_minor').as('weight_minor')])
    .where('proposal_id', '=', p('proposal_id'))
    .groupBy('choice'),
);
const findDue = hot((p: Params<{ now: number; limit: number }>) =>
  db
    .selectFrom('proposal')
    .select('id')
    .where('due_at_ms', '<=', p('now'))
    .orderBy('due_at_ms')
    .limit(p('limit')),
);

export const findProposal = (reader: Reader, id: string): Promise<ProposalRow | undefined> =>
  reader.get(find, { id });

export const insertProposal = async (trx: Trx, row: ProposalRow): Promise<void> => {
  await trx.run(db.insertInto('proposal').values(row));
};

export const countOpen = async (reader: Reader, accountId: string): Promise<number> =>
  Number(
    (
      await reader.get(
        db
          .selectFrom('proposal')
          .select((eb) => eb.fn.countAll().as('n'))
          .where('proposer_account_id', '=', accountId)
          .where('due_at_ms', 'is not', null),
      )
    )?.n ?? 0,
  );

export const countInState = async (reader: Reader, state: State): Promise<number> =>
  Number(
    (
      await reader.get(
        db
          .selectFrom('proposal')
          .select((eb) => eb.fn.countAll().as('n'))
          .where('state', '=', state),
      )
    )?.n ?? 0,
  );

export const listProposals = async (
  reader: Reader,
  filter: { states: State[] | undefined; type: ProposalType | undefined; before: string | undefined },
  limit: number,
): Promise<ProposalRow[]> => {
  let query = db.selectFrom('proposal').selectAll().orderBy('id', 'desc').limit(limit);
  if (filter.states !== undefined) query = query.where('state', 'in', filter.states);
  if (filter.type !== undefined) query = query.where('type', '=', filter.type);
  if (filter.before !== undefined) query = query.where('id', '<', filter.before);
  return await reader.all(query);
};

export const dueProposals = async (reader: Reader, nowMs: number, limit: number): Promise<string[]> =>
  (await reader.all(findDue, { now: nowMs, limit })).map((row) => row.id);

/** Lets a proposal whose turn failed wait, so that it does not keep the others from theirs. */
export const postpone = async (trx: Trx, id: string, untilMs: number): Promise<void> => {
  await trx.run(
    db
      .updateTable('proposal')
      .set({ due_at_ms: untilMs })
      .where('id', '=', id)
      .where('due_at_ms', 'is not', null),
  );
};

/**
 * Lets `event` happen to a proposal.
 * @returns true when it happened now, false when it had happened already, null when it cannot happen.
 */
export const apply = async (
  trx: Trx,
  proposal: ProposalRow,
  event: Event,
  changes: Partial<ProposalRow>,
): Promise<boolean | null> => {
  const outcome = next(proposal.state, event);
  if (outcome === 'conflict') return null;
  if (outcome === 'ignore') return false;
  const changed = await trx.run(
    db
      .updateTable('proposal')
      .set({ ...changes, state: outcome })
      .where('id', '=', proposal.id)
      .where('state', '=', proposal.state),
  );
  if (changed !== 1) throw new Error(`proposal ${proposal.id} is not ${proposal.state} any more`);
  return true;
};

/** Writes the voice of an account and moves the tally by the difference. */
export const putVote = async (trx: Trx, vote: VoteRow): Promise<void> => {
  const before = await trx.get(findVoteOf, vote);
  const shift: Record<VoteChoice, number> = { for: 0, against: 0, abstain: 0 };
  if (before !== undefined) shift[before.choice] -= before.weight_minor;
  shift[vote.choice] += vote.weight_minor;
  await trx.run(saveVote, vote);
  await trx.run(shiftTally, { id: vote.proposal_id, ...shift, voters: before === undefined ? 1 : 0 });
};

/** The tally as the vote rows have it: what a decision is made from. */
export const countVotes = async (reader: Reader, proposalId: string): Promise<TallyMinor> => {
  const sums = new Map(
    (await reader.all(sumVotes, { proposal_id: proposalId })).map((row) => [
      row.choice,
      Number(row.weight_minor),
    ]),
  );
  return {
    for_minor: sums.get('for') ?? 0,
    against_minor: sums.get('against') ?? 0,
    abstain_minor: sums.get('abstain') ?? 0,
  };
};

export const listVotes = async (
  reader: Reader,
  proposalId: string,
  before: string | undefined,
  limit: number,
  voterId?: string,
): Promise<VoteRow[]> => {
  let query = db
    .selectFrom('vote')
    .selectAll()
    .where('proposal_id', '=', proposalId)
    .orderBy('id', 'desc')
    .limit(limit);
  if (before !== undefined) query = query.where('id', '<', before);
  if (voterId !== undefined) query = query.where('account_id', '=', voterId);
  return await reader.all(query);
};

export const findExecutions = async (
  reader: Reader,
  proposalIds: string[],
): Promise<Map<string, ExecutionRow>> =>
  proposalIds.length === 0
    ? new Map()
    : new Map(
        (
          await reader.all(db.selectFrom('execution').selectAll().where('proposal_id', 'in', proposalIds))
        ).map((row) => [row.proposal_id, row]),
      );

export const findExecution = (reader: Reader, proposalId: string): Promise<ExecutionRow | undefined> =>
  reader.get(db.selectFrom('execution').selectAll().where('proposal_id', '=', proposalId));

export const insertExecution = async (trx: Trx, row: ExecutionRow): Promise<void> => {
  await trx.run(db.insertInto('execution').values(row));
};

/** Ends an execution that waited for the ledger. */
export const endExecution = async (
  trx: Trx,
  proposalId: string,
  changes: Partial<ExecutionRow>,
): Promise<void> => {
  const changed = await trx.run(
    db
      .updateTable('execution')
      .set(changes)
      .where('proposal_id', '=', proposalId)
      .where('status', '=', 'settling'),
  );
  if (changed !== 1) throw new Error(`execution of ${proposalId} is not settling`);
};
