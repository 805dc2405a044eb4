import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { connect } from 'node:tls';
import { ConfigError, createLog, createServerTls, loadConfig } from '@aitbc/chassis';
import {
  builtOf,
  eventually,
  keepOutput,
  rememberSecret,
  scratchDirectory,
  scratchRedis,
  serviceEnv,
} from '@aitbc/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { configShape as gatewayShape } from '../services/gateway/src/config.ts';
import { startGateway } from '../services/gateway/src/service.ts';

// The way from the gateway to a service over TLS, with real processes and certificates made here.

const root = resolve(import.meta.dirname, '..');
const hasOpenssl = spawnSync('openssl', ['version']).status === 0;
const because = hasOpenssl ? '' : ' (skipped: no openssl here to make certificates with)';
const KEY = 'client-key-of-the-tls-tests';

const directory = scratchDirectory();
const file = (name: string): string => join(directory, name);
/** Makes NAME.pem and NAME.key; signed by `by`, or by itself. */
const certificate = (name: string, extension: string, by?: string): void => {
  const signer = by === undefined ? [] : ['-CA', file(`${by}.pem`), '-CAkey', file(`${by}.key`)];
  const made = spawnSync(
    'openssl',
    [
      ...[
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:prime256v1',
        '-nodes',
        '-days',
        '2',
      ],
      ...['-subj', `/CN=${name}`, '-addext', extension, ...signer],
      ...['-keyout', file(`${name}.key`), '-out', file(`${name}.pem`)],
    ],
    { encoding: 'utf8' },
  );
  if (made.status !== 0) throw new Error(made.stderr);
};
const bundle = (into: string, ...names: string[]): void =>
  writeFileSync(file(into), names.map((name) => readFileSync(file(`${name}.pem`), 'utf8')).join('\n'));

interface Started {
  readonly port: number;
  readonly child: ChildProcess;
  readonly said: string[];
}
const started: Started[] = [];
const spawned = (main: string, env: Record<string, string>) => {
  const child = spawn(process.execPath, [builtOf(join(root, main))], {
    env: { PATH: process.env.PATH, ...env, LOG_LEVEL: 'info' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  keepOutput(child);
  const said: string[] = [];
  for (const stream of [child.stdout, child.stderr])
    createInterface({ input: stream }).on('line', (line) => said.push(line));
  return { child, said };
};
const start = async (main: string, env: Record<string, string>): Promise<Started> => {
  const { child, said } = spawned(main, env);
  const port = await eventually(
    () => {
      if (child.exitCode !== null) throw new Error(said.join('\n'));
      return said
        .map((line) => /"url":"[^"]+:(\d+)","msg":"ready"/.exec(line)?.[1])
        .find((one) => one !== undefined);
    },
    { withinMs: 60_000 },
  );
  const one = { port: Number(port), child, said };
  started.push(one);
  return one;
};
const asked = (gateway: { port: number }, path: string) =>
  fetch(`http://127.0.0.1:${gateway.port}${path}`, { headers: { 'x-api-key': KEY } });
const MINERS = '/v1/miners';
const JOBS = '/v1/client/jobs';
const MARKET = '/v1/marketplace/gpu/list';
const PAYMENTS = '/v1/explorer/blocks';
const GOVERNANCE = '/v1/governance/parameters';

describe.skipIf(!hasOpenssl)(`TLS between gateway and services${because}`, { timeout: 120_000 }, () => {
  let service: Started;
  let plainUrl: string;
  /** Of another CA. */
  let strange: Server;
  let gatewayEnv: Record<string, string>;
  const plain = createServer((_request, response) => response.end('{}'));
  const serviceTls = {
    TLS_CERT: file('service.pem'),
    TLS_KEY: file('service.key'),
    TLS_CLIENT_CA: file('ca.pem'),
  };
  const trust = {
    SERVICES_CA: file('believed.pem'),
    SERVICES_CERT: file('gateway.pem'),
    SERVICES_KEY: file('gateway.key'),
  };

  beforeAll(async () => {
    rememberSecret(KEY);
    const isCa = 'keyUsage=keyCertSign';
    certificate('ca', isCa);
    certificate('other', isCa);
    certificate('service', 'subjectAltName=DNS:localhost', 'ca');
    certificate('renewed', 'subjectAltName=DNS:localhost', 'other');
    certificate('gateway', 'extendedKeyUsage=clientAuth', 'ca');
    certificate('stranger', 'extendedKeyUsage=clientAuth', 'other');
    bundle('believed.pem', 'ca');
    strange = createTlsServer({
      cert: readFileSync(file('renewed.pem')),
      key: readFileSync(file('renewed.key')),
    });
    for (const server of [plain, strange]) {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
    }
    plainUrl = `localhost:${(plain.address() as AddressInfo).port}`;
    const redis = await scratchRedis();
    service = await start('services/miners/src/main.ts', {
      ...serviceEnv('miners', scratchDirectory(), redis),
      ...serviceTls,
    });
    const right = `https://localhost:${service.port}`;
    gatewayEnv = {
      ...serviceEnv('gateway', scratchDirectory(), redis),
      API_HOST: '127.0.0.1',
      API_PORT: '0',
      CLIENT_API_KEYS: KEY,
      ...Object.fromEntries(
        ['JOBS', 'MINERS', 'MARKET', 'PAYMENTS', 'GOVERNANCE'].map((name) => [`${name}_URL`, right]),
      ),
    };
  }, 120_000);
  afterAll(async () => {
    for (const server of [plain, strange]) {
      server.close();
      server.closeAllConnections();
    }
    await Promise.all(
      started.map(async ({ child }) => {
        if (child.exitCode !== null) return;
        const gone = once(child, 'exit');
        child.kill();
        await gone;
      }),
    );
  });

  test('the right CA passes, and what is wrong with an address is 503 and named; a renewal needs no restart', async () => {
    const gateway = await start('services/gateway/src/main.ts', {
      ...gatewayEnv,
      ...trust,
      JOBS_URL: `https://127.0.0.1:${service.port}`,
      MARKET_URL: `http://localhost:${service.port}`,
      PAYMENTS_URL: `https://${plainUrl}`,
      GOVERNANCE_URL: `https://localhost:${(strange.address() as AddressInfo).port}`,
    });
    expect((await asked(gateway, MINERS)).status).toBe(200);
    for (const [path, why] of [
      [JOBS, 'does not name the host of its address'],
      [PAYMENTS, 'does not speak TLS'],
      [GOVERNANCE, 'see SERVICES_CA'],
    ] as const) {
      const answer = await asked(gateway, path);
      expect({ path, status: answer.status, retry: answer.headers.get('retry-after') }).toEqual({
        path,
        status: 503,
        retry: '1',
      });
      await eventually(() => {
        if (gateway.said.some((line) => line.includes(`a service cannot be asked: `) && line.includes(why)))
          return true;
        throw new Error(`nobody said "${why}": ${gateway.said.join('\n')}`);
      });
    }
    // The gateway sees a connection that breaks off; the service knows why.
    expect((await asked(gateway, MARKET)).status).toBe(502);
    await eventually(() =>
      service.said.some((line) => line.includes('plain HTTP came to a port that speaks TLS')),
    );
    const ready = await (await asked(gateway, '/health/ready')).json();
    expect(ready).toMatchObject({
      dependencies: {
        miners: { ok: true },
        jobs: { ok: false, message: expect.stringContaining('does not name the host') },
        payments: { ok: false, message: expect.stringContaining('does not speak TLS') },
      },
    });

    // What the gateway believes goes first, as whoever changes a CA does it.
    bundle('believed.pem', 'ca', 'other');
    for (const kind of ['pem', 'key']) copyFileSync(file(`renewed.${kind}`), file(`service.${kind}`));
    const shown = async (): Promise<string> => {
      const socket = connect({ host: 'localhost', port: service.port, rejectUnauthorized: false });
      await once(socket, 'secureConnect');
      const { CN } = socket.getPeerCertificate().subject;
      socket.destroy();
      return String(CN);
    };
    await eventually(async () => (await shown()) === 'renewed', { withinMs: 20_000 });
    await eventually(() => gateway.said.some((line) => line.includes('certificates were renewed')), {
      withinMs: 20_000,
    });
    expect((await asked(gateway, MINERS)).status).toBe(200);
  });

  test('a gateway that does not believe the CA, or has no certificate to show, is told so', async () => {
    certificate('service', 'subjectAltName=DNS:localhost', 'ca');
    bundle('both.pem', 'ca', 'other');
    const told = async (tls: Record<string, string>): Promise<{ status: number; ready: string }> => {
      const env = {
        ...gatewayEnv,
        ...serviceEnv('gateway', scratchDirectory(), gatewayEnv.REDIS_URL as string),
      };
      const gateway = await startGateway(loadConfig(gatewayShape, { ...env, ...tls }), () => {});
      const at = { port: Number(new URL(gateway.url).port) };
      const answer = await asked(at, MINERS);
      await answer.arrayBuffer();
      const ready = await (await asked(at, '/health/ready')).text();
      await gateway.stop();
      return { status: answer.status, ready };
    };
    const stranger = { SERVICES_CERT: file('stranger.pem'), SERVICES_KEY: file('stranger.key') };
    expect(await told({ ...trust, SERVICES_CA: file('stranger.pem') })).toEqual({
      status: 503,
      ready: expect.stringContaining('see SERVICES_CA'),
    });
    for (const tls of [{ SERVICES_CA: file('both.pem') }, { SERVICES_CA: file('both.pem'), ...stranger }])
      expect(await told(tls)).toEqual({
        status: 503,
        ready: expect.stringContaining('set SERVICES_CERT and SERVICES_KEY'),
      });
    await eventually(() =>
      service.said.some((line) =>
        line.includes('a caller without a certificate of TLS_CLIENT_CA was refused'),
      ),
    );
  });

  test('the health check of the image asks a service that speaks TLS, and one that does not', async () => {
    const text = readFileSync(join(root, 'Dockerfile'), 'utf8');
    const [, command] = /HEALTHCHECK [\s\S]*?CMD (\[.*\])/.exec(text) ?? [];
    const [, ...args] = JSON.parse(command as string) as string[];
    const check = async (env: Record<string, string>) => {
      const child = spawn(process.execPath, args, { env, stdio: 'ignore', timeout: 30_000 });
      const [code] = await once(child, 'exit');
      return code;
    };
    const ports = { tls: String(service.port), plain: plainUrl.split(':')[1] as string };
    expect(await check({ PORT: ports.tls, ...serviceTls })).toBe(0);
    expect(await check({ PORT: ports.tls })).toBe(1);
    expect(await check({ PORT: ports.plain })).toBe(0);
  });

  test('files that cannot be used are named at start', async () => {
    writeFileSync(file('garbage.pem'), 'no certificate');
    const log = createLog('test', 'silent');
    const good = { TLS_CERT: file('gateway.pem'), TLS_KEY: file('gateway.key') };
    for (const [changes, message] of [
      [{ TLS_KEY: undefined }, 'TLS_CERT, TLS_KEY: give both or none'],
      [{ TLS_CERT: '/nowhere/cert.pem' }, 'TLS_CERT: /nowhere/cert.pem: ENOENT'],
      [{ TLS_CERT: file('garbage.pem') }, 'garbage.pem: is not in PEM'],
      [{ TLS_KEY: file('garbage.pem') }, 'garbage.pem: is not in PEM'],
      [{ TLS_KEY: file('stranger.key') }, 'is not the key of TLS_CERT'],
      [{ TLS_CLIENT_CA: file('garbage.pem') }, 'garbage.pem: holds no certificate in PEM'],
      [
        { TLS_CERT: undefined, TLS_KEY: undefined, TLS_CLIENT_CA: file('ca.pem') },
        'TLS_CLIENT_CA: needs TLS_CERT',
      ],
    ] as const) {
      expect(() => createServerTls({ ...good, ...changes }, log)).toThrow(ConfigError);
      expect(() => createServerTls({ ...good, ...changes }, log)).toThrow(message);
    }
    expect(createServerTls(good, log)?.pem).toBeDefined();
    const { child, said } = spawned('services/gateway/src/main.ts', {
      ...gatewayEnv,
      SERVICES_CA: file('garbage.pem'),
    });
    await once(child, 'exit');
    expect(child.exitCode).toBe(2);
    expect(said.join('\n')).toContain('SERVICES_CA');
  });
});
