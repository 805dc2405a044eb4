import { auditAs, builder, clock, failpoint, sendAs, type Trx } from '@aitbc/chassis';
import {
  amountText,
  type Caller,
  fromMinor,
  newId,
  notFound,
  type Payload,
  Problem,
  SUPPLY_CAP,
  SUPPLY_CAP_MINOR,
} from '@aitbc/contracts';
import { type AccountRef, findAccount, findUser, MINT, openUser, TREASURY } from '../store/accounts.ts';
import { findTransfer, move, transferId } from '../store/transfers.ts';
import type { Tables } from '../tables.ts';
import type { Deps } from './resolve.ts';

const db = builder<Tables>();
const send = sendAs<'payments'>();
const audit = auditAs('payments');

const mint = async (
  trx: Trx,
  credit: {
    id: string;
    kind: 'credit' | 'exchange';
    reference: string;
    to: AccountRef;
    amount_minor: number;
    now_ms: number;
  },
): Promise<string> => {
  const supplyMinor = -((await findAccount(trx, MINT.id))?.balance_minor ?? 0);
  if (
    supplyMinor + credit.amount_minor > SUPPLY_CAP_MINOR &&
    (await findTransfer(trx, credit.id)) === undefined
  ) {
    throw new Problem(
      'SUPPLY_CAP_REACHED',
      `At most ${SUPPLY_CAP} AITBC may exist; ${amountText(SUPPLY_CAP_MINOR - supplyMinor)} can still be made.`,
    );
  }
  return await move(trx, { ...credit, from: MINT });
};

/**
 * New money for an account, once for each `transfer_id`: called again with the same content it changes nothing.
 * @param credit.reference what it is for, shown in the explorer (an invoice, a credit)
 * @returns the transaction's hash, in hex
 * @throws Problem SUPPLY_CAP_REACHED
 */
export const creditFromMint = async (
  trx: Trx,
  credit: {
    transfer_id: string;
    account_id: string;
    amount_minor: number;
    kind: 'credit' | 'exchange';
    reference: string;
    now_ms?: number;
  },
): Promise<string> => {
  const nowMs = credit.now_ms ?? clock.nowMs();
  return await mint(trx, {
    id: credit.transfer_id,
    kind: credit.kind,
    reference: credit.reference,
    to: await openUser(trx, credit.account_id, nowMs),
    amount_minor: credit.amount_minor,
    now_ms: nowMs,
  });
};

/** An operator's credit, with the reason kept. `account_id` of null is the treasury. */
export const creditByAdmin = async (
  trx: Trx,
  deps: Deps,
  caller: Caller,
  request: { account_id: string | null; amount_minor: number; reason: string },
) => {
  const nowMs = deps.now();
  const to = request.account_id === null ? TREASURY : await findUser(trx, request.account_id);
  if (to === undefined) throw notFound('account');
  const id = newId();
  const transaction_hash = await mint(trx, {
    id: transferId('credit', id),
    kind: 'credit',
    reference: id,
    to,
    amount_minor: request.amount_minor,
    now_ms: nowMs,
  });
  await trx.run(
    db.insertInto('credit').values({
      id,
      account: to.id,
      amount_minor: request.amount_minor,
      reason: request.reason,
      credited_by: caller.account_id,
      created_at_ms: nowMs,
    }),
  );
  await audit(trx, caller, {
    action: 'account.credited',
    object: id,
    account_id: request.account_id,
    details: { amount: fromMinor(request.amount_minor), reason: request.reason, address: to.address },
  });
  failpoint('credit:before-commit');
  trx.afterCommit(() => failpoint('credit:after-commit'));
  return { id, address: to.address, transaction_hash, created_at_ms: nowMs };
};

const whyNotPaid = async (
  trx: Trx,
  recipient: AccountRef | undefined,
  amountMinor: number,
): Promise<string | null> => {
  if (recipient === undefined) return 'The recipient has no account.';
  const treasuryMinor = (await findAccount(trx, TREASURY.id))?.balance_minor ?? 0;
  return treasuryMinor < amountMinor
    ? `The treasury has ${amountText(treasuryMinor)} AITBC, and ${amountText(amountMinor)} are needed.`
    : null;
};

/** Pays out of the treasury what a vote approved, once a proposal; asked again, it gives the first answer again. */
export const allocate = async (
  trx: Trx,
  deps: Deps,
  approved: Payload<'governance.allocation_approved'>,
): Promise<void> => {
  const nowMs = deps.now();
  const { proposal_id, recipient_account_id, amount_minor } = approved;
  const done = await trx.get(
    db.selectFrom('allocation').select('failure').where('proposal_id', '=', proposal_id),
  );
  const recipient = await findUser(trx, recipient_account_id);
  const failure = done === undefined ? await whyNotPaid(trx, recipient, amount_minor) : done.failure;
  if (done === undefined) {
    await trx.run(
      db.insertInto('allocation').values({
        proposal_id,
        recipient_account_id,
        amount_minor,
        failure,
        created_at_ms: nowMs,
      }),
    );
  }
  const transaction_hash =
    recipient === undefined || failure !== null
      ? null
      : await move(trx, {
          id: transferId('allocation', proposal_id),
          kind: 'allocation',
          reference: proposal_id,
          from: TREASURY,
          to: recipient,
          amount_minor,
          now_ms: nowMs,
        });
  await send(trx, 'payments.allocation_settled', {
    proposal_id,
    ok: failure === null,
    transaction_hash,
    reason: failure,
  });
};
