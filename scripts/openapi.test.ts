import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { expect, test } from 'vitest';
import { buildMessages, buildOpenApi } from '../libs/contracts/src/openapi.ts';
import { stale } from './openapi.ts';

const root = resolve(import.meta.dirname, '..');

test('the documents in docs/ are as the contracts are (else: node run.mjs openapi)', () => {
  expect(stale()).toEqual([]);
});

test('the description lints without an error', { timeout: 60_000 }, () => {
  const lint = spawnSync(
    process.execPath,
    [
      'node_modules/@redocly/cli/bin/cli.js',
      'lint',
      'docs/openapi.json',
      '--extends=recommended',
      '--format=json',
    ],
    {
      cwd: root,
      encoding: 'utf8',
      env: { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' },
    },
  );
  const { problems } = JSON.parse(lint.stdout) as {
    problems: { ruleId: string; message: string; severity: string }[];
  };
  const errors = problems.filter(({ severity }) => severity === 'error');
  expect(errors.map(({ ruleId, message }) => `${ruleId}: ${message}`)).toEqual([]);
});

test('every operation says who may call it, what it answers, and every way it can refuse', () => {
  const { paths = {} } = buildOpenApi();
  for (const [path, operations] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(operations as Record<string, Operation>)) {
      const name = `${method} ${path}`;
      expect([name, operation.summary?.length ?? 0]).toEqual([
        name,
        expect.toSatisfy((length) => length > 5),
      ]);
      expect([name, operation.security]).toEqual([name, expect.any(Array)]);
      const statuses = Object.keys(operation.responses);
      expect([name, statuses.some((status) => status.startsWith('2'))]).toEqual([name, true]);
      expect([name, statuses.some((status) => status.startsWith('4'))]).toEqual([name, true]);
    }
  }
});
interface Operation {
  summary?: string;
  security?: unknown[];
  responses: Record<string, unknown>;
}

test('every message names who says and who hears it, with a schema', () => {
  const described = buildMessages().messages;
  for (const message of Object.values(described)) {
    expect(message).toMatchObject({ version: expect.any(Number), schema: { type: 'object' } });
    expect(message.to.length).toBeGreaterThan(0);
  }
});
