import { type Scope, SERVICES, WORKERS } from '@aitbc/contracts';
import type { BrowserContext } from 'playwright-core';
import { ALL, ago, HOSTILE, id } from './console-answers.ts';

// What the gateway itself says of an account and to an operator, made up here where a stranger wrote some of it. It is
// put between the browser and the gateway: no stand-in answers these, and some of it the gateway would have refused.

export const WEBHOOK = id(400);

const key = (number: number, change: Record<string, unknown> = {}) => ({
  id: id(number),
  account_id: id(900),
  prefix: HOSTILE[0],
  label: ALL,
  scopes: ['client', 'miner', 'trade', 'vote'],
  source: 'user',
  created_at: ago(1_000),
  last_used_at: ago(10),
  expires_at: ago(-86_400),
  revoked_at: null,
  rate_limit_per_minute: 100,
  spend_cap: 12.5,
  daily_transfer_cap: 0.00000001,
  default_price: 9_999_999.99999999,
  replaces: null,
  ...change,
});

const webhook = {
  id: WEBHOOK,
  kind: 'endpoint',
  url: `https://example.org/${ALL}`,
  events: ['job.completed', 'miner.inactive'],
  description: ALL,
  include_result: true,
  enabled: true,
  disabled_at: null,
  disabled_reason: null,
  failing_since: ago(600),
  waiting: 3,
  skipped: 2,
  secret_expires_at: ago(-600),
  created_at: ago(1_000),
  updated_at: ago(10),
};

const delivery = (number: number, status: string) => ({
  id: id(number),
  webhook_id: WEBHOOK,
  event_id: id(number + 1),
  type: 'job.completed',
  object_id: id(1),
  url: `https://example.org/${ALL}`,
  status,
  created_at: ago(50),
  next_attempt_at: status === 'waiting' ? ago(-60) : null,
  ended_at: status === 'waiting' ? null : ago(40),
  attempts: [
    {
      attempt: 1,
      started_at: ago(45),
      duration_ms: 120,
      status: 500,
      error: status === 'delivered' ? null : 'bad_status',
      response: ALL,
    },
  ],
});

const letter = (number: number, retry_at: string | null) => ({
  id: id(number),
  service: SERVICES[number % SERVICES.length],
  name: HOSTILE[0],
  stream: ALL,
  seq: 12,
  attempts: 5,
  error: ALL,
  retry_at,
  created_at: ago(100),
});

const page = (items: readonly unknown[]) => ({ items, next_cursor: null });
const me = (scopes: readonly Scope[]) => ({
  user_id: id(900),
  wallet_address: null,
  scopes,
  created_at: ago(5_000),
  sessions: [1, 2].map((number) => ({
    id: id(number),
    created_at: ago(900),
    last_used_at: ago(9),
    expires_at: ago(-900),
    current: number === 1,
  })),
});

const ANSWERS: readonly (readonly [RegExp, unknown])[] = [
  [/^\/v1\/users\/me\/api-keys$/, page([key(1), key(2, { label: null, revoked_at: ago(5) })])],
  [
    /^\/v1\/users\/me\/webhooks$/,
    page([webhook, { ...webhook, id: id(401), enabled: false, disabled_reason: 'gone' }]),
  ],
  [/^\/v1\/users\/me\/webhooks\/[^/]+$/, webhook],
  [
    /^\/v1\/users\/me\/webhooks\/[^/]+\/deliveries$/,
    page([delivery(500, 'waiting'), delivery(502, 'failed'), delivery(504, 'delivered')]),
  ],
  [/^\/v1\/admin\/api-keys$/, page([key(1), key(2, { label: null })])],
  [/^\/v1\/admin\/dead-letters$/, { ...page([letter(1, ago(-60)), letter(2, null)]), unavailable: ['jobs'] }],
  [
    /^\/v1\/admin\/audit$/,
    page(
      ['key.created', 'job.wiped'].map((action, at) => ({
        seq: 2 - at,
        id: id(at),
        at: ago(60),
        service: 'gateway',
        action,
        actor_id: at === 0 ? id(900) : null,
        credential_id: null,
        object: ALL,
        account_id: id(900),
        details: { [HOSTILE[0]]: ALL, amount: 0.1 },
        prev_hash: '0'.repeat(64),
        hash: '1'.repeat(64),
      })),
    ),
  ],
  [
    /^\/v1\/admin\/stats$/,
    {
      accounts: 12,
      api_keys: 14,
      sessions: 2,
      active_jobs: 1_234_567,
      registered_miners: null,
      services: SERVICES.map((service, at) => ({
        service,
        ok: at !== 2,
        dependencies: at === 2 ? { [HOSTILE[0]]: { ok: false, required: true, message: ALL } } : {},
        dead_letters: at === 1 ? 3 : at === 2 ? null : 0,
        outbox_unacknowledged: at === 2 ? null : at,
      })),
      mailboxes: [...SERVICES, ...WORKERS].map((destination, at) => ({
        destination,
        waiting: at * 1_000,
        active: at,
        delayed: 0,
        failed: at === 3 ? 2 : 0,
        workers: at === 2 ? 0 : 1,
      })),
    },
  ],
];

/** Answers in the gateway's place, for a person with these scopes. What is not there goes on to the gateway. */
export const answerAsGateway = async (context: BrowserContext, scopes: readonly Scope[]): Promise<void> => {
  await context.route(/\/v1\/(?:users\/me|admin)\b/, async (route) => {
    const path = new URL(route.request().url()).pathname;
    const answer = path === '/v1/users/me' ? me(scopes) : ANSWERS.find(([form]) => form.test(path))?.[1];
    if (answer === undefined) await route.continue();
    else await route.fulfill({ json: answer });
  });
};
