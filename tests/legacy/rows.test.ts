import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { allRoutes, dialects } from '@aitbc/contracts';
import { expect, test } from 'vitest';

// Which test shows what of each call that programs of the original make. The tests themselves run against one system.

const HOST = 'a miner host with a model server: health, registration by its key, work, silence, result';
const SERVED = 'a miner host runs with its model server: what that answers comes back to whoever asked';
const CLIENT = 'the command line of a client: submit, pay, look, cancel, refund, receipts';
const MINER = 'the command line of a miner: register, poll by GET, results, earnings, capabilities, goodbye';
const PYTHON = 'the Python client of receipts: reads one, and checks it with nothing of ours';
const JAVASCRIPT = 'submits, reads, lists, and has a receipt checked';
const BY_KEY = 'that is called by its key is called default, and the key stands nowhere';
const PAYLOAD = 'gets a payload byte for byte: number forms, the order of names, escapes, blanks';
const REPORTS = 'gets a payload back as it was sent, and nothing as the client understands it';
const LIST = 'its list, filtered in any spelling';
const UNTIL = 'where a job stands, until it cancels it';
const HIDDEN = 'what is not its own, or cannot be, as if it did not exist';
const EXPLORER = 'an explorer page reads blocks, transactions and addresses';
const MARKET = 'the market: offer a card, find it, book it, review it';
const ODD_REGISTRATION = 'a registration of %j';
const ODD_JOB = 'a job of %j';
const ODD_POLL = 'a poll with no body, or too much of one, ends before their HTTP client does';
const ODD_REPORT = 'a result, a failure: of no job that is anybody’s, and of the wrong kind';
const ODD_REST = 'what it can do, taken off, earnings: with no body, or too much of one';
const ODD_CANCEL = 'a cancel with a body of any kind, a receipt that is none';
const QUEUE = 'a miner of the original and ours share one queue, and under kill −9 each job has one result';

const SHOWN_BY: Readonly<Record<string, readonly string[]>> = {
  'jobs.legacy_submit': [
    'anything as a payload, with nothing or null beside it',
    '%o becomes %s',
    'as the JavaScript client says it',
    'and hears what is wrong with what is used',
    ODD_JOB,
    PAYLOAD,
  ],
  'jobs.legacy_history': [LIST],
  'jobs.legacy_list': [LIST, CLIENT, JAVASCRIPT],
  'jobs.legacy_get': [HIDDEN, REPORTS, HOST],
  'jobs.legacy_status': [UNTIL],
  'jobs.legacy_result': [UNTIL, REPORTS, JAVASCRIPT],
  'jobs.legacy_cancel': [UNTIL, ODD_CANCEL],
  'jobs.legacy_delete': [UNTIL],
  'jobs.legacy_receipt': [UNTIL, PYTHON],
  'jobs.legacy_receipts': [UNTIL, PYTHON, HIDDEN],
  'jobs.verify_receipt': [JAVASCRIPT, ODD_CANCEL],
  'payments.create': [CLIENT],
  'payments.get': [CLIENT],
  'payments.get_by_job': [CLIENT, SERVED],
  'payments.receipt': [CLIENT],
  'payments.refund': [CLIENT],
  'payments.release': [CLIENT],
  'miners.legacy_register': [HOST, SERVED, BY_KEY, ODD_REGISTRATION],
  'miners.legacy_heartbeat': [HOST, BY_KEY, 'a heartbeat takes anything'],
  'jobs.legacy_poll': [PAYLOAD, REPORTS, ODD_POLL, QUEUE],
  'jobs.legacy_poll_by_get': [REPORTS, MINER],
  'jobs.legacy_report': [REPORTS, HOST, MINER, ODD_REPORT, QUEUE],
  'jobs.legacy_fail': [HOST, ODD_REPORT],
  'miners.legacy_earnings': [BY_KEY, MINER],
  'miners.legacy_earnings_by_post': [BY_KEY, MINER, ODD_REST],
  'miners.legacy_jobs': [BY_KEY, MINER],
  'miners.legacy_jobs_by_post': [ODD_REST],
  'miners.legacy_capabilities': [MINER, ODD_REST],
  'miners.legacy_remove': [MINER, ODD_REST],
  'payments.blocks': [EXPLORER],
  'payments.block': [EXPLORER],
  'payments.transactions': [EXPLORER],
  'payments.transaction': [EXPLORER],
  'payments.addresses': [EXPLORER],
  'payments.address': [EXPLORER],
  'payments.legacy_blocks': [EXPLORER],
  'payments.legacy_explorer_blocks': [EXPLORER],
  'payments.legacy_explorer_block': [EXPLORER],
  'payments.legacy_explorer_transactions': [EXPLORER],
  'payments.legacy_explorer_transaction': [EXPLORER],
  'payments.legacy_explorer_addresses': [EXPLORER],
  'payments.legacy_explorer_address': [EXPLORER],
  'jobs.public_receipts': [JAVASCRIPT],
  'jobs.legacy_explorer_receipts': [JAVASCRIPT],
  'gateway.legacy_health': [HOST],
  'gateway.legacy_api_health': [HOST],
  'market.legacy_stats': [MARKET],
  'market.legacy_offers': [MARKET],
  'market.register': [MARKET],
  'market.list': [MARKET],
  'market.get': [MARKET],
  'market.book': [MARKET],
  'market.order': [MARKET],
  'market.orders': [MARKET],
  'market.review': [MARKET],
};
/** Of all of them at once. */
const OF_ALL = [
  'who may call what: nobody without a key, and none with a key for something else',
  'no key of theirs is left in what anybody can read, nor in what the coordinator writes',
  'what is not offered says so, and does nothing',
];

test('each call of theirs has a test, and each of these tests is there', () => {
  const calls = [
    ...allRoutes.filter(({ alias }) => alias !== undefined).map(({ name }) => name),
    ...Object.keys(dialects),
  ];
  expect(Object.keys(SHOWN_BY).sort()).toEqual(calls.sort());
  const sources = globSync('*.ts', { cwd: import.meta.dirname, exclude: ['rows.test.ts'] })
    .map((file) => readFileSync(join(import.meta.dirname, file), 'utf8'))
    .join('\n');
  const titles = [...Object.values(SHOWN_BY).flat(), ...OF_ALL];
  expect(titles.filter((title) => !sources.includes(`'${title}'`))).toEqual([]);
});
