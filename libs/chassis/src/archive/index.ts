export * from './check.ts';
export { ArchiveEntry } from './entry.ts';
export { beginningOf, entryFile, type LineEnd, makePart } from './part.ts';
export { createSeenRows } from './seen.ts';
