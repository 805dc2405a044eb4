import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../testing/eventually.ts';
import { QUIET } from '../testing/quiet.ts';
import { type CustomResult, createCustom } from './custom.ts';
import type { Executor } from './executor.ts';
import { readImageHeader } from './image-header.ts';
import { createLanguageDetection, type LanguageResult } from './language_detection.ts';
import { createOcr, type OcrResult } from './ocr.ts';
import { createOcrPool, type OcrPool } from './tesseract.ts';

const { signal } = new AbortController();
const context = { signal, progress: () => {}, ...QUIET };
const run = <T>(executor: Executor, parameters: Record<string, unknown>): Promise<T> =>
  executor.run(parameters, context) as Promise<T>;

describe('language_detection', () => {
  const executor = createLanguageDetection();
  it('is always offered', async () => {
    expect(await executor.probe(signal)).toMatchObject({ offered: true });
  });

  it.each([
    ['en', 'The meeting has been moved to Thursday afternoon because of the weather.'],
    ['de', 'Die Besprechung wurde wegen des Wetters auf Donnerstagnachmittag verschoben.'],
    ['fr', 'La réunion a été reportée à jeudi après-midi à cause du mauvais temps.'],
    ['es', 'La reunión se ha aplazado al jueves por la tarde debido al mal tiempo.'],
    ['ja', '会議は天候のため木曜日の午後に変更されました。'],
    ['ru', 'Встреча перенесена на четверг из-за плохой погоды.'],
  ])('tells %s', async (language, text) => {
    const result = await run<LanguageResult>(executor, { text });
    expect(result.language).toBe(language);
    expect(result.confidence).toBeGreaterThan(0);
    expect(result.candidates[0]).toEqual({ language, confidence: result.confidence });
  });

  it('says null where no language shows, rather than to guess', async () => {
    expect(await run(executor, { text: '12345 … 67' })).toEqual({
      language: null,
      confidence: 0,
      candidates: [],
    });
  });

  it('judges a long text by a sample, without holding the heartbeat up', async () => {
    const at = performance.now();
    const result = await run<LanguageResult>(executor, {
      text: 'Das Wetter ist heute sehr schön. '.repeat(3000),
    });
    expect(result.language).toBe('de');
    expect(performance.now() - at).toBeLessThan(1_000);
  });

  it('refuses what is no text', async () => {
    await expect(run(executor, { text: '' })).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      retryable: false,
    });
    await expect(run(executor, { text: 'x'.repeat(100_001) })).rejects.toMatchObject({
      code: 'INPUT_TOO_LARGE',
    });
  });
});

describe('ocr', () => {
  let pool: OcrPool;
  let executor: Executor;
  let invoice: string;
  beforeAll(async () => {
    pool = createOcrPool(1);
    executor = createOcr(pool);
    invoice = await readFile(new URL('../../fixtures/invoice.png', import.meta.url), 'base64');
  });
  afterAll(() => pool.close());

  it('is offered once engine and weights have loaded from the packages', async () => {
    expect(await executor.probe(signal)).toMatchObject({ offered: true });
  });

  it('reads a picture', async () => {
    const seen: number[] = [];
    const result = (await executor.run(
      { image_base64: invoice, language: 'eng' },
      { signal, progress: (value) => seen.push(value), ...QUIET },
    )) as OcrResult;
    expect(result.text.split(/\n+/)).toEqual([
      'INVOICE 2041',
      'Northwind Compute Cooperative',
      'Rental of one GPU, 12 hours',
      'Price per hour: 3.50 AITBC',
      'Total due: 42.00 AITBC',
      'Thank you for your business.',
    ]);
    expect(result.words).toBe(25);
    expect(result.confidence).toBeGreaterThan(0.8);
    expect(result.confidence).toBeLessThanOrEqual(1);
    expect(Math.max(...seen)).toBe(1);
    // Every word, where it stands: within the picture, and the lines one below the other.
    expect(result.boxes.map(({ text }) => text).join(' ')).toBe(result.text.split(/\s+/).join(' '));
    const { width, height } = readImageHeader(Buffer.from(invoice, 'base64')) ?? { width: 0, height: 0 };
    for (const box of result.boxes) {
      expect(box.confidence).toBeGreaterThan(0.5);
      expect(Math.min(box.x, box.y, box.width - 1, box.height - 1)).toBeGreaterThanOrEqual(0);
      expect(box.x + box.width).toBeLessThanOrEqual(width);
      expect(box.y + box.height).toBeLessThanOrEqual(height);
    }
    expect(result.boxes.at(-1)?.y).toBeGreaterThan(result.boxes[0]?.y as number);
  });

  it('queues jobs for its engines, and an interrupted one frees its place', async () => {
    const controller = new AbortController();
    const stopped = executor.run(
      { image_base64: invoice },
      { signal: controller.signal, progress: () => {}, ...QUIET },
    );
    const waiting = run<OcrResult>(executor, { image_base64: invoice });
    const leaving = executor.run(
      { image_base64: invoice },
      { signal: controller.signal, progress: () => {}, ...QUIET },
    );
    const last = run<OcrResult>(executor, { image_base64: invoice });
    controller.abort();
    await expect(stopped).rejects.toThrow();
    await expect(leaving).rejects.toThrow();
    expect((await waiting).text).toContain('INVOICE 2041');
    expect((await last).text).toContain('INVOICE 2041');
  });

  it('reads other languages nowhere', async () => {
    await expect(run(executor, { image_base64: invoice, language: 'deu' })).rejects.toMatchObject({
      code: 'UNSUPPORTED_LANGUAGE',
      retryable: false,
    });
  });

  it.each([
    ['not base64', '%%%%', 'INVALID_INPUT'],
    [
      'no picture',
      Buffer.from('this is a text and not a picture at all').toString('base64'),
      'UNSUPPORTED_IMAGE',
    ],
    ['too long', 'A'.repeat(250_004), 'INPUT_TOO_LARGE'],
  ])('refuses what is %s', async (_, image, code) => {
    await expect(run(executor, { image_base64: image })).rejects.toMatchObject({ code, retryable: false });
  });

  it('refuses a picture that is cut off, and reads the next one', async () => {
    const half = Buffer.from(invoice, 'base64').subarray(0, 600).toString('base64');
    await expect(run(executor, { image_base64: half })).rejects.toMatchObject({
      code: 'UNSUPPORTED_IMAGE',
      retryable: false,
    });
    expect((await run<OcrResult>(executor, { image_base64: invoice })).words).toBe(25);
  });

  it('refuses a small file that declares a huge picture, before it is decoded', async () => {
    const bomb = Buffer.from(invoice, 'base64');
    bomb.writeUInt32BE(19_000, 16);
    bomb.writeUInt32BE(19_000, 20);
    await expect(run(executor, { image_base64: bomb.toString('base64') })).rejects.toMatchObject({
      code: 'INPUT_TOO_LARGE',
    });
  });
});

describe('image headers', () => {
  const header = (...parts: (string | number[])[]): Buffer =>
    Buffer.concat([
      ...parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : Buffer.from(part))),
      Buffer.alloc(40),
    ]);
  it.each([
    ['gif', header('GIF89a', [0x20, 0x03, 0x58, 0x02]), 800, 600],
    [
      'bmp',
      header(
        'BM',
        Array.from({ length: 16 }, () => 0),
        [0x20, 0x03, 0, 0],
        [0xa8, 0xfd, 0xff, 0xff],
      ),
      800,
      600,
    ],
    [
      'jpeg',
      header([0xff, 0xd8, 0xff, 0xe0, 0, 4, 0, 0, 0xff, 0xff, 0xc2, 0, 17, 8, 0x02, 0x58, 0x03, 0x20]),
      800,
      600,
    ],
    [
      'webp',
      header(
        'RIFF\0\0\0\0WEBPVP8X',
        Array.from({ length: 8 }, () => 0),
        [0x1f, 3, 0, 0x57, 2, 0],
      ),
      800,
      600,
    ],
    ['webp', header('RIFF\0\0\0\0WEBPVP8L', [0, 0, 0, 0, 0x2f, 0x1f, 0xc3, 0x95, 0]), 800, 600],
  ])('reads the size of a %s', (format, bytes, width, height) => {
    expect(readImageHeader(bytes)).toEqual({ format, width, height });
  });

  it('knows no other format, nor a header that is cut off', () => {
    expect(readImageHeader(header('II*\0'))).toBeNull();
    expect(readImageHeader(Buffer.from([0xff, 0xd8]))).toBeNull();
    expect(readImageHeader(header([0xff, 0xd8, 0xff, 0xe0, 0xff, 0xff]))).toBeNull();
  });
});

describe('custom', () => {
  const executor = createCustom(true);
  const script = (code: string, input?: unknown) => ({
    command: [process.execPath, '-e', code],
    ...(input === undefined ? {} : { input }),
  });

  it('is off unless it is switched on', async () => {
    expect(await createCustom(false).probe(signal)).toMatchObject({ offered: false });
    await expect(run(createCustom(false), { command: ['true'] })).rejects.toMatchObject({
      code: 'NOT_ALLOWED',
    });
  });

  it('runs a program with its input, in an empty folder that is gone afterwards', async () => {
    const code =
      'process.stdin.on("data", (d) => console.log(JSON.parse(d).n + 1, process.cwd(), require("fs").readdirSync(".").length))';
    const { stdout } = await run<CustomResult>(executor, script(code, { n: 41 }));
    const [n, folder, files] = stdout.trim().split(' ');
    expect([n, files]).toEqual(['42', '0']);
    expect(existsSync(folder ?? '')).toBe(false);
  });

  it('uses no shell', async () => {
    const { stdout } = await run<CustomResult>(executor, { command: ['echo', '$HOME', '; ls', '`id`'] });
    expect(stdout).toBe('$HOME ; ls `id`\n');
  });

  it('shows nothing of the agent’s environment', async () => {
    process.env.AITBC_MINER_KEY = 'ak_of_this_miner';
    const { stdout } = await run<CustomResult>(executor, script('console.log(JSON.stringify(process.env))'));
    delete process.env.AITBC_MINER_KEY;
    expect(stdout).toContain('PATH');
    expect(stdout).not.toContain('ak_of_this_miner');
  });

  it.each([
    [script('process.stderr.write("why"); process.exit(3)'), 'COMMAND_FAILED', false],
    [{ command: ['yes'] }, 'OUTPUT_TOO_LARGE', false],
    [{ command: ['no-such-program-anywhere'] }, 'COMMAND_NOT_FOUND', true],
    [{ command: [] }, 'INVALID_INPUT', false],
    [{ command: 'rm -rf /' }, 'INVALID_INPUT', false],
    [{ image: 'alpine', command: ['true'] }, 'IMAGE_NOT_SUPPORTED', false],
  ])('fails with a code: %j', async (parameters, code, retryable) => {
    await expect(run(executor, parameters)).rejects.toMatchObject({ code, retryable });
  });

  it('ends the program and all it started when the job is stopped', async () => {
    const controller = new AbortController();
    const marker = `sleep 300.${process.pid}`;
    const command = ['sh', '-c', `${marker} & ${marker}`];
    const stopped = executor.run({ command }, { signal: controller.signal, progress: () => {}, ...QUIET });
    const alive = async (): Promise<number> => {
      const { stdout } = await promisify(execFile)('ps', ['-eo', 'args']);
      return stdout.split('\n').filter((line) => line === marker).length;
    };
    await eventually(async () => expect(await alive()).toBe(2));
    controller.abort();
    await expect(stopped).rejects.toMatchObject({ code: 'ABORTED' });
    await eventually(async () => expect(await alive()).toBe(0));
  });
});
