import type { Input, Proposal } from '@aitbc/sdk';
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { amount } from '../../format.ts';
import { Answer, Failure, More } from '../../parts/answer.tsx';
import { Entries, Entry } from '../../parts/entries.tsx';
import { Badge, Card, Empty, Id, When } from '../../parts/look.tsx';
import { OFTEN_MS, useWho } from '../../queries.ts';
import { api, useCredential } from '../../session.ts';
import { useMayVote, usePower } from './power.tsx';

const PAGE = 50;
const REASON_MAX = 500;
type Choice = Input<'governance.vote'>['body']['vote'];
const CHOICES = [
  ['for', 'For it'],
  ['against', 'Against it'],
  ['abstain', 'Abstain: counts for the quorum alone'],
] as const satisfies readonly (readonly [Choice, string])[];
const TONES = { for: 'good', against: 'bad', abstain: 'still' } as const;

export const useVotes = (proposalId: string) =>
  useInfiniteQuery({
    queryKey: ['proposals', 'votes', proposalId],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam, signal }) =>
      api().governance.votes(proposalId, { limit: PAGE, cursor: pageParam }, { signal }).page(),
    getNextPageParam: ({ next_cursor }) => next_cursor ?? undefined,
    refetchInterval: OFTEN_MS,
  });

export const useOwnVote = (proposalId: string) => {
  const { data: who } = useWho();
  return useQuery({
    enabled: who !== undefined,
    queryKey: ['proposals', 'own-vote', proposalId, who?.user_id],
    queryFn: async ({ signal }) => {
      const { items } = await api()
        .governance.votes(proposalId, { voter_id: who?.user_id, limit: 1 }, { signal })
        .page();
      return items[0] ?? null;
    },
  });
};

const Form = ({ proposal }: { proposal: Proposal }) => {
  const queries = useQueryClient();
  const { data: before } = useOwnVote(proposal.id);
  const { data: power } = usePower(proposal.id);
  const [choice, setChoice] = useState<Choice | undefined>(before?.vote);
  const [reason, setReason] = useState(before?.reason ?? '');
  const cast = useMutation({
    mutationFn: (vote: Choice) =>
      api().governance.vote({ proposal_id: proposal.id, vote, reason: reason.trim() }),
    onSettled: () => queries.invalidateQueries({ queryKey: ['proposals'] }),
  });
  if (power?.voting_power === 0)
    return (
      <p className="muted">
        Your account held nothing at block {proposal.snapshot_height}, which this vote counts by.
      </p>
    );
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        if (choice !== undefined) cast.mutate(choice);
      }}
    >
      <p className="small muted">
        {power === undefined ? 'Your vote' : `Your vote weighs ${amount(power.voting_power)}`}, as you held it
        at block {proposal.snapshot_height}. Until the end you can vote anew; the last vote counts.
      </p>
      <fieldset className="choices">
        <legend>Your vote</legend>
        <div>
          {CHOICES.map(([value, says]) => (
            <label key={value} className="check">
              <input type="radio" name="vote" checked={choice === value} onChange={() => setChoice(value)} />
              {says}
            </label>
          ))}
        </div>
      </fieldset>
      <label className="field">
        <span>Why, for everybody to read, if you like</span>
        <input maxLength={REASON_MAX} value={reason} onChange={({ target }) => setReason(target.value)} />
      </label>
      {cast.error === null ? null : <Failure error={cast.error} />}
      {cast.data === undefined ? null : (
        <p className="alert" data-tone="good" role="status">
          Your vote counts: {amount(cast.data.weight)} {cast.data.vote}.
        </p>
      )}
      <div className="row">
        <button
          type="submit"
          className="button"
          data-kind="main"
          disabled={cast.isPending || choice === undefined}
        >
          {before == null ? 'Vote' : 'Vote anew'}
        </button>
      </div>
    </form>
  );
};

/** The place to vote, while votes are taken. */
export const VoteCard = ({ proposal }: { proposal: Proposal }) => {
  const credential = useCredential();
  const mayVote = useMayVote();
  return (
    <Card title="Vote">
      {credential === null ? (
        <Link to="/sign-in" search={{ to: `/governance/${proposal.id}` }} className="button" data-kind="main">
          Sign in to vote
        </Link>
      ) : mayVote === false ? (
        <p className="muted">This key may not vote. Sign in with one that may, or with a wallet.</p>
      ) : (
        <Form proposal={proposal} />
      )}
    </Card>
  );
};

export const Votes = ({ query }: { query: ReturnType<typeof useVotes> }) => (
  <Card title="Votes">
    <Answer query={query}>
      {({ pages }) => {
        const all = pages.flatMap(({ items }) => items);
        return all.length === 0 ? (
          <Empty title="No vote yet">
            <p>Each vote stands here with its weight: the tally is their sum.</p>
          </Empty>
        ) : (
          <div className="stack">
            <Entries name="Votes">
              {all.map((vote) => (
                <Entry
                  key={vote.voter_id}
                  title={amount(vote.weight)}
                  state={<Badge state={vote.vote} tone={TONES[vote.vote] ?? 'still'} />}
                  rest={
                    vote.reason === null || vote.reason === '' ? undefined : (
                      <p className="wrap">{vote.reason}</p>
                    )
                  }
                >
                  account <Id id={vote.voter_id} /> · <When at={vote.cast_at} isRelative />
                </Entry>
              ))}
            </Entries>
            <More query={query} />
          </div>
        );
      }}
    </Answer>
  </Card>
);
