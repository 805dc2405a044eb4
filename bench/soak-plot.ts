import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FOR_EVER, type Sample } from './soak-samples.ts';

const MB = 1_000_000;
const [WIDTH, PANEL, LEFT, RIGHT, TOP, GAP] = [900, 300, 60, 210, 40, 70];
const COLORS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#8a6d00', '#56b4e9', '#555555'];

interface Line {
  readonly name: string;
  readonly color: string;
  readonly dashed?: boolean;
  readonly values: readonly number[];
}

/** Bytes of what a file holds for ever, at each sample; between two counts of its tables as if it grew evenly. */
const forEverOf = (samples: readonly Sample[], file: string): number[] => {
  const counted = samples.flatMap(({ jobs, tables }, at) => {
    const sizes = tables?.[file];
    if (sizes === undefined) return [];
    const bytes = (FOR_EVER[file] ?? []).reduce((sum, table) => sum + (sizes[table] ?? 0), 0);
    return [{ at, jobs, bytes }];
  });
  return samples.map(({ jobs }, at) => {
    const before = counted.findLast((one) => one.at <= at);
    const after = counted.find((one) => one.at >= at);
    if (before === undefined || after === undefined) return (before ?? after)?.bytes ?? 0;
    const share = after.jobs === before.jobs ? 0 : (jobs - before.jobs) / (after.jobs - before.jobs);
    return before.bytes + share * (after.bytes - before.bytes);
  });
};

/** A round number, so that some four of them fill the axis. */
const tickOf = (max: number): number => {
  const power = 10 ** Math.floor(Math.log10(max / 4));
  return [1, 2, 5, 10].map((n) => n * power).find((step) => max / step <= 5) ?? max;
};

const ticksTo = (max: number): number[] => {
  const step = tickOf(max);
  return Array.from({ length: Math.floor(max / step) + 1 }, (_, n) => n * step);
};

const panel = (title: string, xs: readonly number[], lines: readonly Line[], top: number): string => {
  const maxX = Math.max(...xs, 1);
  const maxY = Math.max(...lines.flatMap(({ values }) => values), 1) * 1.05;
  const x = (value: number) => LEFT + (value / maxX) * (WIDTH - LEFT - RIGHT);
  const y = (value: number) => top + PANEL - (value / maxY) * PANEL;
  // Names stand where their lines end, but not on each other.
  const ends = lines.map((line) => ({ line, at: y(line.values.at(-1) ?? 0) })).sort((a, b) => b.at - a.at);
  let last = top + PANEL + 16;
  const names = ends.map(({ line, at }) => {
    last = Math.min(at + 4, last - 15);
    return `<text x="${WIDTH - RIGHT + 8}" y="${last.toFixed(1)}" fill="${line.color}">${line.name}</text>`;
  });
  const points = ({ values }: Line) =>
    values.map((value, at) => `${x(xs[at] as number).toFixed(1)},${y(value).toFixed(1)}`).join(' ');
  return [
    `<text x="${LEFT}" y="${top - 14}" font-weight="bold">${title}</text>`,
    ...ticksTo(maxY).map(
      (tick) =>
        `<path d="M${LEFT} ${y(tick).toFixed(1)}H${WIDTH - RIGHT}" stroke="#ddd"/><text x="${LEFT - 8}" y="${(y(tick) + 4).toFixed(1)}" text-anchor="end">${tick}</text>`,
    ),
    ...ticksTo(maxX).map(
      (tick) =>
        `<text x="${x(tick).toFixed(1)}" y="${top + PANEL + 18}" text-anchor="middle">${tick.toLocaleString('en')}</text>`,
    ),
    ...lines.map(
      (line) =>
        `<polyline points="${points(line)}" fill="none" stroke="${line.color}" stroke-width="1.5"${line.dashed ? ' stroke-dasharray="5 3"' : ''}/>`,
    ),
    ...names,
  ].join('\n');
};

/** What each process holds; those that are several have one line, of the largest. */
const memoryOf = (samples: readonly Sample[]): Line[] => {
  const groups = [
    ...new Set(samples.flatMap(({ rssMb }) => Object.keys(rssMb).map((name) => name.replace(/-\d+$/, '')))),
  ];
  const largest = ({ rssMb }: Sample, group: string) =>
    Math.max(
      0,
      ...Object.entries(rssMb)
        .filter(([name]) => name.replace(/-\d+$/, '') === group)
        .map(([, mb]) => mb),
    );
  return [
    ...groups.map((name, at) => ({
      name,
      color: COLORS[at % COLORS.length] as string,
      dashed: at >= COLORS.length,
      values: samples.map((sample) => largest(sample, name)),
    })),
    { name: 'Redis', color: '#000', values: samples.map(({ redis }) => redis.mb) },
  ];
};

const filesOf = (samples: readonly Sample[]): Line[] => {
  const names = Object.keys(samples.at(-1)?.files ?? {}).filter((name) => !name.endsWith('-wal'));
  const large = names.filter((name) => samples.some(({ files }) => (files[name] ?? 0) > 5 * MB));
  const lines = large.flatMap((name, at): Line[] => {
    const color = COLORS[at % COLORS.length] as string;
    const whole = samples.map(({ files }) => (files[name] ?? 0) / MB);
    const forEver = forEverOf(samples, name);
    const line = { name: name === 'redis' ? 'Redis, on disk' : name, color, values: whole };
    if (Math.max(...forEver) < MB) return [line];
    const rest = whole.map((mb, n) => mb - (forEver[n] as number) / MB);
    return [line, { name: `${name} less what stays`, color, dashed: true, values: rest }];
  });
  const logs = samples.map(
    ({ files }) =>
      Object.entries(files).reduce((sum, [name, bytes]) => sum + (name.endsWith('-wal') ? bytes : 0), 0) / MB,
  );
  return [...lines, { name: 'all logs (-wal)', color: '#000', values: logs }];
};

/** Bytes a job in the second half: of each file, and of what it holds for ever. */
const tableOf = (samples: readonly Sample[]): string => {
  const half = Math.floor(samples.length / 2);
  const [middle, end] = [samples[half] as Sample, samples.at(-1) as Sample];
  const jobs = Math.max(1, end.jobs - middle.jobs);
  const row = (name: string) => {
    const forEver = forEverOf(samples, name);
    const [before, after] = [middle.files[name] ?? 0, end.files[name] ?? 0];
    const stays = ((forEver.at(-1) as number) - (forEver[half] as number)) / jobs;
    const peak = Math.max(...samples.map(({ files }, at) => (files[name] ?? 0) - (forEver[at] as number)));
    return `| ${name} | ${(before / MB).toFixed(1)} | ${(after / MB).toFixed(1)} | ${stays.toFixed(0)} | ${(peak / MB).toFixed(1)} | ${((after - (forEver.at(-1) as number)) / MB).toFixed(1)} |`;
  };
  return [
    `${middle.jobs.toLocaleString('en')} to ${end.jobs.toLocaleString('en')} jobs`,
    '| file | MB at half | MB at the end | bytes a job that stay | highest MB without them | at the end |',
    '|---|---|---|---|---|---|',
    ...Object.keys(end.files)
      .filter((name) => !name.endsWith('-wal'))
      .map(row),
  ].join('\n');
};

/** Heap of the pages that were left open; between two looks as the first of them said. */
const pagesOf = (samples: readonly Sample[]): Line[] =>
  Object.keys(samples.find(({ pages }) => pages !== undefined)?.pages ?? {}).map((name, at) => {
    let last = 0;
    return {
      name,
      color: COLORS[at % COLORS.length] as string,
      values: samples.map(({ pages }) => {
        last = pages?.[name]?.heapMb ?? last;
        return last;
      }),
    };
  });

/** Each open page at some times: heap, nodes and listeners. */
const pagesTableOf = (samples: readonly Sample[]): string => {
  const looks = samples.filter(({ pages }) => pages !== undefined);
  const shown = [0.1, 0.25, 0.5, 0.75, 1].flatMap(
    (share) => looks[Math.ceil((looks.length - 1) * share)] ?? [],
  );
  return [
    `| open page: heap MB / nodes / listeners |${shown.map(({ seconds }) => ` minute ${(seconds / 60).toFixed(0)} |`).join('')}`,
    `|---|${'---|'.repeat(shown.length)}`,
    ...Object.keys(looks[0]?.pages ?? {}).map((name) => {
      const cells = shown.map(({ pages }) => {
        const page = pages?.[name];
        return ` ${page?.heapMb.toFixed(1)} / ${page?.nodes} / ${page?.listeners} |`;
      });
      return `| ${name} |${cells.join('')}`;
    }),
  ].join('\n');
};

/** Draws what the samples say, as `soak.svg`, and prints it as tables. */
export const drawSoak = (samples: readonly Sample[], folder: string): void => {
  const xs = samples.map(({ seconds }) => seconds / 60);
  const rate = samples.map(({ jobs }) => jobs / 1_000);
  const pages = pagesOf(samples);
  const height = TOP + (pages.length === 0 ? 3 : 4) * (PANEL + GAP);
  const svg = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">`,
    '<title>What a soak left behind: files, memory and jobs by minutes</title>',
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    panel('Files, MB, by minutes', xs, filesOf(samples), TOP),
    panel('Memory of each process, MB', xs, memoryOf(samples), TOP + PANEL + GAP),
    panel(
      'Jobs done, thousands',
      xs,
      [{ name: 'jobs', color: '#000', values: rate }],
      TOP + 2 * (PANEL + GAP),
    ),
    pages.length === 0
      ? ''
      : panel('Heap of pages left open, MB, after a collection', xs, pages, TOP + 3 * (PANEL + GAP)),
    '</svg>',
  ].join('\n');
  writeFileSync(join(folder, 'soak.svg'), `${svg}\n`);
  console.log(tableOf(samples));
  if (pages.length > 0) console.log(`\n${pagesTableOf(samples)}`);
};
