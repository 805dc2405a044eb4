import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { postgresProblem, schemaUrl } from '../libs/chassis/src/index.ts';
import { type Broker, findBroker } from '../libs/testing/src/broker.ts';
import { builtOf } from '../libs/testing/src/built.ts';
import { freePort, isPortFree } from '../libs/testing/src/ports.ts';
import { bundleServices } from './bundle.ts';
import { holdDataDir } from './data-lock.ts';
import { devSecrets, type Keys } from './dev-secrets.ts';
import { drainOnSignals, type Log, type ProcessSpec, type ProcessStatus, supervise } from './supervisor.ts';

export type StackOptions = {
  dataDir: string;
  /** Missing: `API_PORT`, else 8000 or, if that is taken, a free one. 0: every port is a free one. */
  apiPort?: number;
  apiHost?: string;
  /** Goes to every process, over what this process was given. */
  extraEnv?: NodeJS.ProcessEnv;
  dispatchers?: number;
  /** Processes of a service; more than one share its schema on PostgreSQL, and the gateway goes to all. */
  processesOf?: Partial<Record<(typeof services)[number], number>>;
  /** Those beyond the first share its file and listen on free ports. */
  gateways?: number;
  demoMiner?: boolean;
  /** Drain and exit on Ctrl-C and SIGTERM, from the first moment on. */
  exitOnSignals?: boolean;
  log: Log;
};

export type Stack = {
  readonly url: string;
  /** Of every gateway, `url` first. */
  readonly urls: readonly string[];
  /** In production the first that the environment names, which may be none. */
  readonly keys: Partial<Keys>;
  readonly broker: Broker;
  /** Where the rows are, without a password: a folder of files, or a database. */
  readonly rows: string;
  readonly processes: readonly ProcessStatus[];
  kill(name: string, signal?: NodeJS.Signals): void;
  stop(): Promise<void>;
  killAll(): void;
};

/** Something that the person who started it can put right; the message says how. */
export class CannotStart extends Error {
  readonly exitCode: number;
  constructor(message: string, exitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

const root = resolve(import.meta.dirname, '..');
const services = ['jobs', 'miners', 'market', 'payments', 'governance'] as const;
const keyLists = ['API_KEYS', 'CLIENT_API_KEYS', 'MINER_API_KEYS', 'ADMIN_API_KEYS'] as const;
const neededInProduction = ['SECRET_KEY', 'RECEIPT_SIGNING_KEY', 'ADMIN_API_KEYS'] as const;
const firstPort = { gateway: 8000, service: 8101, dispatcher: 8111, webhooks: 8121 };

/** Starts the whole coordinator as processes of this machine and waits until it answers. */
export async function startStack(options: StackOptions): Promise<Stack> {
  const { log, dispatchers = 2, gateways = 1, demoMiner = true } = options;
  const dataDir = resolve(options.dataDir);
  const outer = { ...process.env, ...options.extraEnv };
  const { secrets, keys, keyEnv } = settleSecrets(outer, dataDir);
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const unlock = await holdDataDir(dataDir);
  if (!unlock)
    throw new CannotStart(`a coordinator is running on ${dataDir} already: end it, or use --data-dir`);

  let broker: Broker | undefined;
  try {
    await bundleServices((line) => log(line, 'services'));
    const rows = await settleRows(outer, dataDir);
    const { apiHost, apiPort } = await gatewayAddress(options, outer, log);
    const scheme = outer.TLS_CERT ? 'https' : 'http';
    const reached = apiHost === '0.0.0.0' || apiHost === '::' ? '127.0.0.1' : apiHost;
    const url = `${scheme}://${reached}:${apiPort}`;
    const urls = [url];

    broker = await findBroker({
      dataDir,
      log: (line) => log(line, 'broker'),
      env: outer,
      // New at each start, and known to nobody but the processes below.
      password: randomBytes(24).toString('hex'),
    }).catch((error) => {
      throw new CannotStart(error.message);
    });
    const { banner } = broker;
    log(`ready: ${broker.kind}`, 'broker');
    if (banner) log(banner, 'broker');

    const shared: NodeJS.ProcessEnv = {
      NODE_ENV: 'development',
      LOG_LEVEL: 'info',
      ...without(outer, [...keyLists, 'POSTGRES_URL']),
      ...secrets,
      REDIS_URL: broker.url,
    };
    const choose = portChooser(options.apiPort !== 0, apiPort);
    const processesOf = options.processesOf ?? {};
    const inside = await insideProcesses(shared, rows, { dispatchers, processesOf }, choose);
    const addresses = services.map((name) => [
      `${name.toUpperCase()}_URL`,
      processNames(name, processesOf[name])
        .map((process) => inside.get(process)?.url)
        .join(','),
    ]);
    const gateway = (name: string, port: number): ProcessSpec => ({
      name,
      group: 'gateway',
      argv: [entry('services/gateway')],
      env: {
        ...shared,
        ...keyEnv,
        ...Object.fromEntries(addresses),
        ...rows.of('gateway'),
        API_HOST: apiHost,
        API_PORT: String(port),
      },
    });

    const specs = [...[...inside.values()].map(({ spec }) => spec), gateway('gateway', apiPort)];
    const supervisor = supervise(specs, { log });
    const ours = broker;
    const stop = async () => {
      await supervisor.stop();
      await ours.stop();
      unlock();
    };
    const killAll = () => {
      supervisor.killAll();
      const { pid } = ours;
      void ours.stop();
      if (pid) process.kill(pid, 'SIGKILL');
      unlock();
    };
    if (options.exitOnSignals) drainOnSignals({ stop, killAll }, log);

    try {
      const since = performance.now();
      const ready = async (name: string, address: string) => {
        await supervisor.waitHealthy(name, address);
        log(`ready after ${((performance.now() - since) / 1_000).toFixed(1)} s`, name);
      };
      await Promise.all([...inside].map(([name, process]) => ready(name, `${process.url}/health`)));
      await ready('gateway', `${url}/health/ready`);
      // After the first, which brings their file up to date.
      for (let number = 2; number <= gateways; number++) {
        const [name, port] = [`gateway-${number}`, await choose(0)];
        supervisor.start(gateway(name, port));
        urls.push(`${scheme}://${reached}:${port}`);
        await ready(name, `${urls.at(-1)}/health/ready`);
      }
    } catch (error) {
      await stop();
      throw new CannotStart((error as Error).message);
    }

    if (demoMiner && keys.miner) {
      const argv = [entry('clients/miner'), '--coordinator', url, '--drain-seconds', '8'];
      // It stands for somebody else's machine, so it is told no secret of ours.
      const env = { ...without(shared, [...Object.keys(secrets), 'REDIS_URL']), AITBC_MINER_KEY: keys.miner };
      supervisor.start({ name: 'miner', group: 'clients', argv, env });
    }
    return {
      url,
      urls,
      keys,
      broker,
      rows: rows.name,
      get processes() {
        return supervisor.processes;
      },
      kill(name, signal = 'SIGTERM') {
        if (name !== 'broker') supervisor.kill(name, signal);
        else if (ours.pid) process.kill(ours.pid, signal);
      },
      stop,
      killAll,
    };
  } catch (error) {
    await broker?.stop();
    unlock();
    throw error;
  }
}

/** Where each service keeps its rows. */
interface Rows {
  readonly name: string;
  of(service: string): { DATABASE_URL: string };
}

/** A server that services cannot stand on is named here, once, and not by six processes. */
async function settleRows({ POSTGRES_URL: server }: NodeJS.ProcessEnv, dataDir: string): Promise<Rows> {
  if (!server)
    return {
      name: dataDir,
      of: (service) => ({ DATABASE_URL: `sqlite:///${join(dataDir, `${service}.db`)}` }),
    };
  try {
    const problem = await postgresProblem(schemaUrl(server, 'gateway'), 'gateway');
    if (problem !== null) throw new Error(problem);
  } catch (error) {
    throw new CannotStart(`POSTGRES_URL: ${(error as Error).message}`, 2);
  }
  const { host, pathname } = new URL(server);
  return {
    name: `postgres://${host}${pathname}`,
    of: (service) => ({ DATABASE_URL: schemaUrl(server, service) }),
  };
}

function settleSecrets(env: NodeJS.ProcessEnv, dataDir: string) {
  const production = env.NODE_ENV === 'production';
  const missing = neededInProduction.filter((name) => !env[name]);
  if (production && missing.length > 0)
    throw new CannotStart(
      `NODE_ENV=production and no value for ${missing.join(', ')}. Nothing secret is made up in production: ` +
        'set them and start again (.env.example says how to make each).',
      2,
    );
  const made = production ? undefined : devSecrets(dataDir);
  const list = (name: string, ...ours: (string | undefined)[]) => {
    const given = (env[name] ?? '').split(',').map((key) => key.trim());
    return [...given, ...ours].filter((key): key is string => Boolean(key));
  };
  const clients = list('CLIENT_API_KEYS', made?.keys.client, made?.keys.client2);
  const miners = list('MINER_API_KEYS', made?.keys.miner);
  const admins = list('ADMIN_API_KEYS', made?.keys.admin);
  const [client, client2] = [...clients, ...list('API_KEYS')];
  const [miner] = [...miners, ...list('API_KEYS')];
  const [admin] = admins;
  const named = Object.entries({ client, client2, miner, admin }).filter(([, key]) => key !== undefined);
  return {
    keys: Object.fromEntries(named) as Partial<Keys>,
    keyEnv: {
      ...(env.API_KEYS ? { API_KEYS: env.API_KEYS } : {}),
      CLIENT_API_KEYS: clients.join(','),
      MINER_API_KEYS: miners.join(','),
      ADMIN_API_KEYS: admins.join(','),
    },
    secrets: {
      SECRET_KEY: env.SECRET_KEY || made?.SECRET_KEY,
      RECEIPT_SIGNING_KEY: env.RECEIPT_SIGNING_KEY || made?.RECEIPT_SIGNING_KEY,
    },
  };
}

async function gatewayAddress(options: StackOptions, env: NodeJS.ProcessEnv, log: Log) {
  const apiHost = options.apiHost ?? env.API_HOST ?? '0.0.0.0';
  const asked = options.apiPort ?? (env.API_PORT ? Number(env.API_PORT) : undefined);
  if (asked === 0) return { apiHost, apiPort: await freePort([], apiHost) };
  if (asked === undefined) {
    const apiPort = await freePort([firstPort.gateway], apiHost);
    if (apiPort !== firstPort.gateway) log(`port ${firstPort.gateway} is taken, using ${apiPort}`, 'gateway');
    return { apiHost, apiPort };
  }
  if (!Number.isInteger(asked) || asked < 0 || asked > 65_535)
    throw new CannotStart(`${env.API_PORT ?? asked} is not a port number`);
  if (!(await isPortFree(asked, apiHost)))
    throw new CannotStart(
      `port ${asked} is taken: choose another (--port or API_PORT), or end what listens there`,
    );
  return { apiHost, apiPort: asked };
}

/** Preferred ports are the documented ones; without preference several stacks can start side by side. */
function portChooser(prefer: boolean, taken: number): (preferred: number) => Promise<number> {
  const given = new Set([taken]);
  return async (preferred) => {
    let port = await freePort(prefer && !given.has(preferred) ? [preferred] : []);
    while (given.has(port)) port = await freePort();
    given.add(port);
    return port;
  };
}

type Inside = Map<string, { url: string; spec: ProcessSpec }>;

const processNames = (service: string, count = 1): string[] =>
  Array.from({ length: count }, (_, index) => (index === 0 ? service : `${service}-${index + 1}`));

async function insideProcesses(
  env: NodeJS.ProcessEnv,
  rows: Rows,
  { dispatchers, processesOf }: Required<Pick<StackOptions, 'dispatchers' | 'processesOf'>>,
  choose: (preferred: number) => Promise<number>,
): Promise<Inside> {
  const all: Inside = new Map();
  const add = async (name: string, script: string, preferred: number, more: NodeJS.ProcessEnv) => {
    const port = await choose(preferred);
    const own = { ...env, HOST: '127.0.0.1', PORT: String(port), ...more };
    all.set(name, {
      url: `http://127.0.0.1:${port}`,
      spec: { name, group: 'services', argv: [script], env: own },
    });
  };
  for (const [index, name] of services.entries()) {
    for (const [place, process] of processNames(name, processesOf[name]).entries())
      await add(
        process,
        entry(`services/${name}`),
        place === 0 ? firstPort.service + index : 0,
        rows.of(name),
      );
  }
  for (let index = 0; index < dispatchers; index++)
    await add(
      `dispatcher-${index + 1}`,
      entry('services/jobs', 'dispatcher/main.ts'),
      firstPort.dispatcher + index,
      {},
    );
  await add('webhooks', entry('services/gateway', 'webhooks/worker/main.ts'), firstPort.webhooks, {});
  return all;
}

const entry = (folder: string, file = 'main.ts') => builtOf(join(root, folder, 'src', file));

function without(env: NodeJS.ProcessEnv, names: readonly string[]): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !names.includes(name)));
}
