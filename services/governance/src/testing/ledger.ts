import { type Caller, newId, toMinor } from '@aitbc/contracts';
import type { openPeers } from '@aitbc/testing';

/** Says what payments says of its ledger: blocks with the balances they changed. Amounts in AITBC. */
export const openLedger = (peers: Awaited<ReturnType<typeof openPeers>>) => {
  const balances = new Map<string, number>();
  let height = -1;
  let treasury = 0;
  return {
    get height() {
      return height;
    },
    /** Seals the next block. @param changed what the callers hold from now on. */
    seal: async (changed: [Caller, number][], treasuryNow = treasury): Promise<void> => {
      height += 1;
      treasury = treasuryNow;
      for (const [{ account_id }, amount] of changed) balances.set(account_id, amount);
      const supply = [...balances.values()].reduce((sum, amount) => sum + amount, treasury);
      await peers.send('payments.block_sealed', {
        height,
        part: 0,
        parts: 1,
        sealed_at_ms: Date.now(),
        supply_minor: toMinor(supply),
        treasury_minor: toMinor(treasury),
        balances: changed.map(([{ account_id }, amount]) => ({ account_id, balance_minor: toMinor(amount) })),
      });
    },
  };
};

/** What every proposal needs besides its type and target. */
export const words = {
  title: 'A change that somebody wants',
  description: 'Long enough to say why this is wanted, what it costs, and what would happen without it.',
};

export const allocationTo = (amount: number) => ({
  ...words,
  type: 'fund_allocation' as const,
  target: { recipient_account_id: newId(), amount },
});
