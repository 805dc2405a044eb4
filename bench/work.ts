import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connectRedis, createLog } from '@aitbc/chassis';
import type { Stack } from '../scripts/stack.ts';

// Work is counted, not timed: counts are the same on a busy machine.

/** Linux counts processor time in these. */
const TICKS_PER_SECOND = 100;
/** What begins and ends a transaction or a part of one. */
const CONTROL = /^(?:begin|commit|rollback|savepoint|release)$/;

/** Everything counted since the processes started. Names of services are keys of the maps. */
export interface Counted {
  /** By service, then by kind: `insert outbox`. */
  readonly statements: ReadonlyMap<string, ReadonlyMap<string, number>>;
  readonly messages: number;
  readonly requests: number;
  /** By name, those inside scripts too. */
  readonly redisCalls: ReadonlyMap<string, number>;
  readonly redisScripts: number;
  readonly redisBytesIn: number;
  /** Bytes that the kernel was given for disks, by process. */
  readonly diskBytes: ReadonlyMap<string, number>;
  /** Milliseconds of processor time, by process. */
  readonly cpuMs: ReadonlyMap<string, number>;
}

interface Sample {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly value: number;
}

const samplesOf = (text: string): Sample[] =>
  text.split('\n').flatMap((line) => {
    const found = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (found === null || line.startsWith('#')) return [];
    const labels = [...(found[2] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)];
    return [
      {
        name: found[1] as string,
        labels: new Map(labels.map(([, label, value]) => [label as string, value as string])),
        value: Number(found[3]),
      },
    ];
  });

const sum = (numbers: Iterable<number>): number => [...numbers].reduce((total, value) => total + value, 0);

/** A group of processes has one name: `dispatcher-1` and `dispatcher-2` are dispatchers. */
const groupOf = (process: string): string => process.replace(/-\d+$/, '');

/** Milliseconds of processor time that a process has used. */
export const cpuMsOf = (pid: number): number => {
  // The name in brackets may hold blanks; after it the fields are numbers. 14 and 15 of all are user and system time.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return ((Number(fields[11]) + Number(fields[12])) * 1_000) / TICKS_PER_SECOND;
};

const diskBytesOf = (pid: number): number =>
  Number(/^write_bytes: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1] ?? 0);

/**
 * @param stack runs on this machine
 * @returns what looks at its counts, and what lets go of it
 */
export const watchWork = async (stack: Stack) => {
  const redis = connectRedis(stack.broker.url, createLog('bench', 'silent'));
  if (redis.status !== 'ready') await once(redis, 'ready');
  const look = async (): Promise<Counted> => {
    const [text, commands, stats, server] = await Promise.all([
      fetch(`${stack.url}/metrics`).then((answer) => answer.text()),
      redis.info('commandstats'),
      redis.info('stats'),
      redis.info('server'),
    ]);
    const samples = samplesOf(text);
    const statements = new Map<string, Map<string, number>>();
    for (const { labels, value } of samples.filter(({ name }) => name === 'store_statements_total')) {
      const service = labels.get('service') as string;
      const kinds = statements.get(service) ?? new Map<string, number>();
      const kind = labels.get('kind') as string;
      // Of each process where a service has several.
      statements.set(service, kinds.set(kind, (kinds.get(kind) ?? 0) + value));
    }
    const calls = [...commands.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)].map(
      ([, command, n]) => [command as string, Number(n)] as const,
    );
    const pids = [
      ...stack.processes.flatMap(({ name, pid }) => (pid === undefined ? [] : [[name, pid] as const])),
      ['redis', Number(/^process_id:(\d+)/m.exec(server)?.[1])] as const,
    ];
    const byGroup = (read: (pid: number) => number): Map<string, number> => {
      const groups = new Map<string, number>();
      for (const [name, pid] of pids) {
        const group = groupOf(name);
        groups.set(group, (groups.get(group) ?? 0) + read(pid));
      }
      return groups;
    };
    const total = (metric: string): number =>
      sum(samples.filter(({ name }) => name === metric).map(({ value }) => value));
    return {
      statements,
      messages: total('inbox_messages_total'),
      requests: total('api_requests_total'),
      redisCalls: new Map(calls),
      redisScripts: sum(calls.filter(([name]) => /^(?:eval|evalsha|fcall)$/.test(name)).map(([, n]) => n)),
      redisBytesIn: Number(/^total_net_input_bytes:(\d+)/m.exec(stats)?.[1] ?? 0),
      diskBytes: byGroup(diskBytesOf),
      cpuMs: byGroup(cpuMsOf),
    };
  };
  return { look, close: () => redis.disconnect() };
};

const less = (
  after: ReadonlyMap<string, number>,
  before: ReadonlyMap<string, number> | undefined,
  jobs: number,
): Map<string, number> =>
  new Map([...after].map(([name, value]) => [name, (value - (before?.get(name) ?? 0)) / jobs]));

/** The same counts, of one job. */
export const perJob = (before: Counted, after: Counted, jobs: number) => {
  const byKind = new Map(
    [...after.statements].map(([service, kinds]) => [
      service,
      less(kinds, before.statements.get(service), jobs),
    ]),
  );
  const all = [...byKind.values()].flatMap((kinds) => [...kinds]);
  const redisCalls = less(after.redisCalls, before.redisCalls, jobs);
  return {
    byKind,
    statements: sum(all.filter(([kind]) => !CONTROL.test(kind)).map(([, n]) => n)),
    control: sum(all.filter(([kind]) => CONTROL.test(kind)).map(([, n]) => n)),
    commits: sum(all.filter(([kind]) => kind === 'commit').map(([, n]) => n)),
    messages: (after.messages - before.messages) / jobs,
    requests: (after.requests - before.requests) / jobs,
    redisCommands: sum(redisCalls.values()),
    redisCalls,
    redisScripts: (after.redisScripts - before.redisScripts) / jobs,
    redisBytesIn: (after.redisBytesIn - before.redisBytesIn) / jobs,
    diskBytes: less(after.diskBytes, before.diskBytes, jobs),
    cpuMs: less(after.cpuMs, before.cpuMs, jobs),
  };
};
export type WorkOfAJob = ReturnType<typeof perJob>;
