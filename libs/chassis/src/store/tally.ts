/** How often a store was asked something, by kind of statement: `insert outbox`, `select job`, `commit`. */
export type Tally = ReadonlyMap<string, number>;

/** The first table after one of these words is what a statement is about. */
const ABOUT = /\b(?:from|into|update)\s+"?(\w+)/i;
const VERB = /^\s*(\w+)/;

/** @returns `verb table` in small letters, or the verb alone. */
export const kindOf = (sql: string): string => {
  const verb = VERB.exec(sql)?.[1]?.toLowerCase() ?? 'other';
  const table = ABOUT.exec(sql)?.[1];
  return table === undefined ? verb : `${verb} ${table.toLowerCase()}`;
};

/** Counts statements. As many kinds as there are verbs and tables, so a few hundred; one addition a statement. */
export const createTally = () => {
  const counts = new Map<string, number>();
  return {
    counts: counts as Tally,
    add: (kind: string): void => void counts.set(kind, (counts.get(kind) ?? 0) + 1),
  };
};
export type TallyKeeper = ReturnType<typeof createTally>;
