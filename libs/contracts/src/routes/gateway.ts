import { z } from 'zod';
import { Scope } from '../caller.ts';
import { Id, Timestamp } from '../ids.ts';
import { Amount, AmountOut } from '../money.ts';
import { SERVICES, WORKERS } from '../names.ts';
import { Page, PageQuery } from '../page.ts';
import { defineRoute } from '../route.ts';
import { Text } from '../text.ts';
import { DeadLetter, DependencyHealth } from './operations.ts';

export const WalletAddress = z
  .string()
  .regex(/^0x[0-9a-fA-F]{40}$/, 'must be 0x and 40 hexadecimal digits')
  .meta({
    description: 'Ethereum address; any case is the same wallet',
    example: '0x70997970C51812dc3A010C7d01b50e0d17dc79C8',
  });

/** What an API key may be made for; a user session is no key, and only operators make admin keys. */
export const KeyScope = z.enum(['client', 'miner', 'admin', 'trade', 'vote']);
const UserKeyScope = z.enum(['client', 'miner', 'trade', 'vote']);

const Label = Text(1, 100).meta({ example: 'render farm' });
const scopesOf = <T extends z.ZodType<string>>(scope: T) =>
  z
    .array(scope)
    .min(1)
    .max(KeyScope.options.length)
    .refine((scopes) => new Set(scopes).size === scopes.length, 'must not repeat a scope');
const ExpiresAt = Timestamp.meta({ description: 'From then on the key is refused' });

/** A rotated key works on for a week at most: long enough for a slow deployment. */
const OVERLAP_SECONDS_MAX = 7 * 86_400;

export const ApiKeyView = z
  .strictObject({
    id: Id,
    account_id: Id,
    prefix: z
      .string()
      .meta({ description: 'The first characters, to recognise it by', example: 'ak_live_5fQ2' }),
    label: z.string().nullable(),
    scopes: z.array(KeyScope),
    source: z
      .enum(['environment', 'user', 'admin'])
      .meta({ description: '`environment`: from the configuration; taking it out there revokes it' }),
    created_at: Timestamp,
    last_used_at: Timestamp.nullable().meta({ description: 'To about ten seconds' }),
    expires_at: Timestamp.nullable(),
    revoked_at: Timestamp.nullable(),
    rate_limit_per_minute: z
      .number()
      .int()
      .nullable()
      .meta({ description: "Null: the account's limits hold" }),
    spend_cap: AmountOut.nullable().meta({
      description: 'What may be spent with this key in total, and with those that it was rotated from',
    }),
    daily_transfer_cap: AmountOut.nullable().meta({
      description:
        'What may be transferred with this key in one day of UTC, together with those that it was rotated from; null for all that the account has',
    }),
    default_price: AmountOut.nullable().meta({
      description:
        "What a request to OpenAI's routes with this key pays when it names no price; null for nothing",
    }),
    replaces: Id.nullable().meta({ description: 'The key that this one was made from by rotation' }),
  })
  .meta({ id: 'ApiKey' });
export type ApiKeyView = z.infer<typeof ApiKeyView>;

const DailyTransferCap = Amount.optional().meta({
  description: 'For a key with `trade`: what it may transfer in one day of UTC',
});

const DefaultPrice = Amount.optional().meta({
  description:
    "What a request to OpenAI's routes pays when it names no price itself: for programs that can set no more than address, key and model",
});

const ApiKeyCreated = ApiKeyView.extend({
  key: z.string().meta({ description: 'Shown this once; only its SHA-256 is kept' }),
}).meta({ id: 'ApiKeyCreated' });

const SessionView = z
  .strictObject({
    id: Id,
    created_at: Timestamp,
    last_used_at: Timestamp,
    expires_at: Timestamp,
    current: z.boolean(),
  })
  .meta({ id: 'Session' });

const KeyParams = z.strictObject({ key_id: Id });
/** For how long what was rotated is still good: a day unless it is said. */
export const OverlapSeconds = z.number().int().min(0).max(OVERLAP_SECONDS_MAX).default(86_400);
const Rotation = z.strictObject({
  overlap_seconds: OverlapSeconds.meta({ description: 'How long the old key works on' }),
});
const KeyFilter = PageQuery.extend({
  active: z.enum(['true', 'false']).optional().meta({ description: 'true: neither revoked nor expired' }),
});

const identity = { service: 'gateway', tag: 'Users', who: ['user'], rate: 'user' } as const;
const login = { service: 'gateway', tag: 'Users', who: ['public'], rate: 'public' } as const;
const admin = { service: 'gateway', tag: 'Admin', who: ['admin'], rate: 'client' } as const;

// Keys are shown once and an answer kept for Idempotency-Key would keep the secret with it: so the routes that make a
// key or a session take none. A retry makes a second key, which is seen in the list and revoked.
export const gatewayRoutes = {
  challenge: defineRoute({
    ...login,
    name: 'gateway.challenge',
    method: 'POST',
    path: '/v1/users/challenge',
    summary: 'Ask for a message to sign in with',
    description: 'An ERC-4361 message for this host. Its nonce works once, for five minutes.',
    body: z.strictObject({
      wallet_address: WalletAddress,
      chain_id: z.number().int().min(1).max(Number.MAX_SAFE_INTEGER).default(1),
    }),
    responses: { 200: z.strictObject({ message: z.string(), nonce: z.string(), expires_at: Timestamp }) },
  }),
  login: defineRoute({
    ...login,
    name: 'gateway.login',
    method: 'POST',
    path: '/v1/users/login',
    summary: 'Sign in with a signed message',
    description: 'The first sign-in of a wallet makes its account. Send the token as `X-Session-Token`.',
    body: z.strictObject({
      wallet_address: WalletAddress,
      message: z.string().min(1).max(4_096),
      signature: z.string().regex(/^0x[0-9a-fA-F]{130}$/, 'must be 0x and 130 hexadecimal digits'),
    }),
    responses: {
      200: z.strictObject({
        user_id: Id,
        wallet_address: WalletAddress,
        session_token: z.string(),
        expires_at: Timestamp,
      }),
    },
    errors: ['UNAUTHENTICATED'],
  }),
  logout: defineRoute({
    ...identity,
    name: 'gateway.logout',
    method: 'POST',
    path: '/v1/users/logout',
    summary: 'End this session, or all of them',
    query: z.strictObject({ all: z.enum(['true', 'false']).default('false') }),
    responses: { 200: z.strictObject({ sessions_ended: z.number().int() }) },
  }),
  me: defineRoute({
    ...identity,
    who: ['user', 'client', 'miner', 'trade', 'vote', 'admin'],
    name: 'gateway.me',
    method: 'GET',
    path: '/v1/users/me',
    summary: 'Who this credential stands for',
    responses: {
      200: z.strictObject({
        user_id: Id,
        wallet_address: WalletAddress.nullable(),
        scopes: z.array(Scope),
        created_at: Timestamp,
        sessions: z.array(SessionView).meta({ description: 'Open ones; shown to sessions only' }),
      }),
    },
  }),
  endSession: defineRoute({
    ...identity,
    name: 'gateway.end_session',
    method: 'DELETE',
    path: '/v1/users/me/sessions/:session_id',
    summary: 'End one of your sessions',
    params: z.strictObject({ session_id: Id }),
    responses: { 200: z.strictObject({ sessions_ended: z.number().int() }) },
  }),
  listKeys: defineRoute({
    ...identity,
    name: 'gateway.list_api_keys',
    method: 'GET',
    path: '/v1/users/me/api-keys',
    summary: 'List own API keys',
    query: KeyFilter,
    responses: { 200: Page(ApiKeyView) },
  }),
  createKey: defineRoute({
    ...identity,
    name: 'gateway.create_api_key',
    method: 'POST',
    path: '/v1/users/me/api-keys',
    summary: 'Make an API key',
    description:
      "The key is shown once. It acts for your account, with the scopes that are asked for and no other. `vote` makes proposals and votes with the account's tokens; `trade` transfers, up to `daily_transfer_cap` where one is given, and books beyond `spend_cap`. Without `trade` bookings count against the cap as jobs do.",
    body: z.strictObject({
      scopes: scopesOf(UserKeyScope),
      label: Label,
      expires_at: ExpiresAt.optional(),
      spend_cap: Amount.optional(),
      daily_transfer_cap: DailyTransferCap,
      default_price: DefaultPrice,
    }),
    responses: { 201: ApiKeyCreated },
    errors: ['KEY_LIMIT_REACHED'],
  }),
  rotateKey: defineRoute({
    ...identity,
    name: 'gateway.rotate_api_key',
    method: 'POST',
    path: '/v1/users/me/api-keys/:key_id/rotate',
    summary: 'Replace an API key; the old one works on for a while',
    params: KeyParams,
    body: Rotation,
    responses: { 201: ApiKeyCreated },
    errors: ['KEY_ALREADY_REVOKED', 'KEY_LIMIT_REACHED'],
  }),
  revokeKey: defineRoute({
    ...identity,
    name: 'gateway.revoke_api_key',
    method: 'DELETE',
    path: '/v1/users/me/api-keys/:key_id',
    summary: 'Revoke an API key, effective everywhere within 5 s',
    params: KeyParams,
    responses: { 200: ApiKeyView },
    errors: ['KEY_ALREADY_REVOKED'],
  }),
  adminListKeys: defineRoute({
    ...admin,
    name: 'gateway.admin_list_api_keys',
    method: 'GET',
    path: '/v1/admin/api-keys',
    summary: 'List API keys of all accounts',
    query: KeyFilter.extend({ account_id: Id.optional() }),
    responses: { 200: Page(ApiKeyView) },
  }),
  adminCreateKey: defineRoute({
    ...admin,
    name: 'gateway.admin_create_api_key',
    method: 'POST',
    path: '/v1/admin/api-keys',
    summary: 'Make an API key for any account',
    description: 'Without `account_id` it gets an account of its own.',
    body: z.strictObject({
      account_id: Id.optional(),
      scopes: scopesOf(KeyScope),
      label: Label,
      expires_at: ExpiresAt.optional(),
      spend_cap: Amount.optional(),
      daily_transfer_cap: DailyTransferCap,
      default_price: DefaultPrice,
      rate_limit_per_minute: z.number().int().min(1).max(1_000_000).optional(),
    }),
    responses: { 201: ApiKeyCreated },
  }),
  adminRotateKey: defineRoute({
    ...admin,
    name: 'gateway.admin_rotate_api_key',
    method: 'POST',
    path: '/v1/admin/api-keys/:key_id/rotate',
    summary: 'Replace any API key that was made here',
    params: KeyParams,
    body: Rotation,
    responses: { 201: ApiKeyCreated },
    errors: ['KEY_ALREADY_REVOKED'],
  }),
  adminRevokeKey: defineRoute({
    ...admin,
    name: 'gateway.admin_revoke_api_key',
    method: 'DELETE',
    path: '/v1/admin/api-keys/:key_id',
    summary: 'Revoke any API key',
    description: 'A key of the configuration stays revoked, also while it is still there.',
    params: KeyParams,
    responses: { 200: ApiKeyView },
    errors: ['KEY_ALREADY_REVOKED'],
  }),
  stats: defineRoute({
    ...admin,
    name: 'gateway.admin_stats',
    method: 'GET',
    path: '/v1/admin/stats',
    summary: 'How the whole coordinator is doing',
    responses: {
      200: z.strictObject({
        accounts: z.number().int(),
        api_keys: z.number().int().meta({ description: 'Neither revoked nor expired' }),
        sessions: z.number().int(),
        active_jobs: z.number().nullable().meta({ description: 'Null: jobs does not answer' }),
        registered_miners: z.number().nullable(),
        services: z.array(
          z.strictObject({
            service: z.enum(SERVICES),
            ok: z.boolean(),
            dependencies: z.record(z.string(), DependencyHealth),
            dead_letters: z.number().nullable(),
            outbox_unacknowledged: z.number().nullable(),
          }),
        ),
        mailboxes: z
          .array(
            z.strictObject({
              destination: z.enum([...SERVICES, ...WORKERS]),
              waiting: z.number().int(),
              active: z.number().int(),
              delayed: z.number().int(),
              failed: z
                .number()
                .int()
                .meta({ description: 'Given up by the queue; the sender says them again' }),
              workers: z.number().int().meta({ description: 'Connections of processes that empty it' }),
            }),
          )
          .nullable()
          .meta({
            description:
              'What waits in Redis for each service and worker, in batches of messages. Null: Redis does not answer',
          }),
      }),
    },
  }),
  deadLetters: defineRoute({
    ...admin,
    name: 'gateway.admin_dead_letters',
    method: 'GET',
    path: '/v1/admin/dead-letters',
    summary: 'Messages that could not be handled, of all services',
    query: PageQuery.extend({ service: z.enum(SERVICES).optional() }),
    responses: {
      200: Page(DeadLetter).extend({
        unavailable: z.array(z.enum(SERVICES)).meta({ description: 'Services that did not answer' }),
      }),
    },
  }),
  actOnDeadLetter: defineRoute({
    ...admin,
    name: 'gateway.admin_act_on_dead_letter',
    method: 'POST',
    path: '/v1/admin/dead-letters',
    summary: 'Try a dead letter again, or drop it',
    body: z.strictObject({
      service: z.enum(SERVICES),
      id: z.string().min(1).max(100),
      action: z.enum(['replay', 'drop']),
    }),
    responses: {
      200: z.strictObject({ service: z.enum(SERVICES), id: z.string(), action: z.enum(['replay', 'drop']) }),
    },
  }),
} as const;
