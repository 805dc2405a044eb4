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

/** The metrics of the whole coordinator: ours, and of the services what is theirs alone. */
export const mergeMetrics = (own: string, services: readonly string[]): string => {
  const families = new Map<string, Family>();
  collect(own, families, () => true);
  for (const text of services) collect(text, families, (name) => !OWN.test(name));
  return [...families.values()]
    .flatMap(({ head, samples }) => [...head, ...samples])
    .join('\n')
    .concat('\n');
};

/** The sum of a metric over all its samples, or null when nobody reports it. */
export const readMetric = (
  texts: readonly string[],
  name: string,
  labels: Record<string, string> = {},
): number | null => {
  let sum: number | null = null;
  for (const line of texts.join('\n').split('\n')) {
    if (!line.startsWith(name) || !/[{ ]/.test(line[name.length] ?? '')) continue;
    if (Object.entries(labels).some(([label, value]) => !line.includes(`${label}="${value}"`))) continue;
    sum = (sum ?? 0) + Number(line.slice(line.lastIndexOf(' ') + 1));
  }
  return sum;
};
