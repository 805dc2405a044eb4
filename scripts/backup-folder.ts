import { copyFileSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { assembleFile, servicesIn } from '@aitbc/chassis';

/** What a backup says of a service at one moment, and how its file is made again from it. */
export interface Kept {
  readonly service: string;
  /** Puts the file together. @returns what was written down of it when it was kept */
  readonly make: (target: string) => Promise<KeptFacts>;
}
export interface KeptFacts {
  /** When it stood so; null where that is not written down. */
  readonly at: string | null;
  /** Rows of each table then; null of a copy of an older release. */
  readonly tables: Readonly<Record<string, number>> | null;
}

const MANIFEST = 'manifest.json';
type Manifest = Record<string, { tables: Record<string, number> }>;

/**
 * The services that a folder holds: copies of `npm run backup`, or chains of `npm run backup -- --continuous`.
 * @param at of chains the newest moment at or before this
 * @throws when it holds neither, or copies are asked for a moment
 */
export const keptIn = (folder: string, at: Date | undefined): Kept[] => {
  const copies = readdirSync(folder).filter((name) => name.endsWith('.db'));
  if (copies.length > 0) {
    if (at !== undefined)
      throw new Error(`${folder} holds copies of one moment: --at is for continuous backups`);
    const path = join(folder, MANIFEST);
    const manifest = existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Manifest) : {};
    return copies.map((file) => {
      const service = file.slice(0, -'.db'.length);
      return {
        service,
        make: async (target) => {
          copyFileSync(join(folder, file), target);
          return { at: null, tables: manifest[service]?.tables ?? null };
        },
      };
    });
  }
  const services = servicesIn(folder);
  if (services.length === 0) throw new Error(`${folder} holds no backup`);
  return services.map((service) => ({
    service,
    make: (target) => assembleFile({ folder: join(folder, service), target, at }),
  }));
};
