import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { endWithUs } from './broker.ts';
import { eventually } from './eventually.ts';
import { freePort } from './ports.ts';
import { postgresPrograms } from './postgres-programs.ts';
import { rememberSecret, scratchDirectory } from './scratch.ts';

const SUPERUSER = 'postgres';

/** PostgreSQL refuses to run as root: then it runs as the user of its package, or as nobody. */
const findUser = (): { uid: number; gid: number } | null => {
  if (process.getuid?.() !== 0) return null;
  for (const name of ['postgres', 'nobody']) {
    const [uid, gid] = ['-u', '-g'].map((flag) => spawnSync('id', [flag, name], { encoding: 'utf8' }));
    if (uid?.status === 0 && gid?.status === 0) return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
  }
  return null;
};

/** A server that a test may kill: its process and files are its own. */
export interface PostgresServer {
  readonly port: number;
  /** An empty database. @returns its URL, with the right to do everything in it. */
  database(options?: { encoding?: string }): Promise<string>;
  /** Runs statements as the one who may do everything. @returns the rows of the last */
  sql(text: string, database?: string): Promise<Record<string, unknown>[]>;
  /** `SIGKILL` to the server and all of its processes, as a power cut; `SIGINT` ends it in order, with its clients. */
  kill(signal?: 'SIGKILL' | 'SIGINT'): Promise<void>;
  /** On the same port, with what its files hold. */
  start(): Promise<void>;
  /** Ends it for good; nothing is left, or the files of its tables alone. */
  stop(options?: { keepsTablesIn?: string }): Promise<void>;
}

/**
 * For many stores, one after the other: connections for whole coordinators side by side, and nothing that begins to
 * work by itself while another test measures.
 */
const FOR_MANY = ['max_connections=400', 'autovacuum=off', 'checkpoint_timeout=1h', 'max_wal_size=2GB'];

/**
 * A server on a free port with an empty folder. Its promises are those of a real one: fsync is on.
 * @param options.isShared serves the stores of a whole run, rather than one test that does with it what it likes
 */
export const startPostgres = async (options: { isShared?: boolean } = {}): Promise<PostgresServer> => {
  const programs = postgresPrograms;
  if (programs === null) throw new Error('PostgreSQL is not installed');
  const user = findUser();
  const password = rememberSecret(randomBytes(12).toString('hex'));
  // Not within the folder of the run, which nobody but us may enter.
  const folder = mkdtempSync('/tmp/aitbc-postgres-');
  const data = join(folder, 'data');
  const passwordFile = join(folder, 'password');
  mkdirSync(data, { mode: 0o700 });
  writeFileSync(passwordFile, password, { mode: 0o600 });
  if (user !== null) for (const path of [folder, data, passwordFile]) chownSync(path, user.uid, user.gid);
  else chmodSync(folder, 0o700);
  const log = join(scratchDirectory(), 'postgres.log');
  const port = await freePort();

  const made = spawnSync(
    join(programs, 'initdb'),
    [
      '-D',
      data,
      '-U',
      SUPERUSER,
      '-A',
      'scram-sha-256',
      '--pwfile',
      passwordFile,
      '-E',
      'UTF8',
      '--locale=C',
      '-N',
    ],
    { encoding: 'utf8', cwd: '/', ...(user ?? {}) },
  );
  if (made.status !== 0) throw new Error(`initdb: ${made.stdout}${made.stderr}`);

  const urlOf = (database: string) => `postgres://${SUPERUSER}:${password}@127.0.0.1:${port}/${database}`;
  const sql = async (text: string, database = 'postgres'): Promise<Record<string, unknown>[]> => {
    const client = new pg.Client({ connectionString: urlOf(database) });
    client.on('error', () => {});
    await client.connect();
    try {
      const result = await client.query(text);
      return (Array.isArray(result) ? result.at(-1) : result).rows;
    } finally {
      await client.end();
    }
  };

  let child: ChildProcess | undefined;
  const settings = [
    'listen_addresses=127.0.0.1',
    'unix_socket_directories=',
    `port=${port}`,
    'shared_buffers=32MB',
    ...(options.isShared === true ? FOR_MANY : []),
  ];
  const start = async (): Promise<void> => {
    const output = openSync(log, 'a');
    const started = spawn(
      join(programs, 'postgres'),
      ['-D', data, ...settings.flatMap((setting) => ['-c', setting])],
      // A group of its own, so that all of it can be killed at once.
      { stdio: ['ignore', output, output], detached: true, cwd: '/', ...(user ?? {}) },
    );
    closeSync(output);
    child = started;
    const farewell = `kill -KILL -- -${started.pid}; rm -rf ${folder}`;
    const release = endWithUs(['sh', '-c', farewell]);
    started.once('exit', release);
    await eventually(
      async () => {
        if (started.exitCode !== null)
          throw new Error(`PostgreSQL ended: ${readFileSync(log, 'utf8').slice(-500)}`);
        return (await sql('SELECT 1')).length === 1;
      },
      // A second by itself; tens of them after a crash where every core is wanted by others.
      { withinMs: 60_000, everyMs: 50 },
    );
  };
  await start();

  const kill = async (signal: 'SIGKILL' | 'SIGINT' = 'SIGKILL'): Promise<void> => {
    const leaving = child;
    if (leaving?.pid === undefined) return;
    const gone = once(leaving, 'exit');
    if (signal === 'SIGKILL') process.kill(-leaving.pid, signal);
    else leaving.kill(signal);
    await gone;
    child = undefined;
  };
  const stop: PostgresServer['stop'] = async ({ keepsTablesIn } = {}) => {
    if (keepsTablesIn === undefined) await kill();
    else {
      // In order, so that its files hold all that was written. Nobody starts it again, so nothing has to be on the disk.
      await sql('ALTER SYSTEM SET fsync TO off');
      await sql('SELECT pg_reload_conf()');
      await kill('SIGINT');
      spawnSync('mv', [join(data, 'base'), keepsTablesIn]);
    }
    rmSync(folder, { recursive: true, force: true });
  };

  let databases = 0;
  return {
    port,
    sql,
    database: async ({ encoding = 'UTF8' } = {}) => {
      databases += 1;
      const name = `test_${databases}`;
      await sql(`CREATE DATABASE ${name} TEMPLATE template0 ENCODING '${encoding}' LOCALE 'C'`);
      return urlOf(name);
    },
    kill,
    start,
    stop,
  };
};
