import type { TestGateway } from '../../services/gateway/src/testing/gateway.ts';

// What the services behind the gateway say to the console, made up here: every field that a stranger can set holds what
// would run, restyle or break a page that trusts it.

export const HOSTILE = [
  '<img src=x onerror="window.ran=1">',
  '</script><script>window.ran=1</script>',
  '<style>body{display:none}</style>',
  'javascript:window.ran=1',
  '\u202eltr\u0000\ufeff{{constructor.constructor("window.ran=1")()}}',
  `W${'w'.repeat(300)}`,
] as const;
export const ALL = HOSTILE.join(' ');

export const id = (number: number): string => `01900000-0000-7000-8000-${String(number).padStart(12, '0')}`;
const hash = (digit: string): string => digit.repeat(64);
export const ago = (seconds: number): string => new Date(Date.now() - seconds * 1_000).toISOString();

export const JOBS = {
  done: id(1),
  waiting: id(2),
  failed: id(3),
  read: id(4),
} as const;

export const job = (number: number, change: Record<string, unknown> = {}): Record<string, unknown> => ({
  id: id(number),
  client_id: id(900),
  job_type: 'llm_inference',
  parameters: { model: HOSTILE[0], prompt: ALL },
  salt: null,
  status: 'completed',
  constraints: { gpu_model: HOSTILE[1], region: HOSTILE[2] },
  priority: 5,
  labels: [...HOSTILE],
  attempt: 1,
  max_attempts: 3,
  miner_id: id(800),
  progress: 1,
  result: { text: ALL, model: HOSTILE[3] },
  error: null,
  payment_amount: 0.25,
  payment_id: id(700),
  payment_status: 'escrowed',
  created_at: ago(number),
  updated_at: ago(number),
  started_at: ago(number),
  ended_at: ago(number),
  expires_at: ago(-900),
  timeout_seconds: 300,
  metrics: { queue_ms: 120, run_ms: 2_400, reported: { [HOSTILE[0]]: 1 } },
  ...change,
});

/** What a chain tells of it may be anything. */
const INVOICE = {
  payment_id: id(600),
  status: 'pending',
  payment_address: ALL,
  btc_amount: 0.00125,
  aitbc_amount: 125,
  rate: 100_000,
  confirmations_required: 1,
  created_at: ago(60),
  expires_at: ago(-3_600),
  received: 0.001,
  remaining: 0.00025,
  confirmations: 0,
  tx_hash: null,
  transactions: [],
  credited: null,
  reverted: false,
  debt: 0,
  follows: null,
  followed_by: null,
  updated_at: ago(10),
};

const waiting = job(2, { status: 'pending', result: null, started_at: null, ended_at: null, progress: 0 });
const failed = job(3, {
  job_type: 'ocr',
  status: 'failed',
  result: null,
  error: { code: HOSTILE[0].slice(0, 60), message: ALL },
  parameters: { image_base64: HOSTILE[0], language: HOSTILE[1] },
});

/** A picture of one pixel, and a miner that says of words in it what no picture holds. */
const read = job(4, {
  job_type: 'ocr',
  parameters: {
    image_base64:
      'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  },
  result: {
    text: ALL,
    confidence: 0.5,
    words: 7,
    boxes: [
      { text: ALL, confidence: 0.2, x: 0, y: 0, width: 1e300, height: 1 },
      { text: ALL, confidence: 0.9, x: '1"><script>', y: 0, width: 1, height: 1 },
      { text: 1, confidence: -1, x: null, y: 0, width: 1, height: 1 },
      HOSTILE[0],
    ],
  },
});

/** Rows of a list that has many; the first are those above. */
const LISTED = 450;
const listed = [job(1), waiting, failed, read, ...Array.from({ length: LISTED - 1 }, (_, at) => job(at + 5))];
/** What a label finds: as many as somebody has after a month. */
export const MANY = { label: 'ten-thousand', count: 10_000 };
const lean = { parameters: {}, result: null, labels: ['ten-thousand'] };

/** A GPU whose owner wrote all of it. */
export const GPU = id(300);
const offer = (number: number) => ({
  id: id(number),
  owner_id: id(900),
  miner_id: null,
  model: number % 2 === 0 ? ALL : HOSTILE[0],
  memory_gb: 10_000,
  cuda_version: HOSTILE[1],
  region: ALL,
  capabilities: [...HOSTILE],
  available: number % 2 === 0,
  booked: number % 3 === 0,
  pricing: 'dynamic',
  price_per_hour: 9_999_999.99999999,
  base_price_per_hour: 0.00000001,
  currency: 'AITBC',
  rating: number % 2 === 0 ? 4.5 : null,
  rating_count: 3,
  rating_weight: 1,
  owner_interruptions: 2,
  created_at: ago(9_000),
  updated_at: ago(10),
});
const factors = {
  base_price: 0.5,
  previous_price: 0.5,
  utilization_24h: 0.5,
  competing_offers: 3,
  competing_available: 1,
  demand_factor: 1,
  competition_factor: 1.08333333,
  multiplier: 1.08333333,
  target_price: 0.54166667,
  step_min: 0.45,
  step_max: 0.55,
  price: 0.54166667,
  computed_at: ago(30),
};
const window = (from: number, to: number) => ({ start_time: ago(from), end_time: ago(to) });
const order = (number: number, change: Record<string, unknown>) => ({
  id: id(number),
  gpu_id: GPU,
  gpu_model: ALL,
  booker_id: id(900),
  owner_id: id(901),
  job_id: null,
  status: 'active',
  reason: null,
  ...window(600, -3_000),
  duration_hours: 1,
  price_per_hour: 9_999_999.99999999,
  amount: 9_999_999.99999999,
  currency: 'AITBC',
  payment_id: id(700),
  used_minutes: null,
  paid: null,
  refunded: null,
  created_at: ago(600),
  updated_at: ago(600),
  ended_at: null,
  settled_at: null,
  ...change,
});
const orders = [
  order(310, {}),
  order(311, { ...window(-7_200, -10_800), booker_id: id(902), owner_id: id(900) }),
  order(312, { status: 'settled', reason: 'RELEASED_BY_BOOKER', paid: 1, refunded: 2, ended_at: ago(5) }),
  order(313, { status: 'cancelled', reason: HOSTILE[0] }),
];

/** Proposals of every kind, whose makers wrote all of them. */
export const PROPOSALS = { active: id(340), queued: id(341), executed: id(342), cancelled: id(343) };
const tally = {
  for: 9_999_999.99999999,
  against: 0.00000001,
  abstain: 12.5,
  voters: 3,
  voting_supply: 20_000_000,
  participation: 0.500001,
  approval: 0.999999,
  quorum_reached: true,
  approval_reached: true,
};
const proposal = (own: string, change: Record<string, unknown>) => ({
  id: own,
  proposer_id: id(900),
  title: ALL,
  description: ALL,
  type: 'parameter_change',
  target: { parameter: HOSTILE[0], value: ALL },
  status: 'active',
  quorum_threshold: 0.1,
  approval_threshold: 0.5,
  snapshot_height: 1_234_567,
  tally,
  execution: null,
  created_at: ago(3_600),
  voting_ends_at: ago(-3_600),
  decided_at: null,
  timelock_ends_at: null,
  cancelled_at: null,
  vetoed_by: null,
  veto_reason: null,
  ...change,
});
const execution = (own: string, change: Record<string, unknown>) => ({
  proposal_id: own,
  status: 'executed',
  effect: null,
  reason: null,
  executed_by: null,
  started_at: ago(9),
  ended_at: ago(8),
  ...change,
});
const proposals = [
  proposal(PROPOSALS.active, {
    tally: { ...tally, for: 0, against: 0, approval: null, quorum_reached: false },
  }),
  proposal(PROPOSALS.queued, {
    status: 'queued',
    type: 'fund_allocation',
    target: { recipient_account_id: id(900), amount: 9_999_999.99999999 },
    voting_ends_at: ago(60),
    decided_at: ago(60),
    timelock_ends_at: ago(-60),
  }),
  proposal(PROPOSALS.executed, {
    status: 'executed',
    type: 'policy_change',
    target: { policy: ALL, text: ALL },
    execution: execution(PROPOSALS.executed, {
      effect: { kind: 'text_recorded', subject: ALL, sha256: hash('9') },
    }),
  }),
  proposal(PROPOSALS.cancelled, {
    status: 'cancelled',
    type: 'protocol_upgrade',
    target: { release: ALL, text: ALL },
    execution: execution(PROPOSALS.cancelled, { status: 'failed', reason: ALL }),
    cancelled_at: ago(5),
    vetoed_by: id(900),
    veto_reason: ALL,
  }),
];

/** Told to everybody, and what an operator can reset. */
export const parameters = {
  items: ['rate_limit_user_per_minute', 'supported_job_types'].map((name, at) => ({
    name,
    description: ALL,
    service: 'gateway',
    value: at === 0 ? ALL : [...HOSTILE],
    default: at === 0 ? 60 : [...HOSTILE],
    bounds: at === 0 ? {} : { type: 'array', items: { enum: [...HOSTILE] } },
    largest_step: at === 0 ? null : { removes: 2 },
    version: 1 - at,
    proposal_id: null,
    reset_by: id(900),
    reset_reason: ALL,
    changed_at: at === 0 ? ago(60) : null,
  })),
};

const page = (items: readonly unknown[]) => ({ items, next_cursor: null });

const block = (height: number) => ({
  height,
  hash: hash('d'),
  previous_hash: hash('e'),
  merkle_root: hash('f'),
  tx_count: 3,
  timestamp: ago(3),
  proposer: ALL,
  signature: ALL,
});
const transaction = (own: string) => ({
  hash: own,
  id: ALL,
  block_height: 1_234_567,
  from: ALL,
  to: `escrow${HOSTILE[0]}`,
  value: 0.25,
  currency: 'AITBC',
  kind: HOSTILE[0],
  reference: ALL,
  timestamp: ago(4),
});

const ANSWERS: readonly (readonly [RegExp, (match: RegExpExecArray, query: URLSearchParams) => unknown])[] = [
  [
    /^\/v1\/client\/jobs$/,
    (_, query) => {
      const from = Number(query.get('cursor') ?? 0);
      const limit = Number(query.get('limit'));
      const isMany = query.get('label') === MANY.label;
      const all = isMany ? MANY.count : listed.length;
      const items = isMany
        ? Array.from({ length: Math.min(limit, all - from) }, (_, at) => job(from + at, lean))
        : listed.slice(from, from + limit);
      return { items, next_cursor: from + limit < all ? String(from + limit) : null };
    },
  ],
  [/^\/v1\/client\/jobs\/([^/]+)$/, ([, jobId]) => listed.find((each) => each.id === jobId)],
  [
    /^\/v1\/client\/jobs\/([^/]+)\/status$/,
    ([, jobId]) => ({
      id: jobId,
      status: 'pending',
      progress: 0,
      attempt: 0,
      waiting_reason: 'no_capable_miner',
      queue_position: 3,
      error: null,
      updated_at: ago(1),
    }),
  ],
  [
    /^\/v1\/client\/jobs\/([^/]+)\/receipts$/,
    ([, jobId]) => ({
      items: [
        {
          id: id(600),
          job_id: jobId,
          miner_id: id(800),
          result: ALL,
          salt: null,
          proof: ALL,
          created_at: ago(1),
        },
      ],
    }),
  ],
  [/^\/\.well-known\/jwks\.json$|^\/v1\/explorer\/keys$/, () => ({ keys: [] })],
  [
    /^\/v1\/jobs\/([^/]+)\/payment$/,
    ([, jobId]) => ({
      id: id(700),
      job_id: jobId,
      order_id: null,
      payer_id: id(900),
      payee_id: null,
      amount: 0.25,
      fee: 0.00625,
      refunded_amount: 0,
      currency: 'AITBC',
      status: 'escrowed',
      failure: null,
      escrow_address: `escrow${HOSTILE[0]}`,
      created_at: ago(2),
      updated_at: ago(2),
      expires_at: null,
      released_at: null,
      refunded_at: null,
      transaction_hash: hash('a'),
    }),
  ],
  [
    /^\/v1\/explorer\/receipts$/,
    () =>
      page(
        Array.from({ length: 40 }, (_, at) => ({
          id: id(at),
          job_id: id(at),
          attempt: 1,
          client_id: id(900),
          miner_id: id(800),
          job_type: HOSTILE[0],
          parameters_sha256: hash('b'),
          result_sha256: hash('c'),
          price: 0.25,
          currency: 'AITBC',
          started_at: ago(at * 60 + 3),
          completed_at: ago(at * 60),
          created_at: ago(at * 60),
        })),
      ),
  ],
  [
    /^\/v1\/miners$/,
    () =>
      page([
        {
          id: id(800),
          status: 'active',
          capabilities: [...HOSTILE],
          gpus: [{ model: ALL, vram_gb: 24, count: 1 }],
          region: ALL,
          reputation: 0.9,
        },
      ]),
  ],
  [/^\/v1\/explorer\/blocks$/, () => page([block(1_234_567), block(1_234_566)])],
  [/^\/v1\/explorer\/blocks\/(\d+)$/, ([, height]) => block(Number(height))],
  [/^\/v1\/explorer\/transactions$/, () => page([transaction(hash('a')), transaction(hash('1'))])],
  [/^\/v1\/explorer\/transactions\/([0-9a-f]{64})$/, ([, own]) => transaction(own as string)],
  [
    /^\/v1\/explorer\/transactions\/([0-9a-f]{64})\/proof$/,
    ([, own]) => ({
      transaction_hash: own,
      index: 1,
      path: [hash('2'), hash('3')],
      tx_count: 3,
      merkle_root: hash('f'),
      block_height: 1_234_567,
      block_hash: hash('d'),
    }),
  ],
  [
    /^\/v1\/explorer\/addresses\/([^/]+)$/,
    () => ({
      address: ALL,
      kind: HOSTILE[0],
      account_id: ALL,
      balance: 12.5,
      currency: 'AITBC',
      tx_count: 2,
      first_seen: ago(100),
      last_seen: ago(4),
      recent_transactions: [transaction(hash('a'))],
    }),
  ],
  [/^\/v1\/governance\/proposals$/, () => page(proposals)],
  [
    /^\/v1\/governance\/proposals\/([^/]+)$/,
    ([, proposalId]) => proposals.find((each) => each.id === proposalId),
  ],
  [
    /^\/v1\/governance\/proposals\/([^/]+)\/votes$/,
    ([, proposalId], query) =>
      page(
        (['for', 'against', 'abstain'] as const).slice(0, Number(query.get('limit'))).map((vote, at) => ({
          proposal_id: proposalId,
          voter_id: id(900 + at),
          vote,
          weight: 9_999_999.99999999,
          reason: ALL,
          cast_at: ago(at),
        })),
      ),
  ],
  [
    /^\/v1\/governance\/voting-power\/([^/]+)$/,
    ([, userId]) => ({
      user_id: userId,
      voting_power: 9_999_999.99999999,
      voting_supply: 20_000_000,
      height: 1_234_567,
      sealed_at: ago(5),
      proposal_id: null,
    }),
  ],
  [/^\/v1\/governance\/parameters$/, () => parameters],
  [
    /^\/v1\/governance\/parameters\/([^/]+)\/history$/,
    () =>
      page([
        {
          version: 2,
          value: ALL,
          proposal_id: null,
          reset_by: id(900),
          reset_reason: ALL,
          changed_at: ago(5),
        },
        {
          version: 1,
          value: [...HOSTILE],
          proposal_id: PROPOSALS.executed,
          reset_by: null,
          reset_reason: null,
          changed_at: ago(50),
        },
      ]),
  ],
  [/^\/v1\/marketplace\/gpu\/list$/, () => page([offer(300), offer(301), offer(303)])],
  [
    /^\/v1\/marketplace\/gpu\/([^/]+)$/,
    ([, gpuId]) =>
      gpuId === GPU
        ? {
            ...offer(300),
            current_booking: window(600, -3_000),
            upcoming_bookings: [window(-7_200, -10_800), window(-90_000, -290_000)],
            price_factors: factors,
            price_history: [30, 600, 1_200].map((seconds) => ({ price_per_hour: 0.5, at: ago(seconds) })),
          }
        : undefined,
  ],
  [
    /^\/v1\/marketplace\/gpu\/([^/]+)\/reviews$/,
    () =>
      page(
        HOSTILE.map((comment, at) => ({
          id: id(320 + at),
          gpu_id: GPU,
          order_id: id(330 + at),
          reviewer_id: id(900),
          rating: 1 + (at % 5),
          comment,
          created_at: ago(at),
        })),
      ),
  ],
  [
    /^\/v1\/marketplace\/pricing\/([^/]+)$/,
    () => ({
      model: ALL,
      currency: 'AITBC',
      min_price: 0.00000001,
      max_price: 9_999_999.99999999,
      average_price: 0.5,
      median_price: 0.5,
      available: 1,
      total: 4,
      utilization_24h: 0.5,
      suggested_price: 0.54,
      factors,
    }),
  ],
  [/^\/v1\/marketplace\/orders$/, () => page(orders)],
  [
    /^\/v1\/models$/,
    () => ({
      object: 'list',
      data: HOSTILE.map((name) => ({
        id: name,
        object: 'model',
        created: 1,
        owned_by: 'aitbc',
        aitbc: {
          kinds: ['chat'],
          miners: 1,
          free_slots: 1,
          price_min: 0.1,
          price_median: 0.1,
          usual_wait_seconds: null,
        },
      })),
    }),
  ],
  [
    /^\/v1\/users\/me\/transactions$/,
    () => ({
      items: HOSTILE.map((memo, at) => ({
        hash: String(at).repeat(64).slice(0, 64),
        time: ago(60 * at),
        kind: at % 2 === 0 ? 'transfer' : memo,
        amount: at % 2 === 0 ? 9_999_999.99999999 : -0.00000001,
        balance: 12.5,
        currency: 'AITBC',
        counterparty: memo,
        reference: memo,
        memo,
      })),
      next_cursor: 'more',
    }),
  ],
  [
    /^\/v1\/users\/me\/usage$/,
    () => {
      const counts = { jobs: 3, completed: 2, failed: 1, cancelled: 0, expired: 0, spend: 1.25 };
      return {
        items: [
          { day: '2026-11-28', ...counts },
          { day: '2026-11-27', ...counts, spend: 0 },
        ],
        next_cursor: null,
        total: counts,
        now: { open_jobs: 1, open_jobs_max: 2, content_bytes: 3, content_bytes_max: 4 },
      };
    },
  ],
  [
    /^\/v1\/exchange\/rates$/,
    () => ({
      btc_to_aitbc: 100_000,
      aitbc_to_btc: 0.00001,
      fee_percent: 0,
      min_btc: 0.00000546,
      max_aitbc: 1_000_000,
      confirmations: [{ below_btc: null, confirmations: 6 }],
      expires_in_seconds: 3_600,
      network: 'regtest',
    }),
  ],
  [/^\/v1\/exchange\/payments$/, () => ({ items: [INVOICE], next_cursor: null })],
  [/^\/v1\/exchange\/payment-status\/([^/]+)$/, () => INVOICE],
  [
    /^\/v1\/users\/([^/]+)\/balance$/,
    ([, userId]) => ({
      user_id: userId,
      address: ALL,
      balance: 10.5,
      available: 10.25,
      held: 0.25,
      debt: 0,
      currency: 'AITBC',
      updated_at: ago(1),
    }),
  ],
];

/** Has the stand-in behind the gateway answer as above; what is not there is told as an error. */
export const answerConsole = ({ upstream }: TestGateway): void => {
  upstream.control.answer = (heard, response) => {
    const url = new URL(heard.url, 'http://upstream');
    response.setHeader('content-type', 'application/json');
    // The stream of a job that says nothing more.
    if (url.pathname.endsWith('/events')) {
      response.writeHead(204).end();
      return;
    }
    for (const [form, answer] of ANSWERS) {
      const match = form.exec(url.pathname);
      const body = match === null ? undefined : answer(match, url.searchParams);
      if (body !== undefined) {
        response.end(JSON.stringify(body));
        return;
      }
    }
    response.statusCode = 404;
    response.end(JSON.stringify({ error: { code: 'NOT_FOUND', message: ALL, details: {} } }));
  };
};
