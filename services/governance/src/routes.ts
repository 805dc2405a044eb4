import { type Handlers, type Log, pageOf, type Store, waitFor } from '@aitbc/chassis';
import {
  fromMinor,
  type governanceRoutes,
  Id,
  invalidField,
  notFound,
  toTimestampOrNull,
} from '@aitbc/contracts';
import { EXECUTIONS, execute } from './commands/executing.ts';
import { reset, veto } from './commands/guardian.ts';
import type { Ruling } from './commands/ruling.ts';
import { cancel, castVote, propose } from './commands/voting.ts';
import { statesOf } from './domain.ts';
import { latestSnapshot, powerAt, snapshotAt } from './store/blocks.ts';
import { currentChanges, listChanges, newestChange } from './store/parameters.ts';
import { findExecution, findExecutions, findProposal, listProposals, listVotes } from './store/proposals.ts';
import type { ExecutionRow } from './tables.ts';
import { viewChange, viewExecution, viewParameter, viewParameters, viewProposal, viewVote } from './views.ts';

/** How long an execute request waits for the ledger's answer before it says 202. */
const SETTLE_WAIT_MS = 5_000;

const toCursor = (id: string): string => Buffer.from(id).toString('base64url');
const fromCursor = (cursor: string | undefined): string | undefined => {
  if (cursor === undefined) return undefined;
  const id = Id.safeParse(Buffer.from(cursor, 'base64url').toString());
  if (!id.success) throw invalidField('query.cursor', 'must be the next_cursor of the page before');
  return id.data;
};

const versionFrom = (cursor: string | undefined): number | undefined => {
  if (cursor === undefined) return undefined;
  const text = Buffer.from(cursor, 'base64url').toString();
  if (!/^[1-9][0-9]{0,14}$/.test(text))
    throw invalidField('query.cursor', 'must be the next_cursor of the page before');
  return Number(text);
};

/** One row more than a page shows is read, to know whether there is another page. */
const toPage = <R, T>(rows: R[], limit: number, view: (row: R) => T, keyOf: (row: R) => string) =>
  pageOf(rows, limit, view, (last) => toCursor(keyOf(last)));

/** The execution once it ended, or as it stands when the wait is over or the caller went away. */
const settled = async (store: Store, row: ExecutionRow, signal: AbortSignal): Promise<ExecutionRow> => {
  const current = async () => (await findExecution(store.read, row.proposal_id)) ?? row;
  const ended = async () => {
    const execution = await current();
    return execution.status === 'settling' ? undefined : execution;
  };
  const options = { withinMs: SETTLE_WAIT_MS, gone: [signal] };
  return (await waitFor(store, EXECUTIONS, ended, options)) ?? (await current());
};

export const createHandlers = (
  store: Store,
  ruling: Ruling,
  log: Log,
  now: () => number,
): Handlers<typeof governanceRoutes> => ({
  propose: (context) =>
    context.write(async (trx) => ({
      status: 201,
      body: viewProposal(await propose(trx, ruling, context.caller, context.body, now()), undefined),
    })),

  list: async ({ query }) => {
    const rows = await listProposals(
      store.read,
      {
        states: query.status === undefined ? undefined : statesOf(query.status),
        type: query.type,
        before: fromCursor(query.cursor),
      },
      query.limit + 1,
    );
    const executions = await findExecutions(
      store.read,
      rows.map((row) => row.id),
    );
    return {
      status: 200,
      body: await toPage(
        rows,
        query.limit,
        (row) => viewProposal(row, executions.get(row.id)),
        (row) => row.id,
      ),
    };
  },

  get: async ({ params }) => {
    const row = await findProposal(store.read, params.proposal_id);
    if (row === undefined) throw notFound('proposal');
    return { status: 200, body: viewProposal(row, await findExecution(store.read, row.id)) };
  },

  votes: async ({ params, query }) => {
    if ((await findProposal(store.read, params.proposal_id)) === undefined) throw notFound('proposal');
    const { cursor, limit, voter_id } = query;
    const rows = await listVotes(store.read, params.proposal_id, fromCursor(cursor), limit + 1, voter_id);
    return { status: 200, body: await toPage(rows, query.limit, viewVote, (row) => row.id) };
  },

  cancel: (context) =>
    context.write(async (trx) => ({
      status: 200,
      body: viewProposal(await cancel(trx, context.caller, context.params.proposal_id, now()), undefined),
    })),

  veto: (context) =>
    context.write(async (trx) => {
      const { caller, params, body } = context;
      const row = await veto(trx, caller, params.proposal_id, body.reason, now());
      log.warn({ proposal_id: row.id, account_id: row.cancelled_by, reason: row.veto_reason }, 'vetoed');
      return { status: 200, body: viewProposal(row, undefined) };
    }),

  vote: (context) =>
    context.write(async (trx) => ({
      status: 200,
      body: viewVote(await castVote(trx, context.caller, context.body, now())),
    })),

  votingPower: async ({ params, query }) => {
    const { proposal_id } = query;
    const proposal = proposal_id === undefined ? undefined : await findProposal(store.read, proposal_id);
    if (proposal_id !== undefined && proposal === undefined) throw notFound('proposal');
    const snapshot =
      proposal === undefined
        ? await latestSnapshot(store.read)
        : await snapshotAt(store.read, proposal.snapshot_height);
    const power = snapshot === undefined ? 0 : await powerAt(store.read, params.user_id, snapshot.height);
    return {
      status: 200,
      body: {
        user_id: params.user_id,
        voting_power: fromMinor(power),
        voting_supply: fromMinor(snapshot?.voting_supply_minor ?? 0),
        height: snapshot?.height ?? null,
        sealed_at: toTimestampOrNull(snapshot?.sealed_at_ms ?? null),
        proposal_id: proposal_id ?? null,
      },
    };
  },

  parameters: async () => ({
    status: 200,
    body: { items: viewParameters(await currentChanges(store.read)) },
  }),

  parameterHistory: async ({ params, query }) => {
    const rows = await listChanges(store.read, params.name, versionFrom(query.cursor), query.limit + 1);
    return { status: 200, body: await toPage(rows, query.limit, viewChange, (row) => String(row.version)) };
  },

  resetParameter: (context) =>
    context.write(async (trx) => {
      const { caller, params, body } = context;
      await reset(trx, ruling, caller, params.name, body.reason, now());
      log.warn({ parameter: params.name, account_id: caller.account_id, reason: body.reason }, 'reset');
      return { status: 200, body: viewParameter(params.name, await newestChange(trx, params.name)) };
    }),

  execute: async (context) => {
    const id = context.params.proposal_id;
    let row: ExecutionRow | undefined;
    const reply = await context.write(async (trx) => {
      row = await execute(trx, ruling, context.caller, id, now());
      return { status: row.status === 'settling' ? 202 : 200, body: viewExecution(row) };
    });
    // A repeated key is answered from the stored reply, which may be older than the ledger's answer.
    row ??= await findExecution(store.read, id);
    if (reply.status === 200 || row === undefined) return reply;
    const ended = await settled(store, row, context.signal);
    return { status: ended.status === 'settling' ? 202 : 200, body: viewExecution(ended) };
  },
});
