import type { MetricTexts } from './services.ts';

/** Kept per process by prom-client itself, and counted at the door: the services' own would count twice. */
const OWN = /^(?:process_|nodejs_|api_requests_total|api_request_duration_seconds)/;

interface Family {
  readonly head: string[];
  readonly samples: string[];
}

/** Groups the lines of Prometheus text by metric; a name's HELP and TYPE may stand in the whole only once. */
const collect = (text: string, into: Map<string, Family>, keep: (name: string) => boolean): void => {
  let family: Family | undefined;
  for (const line of text.split('\n')) {
    if (line.startsWith('# HELP ')) {
      const name = line.split(' ', 3)[2] as string;
      family = keep(name) ? (into.get(name) ?? { head: [], samples: [] }) : undefined;
      if (family === undefined) continue;
      into.set(name, family);
      if (family.head.length === 0) family.head.push(line);
    } else if (line.startsWith('# TYPE ')) {
      if (family !== undefined && family.head.length === 1) family.head.push(line);
    } else if (line !== '') family?.samples.push(line);
  }
};

/** With which process says so, where a service has several: else two samples would have one name. */
const labelled = (text: string, process: string): string =>
  text
    .split('\n')
    .map((line) => {
      if (line === '' || line.startsWith('#')) return line;
      const label = `process="${process}"`;
      const brace = line.indexOf('{');
      if (brace !== -1) return `${line.slice(0, brace)}{${label},${line.slice(brace + 1)}`;
      const space = line.indexOf(' ');
      return `${line.slice(0, space)}{${label}}${line.slice(space)}`;
    })
    .join('\n');

/** The metrics of the whole coordinator: ours, and of the services what is theirs alone. */
export const mergeMetrics = (own: string, services: MetricTexts): string => {
  const families = new Map<string, Family>();
  collect(own, families, () => true);
  for (const texts of services.values()) {
    for (const { process, text } of texts)
      collect(texts.length > 1 ? labelled(text, process) : text, families, (name) => !OWN.test(name));
  }
  return [...families.values()]
    .flatMap(({ head, samples }) => [...head, ...samples])
    .join('\n')
    .concat('\n');
};

/** The sum of a metric over all its samples in one text, or null when it is not in it. */
const sumIn = (text: string, name: string, labels: Record<string, string>): number | null => {
  let sum: number | null = null;
  for (const line of text.split('\n')) {
    if (!line.startsWith(name) || !/[{ ]/.test(line[name.length] ?? '')) continue;
    if (Object.entries(labels).some(([label, value]) => !line.includes(`${label}="${value}"`))) continue;
    sum = (sum ?? 0) + Number(line.slice(line.lastIndexOf(' ') + 1));
  }
  return sum;
};

/**
 * A metric of the whole coordinator, or null when nobody reports it.
 * @param options.of processes of a service that share their rows say the `same`; of what each has alone, `each` counts
 */
export const readMetric = (
  services: MetricTexts,
  name: string,
  options: { labels?: Record<string, string>; of?: 'same' | 'each' } = {},
): number | null => {
  const { labels = {}, of = 'same' } = options;
  let total: number | null = null;
  for (const texts of services.values()) {
    const known = texts.map(({ text }) => sumIn(text, name, labels)).filter((value) => value !== null);
    if (known.length === 0) continue;
    const value = of === 'same' ? Math.max(...known) : known.reduce((sum, one) => sum + one, 0);
    total = (total ?? 0) + value;
  }
  return total;
};
