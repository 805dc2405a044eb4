import type { Generated } from 'kysely';
import type { MigrationsByEngine } from '../store/store.ts';
import { postgres } from './postgres.ts';
import { sqlite } from './sqlite.ts';

/** Tables that every service has: who it is, what it says, what it heard, what it answered. */
export interface ChassisTables {
  store_identity: { id: number; stream: string };
  outbox: {
    /** PostgreSQL alone: each of its processes has a stream of its own. */
    stream: Generated<string>;
    destination: string;
    /** Of the last message in it. */
    seq: number;
    count: number;
    /** One a line: JSON that lacks what opens it, and the number. */
    messages: string;
    created_at_ms: number;
  };
  inbox_stream: { stream: string; watermark: number; highest: number };
  inbox_ahead: { stream: string; seq: number };
  dead_letter: {
    id: string;
    stream: string;
    seq: number | null;
    name: string;
    version: number;
    payload: string;
    attempts: number;
    error: string;
    retry_at_ms: number | null;
    created_at_ms: number;
  };
  parameter: { name: string; value: string; version: number; proposal_id: string };
  listener: { account_id: string; revision: number; listens: number };
  idempotency: {
    account_id: string;
    route: string;
    key: string;
    request_sha256: string;
    status: number;
    body: string;
    created_at_ms: number;
  };
}

/** They sort before every service's own `0001-…`. */
export const chassisMigrations: MigrationsByEngine = { sqlite, postgres };
