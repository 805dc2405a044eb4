import { failpoint, type Trx } from '@aitbc/chassis';
import {
  ADDRESS_PATTERN,
  type Caller,
  fromMinor,
  invalidField,
  newId,
  notFound,
  Problem,
  toTimestamp,
} from '@aitbc/contracts';
import { refuseTransfer } from '../domain.ts';
import { findByAddress, keepMemo, movedBy, noteMoved } from '../store/account-transfers.ts';
import { findUser } from '../store/accounts.ts';
import { meansOf } from '../store/means.ts';
import { move, transferId } from '../store/transfers.ts';
import type { Deps } from './resolve.ts';

const DAY_MS = 86_400_000;

/** Not an account's id. */
export const isAddress = (to: string): boolean => ADDRESS_PATTERN.test(to);

/** Money from the caller's account to another's, at once and for good. */
export const transfer = async (
  trx: Trx,
  deps: Deps,
  caller: Caller,
  request: { to: string; amount_minor: number; memo: string | null },
) => {
  const nowMs = deps.now();
  const { amount_minor, memo } = request;
  const to = isAddress(request.to) ? await findByAddress(trx, request.to) : await findUser(trx, request.to);
  if (to === undefined) throw notFound('account');
  const { credential_id, transfer_cap_minor: capMinor } = caller;
  const { payer: from, availableMinor } = await meansOf(trx, caller.account_id, credential_id, nowMs);
  if (to.id === from.id) throw invalidField('to', 'is your own account');
  if (to.account_id === null) throw invalidField('to', 'is not the address of an account');

  const last = credential_id === null ? undefined : await movedBy(trx, credential_id);
  // A clock that was put back begins no new day.
  const day = Math.max(Math.floor(nowMs / DAY_MS), last?.day ?? 0);
  const movedMinor = last?.day === day ? last.moved_minor : 0;
  const refusal = refuseTransfer({
    amountMinor: amount_minor,
    availableMinor,
    movedMinor,
    capMinor: capMinor ?? null,
  });
  if (refusal !== null) {
    const details =
      refusal.code === 'TRANSFER_CAP_EXCEEDED' ? { resets_at: toTimestamp((day + 1) * DAY_MS) } : {};
    throw new Problem(refusal.code, refusal.message, { details });
  }

  const id = newId();
  const transaction_hash = await move(trx, {
    id: transferId('transfer', id),
    kind: 'transfer',
    reference: id,
    from,
    to,
    amount_minor,
    now_ms: nowMs,
  });
  if (memo !== null) await keepMemo(trx, id, memo);
  // With and without a cap: a key may get one by a rotation.
  if (credential_id !== null)
    await noteMoved(trx, { credential_id, day, moved_minor: movedMinor + amount_minor });
  failpoint('transfer:before-commit');
  trx.afterCommit(() => failpoint('transfer:after-commit'));
  return {
    id,
    from: { account_id: caller.account_id, address: from.address },
    to: { account_id: to.account_id, address: to.address },
    amount: fromMinor(amount_minor),
    memo,
    transaction_hash,
    created_at: toTimestamp(nowMs),
  };
};
