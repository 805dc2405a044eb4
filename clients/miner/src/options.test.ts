import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createLog } from './log.ts';
import { createProgram, type MinerOptions, parseOptions } from './options.ts';

let said = '';
const parse = (...args: string[]): MinerOptions => {
  said = '';
  const write = (text: string): void => {
    said += text;
  };
  const program = createProgram().exitOverride().configureOutput({ writeOut: write, writeErr: write });
  return parseOptions(['node', 'aitbc-miner', ...args], program);
};

beforeEach(() => {
  for (const name of [
    'AITBC_COORDINATOR',
    'AITBC_MINER_KEY',
    'AITBC_LLM_URL',
    'AITBC_LLM_KEY',
    'AITBC_ADDRESS',
  ]) {
    vi.stubEnv(name, undefined);
  }
});
afterEach(() => vi.unstubAllEnvs());

describe('options', () => {
  it('needs nothing but a key', () => {
    const options = parse('--key', 'ak_1');
    expect(options).toMatchObject({
      coordinator: 'http://127.0.0.1:8000',
      concurrency: 2,
      llmUrl: 'http://127.0.0.1:11434/v1',
      allowCustom: false,
      drainSeconds: 30,
      logLevel: 'info',
      json: false,
    });
    expect(options.name).not.toBe('');
  });

  it('takes key and coordinator from the environment', () => {
    vi.stubEnv('AITBC_MINER_KEY', 'ak_2');
    vi.stubEnv('AITBC_COORDINATOR', 'https://coordinator.example/api/');
    expect(parse()).toMatchObject({ key: 'ak_2', coordinator: 'https://coordinator.example/api' });
  });

  it('says what to do without a key', () => {
    expect(() => parse()).toThrow();
    expect(said).toContain('AITBC_MINER_KEY');
  });

  it('does not repeat a malformed key', () => {
    expect(() => parse('--key', 'ak_se cret\n')).toThrow();
    expect(said).toContain('--key is not a key');
    expect(said).not.toContain('cret');
  });

  it.each([
    ['--concurrency', '0'],
    ['--concurrency', '65'],
    ['--concurrency', '1.5'],
    ['--price', '-1'],
    ['--coordinator', 'coordinator.example'],
    ['--coordinator', 'ftp://coordinator.example'],
    ['--llm-url', 'http://user:pass@127.0.0.1/v1'],
    ['--only', 'ocr,typo'],
    ['--log-level', 'loud'],
    ['--name', ' '],
  ])('refuses %s %s', (name, value) => {
    expect(() => parse('--key', 'ak_1', name, value)).toThrow();
    expect(said).toMatch(/^error: /);
  });

  it('makes an address that is stable, tells nothing of the key, and differs by name', () => {
    const [a, b, c] = [
      parse('-k', 'ak_1', '-n', 'x'),
      parse('-k', 'ak_2', '-n', 'x'),
      parse('-k', 'ak_1', '-n', 'y'),
    ];
    expect(a?.address).toMatch(/^miner-[0-9a-f]{16}$/);
    expect(a?.address).toBe(b?.address);
    expect(a?.address).not.toBe(c?.address);
    expect(parse('-k', 'ak_1', '--address', '0xabc').address).toBe('0xabc');
  });

  it('explains itself with examples', () => {
    expect(() => parse('--help')).toThrow();
    for (const word of ['Examples:', 'AITBC_MINER_KEY', '--llm-url', 'ollama', '--only ocr', 'Ctrl-C'])
      expect(said).toContain(word);
  });
});

describe('log', () => {
  it('writes a sentence or a JSON object a line, whatever the text holds', () => {
    const lines: string[] = [];
    const write = (line: string): void => void lines.push(line);
    const hostile = 'answered\n23:59:59 job done\u001b[2J';
    createLog({ level: 'info', json: false, write }).warn('event', hostile);
    createLog({ level: 'info', json: true, write }).warn('event', hostile, { status: 500 });
    expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d ! answered 23:59:59 job done \[2J$/);
    expect(JSON.parse(lines[1] ?? '')).toMatchObject({ level: 'warn', event: 'event', status: 500 });
  });

  it('leaves out what is below its level', () => {
    const lines: string[] = [];
    const log = createLog({ level: 'warn', json: false, write: (line) => void lines.push(line) });
    log.info('a', 'a');
    log.debug('b', 'b');
    log.error('c', 'c');
    expect(lines).toHaveLength(1);
  });
});
