import { routes } from '@aitbc/contracts';
import { eventually } from '@aitbc/testing';
import type { Coordinator } from '../coordinator.ts';
import { programOf } from './program.ts';

/** An account with something to pay with, and one key for everything. */
export const funded = async (coordinator: Coordinator) => {
  const { key, id } = await coordinator.newAccount(['client', 'miner']);
  await eventually(async () => {
    const credited = await coordinator.admin.call(routes.payments.credit, {
      params: { account_id: id },
      body: { amount: 100, reason: 'to pay with' },
    });
    return credited.ok;
  });
  return { id, key, program: programOf(coordinator, key) };
};

export const minerOf = async (coordinator: Coordinator, more: Record<string, string> = {}) => {
  const { key, id } = await coordinator.newAccount(['miner']);
  return { id, key, program: programOf(coordinator, key, more) };
};
