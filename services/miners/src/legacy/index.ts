import type { Context, Handlers, Parameters, Reader, Store } from '@aitbc/chassis';
import {
  type AnyRoute,
  type Caller,
  CURRENCY,
  fromMinor,
  Id,
  ledgerAddress,
  legacyMinerName,
  type legacyMinersRoutes,
  MinerRegistration,
  Problem,
  validationProblem,
} from '@aitbc/contracts';
import { changePresence, register, takeOff } from '../commands/index.ts';
import type { Roster } from '../roster.ts';
import {
  attemptsForBeat,
  findMiner,
  findMinerByName,
  lastMinerOfKey,
  type Miner,
  presenceOf,
} from '../store/index.ts';
import { offerOf } from './capabilities.ts';

interface Options {
  readonly store: Store;
  readonly roster: Roster;
  readonly parameters: Parameters<'miners'>;
  readonly now: () => number;
}

const notRegistered = (): Problem =>
  new Problem('MINER_NOT_REGISTERED', 'No such miner; register it first with POST /v1/miners/register.');

type Asking = Pick<Context<AnyRoute>, 'response'> & {
  readonly query: { readonly miner_id?: string | undefined };
};

/** The name in the header, else in the query. */
const nameGiven = ({ response, query }: Asking): string | undefined =>
  response.req.get('x-miner-id') || query.miner_id;

const keyOf = (reader: Reader, caller: Caller): Promise<Miner | undefined> =>
  caller.credential_id === null
    ? Promise.resolve(undefined)
    : lastMinerOfKey(reader, caller.account_id, caller.credential_id);

const ownById = async (reader: Reader, caller: Caller, id: string): Promise<Miner | undefined> => {
  const miner = Id.safeParse(id).success ? await findMiner(reader, id.toLowerCase()) : undefined;
  return miner?.account_id === caller.account_id ? miner : undefined;
};

/** The miner of that name, or the one that this key registered last. @throws Problem MINER_NOT_REGISTERED */
const speakerOf = async (reader: Reader, caller: Caller, given: string | undefined): Promise<Miner> => {
  const name = given === undefined ? undefined : legacyMinerName(given);
  const miner =
    name === undefined
      ? await keyOf(reader, caller)
      : ((await findMinerByName(reader, caller.account_id, name)) ?? (await ownById(reader, caller, name)));
  if (miner === undefined || miner.alias_at_ms === null) throw notRegistered();
  return miner;
};

const registrationOf = (
  caller: Caller,
  name: string,
  body: {
    capabilities?: Record<string, unknown> | undefined;
    concurrency?: number | undefined;
    region?: string | undefined;
  },
): MinerRegistration => {
  const region = body.region?.trim();
  const parsed = MinerRegistration.safeParse({
    // Never what the program calls itself: that is its key.
    address: ledgerAddress(caller.account_id),
    ...offerOf(body.capabilities ?? {}),
    concurrency: body.concurrency === 0 ? undefined : body.concurrency,
    ...(region === undefined || region === '' ? {} : { region }),
    name,
  });
  if (!parsed.success) throw validationProblem(parsed.error);
  return parsed.data;
};

/** The routes of the original coordinator: each is translated to a command that is there. */
export const legacyHandlers = ({ store, roster, now }: Options): Handlers<typeof legacyMinersRoutes> => {
  const seen = async (miner: Miner): Promise<void> => {
    const row = roster.isShared ? await presenceOf(store.read, miner.id) : undefined;
    const present = row === undefined ? roster.get(miner.id) : roster.take(row);
    if (present === undefined) throw notRegistered();
    roster.seen(present, now());
    if (present.status === 'inactive')
      await store.transact('miners.return', (trx) => changePresence(trx, roster, miner.id, 'seen', now()));
  };
  const earnings = async (caller: Caller, name: string) => {
    const miner = await speakerOf(store.read, caller, name);
    const total = fromMinor(miner.earned_minor);
    return {
      status: 200 as const,
      body: { items: [], total, currency: CURRENCY, jobs_completed: miner.jobs_completed },
    };
  };
  const jobs = async (caller: Caller, name: string) => {
    const miner = await speakerOf(store.read, caller, name);
    const { running } = await attemptsForBeat(store.read, miner.id);
    return {
      status: 200 as const,
      body: {
        items: running.map(({ job_id, attempt }) => ({ job_id, attempt, state: 'RUNNING' })),
        total: miner.jobs_completed + miner.jobs_failed + miner.jobs_lost + running.length,
        completed: miner.jobs_completed,
        failed: miner.jobs_failed,
      },
    };
  };
  return {
    legacyRegister: (context) => {
      const { caller, body } = context;
      const given = nameGiven(context);
      return context.write(async (trx) => {
        const before = given === undefined ? await keyOf(trx, caller) : undefined;
        const name = before?.name ?? legacyMinerName(given);
        const wanted = registrationOf(caller, name, body);
        const { miner } = await register(trx, roster, caller, wanted, now(), 'alias');
        // Its program demands a text. It opens nothing.
        return { status: 200, body: { status: 'ok', session_token: miner.id } };
      });
    },
    legacyHeartbeat: async (context) => {
      await seen(await speakerOf(store.read, context.caller, nameGiven(context)));
      return { status: 200, body: { status: 'ok' } };
    },
    legacyEarnings: ({ caller, params }) => earnings(caller, params.miner_id),
    legacyEarningsByPost: ({ caller, params }) => earnings(caller, params.miner_id),
    legacyJobs: ({ caller, params }) => jobs(caller, params.miner_id),
    legacyJobsByPost: ({ caller, params }) => jobs(caller, params.miner_id),
    legacyCapabilities: (context) =>
      context.write(async (trx) => {
        const { caller, params, body } = context;
        const known = await speakerOf(trx, caller, params.miner_id);
        const { concurrency, region } = known;
        const wanted = registrationOf(caller, known.name, {
          ...body,
          concurrency,
          ...(region === null ? {} : { region }),
        });
        await register(trx, roster, caller, wanted, now(), 'alias');
        return { status: 200, body: { status: 'ok' } };
      }),
    legacyRemove: (context) =>
      context.write(async (trx) => {
        await takeOff(trx, roster, await speakerOf(trx, context.caller, context.params.miner_id));
        return { status: 200, body: { status: 'ok' } };
      }),
  };
};
