import { actOnDeadLetter, type Handlers, listDeadLetters, type Store, type Trx } from '@aitbc/chassis';
import {
  type ApiKeyView,
  type Caller,
  type DeadLetter,
  fromMinorOrNull,
  type gatewayRoutes,
  invalidField,
  notFound,
  Problem,
  SERVICES,
  type ServiceName,
  toMinor,
  toTimestamp,
  toTimestampOrNull,
} from '@aitbc/contracts';
import type { z } from 'zod';
import { writeOwn } from './audit.ts';
import * as commands from './commands.ts';
import type { Credentials } from './credentials.ts';
import { pageById, readCursor } from './cursor.ts';
import { keyAct, keyEnvironment, SESSION_IDLE_MS, sessionEndsAt } from './domain.ts';
import { readMetric } from './metrics.ts';
import type { Queues } from './queues.ts';
import type { Services } from './services.ts';
import * as rows from './store.ts';
import type { ApiKeyTable } from './tables.ts';
import * as wallet from './wallet.ts';

type Letter = z.output<typeof DeadLetter>;

interface Dependencies {
  readonly store: Store;
  readonly credentials: Credentials;
  readonly services: Services;
  readonly queues: Queues;
  readonly nodeEnv: string;
  /** Where people reach this API, when the configuration says so. */
  readonly publicUrl: string | undefined;
  /** By which keys and sessions end. */
  readonly now: () => number;
  /** How long a session lives, and a challenge. */
  readonly sessionMs: number;
  readonly challengeMs: number;
}

const viewKey = (row: ApiKeyTable): ApiKeyView => ({
  id: row.id,
  account_id: row.account_id,
  prefix: row.prefix,
  label: row.label,
  scopes: JSON.parse(row.scopes) as ApiKeyView['scopes'],
  source: row.source,
  created_at: toTimestamp(row.created_at_ms),
  last_used_at: toTimestampOrNull(row.last_used_at_ms),
  expires_at: toTimestampOrNull(row.expires_at_ms),
  revoked_at: toTimestampOrNull(row.revoked_at_ms),
  rate_limit_per_minute: row.rate_limit_per_minute,
  spend_cap: fromMinorOrNull(row.spend_cap_minor),
  daily_transfer_cap: fromMinorOrNull(row.transfer_cap_minor),
  default_price: fromMinorOrNull(row.default_price_minor),
  replaces: row.replaces,
});

const minorOrNull = (amount: number | undefined): number | null =>
  amount === undefined ? null : toMinor(amount);
const amountsOf = (body: {
  spend_cap?: number | undefined;
  daily_transfer_cap?: number | undefined;
  default_price?: number | undefined;
}) => ({
  spend_cap_minor: minorOrNull(body.spend_cap),
  transfer_cap_minor: minorOrNull(body.daily_transfer_cap),
  default_price_minor: minorOrNull(body.default_price),
});

const readExpiry = (expires_at: string | undefined, nowMs: number): number | null => {
  if (expires_at === undefined) return null;
  const ms = Date.parse(expires_at);
  if (ms <= nowMs) throw invalidField('expires_at', 'must lie in the future');
  return ms;
};

const isService = (name: string): name is ServiceName => (SERVICES as readonly string[]).includes(name);

export const createHandlers = (dependencies: Dependencies): Handlers<typeof gatewayRoutes> => {
  const { store, credentials, services, queues, nodeEnv, now, sessionMs, challengeMs } = dependencies;
  const environment = keyEnvironment(nodeEnv);

  /** The page that wallets compare a message with. Outside development a caller's Host header is not good enough. */
  const originFor = (host: string | undefined): URL => {
    if (dependencies.publicUrl !== undefined) return new URL(dependencies.publicUrl);
    if (nodeEnv === 'production') {
      throw new Problem('SERVICE_UNAVAILABLE', 'Wallet sign-in is off until PUBLIC_URL is configured.');
    }
    const url = `http://${host ?? ''}`;
    if (!URL.canParse(url) || new URL(url).host === '') {
      throw new Problem('BAD_REQUEST', 'The Host header does not name a host.');
    }
    return new URL(url);
  };

  const listKeys = async (
    query: { active?: 'true' | 'false' | undefined; cursor?: string | undefined; limit: number },
    account_id: string | undefined,
  ) =>
    pageById(
      await rows.listKeys(store.read, {
        account_id,
        active: query.active === undefined ? undefined : query.active === 'true',
        before: readCursor(query.cursor),
        limit: query.limit + 1,
        nowMs: now(),
      }),
      query.limit,
      viewKey,
    );

  const create = async (trx: Trx, caller: Caller, wish: commands.KeyWish, nowMs: number) => {
    const made = await commands.createKey(trx, wish, environment, nowMs);
    await writeOwn(trx, caller, keyAct('key.created', made.row), nowMs);
    return made;
  };

  const rotate = (caller: Caller, id: string, owner: string | null, overlapSeconds: number) =>
    store.transact('key.rotate', async (trx) => {
      const { row, key, old } = await commands.rotateKey(
        trx,
        { id, owner, overlapSeconds },
        environment,
        now(),
      );
      credentials.forgetAfter(trx, [old.key_sha256]);
      await writeOwn(trx, caller, keyAct('key.rotated', row), now());
      return { status: 201 as const, body: { ...viewKey(row), key } };
    });

  const revoke = (caller: Caller, id: string, owner: string | null) =>
    store.transact('key.revoke', async (trx) => {
      const row = await commands.revokeKey(trx, id, owner, now());
      credentials.forgetAfter(trx, [row.key_sha256]);
      await writeOwn(trx, caller, keyAct('key.revoked', row), now());
      return { status: 200 as const, body: viewKey(row) };
    });

  const endSessions = (caller: Caller, which: (session: { id: string }) => boolean) =>
    store.transact('session.end', async (trx) => {
      const ended = await commands.endSessions(trx, caller.account_id, which, now());
      credentials.forgetAfter(
        trx,
        ended.map((session) => session.token_sha256),
      );
      return { status: 200 as const, body: { sessions_ended: ended.length } };
    });

  /** @returns null when the service does not answer. */
  const deadLettersOf = async (service: ServiceName, caller: Caller, before: string | undefined) => {
    if (service === 'gateway') return (await listDeadLetters(service, store, before)) as Letter[];
    return services.deadLetters(service, caller, before).then(
      ({ items }) => items as Letter[],
      () => null,
    );
  };

  return {
    challenge: async ({ body, response }) => {
      // The wall clock's: the wallet shows these times, and may compare them with its own.
      const nowMs = Date.now();
      const origin = originFor(response.req.headers.host);
      const row = {
        nonce: wallet.newNonce(),
        wallet_address: wallet.canonicalAddress(body.wallet_address),
        chain_id: body.chain_id,
        domain: origin.host,
        expires_at_ms: nowMs + challengeMs,
      };
      const message = wallet.challengeMessage(row, origin, nowMs);
      await store.transact('nonce.insert', (trx) => rows.insertNonce(trx, row));
      return {
        status: 200,
        body: { message, nonce: row.nonce, expires_at: toTimestamp(row.expires_at_ms) },
      };
    },
    login: async ({ body }) => {
      const nowMs = Date.now();
      const used = () =>
        new Problem('UNAUTHENTICATED', 'This challenge was used or has run out; ask for a new one.');
      const nonce = wallet.readNonce(body.message);
      const challenge = nonce === null ? undefined : await rows.findNonce(store.read, nonce);
      if (challenge === undefined || challenge.expires_at_ms <= nowMs) throw used();
      const wallet_address = wallet.canonicalAddress(body.wallet_address);
      await wallet.checkSignature({ ...body, wallet_address }, challenge, nowMs);
      const session = await store.transact('session.open', (trx) =>
        commands.openSession(trx, { nonce: challenge.nonce, wallet_address }, now(), sessionMs),
      );
      if (session === null) throw used();
      return {
        status: 200,
        body: {
          user_id: session.account_id,
          wallet_address,
          session_token: session.token,
          expires_at: toTimestamp(session.expires_at_ms),
        },
      };
    },
    logout: ({ caller, query }) =>
      endSessions(caller, (session) => query.all === 'true' || session.id === caller.credential_id),
    endSession: async ({ caller, params }) => {
      const reply = await endSessions(caller, (session) => session.id === params.session_id);
      if (reply.body.sessions_ended === 0) throw notFound('session');
      return reply;
    },
    me: async ({ caller }) => {
      const account = await rows.findAccount(store.read, caller.account_id);
      if (account === undefined) throw notFound('account');
      const nowMs = now();
      const isUser = caller.scopes.includes('user');
      const sessions = isUser ? await rows.listSessions(store.read, account.id) : [];
      return {
        status: 200,
        body: {
          user_id: account.id,
          wallet_address: account.wallet_address,
          scopes: caller.scopes,
          created_at: toTimestamp(account.created_at_ms),
          sessions: sessions
            .map((session) => ({ ...session, ends_at_ms: sessionEndsAt(session) }))
            .filter((session) => session.ends_at_ms > nowMs)
            .map((session) => ({
              id: session.id,
              created_at: toTimestamp(session.created_at_ms),
              last_used_at: toTimestamp(session.last_used_at_ms),
              expires_at: toTimestamp(session.ends_at_ms),
              current: session.id === caller.credential_id,
            })),
        },
      };
    },
    listKeys: async ({ caller, query }) => ({ status: 200, body: await listKeys(query, caller.account_id) }),
    createKey: async ({ caller, body }) => {
      const nowMs = now();
      const expires_at_ms = readExpiry(body.expires_at, nowMs);
      const made = await store.transact('key.create', (trx) =>
        create(
          trx,
          caller,
          {
            account_id: caller.account_id,
            scopes: body.scopes,
            label: body.label,
            expires_at_ms,
            ...amountsOf(body),
            rate_limit_per_minute: null,
            source: 'user',
            replaces: null,
          },
          nowMs,
        ),
      );
      return { status: 201, body: { ...viewKey(made.row), key: made.key } };
    },
    rotateKey: ({ caller, params, body }) =>
      rotate(caller, params.key_id, caller.account_id, body.overlap_seconds),
    revokeKey: ({ caller, params }) => revoke(caller, params.key_id, caller.account_id),

    adminListKeys: async ({ query }) => ({ status: 200, body: await listKeys(query, query.account_id) }),
    adminCreateKey: async ({ caller, body }) => {
      const nowMs = now();
      const expires_at_ms = readExpiry(body.expires_at, nowMs);
      const made = await store.transact('key.create', async (trx) => {
        if (body.account_id !== undefined && (await rows.findAccount(trx, body.account_id)) === undefined) {
          throw invalidField('account_id', 'no such account');
        }
        return await create(
          trx,
          caller,
          {
            account_id: body.account_id ?? (await commands.createAccount(trx, null, nowMs)),
            scopes: body.scopes,
            label: body.label,
            expires_at_ms,
            ...amountsOf(body),
            rate_limit_per_minute: body.rate_limit_per_minute ?? null,
            source: 'admin',
            replaces: null,
          },
          nowMs,
        );
      });
      return { status: 201, body: { ...viewKey(made.row), key: made.key } };
    },
    adminRotateKey: ({ caller, params, body }) => rotate(caller, params.key_id, null, body.overlap_seconds),
    adminRevokeKey: ({ caller, params }) => revoke(caller, params.key_id, null),

    stats: async () => {
      const nowMs = now();
      const [texts, mailboxes] = await Promise.all([services.metrics(), queues.counts()]);
      const states = await Promise.all(
        SERVICES.map(async (service) => {
          const health =
            service === 'gateway'
              ? { ok: true, dependencies: {} }
              : await services.health[service]().catch(() => ({ ok: false, dependencies: {} }));
          const isOurs = service === 'gateway';
          return {
            service,
            ok: health.ok,
            dependencies: health.dependencies,
            dead_letters: isOurs
              ? (await listDeadLetters(service, store)).length
              : readMetric(texts, 'dead_letters', { labels: { service } }),
            outbox_unacknowledged: isOurs
              ? null
              : readMetric(texts, 'outbox_unacknowledged', { labels: { service }, of: 'each' }),
          };
        }),
      );
      return {
        status: 200,
        body: {
          accounts: await rows.countAccounts(store.read),
          api_keys: await rows.countUsableKeys(store.read, nowMs),
          sessions: await rows.countSessions(store.read, nowMs, nowMs - SESSION_IDLE_MS),
          active_jobs: readMetric(texts, 'active_jobs'),
          registered_miners: readMetric(texts, 'registered_miners'),
          services: states,
          mailboxes,
        },
      };
    },
    deadLetters: async ({ caller, query }) => {
      const asked = query.service === undefined ? [...SERVICES] : [query.service];
      const before = readCursor(query.cursor);
      const answers = await Promise.all(
        asked.map(async (service) => ({ service, items: await deadLettersOf(service, caller, before) })),
      );
      // Ids are UUIDv7: their order is that of time over all services.
      const items = answers.flatMap((answer) => answer.items ?? []).sort((a, b) => (a.id < b.id ? 1 : -1));
      return {
        status: 200,
        body: {
          ...(await pageById(items, query.limit, (item) => item)),
          unavailable: answers.filter((answer) => answer.items === null).map((answer) => answer.service),
        },
      };
    },
    actOnDeadLetter: async ({ caller, body }) => {
      const { service, id, action } = body;
      if (service === 'gateway')
        await actOnDeadLetter(store, { id, action }, caller, (trx, actor, done) =>
          writeOwn(trx, actor, done, now()),
        );
      else if (isService(service)) {
        await services.actOnDeadLetter(service, caller, id, action).catch((error) => {
          if (error instanceof Problem) throw error;
          throw new Problem('SERVICE_UNAVAILABLE', `${service} does not answer; try again shortly.`, {
            retryAfterSeconds: 1,
          });
        });
      }
      return { status: 200, body: { service, id, action } };
    },
  };
};
