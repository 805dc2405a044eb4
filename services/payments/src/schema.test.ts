import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { createListeners, createParameters, openStore, type Store } from '@aitbc/chassis';
import { newId, SUPPLY_CAP_MINOR } from '@aitbc/contracts';
import { hasPostgres, scratchDirectory, someone, startPostgres } from '@aitbc/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { migrations } from '../migrations/index.ts';
import { auditAccounts } from './audit.ts';
import { creditFromMint } from './commands/mint.ts';
import type { Deps } from './commands/resolve.ts';
import { settle } from './commands/settle.ts';
import { createConsumers } from './consumers.ts';
import { sealBlock } from './seal.ts';
import { openSigner } from './signing.ts';
import { findUser } from './store/accounts.ts';
import { findPayment, findPaymentOfJob } from './store/payments.ts';
import { transferId } from './store/transfers.ts';
import { aJob } from './testing/stand.ts';

/** The store's tables, reached past the store. */
interface ByHand {
  readonly url: string;
  /** Runs statements. @throws the engine's own error */
  readonly exec: (statements: string) => unknown;
  readonly bytes: (value: Uint8Array) => string;
  readonly isConstraint: (error: unknown) => boolean;
  readonly close: () => unknown;
}

const openSqliteByHand = (): ByHand => {
  const SQLITE_CONSTRAINT = 19;
  const path = join(scratchDirectory(), 'payments.db');
  let db: DatabaseSync | undefined;
  const open = () => {
    const opened = new DatabaseSync(path, { timeout: 5_000 });
    opened.exec('PRAGMA foreign_keys = ON');
    return opened;
  };
  return {
    url: path,
    exec: (statements) => {
      db ??= open();
      db.exec(statements);
    },
    bytes: (value) => `x'${Buffer.from(value).toString('hex')}'`,
    isConstraint: (error) => ((error as { errcode: number }).errcode & 0xff) === SQLITE_CONSTRAINT,
    close: () => db?.close(),
  };
};

const openPostgresByHand = async (): Promise<ByHand> => {
  const server = await startPostgres();
  const url = await server.database();
  return {
    url,
    exec: (statements) =>
      server.sql(`SET search_path TO payments; ${statements}`, new URL(url).pathname.slice(1)),
    bytes: (value) => `'\\x${Buffer.from(value).toString('hex')}'::bytea`,
    isConstraint: (error) => /^23/.test(String((error as { code?: unknown }).code)),
    close: server.stop,
  };
};

const ENGINES: [string, boolean, () => ByHand | Promise<ByHand>][] = [
  ['SQLite', true, openSqliteByHand],
  ['PostgreSQL', hasPostgres, openPostgresByHand],
];

// What the code would never do, done to the tables by hand: the schema alone has to refuse it.
for (const [engine, isHere, openByHand] of ENGINES)
  describe.skipIf(!isHere)(engine, () => {
    let store: Store;
    let byHand: ByHand;
    const payer = someone(['client']);
    const held = aJob(payer);
    const released = aJob(payer);
    let heldId = '';
    let releasedId = '';
    beforeAll(async () => {
      byHand = await openByHand();
      store = await openStore({ url: byHand.url, service: 'payments', migrations });
      const signer = await openSigner(store, { NODE_ENV: 'test' });
      await signer.keep();
      const deps: Deps = {
        parameters: await createParameters(store, 'payments'),
        listeners: await createListeners(store),
        now: Date.now,
      };
      const consumers = createConsumers(deps);
      await store.transact('fill', async (trx) => {
        await creditFromMint(trx, {
          transfer_id: transferId('credit', 'first'),
          account_id: payer.account_id,
          amount_minor: 1_000,
          kind: 'credit',
          reference: 'first',
        });
        await consumers['jobs.submitted'](trx, held.submitted(100));
        await consumers['jobs.submitted'](trx, released.submitted(100));
        await trx.flush();
        const id = (await findPaymentOfJob(trx, released.job_id))?.id as string;
        await consumers['jobs.ended'](trx, released.ended('completed', { id, amount_minor: 100 }));
      });
      heldId = (await findPaymentOfJob(store.read, held.job_id))?.id as string;
      releasedId = (await findPaymentOfJob(store.read, released.job_id))?.id as string;
      await store.transact('settle', (trx) => settle(trx, deps, releasedId));
      await sealBlock(store, signer, 0, Date.now());
    }, 60_000);
    afterAll(async () => {
      await store?.close();
      await byHand?.close();
    });

    const transfer = async (change: Record<string, string | number | Uint8Array>) => {
      const row = {
        id: newId(),
        hash: crypto.getRandomValues(new Uint8Array(32)),
        debit: 1,
        credit: (await findUser(store.read, payer.account_id))?.id as number,
        amount_minor: 1,
        kind: 'credit',
        reference: 'by hand',
        created_at_ms: 1,
        ...change,
      };
      const names = Object.keys(row);
      const values = Object.values(row).map((value) => {
        if (value instanceof Uint8Array) return byHand.bytes(value);
        return typeof value === 'number' ? value : `'${value}'`;
      });
      await byHand.exec(`INSERT INTO transfer (${names.join(', ')}) VALUES (${values.join(', ')})`);
    };
    /** By a constraint or a trigger, not because the statement itself is wrong. */
    const expectRefused = async (work: () => unknown, what = '') => {
      try {
        await work();
      } catch (error) {
        expect([what, (error as Error).message, byHand.isConstraint(error)]).toEqual([
          what,
          (error as Error).message,
          true,
        ]);
        return;
      }
      expect.fail(`${what} was taken`);
    };
    const user = async () => (await findUser(store.read, payer.account_id))?.id as number;
    const escrowOf = async (id: string) => (await findPayment(store.read, id))?.escrow as number;

    describe('the schema refuses', () => {
      const resolution = (change: string) =>
        `INSERT INTO resolution (payment_id, amount_minor, kind, payee_account_id, earned_minor, fee_minor, refunded_minor, reason, decided_at_ms, due_at_ms) VALUES (${change}, 'by hand', 1, 1)`;
      const sealed =
        'height, hash, previous_hash, merkle_root, first_seq, last_seq, tx_count, sealed_at_ms, proposer, signature';
      const statements: [string, () => string][] = [
        ['a changed transfer', () => 'UPDATE transfer SET amount_minor = 2 WHERE seq = 1'],
        ['a transfer to another', () => 'UPDATE transfer SET credit = 2 WHERE seq = 1'],
        ['a deleted transfer', () => 'DELETE FROM transfer WHERE seq = 2'],
        ['a changed block', () => 'UPDATE block SET tx_count = tx_count'],
        ['a deleted block', () => 'DELETE FROM block'],
        ['a deleted account', () => 'DELETE FROM account WHERE id = 4'],
        ['an account of another kind', () => `UPDATE account SET kind = 'mint' WHERE id = 4`],
        ['a balance below zero', () => 'UPDATE account SET balance_minor = -1 WHERE id = 4'],
        ['held funds below zero', () => 'UPDATE account SET held_minor = -1 WHERE id = 4'],
        [
          'more than may exist',
          () => `UPDATE account SET balance_minor = ${-SUPPLY_CAP_MINOR - 1} WHERE id = 1`,
        ],
        ['a deleted payment', () => 'DELETE FROM payment'],
        ['another amount', () => `UPDATE payment SET amount_minor = 1 WHERE id = '${heldId}'`],
        ['an end without a decision', () => `UPDATE payment SET status = 'released' WHERE id = '${heldId}'`],
        [
          'a refund after the release',
          () => `UPDATE payment SET status = 'refunded' WHERE id = '${releasedId}'`,
        ],
        ['held again', () => `UPDATE payment SET status = 'escrowed' WHERE id = '${releasedId}'`],
        ['a second decision', () => resolution(`'${releasedId}', 100, 'refund', NULL, 0, 0, 100`)],
        ['a decision over another amount', () => resolution(`'${heldId}', 99, 'refund', NULL, 0, 0, 99`)],
        ['a decision that loses money', () => resolution(`'${heldId}', 100, 'release', 'x', 90, 9, 0`)],
        ['a refund that pays', () => resolution(`'${heldId}', 100, 'refund', 'x', 1, 0, 99`)],
        ['a release to nobody', () => resolution(`'${heldId}', 100, 'release', NULL, 97, 3, 0`)],
        ['a decision over nothing', () => resolution(`'${newId()}', 100, 'refund', NULL, 0, 0, 100`)],
        [
          'another decision',
          () => `UPDATE resolution SET kind = 'refund' WHERE payment_id = '${releasedId}'`,
        ],
        ['settled twice', () => `UPDATE resolution SET settled_at_ms = 1 WHERE payment_id = '${releasedId}'`],
        ['a forgotten decision', () => 'DELETE FROM resolution'],
        [
          'a second payment for a job',
          () =>
            `INSERT INTO payment SELECT 'x', job_id, order_id, payer, NULL, NULL, 1, 0, 'failed', 'x', 'x', 1, 1, NULL FROM payment WHERE id = '${heldId}'`,
        ],
        [
          'a payment without escrow',
          () =>
            `INSERT INTO payment SELECT 'x', NULL, NULL, payer, NULL, NULL, 1, 0, 'escrowed', NULL, NULL, 1, 1, NULL FROM payment WHERE id = '${heldId}'`,
        ],
        [
          'a block in the middle',
          () =>
            `INSERT INTO block (${sealed}) SELECT 7, replace(hash, '0', '1'), hash, merkle_root, last_seq, last_seq, 1, sealed_at_ms, proposer, signature FROM block`,
        ],
        [
          'a second first block',
          () =>
            `INSERT INTO block (${sealed}) SELECT 0, replace(hash, '0', '1'), previous_hash, merkle_root, first_seq, last_seq, tx_count, sealed_at_ms, proposer, signature FROM block`,
        ],
        [
          'a transfer sealed twice',
          () =>
            `INSERT INTO block (${sealed}) SELECT 1, replace(hash, '0', '1'), hash, merkle_root, first_seq, last_seq, tx_count, sealed_at_ms, proposer, signature FROM block`,
        ],
      ];
      it.each(statements)('%s', async (_, statement) => {
        await expectRefused(() => byHand.exec(statement()));
      });

      it('transfers that the rules do not know', async () => {
        for (const change of [
          { amount_minor: 0 },
          { amount_minor: -1 },
          { credit: 1 },
          { credit: 999_999 },
          { kind: 'gift' },
          { reference: '' },
          { reference: 'two\nlines' },
          { hash: new Uint8Array(31) },
          { id: transferId('credit', 'first') },
          // From the mint only new money, and only to people and the treasury.
          { credit: 2 },
          { kind: 'hold' },
          // Between two accounts alone, and not around a decision.
          { kind: 'transfer' },
          { debit: 3, credit: await user(), kind: 'transfer' },
          { debit: await user(), credit: 2, kind: 'transfer' },
          { debit: await user(), credit: await escrowOf(heldId), kind: 'transfer', amount_minor: 100 },
          { debit: await escrowOf(heldId), credit: await user(), kind: 'transfer', amount_minor: 100 },
          // People pay the platform by escrow alone.
          { debit: await user(), credit: 2, kind: 'fee' },
          { debit: await user(), credit: 3, kind: 'treasury_share' },
          { debit: 2, credit: await user(), kind: 'allocation' },
          { debit: 3, credit: await user(), kind: 'allocation', amount_minor: 2 },
          // Out of escrow only by decision, and only as decided.
          {
            debit: await escrowOf(heldId),
            credit: await user(),
            kind: 'refund',
            amount_minor: 100,
            reference: heldId,
          },
          {
            debit: await escrowOf(heldId),
            credit: await user(),
            kind: 'release',
            amount_minor: 100,
            reference: heldId,
          },
          {
            debit: await escrowOf(heldId),
            credit: await user(),
            kind: 'refund',
            amount_minor: 100,
            reference: releasedId,
          },
          {
            debit: await escrowOf(releasedId),
            credit: await user(),
            kind: 'refund',
            amount_minor: 100,
            reference: releasedId,
          },
        ])
          await expectRefused(() => transfer(change), JSON.stringify(change));
      });

      it('nothing of what is right, and nothing of all this left a trace', async () => {
        expect(await auditAccounts(store.read, 0)).toEqual({ wrong: [], next: 0 });
        await transfer({});
        expect((await findUser(store.read, payer.account_id))?.balance_minor).toBe(1_000 - 200 + 1);
        expect(await auditAccounts(store.read, 0)).toEqual({ wrong: [], next: 0 });
      });
    });

    describe('the audit', () => {
      it('sees a balance that was touched', async () => {
        const { address } = (await findUser(store.read, payer.account_id)) as { address: string };
        await byHand.exec(`UPDATE account SET balance_minor = balance_minor + 1 WHERE id = ${await user()}`);
        expect((await auditAccounts(store.read, 0)).wrong).toEqual([address]);
        await byHand.exec(
          `UPDATE account SET balance_minor = balance_minor - 1, held_minor = held_minor + 1 WHERE id = ${await user()}`,
        );
        expect((await auditAccounts(store.read, 0)).wrong).toEqual([address]);
        await byHand.exec(`UPDATE account SET held_minor = held_minor - 1 WHERE id = ${await user()}`);
        expect((await auditAccounts(store.read, 0)).wrong).toEqual([]);
      });
    });

    describe('a credit from the mint', () => {
      const credit = (change: Partial<Parameters<typeof creditFromMint>[1]> = {}) =>
        store.transact('credit', (trx) =>
          creditFromMint(trx, {
            transfer_id: transferId('exchange', 'invoice'),
            account_id: payer.account_id,
            amount_minor: 50,
            kind: 'exchange',
            reference: 'invoice',
            ...change,
          }),
        );

      it('happens once for its id, and opens the account if need be', async () => {
        const before = (await findUser(store.read, payer.account_id))?.balance_minor as number;
        const hashes = [await credit(), await credit(), await credit({ now_ms: 1 })];
        expect(new Set(hashes).size).toBe(1);
        expect((await findUser(store.read, payer.account_id))?.balance_minor).toBe(before + 50);
        await expect(credit({ amount_minor: 51 })).rejects.toThrow('another content');
        const stranger = newId();
        await credit({
          transfer_id: transferId('exchange', 'other'),
          account_id: stranger,
          reference: 'other',
        });
        expect((await findUser(store.read, stranger))?.balance_minor).toBe(50);
      });

      it('ends at the cap, but answers for what was made before', async () => {
        await expect(
          credit({ transfer_id: newId(), reference: 'too much', amount_minor: SUPPLY_CAP_MINOR }),
        ).rejects.toThrow('At most');
        const first = await credit();
        expect(await credit()).toBe(first);
      });
    });
  });
