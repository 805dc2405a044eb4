import { existsSync, readFileSync } from 'node:fs';
import { SourceMap } from 'node:module';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Of each file of dist/ that something failed in: there are some twenty. */
const maps = new Map<string, SourceMap | null>();

const mapOf = (file: string): SourceMap | null => {
  const known = maps.get(file);
  if (known !== undefined) return known;
  const path = `${file}.map`;
  const map = existsSync(path) ? new SourceMap(JSON.parse(readFileSync(path, 'utf8'))) : null;
  maps.set(file, map);
  return map;
};

const PLACE = /((?:file:\/\/)?\/[^\s():]+\/dist\/[^\s():]+\.js):(\d+):(\d+)/g;

const inSources = (stack: string): string =>
  stack.replaceAll(PLACE, (place, at: string, line: string, column: string) => {
    const file = at.startsWith('file:') ? fileURLToPath(at) : at;
    const found = mapOf(file)?.findEntry(Number(line) - 1, Number(column) - 1);
    // Libraries have no map: what is found is the nearest line of ours before it.
    return found !== undefined && 'originalSource' in found && found.generatedLine === Number(line) - 1
      ? `${resolve(dirname(file), found.originalSource)}:${found.originalLine + 1}:${found.originalColumn + 1}`
      : place;
  });

/**
 * Where something failed, in lines of the sources and not of a bundle; of causes and of all errors of one, too. Node does that by itself with
 * `--enable-source-maps`, which reads the maps at each start: 7 to 14 MB of memory a process. Here they are read when something
 * failed.
 * @returns what it was given
 */
export const traced = <T>(error: T): T => {
  for (let one: unknown = error, depth = 0; one instanceof Error && depth < 8; one = one.cause, depth++) {
    try {
      if (one.stack !== undefined) one.stack = inSources(one.stack);
      if (one instanceof AggregateError) one.errors.forEach(traced);
    } catch {
      // A trace that cannot be read better is told as it is.
    }
  }
  return error;
};
