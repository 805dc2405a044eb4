import { useQuery } from '@tanstack/react-query';
import { amount } from '../../format.ts';
import { SOMETIMES_MS, useWho } from '../../queries.ts';
import { api, useCredential } from '../../session.ts';

/** Whether whoever is signed in may vote; undefined until that is known. A key needs to have been made for it. */
export const useMayVote = (): boolean | undefined => {
  const credential = useCredential();
  const { data: who } = useWho();
  if (credential === null) return false;
  if (credential.kind === 'session') return true;
  return who?.scopes.includes('vote');
};

/** Of whoever is signed in: now, or at the snapshot of a proposal. */
export const usePower = (proposalId?: string) => {
  const { data: who } = useWho();
  return useQuery({
    enabled: who !== undefined,
    queryKey: ['power', who?.user_id, proposalId],
    queryFn: ({ signal }) =>
      api().governance.votingPower(
        who?.user_id as string,
        proposalId === undefined ? {} : { proposal_id: proposalId },
        { signal },
      ),
    refetchInterval: proposalId === undefined ? SOMETIMES_MS : false,
  });
};

export const Power = () => {
  const { data } = usePower();
  return (
    <span className="small muted">
      Your voting power: {data === undefined ? '…' : amount(data.voting_power)}
    </span>
  );
};
