import { isUtf8 } from 'node:buffer';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import Database from 'better-sqlite3';
import { renameStream } from '../backup.ts';
import { createReader, migrate } from '../store/connection.ts';
import { databasePath, keepPrivate } from '../store/file.ts';
import type { Migrations } from '../store/store.ts';
import { createTally } from '../store/tally.ts';
import {
  type Column,
  hasReals,
  type Kind,
  type Lines,
  lineOf,
  type Table,
  type Value,
  valuesOf,
} from './line.ts';
import { markFile, markOfFile } from './mark.ts';
import { CannotMove, type Side } from './side.ts';

/** Lines travel in pieces of about this size: one at a time is in memory. */
const PIECE_BYTES = 262_144;
const CACHE_KIB = 65_536;
/** So many rows of a table are named when they cannot be moved. */
const NAMED_MAX = 5;
const KINDS: Readonly<Record<string, Kind>> = {
  INTEGER: 'integer',
  REAL: 'real',
  TEXT: 'text',
  BLOB: 'bytes',
};

const quoted = (name: string): string => `"${name}"`;
const list = (names: readonly string[]): string => names.map(quoted).join(', ');
const columnsOf = ({ columns }: Table): string => list(columns.map(({ name }) => name));

/** A row as a person finds it again. */
export const named = (table: Table, column: string, key: readonly unknown[]): string =>
  `${table.name}.${column} of ${table.key.map((part, index) => `${part}=${key[index]}`).join(', ')}`;

/** Opens the file for nobody but us, or says who has it. */
const openAlone = (path: string): Database.Database => {
  const db = new Database(path, { fileMustExist: true, timeout: 0 });
  try {
    // Asked for before the first look into a file in WAL mode, it fails while anybody else has the file open.
    db.pragma('locking_mode = EXCLUSIVE');
    db.exec('BEGIN EXCLUSIVE; COMMIT');
    db.pragma(`cache_size = -${CACHE_KIB}`);
    return db;
  } catch (error) {
    db.close();
    const { code } = error as { code?: string };
    if (code?.startsWith('SQLITE_BUSY'))
      throw new CannotMove(`${path} is in use: stop the service (and all others that are to be moved) first`);
    if (code === 'SQLITE_NOTADB') throw new CannotMove(`${path} is no SQLite file`);
    throw error;
  }
};

/** @param options.role a target may be missing */
export const openFileSide = (options: {
  url: string;
  service: string;
  migrations: Migrations;
  role: 'source' | 'target';
}): Side => {
  const path = resolve(databasePath(options.url));
  if (options.role === 'source' && !existsSync(path))
    throw new CannotMove(
      `${path} does not exist: name the file of ${options.service}, or its folder, with --from`,
    );
  let open: Database.Database | undefined;
  /** A target that is not there yet must not be made by looking at it. */
  const existing = (): Database.Database | undefined => {
    if (open === undefined && existsSync(path)) open = openAlone(path);
    return open;
  };
  const db = (): Database.Database => {
    const found = existing();
    if (found === undefined) throw new CannotMove(`${path} is gone`);
    return found;
  };
  const closeFile = (): void => {
    open?.close();
    open = undefined;
  };
  const names = (type: string): { name: string; sql: string }[] =>
    db()
      .prepare(`SELECT name, sql FROM sqlite_schema WHERE type = ? AND sql IS NOT NULL ORDER BY name`)
      .all(type) as { name: string; sql: string }[];

  const tables = (): Table[] =>
    names('table')
      .filter(({ name }) => !/^(sqlite_|kysely_|store_move$)/.test(name))
      .map(({ name }) => {
        const found = db().prepare('SELECT * FROM pragma_table_xinfo(?)').all(name) as {
          name: string;
          type: string;
          pk: number;
        }[];
        const columns = found.map((column): Column => {
          const kind = KINDS[column.type];
          if (kind === undefined)
            throw new CannotMove(`${path}: ${name}.${column.name} is of type ${column.type}`);
          return { name: column.name, kind };
        });
        const key = found.filter(({ pk }) => pk > 0).sort((a, b) => a.pk - b.pk);
        if (key.length === 0) throw new CannotMove(`${path}: ${name} has no primary key`);
        return {
          name,
          columns: columns.sort((a, b) => (a.name < b.name ? -1 : 1)),
          key: key.map((column) => column.name),
        };
      });

  const inOrder = (table: Table): IterableIterator<Value[]> =>
    db()
      .prepare(`SELECT ${columnsOf(table)} FROM ${quoted(table.name)} ORDER BY ${list(table.key)}`)
      .raw()
      .iterate() as IterableIterator<Value[]>;

  /** Why PostgreSQL cannot hold a value as it is; a look at its bytes where SQLite's answer leaves it open. */
  const objection = (value: Value, kind: Kind, bytes: () => Buffer): string | null => {
    if (typeof value === 'number')
      return kind === 'integer' && !Number.isSafeInteger(value)
        ? 'a number beyond 2^53, which is not exact in all places'
        : null;
    if (typeof value !== 'string') return null;
    if (value.includes('\0')) return 'a text with NUL in it, which PostgreSQL does not take';
    return value.includes('\uFFFD') && !isUtf8(bytes()) ? 'a text that is not valid UTF-8' : null;
  };

  return {
    name: path,
    service: options.service,
    mark: async () => {
      const file = existing();
      return file === undefined ? undefined : markOfFile(file);
    },
    setMark: async (mark) => markFile(db(), mark),
    migrations: async () => {
      const file = existing();
      const known = Object.keys(options.migrations).sort();
      if (file === undefined || names('table').every(({ name }) => name !== 'kysely_migration'))
        return { had: [], known };
      const rows = file.prepare('SELECT name FROM kysely_migration ORDER BY name').all() as {
        name: string;
      }[];
      return { had: rows.map(({ name }) => name), known };
    },
    isEmpty: async () => existing() === undefined || names('table').length === 0,
    tables: async () => tables(),
    inspect: async (table) => {
      const wrong: string[] = [];
      let rows = 0;
      const keyPlaces = table.key.map((part) => table.columns.findIndex(({ name }) => name === part));
      const where = table.key.map((part) => `${quoted(part)} IS ?`).join(' AND ');
      const suspects: { column: Column; row: Value[] }[] = [];
      for (const row of inOrder(table)) {
        rows += 1;
        for (let index = 0; index < row.length; index += 1) {
          const value = row[index] as Value;
          if (value === null || wrong.length + suspects.length >= NAMED_MAX) continue;
          // Bytes cannot be asked for while rows are read: those that may be wrong are looked at afterwards.
          const column = table.columns[index] as Column;
          if (objection(value, column.kind, () => Buffer.of(0xff)) !== null) suspects.push({ column, row });
        }
      }
      for (const { column, row } of suspects) {
        const key = keyPlaces.map((place) => row[place]);
        const bytesOf = (): Buffer =>
          db()
            .prepare(`SELECT CAST(${quoted(column.name)} AS BLOB) FROM ${quoted(table.name)} WHERE ${where}`)
            .pluck()
            .get(key) as Buffer;
        const value = row[table.columns.indexOf(column)] as Value;
        const reason = objection(value, column.kind, bytesOf);
        if (reason !== null) wrong.push(`${named(table, column.name, key)}: ${reason}`);
      }
      return { rows, wrong };
    },
    read: async (table, take) => {
      const real = hasReals(table);
      let [bytes, digits, rows] = ['', '', 0];
      const flush = async (): Promise<void> => {
        const lines: Lines = {
          rows,
          bytes: Buffer.from(bytes),
          ...(real && { digits: Buffer.from(digits) }),
        };
        [bytes, digits, rows] = ['', '', 0];
        await take(lines);
      };
      for (const row of inOrder(table)) {
        bytes += lineOf(row, table.columns, 'bits');
        if (real) digits += lineOf(row, table.columns, 'digits');
        rows += 1;
        if (bytes.length >= PIECE_BYTES) await flush();
      }
      if (rows > 0) await flush();
    },
    prepare: async (mark) => {
      closeFile();
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      // Marked before it has its name: a service that starts meanwhile finds the mark or what was there before.
      const fresh = `${path}.arriving`;
      rmSync(fresh, { force: true });
      keepPrivate(fresh);
      const made = new Database(fresh);
      markFile(made, mark);
      made.close();
      for (const suffix of ['-wal', '-shm', '-journal']) rmSync(path + suffix, { force: true });
      renameSync(fresh, path);
      await migrate(path, options.migrations);
      open = openAlone(path);
    },
    load: async (loaded, fill) => {
      const file = db();
      // The journal holds the pages that were there before, which are few; a WAL would hold all.
      file.pragma('journal_mode = DELETE');
      file.pragma('synchronous = FULL');
      file.pragma('foreign_keys = OFF');
      file.exec('BEGIN EXCLUSIVE');
      try {
        const later = [...names('index'), ...names('trigger')];
        for (const { name } of names('trigger')) file.exec(`DROP TRIGGER ${quoted(name)}`);
        for (const { name } of names('index')) file.exec(`DROP INDEX ${quoted(name)}`);
        const inserts = new Map(
          loaded.map((table) => {
            file.exec(`DELETE FROM ${quoted(table.name)}`);
            const values = table.columns.map(() => '?').join(', ');
            return [
              table,
              file.prepare(`INSERT INTO ${quoted(table.name)} (${columnsOf(table)}) VALUES (${values})`),
            ];
          }),
        );
        await fill((table, lines) => {
          const insert = inserts.get(table) as Database.Statement;
          for (const line of lines.bytes.toString().split('\n'))
            if (line !== '') insert.run(valuesOf(line, table.columns));
        });
        for (const { sql } of later) file.exec(sql);
        const broken = file.pragma('foreign_key_check') as { table: string; parent: string }[];
        if (broken[0] !== undefined)
          throw new CannotMove(
            `${broken.length} rows point nowhere, the first in ${broken[0].table} to ${broken[0].parent}`,
          );
        file.exec('COMMIT');
      } catch (error) {
        if (file.inTransaction) file.exec('ROLLBACK');
        throw error;
      }
    },
    reader: () => createReader(db(), createTally()),
    renameStreams: async () => renameStream(db()),
    close: async () => closeFile(),
  };
};
