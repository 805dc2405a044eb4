import type { Proposal } from '@aitbc/sdk';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, useParams } from '@tanstack/react-router';
import { amount, words } from '../../format.ts';
import { Failure, Sought } from '../../parts/answer.tsx';
import { Confirm } from '../../parts/confirm.tsx';
import { Badge, Block, Card, Facts, Hash, Head, Id, Skeleton, When } from '../../parts/look.tsx';
import { OFTEN_MS, useWho } from '../../queries.ts';
import { api, useCredential } from '../../session.ts';
import { usePower } from './power.tsx';
import { Tally, TimeLeft } from './tally.tsx';
import { TargetLine, TargetText } from './target.tsx';
import { useOwnVote, useVotes, VoteCard, Votes } from './vote.tsx';
import { shown, toneOf } from './words.ts';
import './governance.css';

const isGoingOn = ({ status }: Proposal): boolean =>
  status === 'active' || status === 'passed' || status === 'queued';

const Cancel = ({ proposal }: { proposal: Proposal }) => {
  const queries = useQueryClient();
  const cancel = useMutation({
    mutationFn: () => api().governance.cancel(proposal.id),
    onSettled: () => queries.invalidateQueries({ queryKey: ['proposals'] }),
  });
  return (
    <>
      <Confirm
        action="Cancel it"
        title="Cancel this proposal?"
        isBusy={cancel.isPending}
        onConfirm={() => cancel.mutate()}
      >
        It ends here, and whoever wants it makes a new one. The votes stay to be read.
      </Confirm>
      {cancel.error === null ? null : <Failure error={cancel.error} />}
    </>
  );
};

/** What its execution did, or why it did nothing. */
const Effect = ({ execution }: { execution: NonNullable<Proposal['execution']> }) => {
  const { effect } = execution;
  if (execution.status === 'failed')
    return (
      <p className="alert wrap" role="status">
        It could not be executed: {execution.reason}
      </p>
    );
  if (effect === null) return null;
  return (
    <p className="alert wrap" data-tone="good" role="status">
      {effect.kind === 'parameter_changed' ? (
        <>
          Executed: {words(effect.parameter)} is <bdi>{shown(effect.value)}</bdi> now.
        </>
      ) : effect.kind === 'text_recorded' ? (
        <>
          Executed: “<bdi>{effect.subject}</bdi>” is on record, with the fingerprint{' '}
          <Hash hash={effect.sha256} />.
        </>
      ) : (
        <>
          Executed: {amount(effect.amount)} were paid.{' '}
          {effect.transaction_hash === null ? null : (
            <Link to="/explorer/transactions/$hash" params={{ hash: effect.transaction_hash }}>
              The transfer
            </Link>
          )}
        </>
      )}
    </p>
  );
};

const Course = ({ proposal }: { proposal: Proposal }) => (
  <Facts
    facts={[
      ['Made by', <Id key="by" id={proposal.proposer_id} />],
      ['Made', <When key="made" at={proposal.created_at} />],
      ['Votes until', <When key="until" at={proposal.voting_ends_at} />],
      proposal.decided_at === null ? null : ['Decided', <When key="decided" at={proposal.decided_at} />],
      proposal.timelock_ends_at === null
        ? null
        : ['Executed from', <When key="lock" at={proposal.timelock_ends_at} />],
      proposal.execution?.ended_at == null
        ? null
        : ['Executed', <When key="executed" at={proposal.execution.ended_at} />],
      proposal.cancelled_at === null ? null : ['Cancelled', <When key="end" at={proposal.cancelled_at} />],
      proposal.veto_reason === null ? null : ['Vetoed by an operator', proposal.veto_reason],
      [
        'Counts by',
        <Link key="block" to="/explorer/blocks/$height" params={{ height: String(proposal.snapshot_height) }}>
          block {proposal.snapshot_height}
        </Link>,
      ],
    ]}
  />
);

const One = ({ proposal }: { proposal: Proposal }) => {
  const { data: who } = useWho();
  const isSignedIn = useCredential() !== null;
  const votes = useVotes(proposal.id);
  const asked = [useOwnVote(proposal.id), usePower(proposal.id)];
  // All at once, when all is there: what comes late would push down what stands there.
  if (votes.isPending || (isSignedIn && (who === undefined || asked.some(({ isPending }) => isPending))))
    return <Skeleton lines={16} />;
  return (
    <>
      <Head title={proposal.title} actions={<Badge state={proposal.status} tone={toneOf(proposal.status)} />}>
        <Link to="/governance">All proposals</Link>
      </Head>
      <div className="columns">
        <div className="stack">
          <Card title="What is proposed">
            <div className="stack">
              <p className="wrap">
                <TargetLine proposal={proposal} />
              </p>
              {proposal.execution === null ? null : <Effect execution={proposal.execution} />}
              <Block name="Why" isProse>
                {proposal.description}
              </Block>
              <TargetText proposal={proposal} />
              {isGoingOn(proposal) && who?.user_id === proposal.proposer_id ? (
                <div className="row">
                  <Cancel proposal={proposal} />
                </div>
              ) : null}
            </div>
          </Card>
          <Votes query={votes} />
        </div>
        <div className="stack">
          <Card title="How it stands">
            <div className="stack">
              <Tally proposal={proposal} />
              <TimeLeft proposal={proposal} />
            </div>
          </Card>
          {proposal.status === 'active' ? <VoteCard proposal={proposal} /> : null}
          <Card title="Its course">
            <Course proposal={proposal} />
          </Card>
        </div>
      </div>
    </>
  );
};

export const ProposalPage = () => {
  const { proposalId } = useParams({ from: '/governance/$proposalId' });
  const proposal = useQuery({
    queryKey: ['proposals', 'one', proposalId],
    queryFn: ({ signal }) => api().governance.get(proposalId, { signal }),
    refetchInterval: ({ state }) => (state.data === undefined || isGoingOn(state.data) ? OFTEN_MS : false),
  });
  if (proposal.data !== undefined) return <One key={proposalId} proposal={proposal.data} />;
  return (
    <Sought
      query={proposal}
      title="A proposal"
      missing={{
        title: 'No such proposal',
        says: 'There is no such proposal',
        to: '/governance',
        link: 'All proposals',
      }}
    />
  );
};
