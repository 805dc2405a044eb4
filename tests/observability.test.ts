import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { routes } from '@aitbc/contracts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  type Coordinator,
  embedding,
  must,
  passes,
  registerMiner,
  STARTING_MS,
  startCoordinator,
  takeWork,
} from './coordinator.ts';

const root = resolve(import.meta.dirname, '..');
const read = (path: string) => readFileSync(join(root, path), 'utf8');
const prometheus = read('deploy/prometheus/prometheus.yml');
const compose = read('docker-compose.yml');

interface Query {
  readonly panel: string;
  readonly expr: string;
  readonly legendFormat: string;
}
interface Panel {
  readonly title: string;
  readonly datasource: { readonly uid: string };
  readonly targets: readonly Query[];
}
const { panels } = JSON.parse(read('deploy/grafana/dashboards/coordinator.json')) as { panels: Panel[] };
const queries = panels.flatMap(({ title, targets }) => targets.map((query) => ({ ...query, panel: title })));

/** What Prometheus puts to every sample by itself. */
const TARGET_LABELS = ['instance', 'job'];

/** The metrics that an expression reads: its words, without labels, groupings, ranges, strings and functions. */
const metricsIn = (expr: string): string[] =>
  expr
    .replace(/\{[^}]*\}|\[[^\]]*\]|\b(?:by|without|on|ignoring)\s*\([^)]*\)/g, ' ')
    .match(/[a-z_]\w*\b(?!\s*\()/g) ?? [];
const labelsIn = ({ expr, legendFormat }: Query): string[] => [
  ...[...expr.matchAll(/\{([^}]*)\}/g)].flatMap(([, matchers]) =>
    [...(matchers as string).matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label]) => label as string),
  ),
  ...groupedBy(expr),
  ...[...legendFormat.matchAll(/\{\{\s*(\w+)\s*\}\}/g)].map(([, label]) => label as string),
];
const groupedBy = (expr: string): string[] =>
  [...expr.matchAll(/\bby\s*\(([^)]*)\)/g)].flatMap(([, labels]) => (labels as string).split(/\s*,\s*/));

interface Page {
  readonly service: string;
  readonly text: string;
}
const samplesOf = ({ text }: Page): string[] =>
  text.split('\n').flatMap((line) => /^(\w+(?:\{.*\})?) \S+$/.exec(line)?.[1] ?? []);

let coordinator: Coordinator;
/** What each process answers Prometheus with. */
let pages: Page[];

/** Where each process said that it listens. */
const addresses = (): { service: string; url: string }[] =>
  coordinator.said.flatMap(({ line }) => {
    if (!line.startsWith('{')) return [];
    const { msg, service, url } = JSON.parse(line) as { msg?: string; service: string; url?: string };
    return msg === 'ready' && url !== undefined ? [{ service, url }] : [];
  });
const scrape = () =>
  Promise.all(
    addresses().map(async ({ service, url }) => {
      const response = await fetch(`${url}/metrics`);
      expect([service, response.status]).toEqual([service, 200]);
      return { service, text: await response.text() };
    }),
  );

beforeAll(async () => {
  coordinator = await startCoordinator({ dispatchers: 2 });
  const { client, miner } = coordinator;
  const { id: minerId } = await registerMiner(miner);
  const { id } = must(await client.call(routes.jobs.submit, { body: embedding('to be counted') }));
  const [work] = await takeWork(miner, minerId);
  must(
    await miner.call(routes.jobs.result, {
      body: { job_id: id, lease: work?.lease as string, status: 'completed', result: { embedding: [1] } },
    }),
  );
  await passes(async () => {
    pages = await scrape();
    // A counter shows from its first count on; what the result tells miners comes last.
    expect(pages.find(({ service }) => service === 'miners')?.text).toContain('inbox_messages_total{');
  });
}, STARTING_MS);
afterAll(() => coordinator?.stop());

test('every process is scraped, each by the port it has in the compose file', () => {
  const services = [...new Set(pages.map(({ service }) => service))].sort();
  const scraped = [
    ...[...prometheus.matchAll(/targets: \[([^\]]*)\]/g)].flatMap(([, targets]) =>
      [...(targets as string).matchAll(/"([^"]+)"/g)].map(([, target]) => target as string),
    ),
    ...[...prometheus.matchAll(/names: \["(\w+)"\], type: A, port: (\d+)/g)].map(
      ([, name, port]) => `${name}:${port}`,
    ),
  ].sort();
  const port = (name: string) =>
    (name === 'gateway' ? /API_PORT: (\d+)/ : /\n {2}PORT: (\d+)/).exec(compose)?.[1];
  expect(scraped).toEqual(services.map((name) => `${name}:${port(name)}`));
  for (const name of services) expect(compose).toContain(`\n  ${name}:\n    <<: *service\n`);
});

test('no sample is scraped twice, although the gateway shows those of the services too', () => {
  const rule =
    /- job_name: gateway\n(?: {4}.*\n)*? {4}metric_relabel.*\[(\w+)\], regex: (\w+), action: keep/.exec(
      prometheus,
    );
  const isKept = (sample: string) => rule === null || sample.includes(`${rule[1]}="${rule[2]}"`);
  const samples = pages
    // The second dispatch worker has the same names at an address of its own.
    .filter(({ service }, index) => pages.findIndex((page) => page.service === service) === index)
    .flatMap((page) => samplesOf(page).filter((sample) => page.service !== 'gateway' || isKept(sample)));
  expect(samples.filter((sample, index) => samples.indexOf(sample) !== index)).toEqual([]);
});

test('the dashboard asks the source that is provisioned', () => {
  const source = /uid: (\w+)/.exec(read('deploy/grafana/provisioning/datasources/prometheus.yml'))?.[1];
  expect(new Set(panels.map(({ datasource }) => datasource.uid))).toEqual(new Set([source]));
});

test.each(queries)('$panel: $expr has its metrics and their labels', (query) => {
  const names = metricsIn(query.expr);
  expect(names).not.toEqual([]);
  const samples = pages.flatMap(samplesOf);
  const known = new Set(TARGET_LABELS);
  for (const name of names) {
    const own = samples.filter((sample) => sample.startsWith(`${name}{`));
    expect([name, own.length > 0]).toEqual([name, true]);
    for (const sample of own) for (const [, label] of sample.matchAll(/(\w+)="/g)) known.add(label as string);
  }
  expect(labelsIn(query).filter((label) => !known.has(label))).toEqual([]);
  // What a grouping leaves is all that a legend can name.
  const left = groupedBy(query.expr);
  const shown = [...query.legendFormat.matchAll(/\{\{\s*(\w+)\s*\}\}/g)].map(([, label]) => label);
  if (left.length > 0) expect(left).toEqual(expect.arrayContaining(shown));
});
