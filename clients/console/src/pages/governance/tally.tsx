import type { Proposal } from '@aitbc/sdk';
import { ago, amount, count, percent } from '../../format.ts';
import { useNow } from '../../parts/look.tsx';

const width = (share: number): string => `${Math.min(1, Math.max(0, share)) * 100}%`;
const shareOf = (part: number, whole: number): number => (whole > 0 ? part / whole : 0);

/** Where something must come to: a line over the bar. */
const Mark = ({ at }: { at: number }) => <b style={{ left: width(at) }} />;

/** How a vote stands: who took part of all that can vote, and how much of that is for it. */
export const Tally = ({ proposal }: { proposal: Proposal }) => {
  const { tally, quorum_threshold, approval_threshold } = proposal;
  const decided = tally.for + tally.against;
  return (
    <div className="tally">
      <div>
        <div className="tally-says">
          <span>Took part: {percent(tally.participation)}</span>
          <span className="muted">
            {tally.quorum_reached ? 'enough' : 'not enough yet'}: {percent(quorum_threshold)} must
          </span>
        </div>
        <div className="tally-bar" aria-hidden="true">
          <i data-vote="for" style={{ width: width(shareOf(tally.for, tally.voting_supply)) }} />
          <i data-vote="against" style={{ width: width(shareOf(tally.against, tally.voting_supply)) }} />
          <i data-vote="abstain" style={{ width: width(shareOf(tally.abstain, tally.voting_supply)) }} />
          <Mark at={quorum_threshold} />
        </div>
      </div>
      <div>
        <div className="tally-says">
          <span>
            {tally.approval === null
              ? 'Nobody is for or against it yet'
              : `For it: ${percent(tally.approval)}`}
          </span>
          <span className="muted">
            {tally.approval_reached ? 'enough' : 'not enough yet'}: {percent(approval_threshold)} must, and
            more than against
          </span>
        </div>
        <div className="tally-bar" aria-hidden="true">
          <i data-vote="for" style={{ width: width(shareOf(tally.for, decided)) }} />
          <i data-vote="against" style={{ width: width(shareOf(tally.against, decided)) }} />
          <Mark at={approval_threshold} />
        </div>
      </div>
      <p className="small muted tally-key">
        <span data-vote="for">{amount(tally.for)} for</span>
        <span data-vote="against">{amount(tally.against)} against</span>
        <span data-vote="abstain">{amount(tally.abstain)} abstain</span>
        <span>
          {count(tally.voters)} {tally.voters === 1 ? 'account' : 'accounts'} voted;{' '}
          {amount(tally.voting_supply)} can vote
        </span>
      </p>
    </div>
  );
};

/** What is left of the vote, or of the timelock after it. */
export const TimeLeft = ({ proposal }: { proposal: Proposal }) => {
  const now = useNow();
  const { status, created_at, voting_ends_at, decided_at, timelock_ends_at } = proposal;
  const isLocked = status === 'passed' || status === 'queued';
  const [begin, end] = isLocked
    ? [decided_at ?? voting_ends_at, timelock_ends_at]
    : [created_at, status === 'active' ? voting_ends_at : null];
  if (end === null) return null;
  const left = 1 - shareOf(now - Date.parse(begin), Date.parse(end) - Date.parse(begin));
  const isOver = now >= Date.parse(end);
  return (
    <div>
      <div className="tally-says">
        <span>
          {isOver
            ? isLocked
              ? 'It is executed now'
              : 'The votes are counted'
            : `${isLocked ? 'Is executed' : 'Voting ends'} ${ago(end, now)}`}
        </span>
        {isLocked && !isOver ? (
          <span className="muted">until then everybody can look at it again</span>
        ) : null}
      </div>
      <div className="tally-bar" data-kind="time" aria-hidden="true">
        <i style={{ width: width(left) }} />
      </div>
    </div>
  );
};
