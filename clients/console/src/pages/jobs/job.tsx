import { hasEnded, type Job, type JobParameters } from '@aitbc/sdk';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { amount, duration, percent, typeName, words } from '../../format.ts';
import { Answer, Failure, SignedIn } from '../../parts/answer.tsx';
import { Confirm } from '../../parts/confirm.tsx';
import { Badge, Card, Copy, Empty, Facts, Head, Id, When } from '../../parts/look.tsx';
import { OFTEN_MS, SOMETIMES_MS } from '../../queries.ts';
import { api } from '../../session.ts';
import { type Live, useLive } from './live.ts';
import { Proof } from './proof.tsx';
import { Parameters, Result } from './result.tsx';
import { price } from './table.tsx';
import { Timeline } from './timeline.tsx';
import { whyItWaits } from './words.ts';
import './job.css';

const usePayment = (job: Job) =>
  useQuery({
    queryKey: ['job', job.id, 'payment'],
    enabled: job.payment_id !== null,
    queryFn: ({ signal }) => api().payments.ofJob(job.id, { signal }),
    // The payment is settled a moment after the job has ended.
    refetchInterval: ({ state }) =>
      state.data === undefined || state.data.status === 'escrowed' || state.data.status === 'pending'
        ? OFTEN_MS
        : false,
  });

const Waiting = ({ job }: { job: Job }) => {
  const status = useQuery({
    queryKey: ['job', job.id, 'status'],
    queryFn: ({ signal }) => api().jobs.status(job.id, {}, { signal }),
    refetchInterval: OFTEN_MS,
  });
  return (
    <div className="alert" data-tone="warn">
      <strong>It waits. </strong>
      {status.data === undefined ? null : whyItWaits(status.data)}
      {status.data?.queue_position == null || status.data.queue_position === 0
        ? null
        : ` About ${status.data.queue_position} jobs come before it.`}
    </div>
  );
};

const Running = ({ job, live }: { job: Job; live: Live }) => {
  const progress = live.steps.at(-1)?.progress ?? job.progress;
  return (
    <Card title="A miner works on it">
      <div className="stack">
        <div
          className="bar"
          role="progressbar"
          aria-label="Progress"
          aria-valuenow={Math.round(progress * 100)}
        >
          <i style={{ width: `${progress * 100}%` }} />
        </div>
        <p className="small muted">{percent(progress)} done</p>
        {live.text === '' ? null : (
          <pre className="prose" aria-live="polite">
            {live.text}
          </pre>
        )}
      </div>
    </Card>
  );
};

/** The same request once more, as a new job. */
const useRunAgain = (job: Job) => {
  const navigate = useNavigate();
  return useMutation({
    mutationFn: () =>
      api().jobs.submit(job.job_type, job.parameters as unknown as JobParameters[typeof job.job_type], {
        constraints: job.constraints,
        priority: job.priority,
        labels: job.labels,
        timeout_seconds: job.timeout_seconds,
        max_attempts: job.max_attempts,
        ...(job.payment_amount === null ? {} : { payment_amount: job.payment_amount }),
      }),
    onSuccess: ({ id }) => navigate({ to: '/jobs/$jobId', params: { jobId: id } }),
  });
};

const Actions = ({ job }: { job: Job }) => {
  const queries = useQueryClient();
  const cancel = useMutation({
    mutationFn: () => api().jobs.cancel(job.id),
    onSettled: () => queries.invalidateQueries({ queryKey: ['job', job.id] }),
  });
  const again = useRunAgain(job);
  const navigate = useNavigate();
  const wipe = useMutation({
    mutationFn: () => api().jobs.wipe(job.id),
    // What was erased is not to stand in this page's memory either.
    onSuccess: async () => {
      await navigate({ to: '/jobs' });
      queries.removeQueries({ queryKey: ['job', job.id] });
    },
  });
  const error = cancel.error ?? again.error ?? wipe.error;
  return (
    <>
      {hasEnded(job) ? (
        <>
          <button type="button" className="button" disabled={again.isPending} onClick={() => again.mutate()}>
            Run again{job.payment_amount === null ? '' : ` for ${amount(job.payment_amount)}`}
          </button>
          <Confirm
            action="Erase"
            title="Erase what this job was given and made?"
            isBusy={wipe.isPending}
            onConfirm={() => wipe.mutate()}
          >
            Parameters and result are erased at once, for good. Its state, hashes and receipt stay.
          </Confirm>
        </>
      ) : (
        <Confirm
          action="Cancel the job"
          title="Cancel this job?"
          isBusy={cancel.isPending}
          onConfirm={() => cancel.mutate()}
        >
          {job.status === 'running'
            ? 'The miner is told to stop. What its work so far is worth by the rules of this job type is paid, the rest comes back.'
            : 'It has not begun, so all of its money comes back.'}
        </Confirm>
      )}
      {error === null ? null : <Failure error={error} />}
    </>
  );
};

const Constraints = ({ job }: { job: Job }) => {
  const all = Object.entries(job.constraints).filter(([, value]) => value !== undefined && value !== null);
  return all.length === 0 ? 'any miner' : all.map(([name, value]) => `${words(name)} ${value}`).join(', ');
};

const Details = ({ job }: { job: Job }) => (
  <Card title="Details">
    <Facts
      facts={[
        [
          'Id',
          <span key="id" className="row">
            <span className="mono wrap">{job.id}</span>
            <Copy text={job.id} what="the id" />
          </span>,
        ],
        [
          'Pays',
          job.payment_status === null ? (
            price(job)
          ) : (
            <>
              {price(job)} <Badge state={job.payment_status} />
            </>
          ),
        ],
        ['Asks for', <Constraints key="constraints" job={job} />],
        ['Sent', <When key="sent" at={job.created_at} />],
        hasEnded(job) ? null : ['Must begin by', <When key="by" at={job.expires_at} />],
        job.metrics.queue_ms === null ? null : ['Waited', duration(job.metrics.queue_ms)],
        job.metrics.run_ms === null ? null : ['Ran', duration(job.metrics.run_ms)],
        ['Attempt', `${job.attempt} of ${job.max_attempts}`],
        job.miner_id === null ? null : ['Miner', <Id key="miner" id={job.miner_id} />],
        job.labels.length === 0
          ? null
          : [
              'Labels',
              <span key="labels" className="row">
                {job.labels.map((label) => (
                  <span key={label} className="tag" title={label}>
                    {label}
                  </span>
                ))}
              </span>,
            ],
      ]}
    />
  </Card>
);

const View = ({ job }: { job: Job }) => {
  const live = useLive(job.id);
  const payment = usePayment(job);
  return (
    <>
      <Head title={typeName(job.job_type)} actions={<Actions job={job} />}>
        <Badge state={job.status} /> <span className="mono small">{job.id}</span>
      </Head>
      {job.status === 'pending' ? <Waiting job={job} /> : null}
      {job.error === null ? null : (
        <div className="alert">
          <strong>{job.error.message}</strong> <span className="mono small">{job.error.code}</span>
        </div>
      )}
      <div className="columns">
        <div className="stack">
          {job.status === 'running' ? <Running job={job} live={live} /> : null}
          {job.status === 'completed' ? (
            <Card title="Result">
              <Result job={job} />
            </Card>
          ) : null}
          {job.status === 'completed' ? <Proof job={job} payment={payment.data} /> : null}
          <Card title="What was asked">
            <Parameters job={job} />
          </Card>
        </div>
        <div className="stack">
          <Card title="What happened">
            <Timeline job={job} steps={live.steps} payment={payment.data} />
          </Card>
          <Details job={job} />
        </div>
      </div>
    </>
  );
};

const NoSuchJob = () => (
  <section className="card">
    <Empty title="There is no such job here">
      <p>It belongs to another account, or was never sent. Look whether you signed in with the right key.</p>
      <Link to="/jobs" className="button">
        To your jobs
      </Link>
    </Empty>
  </section>
);

const Loaded = ({ jobId }: { jobId: string }) => {
  const job = useQuery({
    queryKey: ['job', jobId],
    queryFn: ({ signal }) => api().jobs.get(jobId, { signal }),
    // The stream of events tells of changes; this is for the time when it is cut.
    refetchInterval: ({ state }) => (state.data !== undefined && hasEnded(state.data) ? false : SOMETIMES_MS),
  });
  return (
    <>
      {job.data === undefined ? <Head title="Job" /> : null}
      <Answer query={job} lines={8} missing={<NoSuchJob />}>
        {(found) => <View key={found.id} job={found} />}
      </Answer>
    </>
  );
};

export const JobPage = () => {
  const { jobId } = useParams({ from: '/jobs/$jobId' });
  return (
    <SignedIn what="this job">
      <Loaded jobId={jobId} />
    </SignedIn>
  );
};
