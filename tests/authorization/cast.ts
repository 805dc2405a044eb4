import { type AnyRoute, type Client, createClient, newId, routes } from '@aitbc/contracts';
import { eventually, rememberSecret } from '@aitbc/testing';
import { newWallet } from '../../services/gateway/src/testing/wallet.ts';
import { type Coordinator, embedding, must, registerMiner, takeWork } from '../coordinator.ts';

/** Every kind of caller there is. Client A and miner A own the objects of the scene; the others own nothing in it. */
export const KINDS = [
  'nobody',
  'revoked',
  'expired',
  'clientB',
  'minerB',
  'user',
  'clientA',
  'voterA',
  'minerA',
  'admin',
] as const;
export type Kind = (typeof KINDS)[number];

const { jobs, payments, market, governance, gateway } = routes;

export interface Call {
  readonly params?: Record<string, unknown>;
  readonly query?: Record<string, unknown>;
  readonly body?: unknown;
}

/** Sends what no type would let through, too. */
export const callAs = (client: Client, route: AnyRoute, call: Call) =>
  client.call(route, call as never) as Promise<{ status: number; ok: boolean; body: unknown }>;

/** The people and their things. What a call uses up is made anew by a function. */
export const setScene = async (coordinator: Coordinator) => {
  const { url, admin, anyone } = coordinator;
  const as = (key: string) => createClient(url, { 'x-api-key': key });
  const asUser = (token: string) => createClient(url, { 'x-session-token': rememberSecret(token) });

  const signIn = async (wallet = newWallet()) => {
    const { message } = must(
      await anyone.call(gateway.challenge, { body: { wallet_address: wallet.address } }),
    );
    const signature = await wallet.signMessage({ message });
    const body = { wallet_address: wallet.address, message, signature };
    const session = must(await anyone.call(gateway.login, { body }));
    return {
      account: session.user_id,
      token: session.session_token,
      caller: asUser(session.session_token),
      signIn: () => signIn(wallet),
    };
  };

  const [clientA, clientB, minerA, minerB] = await Promise.all([
    coordinator.newAccount(['client']),
    coordinator.newAccount(['client']),
    coordinator.newAccount(['miner']),
    coordinator.newAccount(['miner']),
  ]);
  const user = await signIn();

  // A key of client A's account that may do nothing but govern.
  const voterA = must(
    await admin.call(gateway.adminCreateKey, {
      body: { account_id: clientA.id, scopes: ['vote'], label: 'to vote with' },
    }),
  );

  // Keys of client A's account with every scope there is: if they were let in, they could do anything.
  const strongKey = async (expires_at?: string) =>
    must(
      await admin.call(gateway.adminCreateKey, {
        body: {
          account_id: clientA.id,
          scopes: ['client', 'miner', 'admin', 'trade', 'vote'],
          label: 'not good any more',
          ...(expires_at === undefined ? {} : { expires_at }),
        },
      }),
    );
  const revoked = await strongKey();
  must(await admin.call(gateway.adminRevokeKey, { params: { key_id: revoked.id } }));
  // To be made, it has to be good when it arrives.
  const expired = await strongKey(new Date(Date.now() + 3_000).toISOString());
  await eventually(async () => (await as(expired.key).call(gateway.me, {})).status === 401);

  /** The header that makes a caller who they are. */
  const credentials: Record<Kind, Record<string, string>> = {
    nobody: {},
    revoked: { 'x-api-key': revoked.key },
    expired: { 'x-api-key': expired.key },
    clientA: { 'x-api-key': clientA.key },
    voterA: { 'x-api-key': voterA.key },
    clientB: { 'x-api-key': clientB.key },
    minerA: { 'x-api-key': minerA.key },
    minerB: { 'x-api-key': minerB.key },
    user: { 'x-session-token': user.token },
    admin: { 'x-api-key': coordinator.keys.admin },
  };
  const callers = Object.fromEntries(
    KINDS.map((kind) => [kind, createClient(url, credentials[kind])]),
  ) as Record<Kind, Client>;

  const credit = (account_id: string) =>
    eventually(
      async () =>
        (
          await admin.call(payments.credit, {
            params: { account_id },
            body: { amount: 10_000, reason: 'a scene' },
          })
        ).ok,
    );
  await credit(clientA.id);

  const miner = await registerMiner(minerA.caller, { name: 'the miner of A' });
  const minerOfB = await registerMiner(minerB.caller, { name: 'the miner of B', capabilities: ['ocr'] });

  /** Nobody can run it: it waits. */
  const waiting = async (more: object = {}) =>
    must(
      await clientA.caller.call(jobs.submit, {
        body: { job_type: 'language_detection', parameters: { text: 'wo ist' }, ...more },
      }),
    ).id;
  const invoice = async () =>
    must(await clientA.caller.call(payments.exchangeCreate, { body: { aitbc_amount: 1 } })).payment_id;
  const escrowed = async (more: object = {}) => {
    const job_id = await waiting({ payment_amount: 2, ...more });
    return eventually(async () => {
      const reply = await clientA.caller.call(payments.getByJob, { params: { job_id } });
      return reply.ok && reply.body.status === 'escrowed' && reply.body;
    });
  };
  /** In the hands of miner A. */
  const running = async () => {
    must(await clientA.caller.call(jobs.submit, { body: embedding(`scene ${newId()}`) }));
    const [work] = await takeWork(minerA.caller, miner.id);
    if (work === undefined) throw new Error('no work');
    return { job_id: work.id, lease: work.lease };
  };
  const offer = async () =>
    must(
      await minerA.caller.call(market.register, {
        body: { model: 'RTX 4090', memory_gb: 24, region: 'eu-central', price_per_hour: 1 },
      }),
    ).id;
  const booked = async () => {
    const gpu_id = await offer();
    const order = must(
      await clientA.caller.call(market.book, { params: { gpu_id }, body: { duration_hours: 1 } }),
    );
    await eventually(async () => {
      const reply = await clientA.caller.call(market.order, { params: { order_id: order.id } });
      return reply.ok && reply.body.status === 'active';
    });
    return { gpu_id, order_id: order.id };
  };
  const released = async () => {
    const { gpu_id } = await booked();
    must(await clientA.caller.call(market.release, { params: { gpu_id } }));
    return gpu_id;
  };
  const proposalBody = {
    title: 'A change that somebody wants',
    description: 'Long enough to say why this is wanted, what it costs, and what would happen without it.',
    type: 'policy_change',
    target: { policy: 'naming', text: 'Names are short.' },
  } as const;
  const proposal = () =>
    eventually(
      async () => {
        const reply = await callers.voterA.call(governance.propose, { body: proposalBody });
        return reply.ok && reply.body.id;
      },
      { everyMs: 200 },
    );
  const userKey = async () =>
    must(await user.caller.call(gateway.createKey, { body: { scopes: ['client'], label: 'of a scene' } })).id;
  const adminKey = async () =>
    must(await admin.call(gateway.adminCreateKey, { body: { scopes: ['client'], label: 'of a scene' } })).id;
  const otherSession = async () => {
    const { caller } = await user.signIn();
    const who = must(await caller.call(gateway.me, {}));
    return who.sessions.find((session) => session.current)?.id as string;
  };

  const ended = await waiting();
  must(await clientA.caller.call(jobs.cancel, { params: { job_id: ended } }));
  const shownGpu = await offer();
  const shownProposal = await proposal();
  const transaction = await eventually(async () => {
    const page = must(await anyone.call(payments.transactions, {}));
    return page.items.find((item) => item.block_height !== null);
  });

  return {
    credentials,
    callers,
    accounts: { clientA: clientA.id, user: user.account },
    miners: { a: miner.id, b: minerOfB.id },
    job: await waiting(),
    endedJob: ended,
    payment: await escrowed(),
    gpu: shownGpu,
    order: (await booked()).order_id,
    proposal: shownProposal,
    proposalBody,
    transaction,
    waiting,
    escrowed,
    invoice,
    running,
    offer,
    booked,
    released,
    newProposal: proposal,
    userKey,
    adminKey,
    otherSession,
    newUser: () => signIn(),
    /** The session that every other call of the user needs would be gone. */
    throwAwayUser: async () => (await user.signIn()).caller,
  };
};
export type Scene = Awaited<ReturnType<typeof setScene>>;
