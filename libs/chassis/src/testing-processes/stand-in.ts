import {
  type Destination,
  defineRoute,
  Id,
  Json,
  type MessageName,
  messages,
  type ServiceName,
} from '@aitbc/contracts';
import { eventually, tables } from '@aitbc/testing';
import { z } from 'zod';
import {
  type Batch,
  builder,
  type Consumers,
  type Fail,
  type Handlers,
  loadConfig,
  openSender,
  type Running,
  type Store,
  sendAs,
  serviceConfig,
  standUp,
  type Trx,
} from '../index.ts';
import { TookTooLong } from '../store/fault.ts';

/** What a stand-in keeps: one row an effect and no constraint, so that a doubled effect shows. */
export interface StandInTables {
  effect: { name: string; about: string };
}
const db = builder<StandInTables>();

export const effect = async (trx: Trx, name: string, about: string): Promise<void> => {
  await trx.run(db.insertInto('effect').values({ name, about }));
};

/** How often each (name, about) had its effect. */
export const effectsOf = async (store: Store, name: string): Promise<Map<string, number>> => {
  const counts = new Map<string, number>();
  for (const row of await store.read.all(db.selectFrom('effect').selectAll().where('name', '=', name)))
    counts.set(row.about, (counts.get(row.about) ?? 0) + 1);
  return counts;
};

/** Routes that show every path through chassis/http and nothing else. */
export const standInRoutes = {
  /** Says `jobs.submitted` for each id, in the transaction that notes it. */
  say: defineRoute({
    name: 'jobs.say',
    service: 'jobs',
    method: 'POST',
    path: '/v1/test/say',
    tag: 'Test',
    summary: 'Says',
    who: ['client'],
    rate: 'client',
    idempotent: true,
    body: z.strictObject({ job_ids: z.array(Id).min(1).max(500), note: z.string().max(20).optional() }),
    responses: { 201: z.strictObject({ said: z.number().int(), turn: z.number().int() }) },
  }),
  /** Answers how often `name` had its effect, by what it is about. */
  effects: defineRoute({
    name: 'jobs.effects',
    service: 'jobs',
    method: 'GET',
    path: '/v1/test/effects/:name',
    tag: 'Test',
    summary: 'Effects',
    who: ['public'],
    rate: 'public',
    params: z.strictObject({ name: z.string().max(40) }),
    query: z.strictObject({ limit: z.coerce.number().int().max(10).optional() }),
    responses: { 200: z.strictObject({ counts: z.record(z.string(), z.number().int()) }) },
  }),
  /** Takes its time, or throws what the body asks for. */
  slow: defineRoute({
    name: 'jobs.slow',
    service: 'jobs',
    method: 'POST',
    path: '/v1/test/slow',
    tag: 'Test',
    summary: 'Slow',
    who: ['client'],
    rate: 'client',
    body: z.strictObject({
      ms: z.number().int().max(5_000),
      value: Json.optional(),
      throws: z.string().max(100).optional(),
    }),
    bodyLimitBytes: 2_048,
    responses: { 200: z.strictObject({ ok: z.boolean() }) },
  }),
  /** Answers with what it was told, which may be nothing. */
  perhaps: defineRoute({
    name: 'jobs.perhaps',
    service: 'jobs',
    method: 'POST',
    path: '/v1/test/perhaps',
    tag: 'Test',
    summary: 'Perhaps',
    who: ['client'],
    rate: 'client',
    body: z.strictObject({ reason: z.string().optional() }),
    responses: { 200: z.strictObject({ reason: z.string().optional() }) },
  }),
} as const;

export type StandInHandlers = Handlers<typeof standInRoutes>;

/** What happens with a message besides its effect row; a throw makes it poisonous. */
export type OnMessage = (trx: Trx, name: MessageName, payload: { job_id?: string }) => void | Promise<void>;

/** Puts into its mailbox what another says, sealed as that one does: by default the other stand-in. */
export type Publish = (batch: unknown, from?: Destination) => Promise<void>;

/** Configuration as a service reads it. */
export const standInConfig = serviceConfig;

/**
 * A service of the catalogue with nothing of its own: each message it hears becomes a row, and `payments` answers
 * jobs.submitted with payments.escrowed, so that a message goes round.
 */
export const startStandIn = async (
  name: 'jobs' | 'payments',
  env: Record<string, string | undefined>,
  fail: Fail,
  onMessage: OnMessage = () => {},
): Promise<Running & { store: Store; publish: Publish }> => {
  let store: Store | undefined;
  let publish: Publish | undefined;
  const running = await standUp(
    {
      name: name as ServiceName,
      routes: standInRoutes,
      migrations: tables('CREATE TABLE effect (name TEXT NOT NULL, about TEXT NOT NULL) STRICT'),
      compose: (standing) => {
        store = standing.store;
        publish = (batch, from = name === 'jobs' ? 'payments' : 'jobs') => {
          const sender = openSender({ from, to: name, redis: standing.redis, postal: standing.postal });
          return eventually(() => sender.send(batch as Batch).then(() => true)).then(() => sender.close());
        };
        return {
          handlers: handlersOf(standing.store),
          consumers: consumersOf(name, onMessage) as unknown as Consumers<ServiceName>,
          schedule: [],
        };
      },
    },
    loadConfig(standInConfig, env),
    fail,
  );
  return { ...running, store: store as Store, publish: publish as Publish };
};

const handlersOf = (store: Store): StandInHandlers => ({
  say: (context) =>
    context.write(async (trx) => {
      for (const job_id of context.body.job_ids) {
        await effect(trx, 'said', job_id);
        await sendAs<'jobs'>()(trx, 'jobs.submitted', {
          job_id,
          account_id: context.caller.account_id,
          credential_id: null,
          spend_cap_minor: null,
          payment_amount_minor: 1,
          submitted_at_ms: 0,
        });
      }
      const turn = (await trx.all(db.selectFrom('effect').select('name'))).length;
      return { status: 201, body: { said: context.body.job_ids.length, turn } };
    }),
  effects: async ({ params }) => ({
    status: 200,
    body: { counts: Object.fromEntries(await effectsOf(store, params.name)) },
  }),
  slow: async ({ body }) => {
    if (body.throws === 'TookTooLong') throw new TookTooLong('SECRET of a transaction');
    if (body.throws !== undefined) throw new Error(body.throws);
    await new Promise((resolve) => setTimeout(resolve, body.ms));
    return { status: 200, body: { ok: true } };
  },
  perhaps: async ({ body }) => ({ status: 200, body }),
});

const consumersOf = (name: 'jobs' | 'payments', onMessage: OnMessage) =>
  Object.fromEntries(
    Object.entries(messages)
      .filter(([, message]) => (message.to as readonly string[]).includes(name))
      .map(([messageName]) => [
        messageName,
        async (trx: Trx, payload: { job_id?: string }) => {
          const job_id = payload.job_id ?? '';
          await effect(trx, messageName, job_id);
          if (name === 'payments' && messageName === 'jobs.submitted') {
            await sendAs<'payments'>()(trx, 'payments.escrowed', {
              payment_id: job_id,
              job_id,
              amount_minor: 1,
            });
          }
          await onMessage(trx, messageName as MessageName, payload);
        },
      ]),
  );
