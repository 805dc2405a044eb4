import { createHmac, createSecretKey, timingSafeEqual } from 'node:crypto';

/** Who may report on a job: the holder of this attempt. */
export interface Lease {
  readonly job_id: string;
  readonly miner_id: string;
  readonly attempt: number;
}

const UUID_BYTES = 16;
const BODY_BYTES = 2 * UUID_BYTES + 4;
/** 128 bits cannot be guessed, and the token stays short. */
const MAC_BYTES = 16;

const writeUuid = (id: string, into: Buffer, at: number): void => {
  into.write(id.replaceAll('-', ''), at, 'hex');
};
const readUuid = (from: Buffer, at: number): string =>
  from.toString('hex', at, at + UUID_BYTES).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');

/** @param secret from `deriveKey(SECRET_KEY, 'lease')` */
export const createLeases = (secret: Buffer) => {
  const key = createSecretKey(secret);
  const mac = (body: Buffer): Buffer =>
    createHmac('sha256', key).update(body).digest().subarray(0, MAC_BYTES);
  return {
    seal: (lease: Lease): string => {
      const body = Buffer.alloc(BODY_BYTES);
      writeUuid(lease.job_id, body, 0);
      writeUuid(lease.miner_id, body, UUID_BYTES);
      body.writeUInt32BE(lease.attempt, 2 * UUID_BYTES);
      return Buffer.concat([body, mac(body)]).toString('base64url');
    },
    /** @returns null for anything that this key did not seal. */
    open: (token: string): Lease | null => {
      const bytes = Buffer.from(token, 'base64url');
      if (bytes.length !== BODY_BYTES + MAC_BYTES) return null;
      const body = bytes.subarray(0, BODY_BYTES);
      if (!timingSafeEqual(bytes.subarray(BODY_BYTES), mac(body))) return null;
      return {
        job_id: readUuid(body, 0),
        miner_id: readUuid(body, UUID_BYTES),
        attempt: body.readUInt32BE(2 * UUID_BYTES),
      };
    },
  };
};
export type Leases = ReturnType<typeof createLeases>;
