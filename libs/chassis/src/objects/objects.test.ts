import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { scratchDirectory, startS3 } from '@aitbc/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { objectsProblem } from './address.ts';
import { openObjects } from './index.ts';

let s3: Awaited<ReturnType<typeof startS3>>;
beforeAll(async () => {
  s3 = await startS3();
});
afterAll(() => s3.stop());

const names = async (list: AsyncIterable<string>): Promise<string[]> => {
  const found: string[] = [];
  for await (const name of list) found.push(name);
  return found.sort();
};

describe.each(['a folder', 'a bucket'])('%s', (kind) => {
  const open = () =>
    kind === 'a folder'
      ? openObjects(`file://${scratchDirectory()}/new folder/deep`)
      : openObjects(s3.urlOf(`of a test/${Math.random()}`), s3.keys);

  test('gives back what was put, the last of each name, and lists it over many pages', async () => {
    const objects = open();
    expect(await names(objects.list('jobs/'))).toEqual([]);
    expect(await objects.get('jobs/1.json')).toBeUndefined();
    const made = Array.from({ length: 8 }, (_, at) => `jobs/line/${at}.json`);
    for (const name of [...made, 'else/1.json']) await objects.put(name, Buffer.from(`of ${name}`));
    await objects.put(made[0] as string, Buffer.from('another'));
    expect(await names(objects.list('jobs/'))).toEqual(made);
    expect(await names(objects.list('jobs/line/3'))).toEqual(['jobs/line/3.json']);
    expect((await objects.get(made[0] as string))?.toString()).toBe('another');
    expect((await objects.get(made[7] as string))?.toString()).toBe('of jobs/line/7.json');
  });
});

test('a folder is the owner’s alone, and what a death left half-written in it is nothing', async () => {
  const folder = scratchDirectory();
  const objects = openObjects(`file://${folder}/archive`);
  await objects.put('jobs/a.json', Buffer.from('x'));
  const path = join(folder, 'archive', 'jobs');
  writeFileSync(join(path, 'b.json.partial'), 'half');
  expect(await names(objects.list(''))).toEqual(['jobs/a.json']);
  expect(readdirSync(path).sort()).toEqual(['a.json', 'b.json.partial']);
  expect([statSync(path).mode & 0o777, statSync(join(path, 'a.json')).mode & 0o777]).toEqual([0o700, 0o600]);
});

test('a bucket that is busy is asked again; another secret, and a bucket that is not there, are said', async () => {
  const objects = openObjects(s3.urlOf(''), s3.keys);
  s3.refuse(2);
  await objects.put('busy.json', Buffer.from('in the end'));
  expect((await objects.get('busy.json'))?.toString()).toBe('in the end');
  const wrong = openObjects(s3.urlOf(''), { ...s3.keys, AWS_SECRET_ACCESS_KEY: 'not-it' });
  await expect(wrong.put('x', Buffer.from('x'))).rejects.toThrow('SignatureDoesNotMatch');
  const nowhere = openObjects(s3.urlOf('').replace('archive-test', 'another'), s3.keys);
  await expect(nowhere.get('x')).rejects.toThrow('there is no bucket');
  expect(() => openObjects(s3.urlOf(''))).toThrow('AWS_ACCESS_KEY_ID');
});

test.each([
  ['/var/archive', 'must be a URL'],
  ['https://host/bucket', 'must begin with'],
  ['file:///', 'must name a folder'],
  ['s3://', 'must name a bucket'],
  ['s3://id:secret@bucket/', 'must not hold keys'],
  ['s3://bucket/?endpoint=host:9000', 'endpoint='],
])('%s is refused', (url, words) => {
  expect(objectsProblem(url)).toContain(words);
});
