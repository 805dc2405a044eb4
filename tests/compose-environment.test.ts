import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { ConfigError, databaseUrl, loadConfig } from '@aitbc/chassis';
import { describe, expect, test } from 'vitest';
import { configShape as gateway } from '../services/gateway/src/config.ts';
import { configShape as governance } from '../services/governance/src/config.ts';
import { configShape as jobs } from '../services/jobs/src/config.ts';
import { configShape as market } from '../services/market/src/config.ts';
import { configShape as miners } from '../services/miners/src/config.ts';
import { configShape as payments } from '../services/payments/src/config.ts';

// What a container is told, found out without Docker: compose's own substitution, and the two ways of its file in
// which an environment is written.

const root = resolve(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

type Env = Record<string, string>;

/** `${NAME}` and `${NAME:-otherwise}`: empty counts as missing. */
const substitute = (text: string, env: Env): string =>
  text.replace(
    /\$\{(\w+)(?::-([^}]*))?\}/g,
    (_whole, name: string, otherwise = '') => env[name] || otherwise,
  );

/** The lines below `head`, as far as they are indented deeper. */
const blockOf = (lines: readonly string[], head: RegExp): string[] => {
  const at = lines.findIndex((line) => head.test(line));
  if (at === -1) return [];
  const depth = (line: string) => line.length - line.trimStart().length;
  const below = lines.slice(at + 1);
  const end = below.findIndex((line) => line.trim() !== '' && depth(line) <= depth(lines[at] as string));
  return below.slice(0, end === -1 ? undefined : end);
};

const pairs = (lines: readonly string[], separator: RegExp, env: Env): Env =>
  Object.fromEntries(
    lines.flatMap((line) => {
      const found = separator.exec(line);
      return found === null ? [] : [[found[1] as string, substitute(found[2] as string, env)]];
    }),
  );

/** The environment of one container, given what stands in .env. */
const environmentOf = (service: string, env: Env): Env => {
  const lines = read('docker-compose.yml').split('\n');
  const block = blockOf(lines, new RegExp(`^  ${service}:$`));
  const own = blockOf(block, /^ {4}environment:$/);
  const shared = own.some((line) => line.includes('<<: *environment'))
    ? blockOf(lines, /^x-environment:/)
    : [];
  const file = /env_file: \["([^"]+)"\]/.exec(block.join('\n'))?.[1];
  const YAML = /^\s+([A-Z_0-9]+): (.*)$/;
  return {
    ...(file === undefined ? {} : pairs(read(substitute(file, env)).split('\n'), /^([A-Z_0-9]+)=(.*)$/, env)),
    ...pairs(shared, YAML, env),
    ...pairs(own, YAML, env),
  };
};

/** The same under docker-compose.postgres.yml, which says the same to each service. */
const onPostgres = (service: string, env: Env): Env => {
  const lines = read('docker-compose.postgres.yml').split('\n');
  expect(blockOf(lines, new RegExp(`^  ${service}:$`))[0]).toBe('    <<: *on-postgres');
  const changed = blockOf(blockOf(lines, /^x-on-postgres:/), /^ {2}environment:$/);
  return { ...environmentOf(service, env), ...pairs(changed, /^\s+([A-Z_0-9]+): "?([^"]*)"?$/, env) };
};

const PRODUCTION: Env = {
  NODE_ENV: 'production',
  SECRET_KEY: 'a-secret-of-this-test-0123456789abcdef',
  REDIS_PASSWORD: 'a-password-of-this-test',
  ADMIN_API_KEYS: 'an-admin-key-of-this-test',
  PUBLIC_URL: 'https://api.example.org',
};
const KNOWN = /development-only|known_to_everybody|ak_dev_/;

describe('compose tells its containers', () => {
  test('without a .env, the keys that everybody knows', () => {
    const config = loadConfig(gateway, environmentOf('gateway', {}));
    expect(config).toMatchObject({
      NODE_ENV: 'development',
      CLIENT_API_KEYS: ['ak_dev_client_known_to_everybody'],
      MINER_API_KEYS: ['ak_dev_miner_known_to_everybody'],
      ADMIN_API_KEYS: ['ak_dev_admin_known_to_everybody'],
      JOBS_URL: ['http://jobs:8080'],
    });
    expect(environmentOf('miner', {})).toEqual({ AITBC_MINER_KEY: 'ak_dev_miner_known_to_everybody' });
  });

  test('in production, no key but those of .env, and where people reach it', () => {
    const environment = environmentOf('gateway', PRODUCTION);
    expect(Object.entries(environment).filter(([, value]) => KNOWN.test(value))).toEqual([]);
    expect(loadConfig(gateway, environment)).toMatchObject({
      NODE_ENV: 'production',
      API_KEYS: [],
      CLIENT_API_KEYS: [],
      MINER_API_KEYS: [],
      ADMIN_API_KEYS: ['an-admin-key-of-this-test'],
      PUBLIC_URL: 'https://api.example.org',
    });
    expect(environmentOf('miner', PRODUCTION)).toEqual({ AITBC_MINER_KEY: '' });
  });

  test.each([
    ['SECRET_KEY', 'SECRET_KEY'],
    ['REDIS_PASSWORD', 'REDIS_URL'],
  ])('in production without %s, what is refused by the name %s', (missing, name) => {
    for (const [service, shape] of Object.entries({ gateway, jobs })) {
      const environment = environmentOf(service, { ...PRODUCTION, [missing]: '' });
      expect(() => loadConfig(shape as typeof gateway, environment)).toThrow(ConfigError);
      expect(() => loadConfig(shape as typeof gateway, environment)).toThrow(
        `  ${name}: holds a key or secret`,
      );
    }
  });

  test('with PostgreSQL, where that is and no file; in production with a password of its own', () => {
    for (const [service, shape] of Object.entries({ gateway, jobs, miners, market, payments, governance })) {
      const load = (env: Env) => loadConfig(shape as typeof gateway, onPostgres(service, env));
      const config = load({ ...PRODUCTION, POSTGRES_PASSWORD: 'of-this-test' });
      expect(config.DATABASE_URL).toBeUndefined();
      expect(databaseUrl(config, service)).toBe(
        `postgres://aitbc:of-this-test@postgres:5432/aitbc?schema=${service}`,
      );
      expect(load({}).POSTGRES_URL).toContain('development-only');
      expect(() => load(PRODUCTION)).toThrow('  POSTGRES_URL: ');
    }
  });

  test('every setting of the gateway that an operator has to give', () => {
    const passed = environmentOf('gateway', {});
    const tls = ['TLS_CERT', 'TLS_KEY', 'SERVICES_CA', 'SERVICES_CERT', 'SERVICES_KEY'];
    const inside = ['HOST', 'CONSOLE_DIR', ...tls, 'POSTGRES_URL'];
    expect(Object.keys(gateway).filter((name) => !(name in passed) && !inside.includes(name))).toEqual([]);
  });
});

describe('a process in production refuses by name what everybody knows', () => {
  test.each([
    ['ADMIN_API_KEYS', 'ak_dev_admin_known_to_everybody'],
    ['CLIENT_API_KEYS', 'a-good-key-of-this-test, ak_dev_client_known_to_everybody'],
    ['MINER_API_KEYS', `ak_dev_${'x'.repeat(43)}`],
    ['API_KEYS', 'ak_dev_client_known_to_everybody'],
    ['SECRET_KEY', 'development-only-secret-key-0123456789'],
    ['REDIS_URL', 'redis://:development-only@redis:6379'],
    ['METRICS_TOKEN', 'development-only-token'],
    ['ADMIN_API_KEYS', 'AK_DEV_ADMIN_KNOWN_TO_EVERYBODY'],
    ['MINER_API_KEYS', `a-good-key-of-this-test,Ak_Dev_${'x'.repeat(43)}`],
    ['CLIENT_API_KEYS', 'ChangeMe-client-key-0123456789'],
    ['API_KEYS', 'my-key-CHANGE_ME-please'],
    ['SECRET_KEY', 'Development-Only-secret-key-0123456789'],
    ['SECRET_KEY', 'change-me-change-me-change-me-change-me'],
    ['REDIS_URL', 'redis://:Development-Only@redis:6379'],
  ])('%s=%s', (name, value) => {
    const environment = { ...environmentOf('gateway', PRODUCTION), [name]: value };
    expect(() => loadConfig(gateway, environment)).toThrow(`  ${name}: holds a key or secret`);
    // It never repeats one.
    expect(() => loadConfig(gateway, environment)).not.toThrow(value);
    expect(loadConfig(gateway, { ...environment, NODE_ENV: 'development' })).toBeDefined();
  });

  test('the password of the broker, in any case, and no address that only looks like it', () => {
    const withChanges = (changes: Record<string, string>) => () =>
      loadConfig(gateway, { ...environmentOf('gateway', PRODUCTION), ...changes });
    expect(withChanges({ REDIS_URL: 'redis://:ChangeMe@redis:6379' })).toThrow('  REDIS_URL: ');
    expect(withChanges({ PUBLIC_URL: 'https://api.exchangemetal.example' })).not.toThrow();
  });
});
