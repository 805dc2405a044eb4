import { operationNames } from '@aitbc/sdk';
import { type GlobalOptions, isUrl } from './context.ts';
import { UsageError } from './failures.ts';
import { findTarget, type Target, tooOpen } from './profiles.ts';

export interface Check {
  readonly name: string;
  readonly state: 'ok' | 'warning' | 'fault' | 'skipped';
  /** Names the fault, for scripts: `no_server`, `wrong_key`, … */
  readonly fault?: string;
  readonly found: string;
  readonly advice?: string;
}

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly body: Record<string, unknown> | undefined;
  readonly tookMs: number;
}

const ANSWER_WITHIN_MS = 10_000;
/** Signed messages of wallets and time-limited keys go wrong by minutes; half of one is a clock that nobody sets. */
const CLOCK_OFF_MS = 30_000;

const fault = (name: string, code: string, found: string, advice: string): Check => ({
  name,
  state: 'fault',
  fault: code,
  found,
  advice,
});
const ok = (name: string, found: string): Check => ({ name, state: 'ok', found });

/** The words that Node has for it, at the bottom of what fetch says. */
const codeOf = (error: unknown): string => {
  let code = '';
  for (let at = error; at instanceof Error; at = at.cause)
    code = (at as NodeJS.ErrnoException).code ?? (at.name === 'TimeoutError' ? 'TIMEOUT' : code);
  return code;
};
const TLS = /CERT|TLS|SSL|SELF_SIGNED|UNABLE_TO|ALTNAME|EPROTO|WRONG_VERSION/;

const unreachable = (url: string, error: unknown): Check => {
  const code = codeOf(error);
  const { host, hostname } = new URL(url);
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return fault(
      'name',
      'unknown_host',
      `${hostname} is not known (${code}).`,
      'Look for a slip in the address, and whether this machine is online.',
    );
  if (TLS.test(code))
    return fault(
      'TLS',
      'tls_error',
      `The connection to ${host} cannot be trusted (${code}).`,
      'For a coordinator with a CA of its own set NODE_EXTRA_CA_CERTS; where it speaks plain HTTP, use http://.',
    );
  if (code === 'TIMEOUT' || code.includes('TIMEOUT'))
    return fault(
      'connection',
      'no_answer',
      `${host} does not answer.`,
      'A firewall may be in between; ask the operator.',
    );
  return fault(
    'connection',
    'no_server',
    `Nothing listens at ${host} (${code || 'cut off'}).`,
    'Start the coordinator, or give its address: aitbc login --url, or AITBC_URL.',
  );
};

const ask = async (target: Target, path: string, signal: AbortSignal, withKey = false): Promise<Answer> => {
  const began = Date.now();
  const { secret } = target;
  const name = secret?.startsWith('st_') === true ? 'x-session-token' : 'x-api-key';
  const response = await fetch(target.url + path, {
    redirect: 'manual',
    headers: withKey && secret !== undefined ? { [name]: secret } : {},
    signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_WITHIN_MS)]),
  });
  const text = await response.text();
  let body: Record<string, unknown> | undefined;
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === 'object' && parsed !== null) body = parsed as Record<string, unknown>;
  } catch {}
  return { status: response.status, headers: response.headers, text, body, tookMs: Date.now() - began };
};

const refusal = ({ body }: Answer): { code: string; message: string } | undefined => {
  const error = body?.error as { code?: unknown; message?: unknown } | undefined;
  return typeof error?.code === 'string' ? { code: error.code, message: String(error.message) } : undefined;
};

/** Is what answers a coordinator? */
const whatAnswers = (url: string, health: Answer): Check => {
  const { status, body, text, headers } = health;
  if (status >= 300 && status < 400)
    return fault(
      'answer',
      'redirects',
      `${url} sends on to ${headers.get('location')}.`,
      'Use that address instead.',
    );
  if (body?.status === 'ok' && typeof body.service === 'string') return ok('answer', 'a coordinator');
  if (body === undefined) {
    const title = /<title>([^<]{1,80})/i.exec(text)?.[1];
    return fault(
      'answer',
      'proxy_page',
      `A page answers (${status}${title === undefined ? '' : `, “${title}”`}), no coordinator.`,
      'A proxy or a sign-in page of this network may be in between, or the coordinator behind it is down.',
    );
  }
  return fault(
    'answer',
    'wrong_base_url',
    `Something answers ${status} with JSON that is not a coordinator’s.`,
    'Look at the address: a path such as /api may be missing or too much.',
  );
};

const clock = ({ headers, tookMs }: Answer): Check => {
  const theirs = Date.parse(headers.get('date') ?? '');
  if (Number.isNaN(theirs)) return { name: 'clock', state: 'skipped', found: 'the answer says no time' };
  const off = Date.now() - tookMs / 2 - theirs;
  if (Math.abs(off) <= CLOCK_OFF_MS) return ok('clock', 'agrees with the coordinator’s');
  return fault(
    'clock',
    'clock_off',
    `This machine is ${Math.round(Math.abs(off) / 1_000)} s ${off > 0 ? 'ahead of' : 'behind'} the coordinator.`,
    'Set the clock, best by NTP: timedatectl set-ntp true',
  );
};

const services = ({ status, body }: Answer): Check => {
  if (status === 200) return ok('services', 'all ready');
  const down = Object.entries(
    (body?.dependencies ?? {}) as Record<string, { ok: boolean; message: string | null }>,
  )
    .filter(([, { ok: isUp }]) => !isUp)
    .map(([name, { message }]) => (message === null ? name : `${name} (${message})`));
  return fault(
    'services',
    'service_down',
    `Not ready: ${down.join(', ') || `it answers ${status}`}.`,
    'Wait a moment; if it stays, tell the operator.',
  );
};

const version = ({ body }: Answer): Check => {
  const known = new Set(
    Object.values((body?.paths ?? {}) as Record<string, Record<string, { operationId?: string }>>).flatMap(
      (methods) => Object.values(methods).map(({ operationId }) => operationId),
    ),
  );
  if (known.size === 0) return { name: 'version', state: 'skipped', found: 'it does not describe itself' };
  const missing = operationNames.filter((name) => !known.has(name));
  if (missing.length === 0) return ok('version', 'knows all that this program can ask');
  return fault(
    'version',
    'old_server',
    `The coordinator is older than this program: it lacks ${missing.slice(0, 3).join(', ')}${missing.length > 3 ? ' …' : ''}.`,
    'Ask the operator to update it, or use the version of this program that came with it.',
  );
};

const key = (answer: Answer): Check => {
  const refused = refusal(answer);
  const retry = answer.headers.get('retry-after');
  if (answer.status === 429)
    return fault(
      'limits',
      'rate_limited',
      `Too many requests; more in ${retry ?? 'some'} s.`,
      'Wait, ask less often, or ask the operator for a larger limit.',
    );
  if (answer.status === 401 && /expired/.test(refused?.message ?? ''))
    return fault(
      'key',
      'expired_key',
      refused?.message ?? '',
      'Make a new one and log in with it: aitbc login',
    );
  if (answer.status === 401)
    return fault(
      'key',
      'wrong_key',
      refused?.message ?? 'It is not taken.',
      'Look whether all of it was copied, and for this coordinator: aitbc login',
    );
  if (answer.status === 403) return ok('key', 'good, for an operator');
  if (answer.status === 200)
    return ok('key', `good; may act as ${(answer.body?.scopes as string[] | undefined)?.join(', ')}`);
  return fault(
    'key',
    'service_down',
    `It cannot be looked at: ${answer.status}.`,
    'Wait a moment; if it stays, tell the operator.',
  );
};

/** One thing after the other, as far as the last makes sense. */
export async function* examine(
  environment: Record<string, string | undefined>,
  options: GlobalOptions,
  signal: AbortSignal,
): AsyncGenerator<Check> {
  let target: Target;
  try {
    target = findTarget(environment, options);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    yield fault('profile', 'profile', error.message, error.hint ?? '');
    return;
  }
  const open = tooOpen(environment);
  if (open !== null)
    yield fault('stored key', 'readable_key', `Others can read ${open}.`, `chmod 600 ${open}`);
  if (!isUrl(target.url)) {
    yield fault(
      'address',
      'wrong_base_url',
      `${target.url} is no URL.`,
      'It looks like https://coordinator.example',
    );
    return;
  }
  yield ok('address', target.url);
  let health: Answer;
  try {
    health = await ask(target, '/health', signal);
  } catch (error) {
    signal.throwIfAborted();
    yield unreachable(target.url, error);
    return;
  }
  const answers = whatAnswers(target.url, health);
  yield answers;
  if (answers.state !== 'ok') return;
  yield clock(health);
  try {
    yield services(await ask(target, '/health/ready', signal));
    yield version(await ask(target, '/openapi.json', signal));
    if (target.secret === undefined)
      yield {
        name: 'key',
        state: 'warning',
        found: 'there is none: only public things work',
        advice: 'aitbc login',
      };
    else yield key(await ask(target, '/v1/users/me', signal, true));
  } catch (error) {
    signal.throwIfAborted();
    yield unreachable(target.url, error);
  }
}
