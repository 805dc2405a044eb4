import { fork } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { parseArgs } from 'node:util';
import { builder, type ChassisTables, openStore } from '@aitbc/chassis';
import { newId, SYSTEM_ADDRESSES } from '@aitbc/contracts';
import { findBroker } from '../libs/testing/src/broker.ts';
import { builtOf } from '../libs/testing/src/built.ts';
import { freePort } from '../libs/testing/src/ports.ts';
import { bundleServices } from '../scripts/bundle.ts';
import { migrations } from '../services/payments/migrations/index.ts';
import { creditFromMint } from '../services/payments/src/commands/mint.ts';
import { toCursor } from '../services/payments/src/cursor.ts';
import { sealBlock } from '../services/payments/src/seal.ts';
import { openSigner } from '../services/payments/src/signing.ts';
import { transferId } from '../services/payments/src/store/transfers.ts';
import { headersOf } from '../services/payments/src/testing/headers.ts';
import { percentile } from './load.ts';

const usage = `node bench/explorer.ts [--transfers 1000000] [--requests 200] [--ledger FILE]

Fills a ledger with sealed transfers and measures every page of the explorer over HTTP, one request after another,
with /health of the same process as the reference. Goal: any page p99 <= 50 ms at 1,000,000 transfers.

  --ledger   fills this file if it is not there, and leaves it for the next run`;

const { values } = parseArgs({
  options: {
    transfers: { type: 'string', default: '1000000' },
    requests: { type: 'string', default: '200' },
    ledger: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  },
});
const TRANSFERS = Number(values.transfers);
const REQUESTS = Number(values.requests);
const USERS = 10_000;
/** One account takes every tenth transfer; the mint is in all of them. */
const BUSY_SHARE = 10;
const BLOCK = 200;
const GOAL_MS = 50;

const users = Array.from({ length: USERS }, () => newId());
const userOf = (i: number): string =>
  i % BUSY_SHARE === 0 ? (users[0] as string) : (users[(i * 7_919) % USERS] as string);

const fill = async (path: string): Promise<void> => {
  const startedAt = performance.now();
  const store = await openStore({
    url: path,
    service: 'payments',
    migrations,
  });
  const signer = await openSigner(store, { NODE_ENV: 'development' });
  await signer.keep();
  for (let done = 0; done < TRANSFERS; done += BLOCK) {
    await store.transact('fill', async (trx) => {
      for (let i = done; i < Math.min(done + BLOCK, TRANSFERS); i += 1) {
        const reference = newId();
        await creditFromMint(trx, {
          transfer_id: transferId('credit', reference),
          account_id: userOf(i),
          amount_minor: 1 + (i % 1_000),
          kind: 'credit',
          reference,
        });
      }
    });
    await sealBlock(store, signer, 0, Date.now());
    // Nobody listens here, and the service must not spend its time on telling.
    await store.transact('forget', (trx) => trx.run(builder<ChassisTables>().deleteFrom('outbox')));
  }
  await store.close();
  const seconds = (performance.now() - startedAt) / 1_000;
  console.log(`filled in ${seconds.toFixed(0)} s (${Math.round(TRANSFERS / seconds)} transfers/s)`);
};

/** What is there, and a thousand of its hashes and addresses to ask for. */
const sample = (path: string) => {
  const db = new DatabaseSync(path, { readOnly: true });
  const count = (table: string) => Number(db.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.n);
  const transfers = count('transfer');
  const hashes = db
    .prepare('SELECT lower(hex(hash)) AS hash FROM transfer WHERE seq % ? = 0')
    .all(Math.max(1, Math.floor(transfers / 1_000)))
    .map((row) => String(row.hash));
  const people = db
    .prepare(`SELECT address FROM account WHERE kind = 'user' ORDER BY tx_count DESC LIMIT 1000`)
    .all()
    .map((row) => String(row.address));
  const found = { transfers, blocks: count('block'), accounts: count('account'), hashes, people };
  db.close();
  return found;
};

const agent = new Agent({ keepAlive: true });
const get = (url: string, path: string): Promise<number> =>
  new Promise((resolve, reject) => {
    const startedAt = performance.now();
    request(url + path, { agent, headers: headersOf(null)('GET', path) }, (response) => {
      response.resume();
      response.on('end', () =>
        response.statusCode === 200
          ? resolve(performance.now() - startedAt)
          : reject(new Error(`${path} answered ${response.statusCode}`)),
      );
    })
      .on('error', reject)
      .end();
  });

const main = async (): Promise<void> => {
  if (values.help) return console.log(usage);
  await bundleServices(console.log);
  const directory = mkdtempSync(join(tmpdir(), 'bench-explorer-'));
  const path = values.ledger === undefined ? join(directory, 'payments.db') : resolve(values.ledger);
  if (!existsSync(path)) await fill(path);
  const { transfers, blocks, accounts, hashes, people } = sample(path);
  console.log(`${transfers} transfers in ${blocks} blocks, ${accounts} accounts`);
  const broker = await findBroker({ dataDir: directory, log: () => {} });
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const service = fork(builtOf(join(import.meta.dirname, '../services/payments/src/main.ts')), {
    env: {
      ...process.env,
      NODE_ENV: 'development',
      LOG_LEVEL: 'error',
      SECRET_KEY: 'a-secret-for-tests-only-0123456789abcdef',
      REDIS_URL: broker.url,
      PORT: String(port),
      DATABASE_URL: `sqlite:///${path}`,
    },
  });
  try {
    for (;;) {
      const isUp = await get(url, '/health').then(
        () => true,
        () => false,
      );
      if (isUp) break;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const any = (below: number) => 1 + Math.floor(Math.random() * below);
    const deep = () => `cursor=${toCursor(any(transfers))}`;
    const hash = () => hashes[Math.floor(Math.random() * hashes.length)];
    const [busy] = people;
    const someone = () => people[any(people.length) - 1];
    const base = '/v1/explorer';
    const pages: Record<string, () => string> = {
      'reference: /health': () => '/health',
      'blocks, first page': () => `${base}/blocks`,
      'blocks, 500 anywhere': () => `${base}/blocks?limit=500&cursor=${toCursor(any(blocks))}`,
      'one block': () => `${base}/blocks/${any(blocks) - 1}`,
      'transactions, first page': () => `${base}/transactions`,
      'transactions, anywhere': () => `${base}/transactions?${deep()}`,
      'transactions, 500 anywhere': () => `${base}/transactions?limit=500&${deep()}`,
      'transactions, 500 anywhere, oldest first, with proofs': () =>
        `${base}/transactions?limit=500&order=oldest&proofs=true&${deep()}`,
      'transactions of one block': () => `${base}/transactions?limit=500&block=${any(blocks) - 1}`,
      'transactions of someone': () => `${base}/transactions?address=${someone()}`,
      'transactions of the busy one, anywhere': () => `${base}/transactions?address=${busy}&${deep()}`,
      'transactions of the mint, 500 anywhere': () =>
        `${base}/transactions?limit=500&address=${SYSTEM_ADDRESSES.mint}&${deep()}`,
      'one transaction': () => `${base}/transactions/${hash()}`,
      'one proof': () => `${base}/transactions/${hash()}/proof`,
      'addresses, first page': () => `${base}/addresses`,
      'addresses, 500 anywhere': () => `${base}/addresses?limit=500&cursor=${toCursor(any(accounts))}`,
      'addresses of users, 500 anywhere': () =>
        `${base}/addresses?limit=500&kind=user&cursor=${toCursor(any(accounts))}`,
      'one address': () => `${base}/addresses/${someone()}`,
      'the mint': () => `${base}/addresses/${SYSTEM_ADDRESSES.mint}`,
    };
    console.log(`${'page'.padEnd(56)}${'p50'.padStart(8)}${'p99'.padStart(8)}${'max'.padStart(8)}  ms`);
    let worst = 0;
    for (const [name, path] of Object.entries(pages)) {
      const times: number[] = [];
      for (let i = 0; i < REQUESTS; i += 1) times.push(await get(url, path()));
      const figures = [percentile(times, 0.5), percentile(times, 0.99), Math.max(...times)];
      if (name.startsWith('reference') === false) worst = Math.max(worst, figures[1] as number);
      console.log(`${name.padEnd(56)}${figures.map((ms) => ms.toFixed(1).padStart(8)).join('')}`);
    }
    console.log(
      `worst p99 ${worst.toFixed(1)} ms, goal ${GOAL_MS} ms: ${worst <= GOAL_MS ? 'held' : 'missed'}`,
    );
    if (worst > GOAL_MS) process.exitCode = 1;
  } finally {
    const exited = new Promise((resolve) => service.once('exit', resolve));
    service.kill('SIGTERM');
    await exited;
    await broker.stop();
    rmSync(directory, { recursive: true, force: true });
  }
};

await main();
