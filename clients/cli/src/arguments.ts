import { readFileSync } from 'node:fs';
import { InvalidArgumentError } from 'commander';
import type { Context } from './context.ts';
import { UsageError } from './failures.ts';

export const number = (text: string): number => {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('It must be a number.');
  return value;
};
export const wholeNumber = (text: string): number => {
  const value = number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new InvalidArgumentError('It must be a whole number.');
  return value;
};
/** How many to show. */
export const count = (text: string): number => {
  const value = wholeNumber(text);
  if (value === 0) throw new InvalidArgumentError('It must be 1 at least.');
  return value;
};
/** For an option that may be given several times. */
export const collect = (text: string, before: string[] = []): string[] => [...before, text];

/** A file, or `-` for stdin. @throws UsageError when it cannot be read. */
export const readText = async (context: Context, file: string): Promise<string> => {
  if (file !== '-') {
    try {
      return readFileSync(file, 'utf8');
    } catch (error) {
      throw new UsageError(`${file} cannot be read: ${(error as NodeJS.ErrnoException).code}`);
    }
  }
  const parts: Buffer[] = [];
  for await (const part of context.streams.stdin) parts.push(Buffer.from(part));
  return Buffer.concat(parts).toString('utf8');
};

/** @throws UsageError that says where it is wrong. */
export const parseJson = (text: string, where: string): unknown => {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UsageError(`${where} is no JSON: ${(error as Error).message}`);
  }
};

export const parseObject = (text: string, where: string): Record<string, unknown> => {
  const value = parseJson(text, where);
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new UsageError(`${where} must be a JSON object.`);
  return value as Record<string, unknown>;
};

/** `name=value`: JSON where it is JSON, else text; `name=@file` the text of a file. */
export const parseFields = async (
  context: Context,
  fields: readonly string[],
): Promise<Record<string, unknown>> => {
  const object: Record<string, unknown> = {};
  for (const field of fields) {
    const at = field.indexOf('=');
    if (at < 1) throw new UsageError(`${field} must look like name=value.`);
    const text = field.slice(at + 1);
    object[field.slice(0, at)] = text.startsWith('@')
      ? await readText(context, text.slice(1))
      : readValue(text);
  }
  return object;
};
const readValue = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
};
