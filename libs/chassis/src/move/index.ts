import { createHash, randomUUID } from 'node:crypto';
import { chassisMigrations } from '../migrations/index.ts';
import type { MigrationsByEngine, Reader } from '../store/store.ts';
import type { Lines, Table } from './line.ts';
import type { Mark } from './mark.ts';
import { openSchemaSide } from './postgres.ts';
import { CannotMove, type Side } from './side.ts';
import { openFileSide } from './sqlite.ts';

export { CannotMove } from './side.ts';

/** One service's part of a move. */
export interface Moving {
  readonly service: string;
  readonly from: string;
  readonly to: string;
  readonly migrations: MigrationsByEngine;
  /** Holds the rows against each other. @returns what does not agree */
  readonly audit?: (reader: Reader) => Promise<readonly string[]>;
}

export interface MoveProgress {
  readonly service: string;
  readonly phase: 'looking' | 'copying' | 'reading back';
  readonly table: string;
  /** Of this phase, over all services. */
  readonly rows: number;
  readonly ofRows: number;
  readonly bytes: number;
}

export interface MovedTable {
  readonly table: string;
  readonly rows: number;
  readonly sha256: string;
}
export interface MovedStore {
  readonly service: string;
  readonly from: string;
  readonly to: string;
  /** A move before this one had done it. */
  readonly isOld: boolean;
  readonly tables: readonly MovedTable[];
  readonly bytes: number;
}

interface Pair {
  readonly moving: Moving;
  readonly from: Side;
  readonly to: Side;
}

const isPostgres = (url: string): boolean => /^postgres(ql)?:/.test(url);

const openSide = async (
  moving: Pick<Moving, 'service' | 'migrations'>,
  url: string,
  role: 'source' | 'target',
): Promise<Side> => {
  const { service } = moving;
  const engine = isPostgres(url) ? 'postgres' : 'sqlite';
  const migrations = { ...chassisMigrations[engine], ...moving.migrations[engine] };
  return engine === 'postgres'
    ? openSchemaSide({ url, service, migrations })
    : openFileSide({ url, service, migrations, role });
};

/** Why a target cannot take the rows, or null. */
const objectionTo = async (to: Side, from: Side): Promise<string | null> => {
  const mark = await to.mark();
  if (mark?.state === 'arriving')
    return mark.other === from.name
      ? null
      : `${to.name} is the target of a move from ${mark.other} that was not completed: complete that one, or remove what is there`;
  if (await to.isEmpty()) return null;
  if (mark?.state === 'left')
    return `${to.name} still holds what left it on ${new Date(mark.at_ms).toISOString()} for ${mark.other}: once it is no longer needed rename or remove it, and run this again`;
  return `${to.name} is not empty, and nothing is ever mixed: name another target, or rename or remove what is there if it is not needed`;
};

const versionProblem = async (from: Side): Promise<string | null> => {
  const { had, known } = await from.migrations();
  const missing = known.filter((name) => !had.includes(name));
  const unknown = had.filter((name) => !known.includes(name));
  if (had.length === 0) return `${from.name} holds no service's tables`;
  if (unknown.length > 0)
    return `${from.name} is of a newer release (${unknown.join(', ')}): move it with that release`;
  return missing.length === 0
    ? null
    : `${from.name} is of an older release and lacks ${missing.join(', ')}: start ${from.service} once with this release, stop it, and run this again`;
};

interface Plan {
  readonly pair: Pair;
  readonly isDone: boolean;
  readonly tables: readonly Table[];
  readonly rows: number;
}

/** Looks at one service, and writes nothing. @returns what is to be done, and all that speaks against it */
const look = async (
  pair: Pair,
  onRows: (table: string, rows: number) => void,
): Promise<Plan & { objections: string[] }> => {
  const { from, to, moving } = pair;
  const none = { pair, isDone: false, tables: [], rows: 0 };
  const [was, will] = [await from.mark(), await to.mark()];
  if (was?.state === 'left' && will?.state === 'arrived' && was.move === will.move)
    return { ...none, isDone: true, objections: [] };
  if (was?.state === 'arriving')
    return {
      ...none,
      objections: [`${from.name} is itself the target of a move from ${was.other} that was not completed`],
    };
  if (was?.state === 'left' && !(was.other === to.name && will?.state === 'arriving'))
    return {
      ...none,
      objections: [
        `${from.name} moved to ${was.other} on ${new Date(was.at_ms).toISOString()}: what is new is there (npm run move -- --undo makes this one the valid one again)`,
      ],
    };
  const first = [await versionProblem(from), await objectionTo(to, from)].filter((text) => text !== null);
  if (first.length > 0) return { ...none, objections: first };
  const objections: string[] = [];
  const tables = await from.tables();
  let rows = 0;
  for (const table of tables) {
    const found = await from.inspect(table);
    rows += found.rows;
    objections.push(...found.wrong.map((text) => `${moving.service}: ${text}`));
    onRows(table.name, found.rows);
  }
  return { pair, isDone: false, tables, rows, objections };
};

const hashing = (onLines: (lines: Lines) => void) => {
  const hash = createHash('sha256');
  let rows = 0;
  return {
    take: (lines: Lines): void => {
      hash.update(lines.bytes);
      rows += lines.rows;
      onLines(lines);
    },
    end: (table: Table): MovedTable => ({ table: table.name, rows, sha256: hash.digest('hex') }),
  };
};

const copy = async (
  { pair: { from, to }, tables }: Plan,
  mark: Mark,
  onLines: (table: Table, lines: Lines) => void,
): Promise<MovedTable[]> => {
  await to.prepare(mark);
  const made = await to.tables();
  if (JSON.stringify(made) !== JSON.stringify(tables))
    throw new Error(`${to.name} has other tables than ${from.name}: their migrations do not say the same`);
  const copied: MovedTable[] = [];
  await to.load(tables, async (put) => {
    for (const table of tables) {
      const hash = hashing((lines) => onLines(table, lines));
      await from.read(table, (lines) => {
        hash.take(lines);
        return put(table, lines);
      });
      copied.push(hash.end(table));
    }
  });
  return copied;
};

/** Reads all of a target again. @throws naming the first table that is not as it was at the source */
const readBack = async (
  { pair: { to, moving } }: Plan,
  tables: readonly Table[],
  expected: readonly MovedTable[],
  onLines: (table: Table, lines: Lines) => void,
): Promise<void> => {
  for (const [index, table] of tables.entries()) {
    const hash = hashing((lines) => onLines(table, lines));
    await to.read(table, hash.take);
    const found = hash.end(table);
    const wanted = expected[index] as MovedTable;
    if (found.rows !== wanted.rows)
      throw new CannotMove(
        `${to.name}: ${table.name} has ${found.rows} rows, the source ${wanted.rows}; the target stays marked as unfinished`,
      );
    if (found.sha256 !== wanted.sha256)
      throw new CannotMove(
        `${to.name}: the rows of ${table.name} are not those of the source; the target stays marked as unfinished`,
      );
  }
  const wrong = (await moving.audit?.(to.reader())) ?? [];
  if (wrong.length > 0)
    throw new CannotMove(
      `${to.name}: the audit found ${wrong.slice(0, 5).join('; ')}; the target stays marked as unfinished`,
    );
};

/**
 * Moves the rows of services from one engine to the other. Nothing is written before all of them were looked at. Then,
 * one service after the other: the target is marked as arriving, filled in one transaction, and read again. When all of
 * them are whole the sources are marked as left, and after that the targets as arrived: at no moment can a service start
 * on both, and killed anywhere the same call does the rest.
 * @throws CannotMove with all that an operator has to put right
 */
export const moveStores = async (options: {
  movings: readonly Moving[];
  onProgress?: (progress: MoveProgress) => void;
  /** Called between copying and reading back: for tests. */
  onCopied?: (service: string) => Promise<void>;
}): Promise<MovedStore[]> => {
  const { onProgress = () => {} } = options;
  const sides: Side[] = [];
  try {
    const pairs: Pair[] = [];
    for (const moving of options.movings) {
      if (isPostgres(moving.from) === isPostgres(moving.to))
        throw new CannotMove(
          'Both are of the same engine: use npm run backup and restore for files, pg_dump and pg_restore for PostgreSQL',
        );
      const from = await openSide(moving, moving.from, 'source');
      sides.push(from);
      const to = await openSide(moving, moving.to, 'target');
      sides.push(to);
      pairs.push({ moving, from, to });
    }

    const plans: Plan[] = [];
    const objections: string[] = [];
    let looked = 0;
    for (const pair of pairs) {
      const found = await look(pair, (table, rows) => {
        looked += rows;
        onProgress({
          service: pair.moving.service,
          phase: 'looking',
          table,
          rows: looked,
          ofRows: 0,
          bytes: 0,
        });
      });
      objections.push(...found.objections);
      plans.push(found);
    }
    if (objections.length > 0) throw new CannotMove(objections.join('\n'));

    const ofRows = plans.reduce((sum, { rows }) => sum + rows, 0);
    const counting = (phase: MoveProgress['phase']) => {
      let [rows, bytes] = [0, 0];
      return (service: string) => (table: Table, lines: Lines) => {
        rows += lines.rows;
        bytes += lines.bytes.length;
        onProgress({ service, phase, table: table.name, rows, ofRows, bytes });
      };
    };
    const [copying, reading] = [counting('copying'), counting('reading back')];
    const move = randomUUID();
    const markOf = (state: Mark['state'], other: Side): Mark => ({
      move,
      state,
      other: other.name,
      at_ms: Date.now(),
    });
    const moved: MovedStore[] = [];
    for (const plan of plans) {
      const { from, to, moving } = plan.pair;
      const about = { service: moving.service, from: from.name, to: to.name };
      if (plan.isDone) {
        moved.push({ ...about, isOld: true, tables: [], bytes: 0 });
        continue;
      }
      let bytes = 0;
      const onCopy = copying(moving.service);
      const tables = await copy(plan, markOf('arriving', from), (table, lines) => {
        bytes += lines.bytes.length;
        onCopy(table, lines);
      });
      await options.onCopied?.(moving.service);
      await readBack(plan, plan.tables, tables, reading(moving.service));
      moved.push({ ...about, isOld: false, tables, bytes });
    }
    const open = plans.filter(({ isDone }) => !isDone).map(({ pair }) => pair);
    // The past first: killed in between neither can be started, and the same call goes on.
    for (const { from, to } of open) await from.setMark(markOf('left', to));
    for (const { from, to } of open) await to.setMark(markOf('arrived', from));
    return moved;
  } finally {
    for (const side of sides) await side.close();
  }
};

/**
 * Makes a store that was left the valid one again, without what was done where it went. Others may have heard more of it
 * than it knows, so it goes on under other names, as a restored copy does.
 * @returns where it had gone
 */
export const undoMove = async (options: {
  service: string;
  url: string;
  migrations: MigrationsByEngine;
}): Promise<string> => {
  const side = await openSide(options, options.url, 'source');
  try {
    const mark = await side.mark();
    if (mark?.state !== 'left') throw new CannotMove(`${side.name} has not moved anywhere: nothing to undo`);
    await side.renameStreams();
    await side.setMark(null);
    return mark.other;
  } finally {
    await side.close();
  }
};

/**
 * After a schema was put back from a dump or a base backup: what `restoreFile` does for a file. No process of the service
 * may run.
 * @returns the new name of its outgoing stream, and how many messages it says again
 */
export const restoreSchema = async (options: {
  service: string;
  url: string;
}): Promise<{ stream: string; outbox: number }> => {
  const side = await openSchemaSide({ ...options, migrations: {} });
  try {
    if (await side.isEmpty())
      throw new CannotMove(`${side.name} is empty: restore the dump first, and then run this`);
    return await side.renameStreams();
  } finally {
    await side.close();
  }
};
