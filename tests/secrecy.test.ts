import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { backUpFile } from '@aitbc/chassis';
import { type AnyRoute, allRoutes, createClient, newId, routes } from '@aitbc/contracts';
import { eventually, openByHand, rememberSecret, scratchDatabase, testEngine } from '@aitbc/testing';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newWallet } from '../services/gateway/src/testing/wallet.ts';
import {
  accountOf,
  type Coordinator,
  must,
  passes,
  refusal,
  registerMiner,
  STARTING_MS,
  startCoordinator,
  takeWork,
} from './coordinator.ts';
import { openEvents } from './events.ts';

// A small story with words that stand nowhere else; then every place where they could have been left is searched.

const { jobs, payments, gateway } = routes;
const marker = (what: string) => `${what}-${newId()}`;

/** What people said and got: for the client and the miner that ran it. */
const CONTENT = {
  prompt: marker('prompt'),
  result: marker('result'),
  progress: marker('progress'),
  failure: marker('failure'),
};
/** What opens doors: nowhere but with its owner. */
let secrets: Record<string, string>;
let coordinator: Coordinator;
let jobId: string;
let paidJobId: string;
let minerId: string;
/** Every command that Redis was given, of all clients. */
const commands: string[] = [];
let monitor: Redis;
let redis: Redis;

beforeAll(async () => {
  // Everything that can be logged is.
  coordinator = await startCoordinator({ ownBroker: true, env: { LOG_LEVEL: 'trace' } });
  redis = new Redis(coordinator.stack.broker.url);
  monitor = await new Redis(coordinator.stack.broker.url).monitor();
  monitor.on('monitor', (_time: string, args: string[]) => commands.push(args.join(' ')));
  await tellStory();
}, STARTING_MS);
afterAll(async () => {
  monitor?.disconnect();
  redis?.disconnect();
  await coordinator?.stop();
});

const untilEvent = async (events: Awaited<ReturnType<typeof openEvents>>, name: string) => {
  for (;;) {
    const event = await events.next();
    if (event === undefined) throw new Error(`ended without ${name}`);
    if (event.event === name) return event;
  }
};

const tellStory = async () => {
  const { url, admin, keys, dataDir } = coordinator;
  const made = must(
    await admin.call(gateway.adminCreateKey, { body: { scopes: ['client'], label: 'shown once' } }),
  );
  const wallet = newWallet();
  const wallet_address = wallet.address;
  const challenge = must(
    await coordinator.anyone.call(gateway.challenge, { body: { wallet_address } as never }),
  );
  const signature = await wallet.signMessage({ message: challenge.message });
  const body = { wallet_address, message: challenge.message, signature };
  const session = must(await coordinator.anyone.call(gateway.login, { body }));
  const user = createClient(url, { 'x-session-token': rememberSecret(session.session_token) });
  const own = must(await user.call(gateway.createKey, { body: { scopes: ['client'], label: 'own' } }));
  const { SECRET_KEY, RECEIPT_SIGNING_KEY } = JSON.parse(
    readFileSync(join(dataDir, 'dev-secrets.json'), 'utf8'),
  );
  secrets = {
    ...keys,
    made: made.key,
    session: session.session_token,
    own: own.key,
    SECRET_KEY,
    RECEIPT_SIGNING_KEY,
  };

  const client = createClient(url, { 'x-api-key': made.key });
  const { miner } = coordinator;
  await passes(async () => {
    must(
      await admin.call(payments.credit, {
        params: { account_id: made.account_id },
        body: { amount: 5, reason: 'to pay with' },
        idempotencyKey: 'funds',
      }),
    );
  });
  minerId = (await registerMiner(miner)).id;
  const submission = (more: object) => ({
    job_type: 'embedding',
    parameters: { model: 'm', input: CONTENT.prompt },
    ...more,
  });
  const submit = async (more: object) =>
    must(await client.call(jobs.submit, { body: submission(more), idempotencyKey: newId() })).id;
  const take = async () => {
    const [work] = await takeWork(miner, minerId);
    return { job_id: work?.id as string, lease: work?.lease as string };
  };

  jobId = await submit({});
  const events = await openEvents(`${url}/v1/client/jobs/${jobId}/events`, { 'x-api-key': made.key });
  const work = await take();
  // What is made is passed on, and left nowhere: not even where its result is.
  secrets.token = marker('token');
  const chunks = [{ text: secrets.token }];
  must(await miner.call(jobs.stream, { body: { ...work, seq: 0, chunks } }));
  expect(JSON.stringify((await untilEvent(events, 'delta')).data)).toContain(secrets.token);
  const progress = { ...work, progress: 0.5, message: CONTENT.progress };
  must(await miner.call(jobs.progress, { body: progress }));
  const report = { ...work, status: 'completed' as const, result: { text: CONTENT.result } };
  must(await miner.call(jobs.result, { body: report }));
  must(await miner.call(jobs.result, { body: report }));
  const conflict = { ...report, result: { text: CONTENT.result, more: true } };
  expect(refusal(await miner.call(jobs.result, { body: conflict }))).toBe('409 RESULT_CONFLICT');
  expect((await events.all()).at(-1)).toMatchObject({ event: 'end' });

  // An attempt that fails, comes back, and is paid in the end.
  paidJobId = await submit({ payment_amount: 1, max_attempts: 2 });
  const error = { code: 'BROKEN', message: CONTENT.failure };
  const failed = { ...(await take()), status: 'failed' as const, error, retryable: true };
  must(await miner.call(jobs.result, { body: failed }));
  must(
    await miner.call(jobs.result, {
      body: { ...(await take()), status: 'completed', result: CONTENT.result },
    }),
  );
  await passes(async () => {
    const paid = must(await client.call(payments.getByJob, { params: { job_id: paidJobId } }));
    expect(paid.status).toBe('released');
  });

  // What goes wrong is logged more than what goes right.
  const good = JSON.stringify(submission({}));
  const wrong: [string, RequestInit][] = [
    ['/v1/client/jobs', { method: 'POST', body: good.slice(0, -3) }],
    ['/v1/client/jobs', { method: 'POST', body: good.replace('"embedding"', '7') }],
    ['/v1/client/jobs', { method: 'POST', body: good.replace('"model"', '"modell"') }],
    ['/v1/miner/result', { method: 'POST', body: JSON.stringify(report) }],
    [`/v1/client/jobs?key=${made.key}`, {}],
    [`/v1/client/jobs?cursor=${made.key}`, {}],
    [`/v1/client/jobs/${made.key}`, {}],
    [`/v1/${made.key}`, {}],
  ];
  for (const [path, init] of wrong) {
    const headers = { 'x-api-key': made.key, 'content-type': 'application/json' };
    const response = await fetch(url + path, { ...init, headers });
    expect(response.status).toBeGreaterThanOrEqual(400);
    const answer = await response.text();
    expect(Object.entries(secrets).filter(([, secret]) => answer.includes(secret))).toEqual([]);
  }
  const doubled = await fetch(`${url}/v1/users/me`, {
    headers: { 'x-api-key': made.key, 'x-session-token': session.session_token },
  });
  expect(doubled.status).toBe(400);
  await doubled.arrayBuffer();
  // A key of nobody that looks like one, in case it is quoted back.
  const guess = `${made.key.slice(0, -1)}${made.key.endsWith('A') ? 'B' : 'A'}`;
  expect(refusal(await createClient(url, { 'x-api-key': guess }).call(gateway.me, {}))).toBe(
    '401 UNAUTHENTICATED',
  );
  secrets.guess = guess;
};

/** The names of those that occur. */
const among = (words: Record<string, string>, text: string | Buffer): string[] =>
  Object.entries(words)
    .filter(([, word]) => text.includes(word))
    .map(([name]) => name);

const SERVICES = ['gateway', 'governance', 'jobs', 'market', 'miners', 'payments'];

/** What there is of each service's rows: the bytes of its files, or all rows of all tables as text. */
const keptBy = async (service: string): Promise<(string | Buffer)[]> => {
  const { dataDir } = coordinator;
  if (testEngine === 'sqlite')
    return readdirSync(dataDir)
      .filter((name) => [`${service}.db`, `${service}.db-wal`].includes(name))
      .map((name) => readFileSync(join(dataDir, name)));
  const db = await openByHand(scratchDatabase(service, dataDir));
  const names = await db.all('SELECT tablename FROM pg_tables WHERE schemaname = current_schema()');
  const rows: string[] = [];
  for (const { tablename } of names)
    for (const { row } of await db.all(`SELECT row_to_json(t)::text AS row FROM "${tablename}" t`))
      rows.push(String(row));
  await db.close();
  return rows;
};

test('no database holds a key or a session token, not even in a page that was freed', async () => {
  const found: { service: string; secrets: string[]; content: string[] }[] = [];
  for (const service of SERVICES) {
    const kept = await keptBy(service);
    expect(kept).not.toEqual([]);
    for (const each of kept)
      found.push({ service, secrets: among(secrets, each), content: among(CONTENT, each) });
  }
  expect(found.filter((one) => one.secrets.length > 0)).toEqual([]);
  // Prompts and results belong to jobs, and to nobody else.
  const holders = found.filter(({ content }) => content.length > 0).map(({ service }) => service);
  expect([...new Set(holders)]).toEqual(['jobs']);
  expect([...new Set(found.flatMap(({ content }) => content))].sort()).toEqual(Object.keys(CONTENT).sort());
});

test('no log line holds a key, a prompt or a result, at the chattiest level', () => {
  const lines = coordinator.said.filter(({ line }) => !line.includes('dev-secrets'));
  const log = lines.map(({ from, line }) => `${from} ${line}`).join('\n');
  for (const name of ['gateway', 'jobs', 'miners', 'market', 'payments', 'governance', 'dispatcher-1'])
    expect(log).toContain(`\n${name} `);
  expect(among({ ...secrets, ...CONTENT }, log)).toEqual([]);
});

const readAny = async (key: string): Promise<string> => {
  const type = await redis.type(key);
  const read = {
    string: () => redis.getBuffer(key),
    hash: () => redis.hgetallBuffer(key),
    list: () => redis.lrangeBuffer(key, 0, -1),
    set: () => redis.smembersBuffer(key),
    zset: () => redis.zrangeBuffer(key, '0', '-1'),
    stream: () => redis.xrangeBuffer(key, '-', '+'),
  }[type];
  // Gone between the two questions.
  if (read === undefined) return type === 'none' ? '' : Promise.reject(new Error(`${key} is a ${type}`));
  const text = (value: unknown): string => {
    if (Buffer.isBuffer(value)) return value.toString('latin1');
    if (Array.isArray(value)) return value.map(text).join(' ');
    if (value !== null && typeof value === 'object')
      return Object.entries(value)
        .map(([name, inner]) => `${name} ${text(inner)}`)
        .join(' ');
    return String(value);
  };
  return text(await read());
};

test('Redis never held a key, a prompt or a result: not now, and in no command it was ever given', async () => {
  const left: string[] = [];
  for await (const keys of redis.scanStream({ count: 1_000 }))
    for (const key of keys as string[]) left.push(`${key} ${await readAny(key)}`);
  expect(left.some((entry) => entry.includes('bull:'))).toBe(true);
  // What passed by: the commands as they came, and what they left in the append-only file.
  const said = commands.join('\n');
  expect(said).toContain(jobId);
  expect(said).toContain(paidJobId);
  const folder = join(coordinator.dataDir, 'redis', 'appendonlydir');
  const file = Buffer.concat(readdirSync(folder).map((name) => readFileSync(join(folder, name))));
  expect(file.includes(paidJobId)).toBe(true);
  const all = { ...secrets, ...CONTENT };
  expect({ left: among(all, left.join('\n')), said: among(all, said), file: among(all, file) }).toEqual({
    left: [],
    said: [],
    file: [],
  });
});

test('no metric holds a key, an id, a prompt or a result', async () => {
  const text = await (await fetch(`${coordinator.url}/metrics`)).text();
  expect(text).toContain('api_requests_total');
  expect(text).toContain('active_jobs');
  const account = await accountOf(coordinator.client);
  expect(among({ ...secrets, ...CONTENT, jobId, minerId, account }, text)).toEqual([]);
});

test('no public route shows a key, a prompt or a result', async () => {
  const { anyone } = coordinator;
  const page = must(await anyone.call(jobs.publicReceipts, { query: { limit: 500 } }));
  expect(page.items.map(({ job_id }) => job_id).sort()).toEqual([jobId, paidJobId].sort());
  const transfers = await eventually(async () => {
    const { items } = must(await anyone.call(payments.transactions, { query: { limit: 10 } }));
    return items.length >= 4 && items;
  });
  const known: Record<string, string> = {
    height: '0',
    hash: transfers[0]?.hash as string,
    address: transfers[0]?.from as string,
    model: 'RTX 4090',
    name: 'timelock_seconds',
    gpu_id: newId(),
    proposal_id: newId(),
    user_id: await accountOf(coordinator.client),
  };
  const open = allRoutes.filter((route: AnyRoute) => route.method === 'GET' && route.who.includes('public'));
  expect(open.length).toBeGreaterThan(10);
  const paths = open.map(({ path }) =>
    path.replace(/:([a-z_]+)/g, (_, name: string) => {
      if (known[name] === undefined) throw new Error(`${path}: no value for ${name}`);
      return encodeURIComponent(known[name]);
    }),
  );
  for (const path of [...paths, '/health', '/health/ready', '/openapi.json', '/docs', '/redoc']) {
    const response = await fetch(coordinator.url + path);
    const text = await response.text();
    expect({ path, found: among({ ...secrets, ...CONTENT }, text) }).toEqual({ path, found: [] });
    expect({ path, status: response.status < 500 }).toEqual({ path, status: true });
  }
  console.log(`searched ${commands.length} Redis commands and ${paths.length} public routes`);
});

test('what its client wipes is in no file, page, log, Redis key or later copy', async () => {
  const client = createClient(coordinator.url, { 'x-api-key': secrets.made as string });
  for (const job_id of [jobId, paidJobId]) {
    const { receipt } = must(await client.call(jobs.wipe, { params: { job_id } }));
    expect(receipt).not.toBeNull();
    expect(refusal(await client.call(jobs.get, { params: { job_id } }))).toBe('410 CONTENT_EXPIRED');
  }
  for (const kept of await Promise.all(SERVICES.map(keptBy)))
    for (const each of kept) expect(among(CONTENT, each)).toEqual([]);
  // PostgreSQL keeps what was deleted until its own vacuum, and in its own log: that is its operator's.
  if (testEngine !== 'sqlite') return;
  const { dataDir } = coordinator;
  await backUpFile(join(dataDir, 'jobs.db'), join(dataDir, 'copy-after-wipe.db'));
  const files = readdirSync(dataDir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  expect(files.some((file) => file.endsWith('copy-after-wipe.db'))).toBe(true);
  const holders = files.filter((file) => among(CONTENT, readFileSync(file)).length > 0);
  expect(holders).toEqual([]);
  // From here on a secret: the search at the end of the run looks for it in all that any test left.
  for (const word of Object.values(CONTENT)) rememberSecret(word);
});
