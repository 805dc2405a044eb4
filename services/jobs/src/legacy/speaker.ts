import type { Context } from '@aitbc/chassis';
import { type AnyRoute, type Caller, legacyMinerName } from '@aitbc/contracts';
import type { HandOut } from '../hand-out.ts';
import type { MinerOffer } from '../tables.ts';
import type { Work } from '../work.ts';

type Asking = Pick<Context<AnyRoute>, 'caller' | 'response' | 'signal'> & {
  readonly query: { readonly miner_id?: string | undefined };
};

/** The name in the header, else in the query; undefined when the key has to say which miner speaks. */
export const nameGiven = ({ response, query }: Pick<Asking, 'response' | 'query'>): string | undefined => {
  const given = response.req.get('x-miner-id') || query.miner_id;
  return given === undefined ? undefined : legacyMinerName(given);
};

const isNamed = ({ miner_id, alias }: MinerOffer, name: string): boolean =>
  alias?.name === name || miner_id === name;

/** The miner of that name, else the one that this key registered last. Only such that registered as the original's do. */
const findSpeaker = (work: Work, caller: Caller, name: string | undefined): string | undefined => {
  let last: MinerOffer | undefined;
  for (const id of work.fleet.minersOf(caller.account_id)) {
    const offer = work.fleet.miner(id);
    if (offer?.alias === undefined) continue;
    if (name !== undefined) {
      if (isNamed(offer, name)) return id;
    } else if (
      offer.alias.key_id === caller.credential_id &&
      offer.alias.registered_at_ms >= (last?.alias?.registered_at_ms ?? 0)
    )
      last = offer;
  }
  return last?.miner_id;
};

/** Which miner speaks. @throws Problem MINER_NOT_REGISTERED */
export const speakerOf = (work: Work, handOut: HandOut, asking: Asking): Promise<string> => {
  const name = nameGiven(asking);
  return handOut.awaitMiner(() => findSpeaker(work, asking.caller, name), asking.signal, {
    hint: 'POST /v1/miners/register',
  });
};
