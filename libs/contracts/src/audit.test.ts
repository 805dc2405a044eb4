import { expect, test } from 'vitest';
import { AUDIT_START, type AuditEntry, auditHash, createAuditChecker } from './audit.ts';
import { newId } from './ids.ts';

const logOf = (count: number): AuditEntry[] => {
  const log: AuditEntry[] = [];
  for (let seq = 1; seq <= count; seq += 1) {
    const entry: Omit<AuditEntry, 'hash'> = {
      seq,
      id: newId(),
      at: '2026-01-01T00:00:00.000Z',
      service: 'payments',
      action: 'account.credited',
      actor_id: newId(),
      credential_id: null,
      object: newId(),
      account_id: newId(),
      details: { amount: seq + 0.5, reason: 'a trial', none: null },
      prev_hash: log.at(-1)?.hash ?? AUDIT_START,
    };
    log.push({ ...entry, hash: auditHash(entry) });
  }
  return log;
};

/** @returns what is wrong first, from the newest entry back. */
const faultIn = (log: readonly AuditEntry[]): string | null => {
  const checker = createAuditChecker();
  for (const entry of log.toReversed()) {
    const fault = checker.check(entry);
    if (fault !== null) return `${entry.seq}: ${fault}`;
  }
  return checker.isWhole() ? null : 'not whole';
};
const changed = (log: AuditEntry[], at: number, change: Partial<AuditEntry>, isRehashed = false) =>
  log.map((entry, index) => {
    if (index !== at) return entry;
    const other = { ...entry, ...change };
    return isRehashed ? { ...other, hash: auditHash(other) } : other;
  });

test('a log that nobody touched is right, an empty one too', () => {
  expect(faultIn(logOf(5))).toBeNull();
  expect(faultIn([])).toBeNull();
});

test.each<[string, (log: AuditEntry[]) => AuditEntry[], string]>([
  ['a changed entry', (log) => changed(log, 2, { object: 'x' }), '3: its hash is not that of its fields'],
  ['a detail of one', (log) => changed(log, 2, { details: {} }), '3: its hash is not that of its fields'],
  [
    'one that was changed with its hash',
    (log) => changed(log, 2, { actor_id: null }, true),
    '3: 4 names another one before it',
  ],
  ['one that was taken out', (log) => log.toSpliced(2, 1), '2: 3 is missing'],
  ['the first ones taken out', (log) => log.slice(2), 'not whole'],
  [
    'the first one changed',
    (log) => changed(log.slice(0, 1), 0, { prev_hash: 'a'.repeat(64) }, true),
    '1: it is not the first',
  ],
])('%s shows', (_what, change, fault) => expect(faultIn(change(logOf(5)))).toBe(fault));
