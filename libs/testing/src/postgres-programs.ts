import { existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Debian keeps the programs of each version in a folder of its own, off the PATH. */
const DEBIAN = '/usr/lib/postgresql';

const findPrograms = (): string | null => {
  const versions = existsSync(DEBIAN) ? readdirSync(DEBIAN).sort((a, b) => Number(b) - Number(a)) : [];
  const folders = [
    ...(process.env.PATH ?? '').split(delimiter),
    ...versions.map((version) => join(DEBIAN, version, 'bin')),
  ];
  return folders.find((folder) => existsSync(join(folder, 'initdb'))) ?? null;
};

/** The folder with initdb and postgres, the newest of them. */
export const postgresPrograms = findPrograms();

/** Without it tests of that engine are skipped by name. */
export const hasPostgres = postgresPrograms !== null;
