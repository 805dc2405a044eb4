import type { Trx } from '@aitbc/chassis';
import type { Payload } from '@aitbc/contracts';
import {
  faded,
  isNoticeable,
  NO_WORDS,
  type Outcome,
  reputation,
  type Words,
  wordAgainst,
  wordFor,
} from '../domain.ts';
import {
  activeMinersAfter,
  addEarning,
  findMiner,
  findReputation,
  findWordsOf,
  type Miner,
  saveReputation,
  saveRevision,
  saveWordsOf,
} from '../store/index.ts';
import { tell } from './registration.ts';

/** The client that stands for all who never paid an account. */
export const STRANGERS = '';

/** Takes in what was said of an account, and lets the others know when that moved it noticeably. */
const hear = async (
  trx: Trx,
  accountId: string,
  clientId: string,
  said: { client: Words; good: number; bad: number },
  nowMs: number,
): Promise<void> => {
  const { client, good, bad } = said;
  await saveWordsOf(trx, {
    account_id: accountId,
    client_id: clientId,
    good: client.good + good,
    bad: client.bad + bad,
    at_ms: nowMs,
  });
  const before = await findReputation(trx, accountId);
  const words = faded(before ?? NO_WORDS, nowMs);
  const after = { good: words.good + good, bad: words.bad + bad };
  const now = reputation(after);
  const announced = before?.announced ?? reputation(NO_WORDS);
  const isNews = isNoticeable(announced, now);
  await saveReputation(trx, {
    account_id: accountId,
    ...after,
    at_ms: nowMs,
    announced: isNews ? now : announced,
    telling_after: isNews ? '' : (before?.telling_after ?? null),
  });
  if (isNews) await tellReputation(trx, accountId);
};

export const hearAgainst = async (
  trx: Trx,
  accountId: string,
  clientId: string,
  outcome: Outcome,
  nowMs: number,
): Promise<void> => {
  // Of its own jobs nobody speaks.
  if (clientId === accountId) return;
  const client = faded(await findWordsOf(trx, accountId, clientId), nowMs);
  const strangers = faded(await findWordsOf(trx, accountId, STRANGERS), nowMs);
  const { bad, asStranger } = wordAgainst(client, strangers, outcome);
  if (bad === 0) return;
  if (asStranger > 0 && clientId !== STRANGERS)
    await saveWordsOf(trx, {
      ...strangers,
      account_id: accountId,
      client_id: STRANGERS,
      bad: strangers.bad + asStranger,
    });
  await hear(trx, accountId, clientId, { client, good: 0, bad }, nowMs);
};

/** Miners told of in one transaction: a message holds up to 500 names of models. The schedule goes on with the others. */
const TOLD_AT_ONCE = 20;

/** Tells of the reputation of an account's miners, some at a time. */
export const tellReputation = async (trx: Trx, accountId: string): Promise<void> => {
  const row = await findReputation(trx, accountId);
  if (row === undefined || row.telling_after === null) return;
  const ids = await activeMinersAfter(trx, accountId, row.telling_after, TOLD_AT_ONCE);
  for (const id of ids) {
    await saveRevision(trx, id);
    await tell(trx, (await findMiner(trx, id)) as Miner);
  }
  await saveReputation(trx, {
    ...row,
    telling_after: ids.length < TOLD_AT_ONCE ? null : (ids.at(-1) as string),
  });
};

/**
 * A payment reached its end: what the miner got counts as earned, and as its client's good word, once a payment.
 * @param keptMs how long the payment is known here
 */
export const creditPayment = async (
  trx: Trx,
  resolved: Payload<'payments.resolved'>,
  nowMs: number,
  keptMs: number,
): Promise<void> => {
  const { payment_id, kind, miner_id, earned_minor, payee_account_id, payer_account_id } = resolved;
  if (kind !== 'released' || miner_id === null || earned_minor === 0 || resolved.is_repeat) return;
  const earning = { payment_id, miner_id, earned_minor, forget_at_ms: nowMs + keptMs };
  const between = { account_id: payee_account_id ?? '', client_id: payer_account_id ?? STRANGERS };
  const words = await addEarning(trx, earning, between);
  if (words === undefined) return;
  if (payee_account_id === null || payer_account_id === undefined || payer_account_id === payee_account_id)
    return;
  const client = faded(words, nowMs);
  const good = wordFor(client, earned_minor);
  if (good > 0) await hear(trx, payee_account_id, payer_account_id, { client, good, bad: 0 }, nowMs);
};
