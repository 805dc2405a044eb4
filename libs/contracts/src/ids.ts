import { v7 } from 'uuid';
import { z } from 'zod';

/** A new UUIDv7: lower case, sorts by the millisecond it was made (RFC 9562). */
export const newId = (): string => v7();

const UUID_V7 = /^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-7[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}$/;

export const Id = z.string().regex(UUID_V7, 'must be a UUIDv7').toLowerCase().meta({
  description: 'UUIDv7; taken in any case, given in lower case',
  example: '0190f2a4-6c3b-7d21-9a52-3f7b6f0c1e42',
});

export const Timestamp = z.iso
  .datetime({ offset: false })
  .meta({ description: 'ISO 8601, UTC', example: '2026-11-24T09:30:00.000Z' });

/** Milliseconds since the epoch to the wire form. */
export const toTimestamp = (ms: number): string => new Date(ms).toISOString();
export const toTimestampOrNull = (ms: number | null): string | null => (ms === null ? null : toTimestamp(ms));
