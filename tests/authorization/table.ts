import { newId, routes } from '@aitbc/contracts';
import { must } from '../coordinator.ts';
import type { Call, Kind, Scene } from './cast.ts';

type Statuses = Record<Kind, number>;

export interface Row {
  readonly expected: Statuses;
  /** What is sent; made once, tried by all in the order of KINDS, so those who may come last find it untouched. */
  readonly call?: (scene: Scene) => Promise<Call> | Call;
}

// A credential that is no longer good is refused everywhere, also where none is needed.
const GONE = { revoked: 401, expired: 401 } as const;
const LOCKED = {
  ...GONE,
  nobody: 401,
  clientA: 403,
  voterA: 403,
  clientB: 403,
  minerA: 403,
  minerB: 403,
  user: 403,
  admin: 403,
} as const;

const open = (status: number): Statuses => ({
  ...GONE,
  nobody: status,
  clientA: status,
  voterA: status,
  clientB: status,
  minerA: status,
  minerB: status,
  user: status,
  admin: status,
});
/** Clients and signed-in users, each with what is theirs. */
const clients = (owner: number, others: number): Statuses => ({
  ...LOCKED,
  clientA: owner,
  clientB: others,
  user: others,
});
const miners = (owner: number, others: number): Statuses => ({ ...LOCKED, minerA: owner, minerB: others });
const users = (status: number): Statuses => ({ ...LOCKED, user: status });
/** Signed-in users, and keys that were made to govern: client A's account owns what there is, but not its client key. */
const voters = (owner: number, others: number): Statuses => ({ ...LOCKED, voterA: owner, user: others });
const operators = (status: number): Statuses => ({ ...LOCKED, admin: status });
/** Those who take part in a payment, and operators. */
const parties = (statuses: Partial<Statuses>): Statuses => ({
  ...LOCKED,
  clientB: 404,
  minerB: 404,
  user: 404,
  ...statuses,
});

const hello = [{ role: 'user', content: 'Hello' }];
const job = ({ job }: Scene): Call => ({ params: { job_id: job } });
const payment = ({ payment }: Scene): Call => ({ params: { payment_id: payment.id } });
const hook = { url: 'https://example.com/hook', events: ['job.completed' as const] };
/** One of client A. */
const webhook = async ({ callers }: Scene) => ({
  params: { webhook_id: must(await callers.clientA.call(routes.gateway.createWebhook, { body: hook })).id },
});
const gpu = ({ gpu }: Scene): Call => ({ params: { gpu_id: gpu } });
const proposal = ({ proposal }: Scene): Call => ({ params: { proposal_id: proposal } });
const submission = { job_type: 'language_detection', parameters: { text: 'wo ist der Bahnhof' } };
const registration = {
  address: 'ait1-anybody',
  capabilities: ['ocr'],
  gpus: [],
  models: [],
  concurrency: 1,
};
const WALLET = '0x70997970C51812dc3A010C7d01b50e0d17dc79C8';

/** What every kind of caller is answered by every contract. A contract that is not here fails the test. */
export const TABLE: Record<string, Row> = {
  'jobs.submit': { expected: clients(201, 201), call: () => ({ body: submission }) },
  'jobs.submit_batch': { expected: clients(207, 207), call: () => ({ body: { jobs: [submission] } }) },
  'jobs.list': { expected: clients(200, 200) },
  'jobs.get': { expected: clients(200, 404), call: job },
  'jobs.status': { expected: clients(200, 404), call: job },
  'jobs.events': { expected: clients(200, 404), call: ({ endedJob }) => ({ params: { job_id: endedJob } }) },
  'jobs.cancel': {
    expected: clients(200, 404),
    call: async (scene) => ({ params: { job_id: await scene.waiting() } }),
  },
  // Not one that ended: others look at it.
  'jobs.wipe': {
    expected: clients(409, 404),
    call: async (scene) => ({ params: { job_id: await scene.waiting() } }),
  },
  'jobs.receipts': { expected: clients(200, 404), call: job },
  'jobs.chat_completions': {
    expected: clients(404, 404),
    call: () => ({ body: { model: 'nobody’s', messages: hello } }),
  },
  'jobs.completions': {
    expected: clients(404, 404),
    call: () => ({ body: { model: 'nobody’s', prompt: 'Once' } }),
  },
  'jobs.embeddings': {
    expected: clients(404, 404),
    call: () => ({ body: { model: 'nobody’s', input: 'x' } }),
  },
  'jobs.models': { expected: clients(200, 200) },
  'jobs.model': { expected: clients(200, 200), call: () => ({ params: { model: 'm' } }) },
  'jobs.public_receipts': { expected: open(200) },
  'jobs.usage': { expected: clients(200, 200) },
  'jobs.retention': { expected: clients(200, 200) },
  'jobs.set_retention': { expected: clients(200, 200), call: () => ({ body: { content_days: null } }) },
  'jobs.verify_receipt': { expected: open(200), call: () => ({ body: { proof: 'not a proof' } }) },
  'jobs.jwks': { expected: open(200) },
  'jobs.poll': { expected: miners(200, 404), call: ({ miners }) => ({ query: { miner_id: miners.a } }) },
  'jobs.progress': {
    expected: miners(200, 404),
    call: async (scene) => ({ body: { ...(await scene.running()), progress: 0.5 } }),
  },
  'jobs.stream': {
    expected: miners(200, 404),
    call: async (scene) => ({ body: { ...(await scene.running()), seq: 0, chunks: [] } }),
  },
  'jobs.result': {
    expected: miners(200, 404),
    call: async (scene) => ({ body: { ...(await scene.running()), status: 'completed', result: 1 } }),
  },
  'miners.register': {
    expected: miners(201, 201),
    call: () => ({ body: { ...registration, name: 'another' } }),
  },
  'miners.heartbeat': {
    expected: miners(200, 404),
    call: ({ miners }) => ({ body: { miner_id: miners.a, inflight: [] } }),
  },
  'miners.me': { expected: miners(200, 200) },
  'miners.list': { expected: open(200) },
  'market.register': {
    expected: miners(201, 201),
    call: () => ({ body: { model: 'A100', memory_gb: 80, region: 'us-east', price_per_hour: 2 } }),
  },
  'market.list': { expected: open(200) },
  'market.get': { expected: open(200), call: gpu },
  'market.change': {
    expected: miners(200, 404),
    call: (scene) => ({ ...gpu(scene), body: { price_per_hour: 1.25 } }),
  },
  'market.withdraw': {
    expected: miners(204, 404),
    call: async (scene) => ({ params: { gpu_id: await scene.offer() } }),
  },
  'market.book': {
    // The others have no money: they are let in and cannot pay.
    expected: { ...clients(201, 402) },
    call: async (scene) => ({ params: { gpu_id: await scene.offer() }, body: { duration_hours: 1 } }),
  },
  'market.release': {
    // Client A ends it; the owner, who may too, comes second and finds it ended.
    expected: { ...clients(200, 404), minerB: 404, minerA: 409 },
    call: async (scene) => {
      const { gpu_id, order_id } = await scene.booked();
      return { params: { gpu_id }, query: { order_id } };
    },
  },
  'market.reviews': { expected: open(200), call: gpu },
  'market.review': {
    expected: clients(201, 403),
    call: async (scene) => ({ params: { gpu_id: await scene.released() }, body: { rating: 5 } }),
  },
  'market.orders': { expected: { ...clients(200, 200), minerA: 200, minerB: 200, admin: 200 } },
  'market.order': {
    expected: { ...clients(200, 404), minerA: 200, minerB: 404, admin: 200 },
    call: ({ order }) => ({ params: { order_id: order } }),
  },
  'market.pricing': { expected: open(200), call: () => ({ params: { model: 'RTX 4090' } }) },
  'payments.create': {
    expected: clients(201, 404),
    call: async (scene) => ({ body: { job_id: await scene.waiting(), amount: 1 } }),
  },
  'payments.get': { expected: parties({ clientA: 200, minerA: 404, admin: 200 }), call: payment },
  'payments.get_by_job': {
    expected: parties({ clientA: 200, minerA: 404, admin: 200 }),
    call: ({ payment }) => ({ params: { job_id: payment.job_id } }),
  },
  'payments.release': {
    // Its job is not completed: those who may ask are told so.
    expected: { ...clients(409, 404), admin: 409 },
    call: (scene) => ({ ...payment(scene), body: {} }),
  },
  'payments.refund': {
    // Never started, so its payer may have it back; the operator comes second and gets the same answer.
    expected: parties({ clientA: 200, minerA: 404, admin: 200 }),
    call: async (scene) => ({
      params: { payment_id: (await scene.escrowed()).id },
      body: { reason: 'not needed any more' },
    }),
  },
  'payments.receipt': { expected: parties({ clientA: 200, minerA: 404, admin: 200 }), call: payment },
  'payments.balance': {
    expected: parties({ clientA: 200, minerA: 404, admin: 200 }),
    call: ({ accounts }) => ({ params: { user_id: accounts.clientA } }),
  },
  // No key trades unasked; the signed-in user does not have so much.
  'payments.transfer': {
    expected: users(402),
    call: ({ accounts }) => ({ body: { to: accounts.clientA, amount: 1_000_000 } }),
  },
  'payments.statement': { expected: clients(200, 200) },
  'payments.exchange_create': { expected: clients(201, 201), call: () => ({ body: { aitbc_amount: 1 } }) },
  'payments.exchange_status': {
    expected: { ...clients(200, 404), admin: 200 },
    call: async (scene) => ({ params: { payment_id: await scene.invoice() } }),
  },
  'payments.exchange_list': { expected: clients(200, 200) },
  'payments.exchange_rates': { expected: open(200) },
  'payments.exchange_debts': { expected: operators(200) },
  'payments.dev_bitcoin_send': {
    expected: { ...clients(201, 404), admin: 201 },
    call: async (scene) => ({ body: { payment_id: await scene.invoice(), btc_amount: 0.00001 } }),
  },
  'payments.dev_bitcoin_mine': {
    expected: { ...clients(201, 201), admin: 201 },
    call: () => ({ body: { blocks: 1 } }),
  },
  'payments.credit': {
    expected: operators(201),
    call: ({ accounts }) => ({
      params: { account_id: accounts.user },
      body: { amount: 1, reason: 'a gift' },
    }),
  },
  'payments.blocks': { expected: open(200) },
  'payments.block': {
    expected: open(200),
    call: ({ transaction }) => ({ params: { height: transaction.block_height } }),
  },
  'payments.transactions': { expected: open(200) },
  'payments.transaction': {
    expected: open(200),
    call: ({ transaction }) => ({ params: { hash: transaction.hash } }),
  },
  'payments.proof': {
    expected: open(200),
    call: ({ transaction }) => ({ params: { hash: transaction.hash } }),
  },
  'payments.addresses': { expected: open(200) },
  'payments.address': {
    expected: open(200),
    call: ({ transaction }) => ({ params: { address: transaction.to } }),
  },
  'payments.keys': { expected: open(200) },
  'governance.propose': {
    // Without tokens nobody can propose.
    expected: voters(201, 403),
    call: ({ proposalBody }) => ({ body: proposalBody }),
  },
  'governance.list': { expected: open(200) },
  'governance.get': { expected: open(200), call: proposal },
  'governance.votes': { expected: open(200), call: proposal },
  'governance.cancel': {
    expected: { ...voters(200, 404), admin: 200 },
    call: async (scene) => ({ params: { proposal_id: await scene.newProposal() } }),
  },
  'governance.vote': {
    expected: voters(200, 403),
    call: ({ proposal }) => ({ body: { proposal_id: proposal, vote: 'for' } }),
  },
  'governance.votingPower': {
    expected: open(200),
    call: ({ accounts }) => ({ params: { user_id: accounts.clientA } }),
  },
  'governance.parameters': { expected: open(200) },
  'governance.execute': {
    // Anyone with a credential may, once it is queued; this one is still voted on.
    expected: { ...clients(409, 409), voterA: 409, admin: 409 },
    call: proposal,
  },
  'governance.veto': {
    // It is still voted on.
    expected: operators(409),
    call: (scene) => ({ ...proposal(scene), body: { reason: 'not wanted by the operators' } }),
  },
  'governance.parameter_history': {
    expected: open(200),
    call: () => ({ params: { name: 'timelock_seconds' } }),
  },
  'governance.reset_parameter': {
    expected: operators(200),
    call: () => ({ params: { name: 'timelock_seconds' }, body: { reason: 'to see who may do this' } }),
  },
  'gateway.challenge': { expected: open(200), call: () => ({ body: { wallet_address: WALLET } }) },
  'gateway.login': {
    expected: open(401),
    call: () => ({
      body: { wallet_address: WALLET, message: 'let me in', signature: `0x${'00'.repeat(65)}` },
    }),
  },
  'gateway.logout': { expected: users(200) },
  'gateway.me': {
    expected: { ...clients(200, 200), voterA: 200, minerA: 200, minerB: 200, admin: 200 },
  },
  'gateway.end_session': {
    expected: users(200),
    call: async (scene) => ({ params: { session_id: await scene.otherSession() } }),
  },
  'gateway.list_api_keys': { expected: users(200) },
  'gateway.create_api_key': {
    expected: users(201),
    call: () => ({ body: { scopes: ['client'], label: 'x' } }),
  },
  'gateway.rotate_api_key': {
    expected: users(201),
    call: async (scene) => ({ params: { key_id: await scene.userKey() }, body: { overlap_seconds: 0 } }),
  },
  'gateway.revoke_api_key': {
    expected: users(200),
    call: async (scene) => ({ params: { key_id: await scene.userKey() } }),
  },
  'gateway.create_webhook': { expected: clients(201, 201), call: () => ({ body: hook }) },
  'gateway.list_webhooks': { expected: clients(200, 200) },
  'gateway.get_webhook': { expected: clients(200, 404), call: webhook },
  'gateway.change_webhook': {
    expected: clients(200, 404),
    call: async (scene) => ({ ...(await webhook(scene)), body: { enabled: false } }),
  },
  'gateway.delete_webhook': { expected: clients(200, 404), call: webhook },
  'gateway.rotate_webhook_secret': {
    expected: clients(200, 404),
    call: async (scene) => ({ ...(await webhook(scene)), body: {} }),
  },
  'gateway.list_webhook_deliveries': { expected: clients(200, 404), call: webhook },
  'gateway.redeliver_webhook': {
    // Nothing was delivered to it yet.
    expected: clients(404, 404),
    call: async (scene) => ({ params: { ...(await webhook(scene)).params, delivery_id: newId() } }),
  },
  'gateway.admin_list_api_keys': { expected: operators(200) },
  'gateway.admin_create_api_key': {
    expected: operators(201),
    call: () => ({ body: { scopes: ['client'], label: 'x' } }),
  },
  'gateway.admin_rotate_api_key': {
    expected: operators(201),
    call: async (scene) => ({ params: { key_id: await scene.adminKey() }, body: { overlap_seconds: 0 } }),
  },
  'gateway.admin_revoke_api_key': {
    expected: operators(200),
    call: async (scene) => ({ params: { key_id: await scene.adminKey() } }),
  },
  'gateway.admin_stats': { expected: operators(200) },
  'gateway.export': { expected: clients(200, 200) },
  'gateway.admin_audit': { expected: operators(200) },
  'gateway.admin_dead_letters': { expected: operators(200) },
  'gateway.admin_act_on_dead_letter': {
    // There is none: an operator is told so.
    expected: operators(404),
    call: () => ({ body: { service: 'jobs', id: 'nothing', action: 'drop' } }),
  },
};
