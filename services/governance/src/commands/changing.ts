import type { Reader } from '@aitbc/chassis';
import { amountText, PARAMETERS, type ParameterName, stepRefusal, toMinor } from '@aitbc/contracts';
import { proposalPowerMaxMinor } from '../domain.ts';
import { currentValue } from '../store/parameters.ts';

/**
 * Why a vote may not give the parameter this value, as things stand now; null when it may. Asked when it is proposed,
 * and again when it is executed: weeks, releases and other votes lie between.
 */
export const changeRefusal = async (
  reader: Reader,
  name: ParameterName,
  value: unknown,
  votingSupplyMinor: number,
): Promise<string | null> => {
  const parsed = PARAMETERS[name].schema.safeParse(value);
  if (!parsed.success) return parsed.error.issues[0]?.message ?? 'is out of bounds';
  const current = await currentValue(reader, name);
  const tooFar = stepRefusal(name, current, parsed.data);
  if (tooFar !== null) return tooFar;
  if (name !== 'min_proposal_voting_power') return null;
  const [from, to] = [current as number, parsed.data as number];
  const most = proposalPowerMaxMinor(votingSupplyMinor);
  return to <= from || toMinor(to) <= most
    ? null
    : `no more than 1 % of what can vote, which is ${amountText(most)} AITBC now`;
};
