import type { Job, Payment } from '@aitbc/sdk';
import type { ReactNode } from 'react';
import { amount, clockTime, duration, percent } from '../../format.ts';
import { Id, type Tone } from '../../parts/look.tsx';
import type { Step } from './live.ts';

interface Entry {
  readonly key: string;
  readonly at: string;
  readonly title: string;
  readonly note?: ReactNode;
  readonly tone: Tone;
}

const between = (from: string, to: string): string =>
  duration(Math.max(0, Date.parse(to) - Date.parse(from)));

const ENDS: Record<string, { title: string; tone: Tone }> = {
  completed: { title: 'Completed', tone: 'good' },
  failed: { title: 'Failed', tone: 'bad' },
  cancelled: { title: 'Cancelled', tone: 'still' },
  expired: { title: 'Expired: no miner began in time', tone: 'bad' },
};

/** A few of many reports of progress say as much as all of them. */
const PROGRESS_SHOWN = 3;

const entriesOf = (job: Job, steps: readonly Step[], payment: Payment | undefined): Entry[] => {
  const entries: Entry[] = [{ key: 'sent', at: job.created_at, title: 'Sent', tone: 'still' }];
  if (payment !== undefined && payment.status !== 'pending' && payment.status !== 'failed')
    entries.push({
      key: 'funded',
      at: payment.created_at,
      title: 'Money set aside',
      note: `${amount(payment.amount)} stand in escrow for this job alone`,
      tone: 'good',
    });
  const begun = steps.filter(({ type }) => type === 'running');
  if (begun.length === 0 && job.started_at !== null)
    entries.push({
      key: 'began',
      at: job.started_at,
      title: `A miner began (attempt ${job.attempt})`,
      note: job.miner_id === null ? undefined : <Id id={job.miner_id} />,
      tone: 'busy',
    });
  for (const step of begun)
    entries.push({
      key: String(step.id),
      at: step.at,
      title: `A miner began (attempt ${step.attempt})`,
      note: `after ${between(job.created_at, step.at)}`,
      tone: 'busy',
    });
  for (const step of steps.filter(({ type }) => type === 'retrying'))
    entries.push({
      key: String(step.id),
      at: step.at,
      title: `Attempt ${step.attempt} was lost, it is tried again`,
      note: step.message,
      tone: 'warn',
    });
  for (const step of steps.filter(({ type }) => type === 'progress').slice(-PROGRESS_SHOWN))
    entries.push({
      key: String(step.id),
      at: step.at,
      title: `${percent(step.progress)} done`,
      note: step.message,
      tone: 'busy',
    });
  const end = ENDS[job.status];
  if (job.ended_at !== null && end !== undefined)
    entries.push({
      key: 'end',
      at: job.ended_at,
      title: end.title,
      note:
        job.error?.message ??
        (job.metrics.run_ms === null ? undefined : `ran ${duration(job.metrics.run_ms)}`),
      tone: end.tone,
    });
  if (payment?.released_at != null)
    entries.push({
      key: 'released',
      at: payment.released_at,
      title: 'The miner was paid',
      note: `${amount(payment.amount - payment.fee)}, and a fee of ${amount(payment.fee)}`,
      tone: 'good',
    });
  if (payment?.refunded_at != null)
    entries.push({
      key: 'refunded',
      at: payment.refunded_at,
      title: 'The money came back',
      note: amount(payment.refunded_amount),
      tone: 'still',
    });
  return entries.sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
};

export const Timeline = ({
  job,
  steps,
  payment,
}: {
  job: Job;
  steps: readonly Step[];
  payment: Payment | undefined;
}) => (
  <ol className="timeline">
    {entriesOf(job, steps, payment).map(({ key, at, title, note, tone }) => (
      <li key={key} data-tone={tone}>
        <div>
          <strong>{title}</strong>
          {note == null ? null : <div className="small muted wrap">{note}</div>}
        </div>
        <time className="small muted number" dateTime={at} title={`${at} (UTC)`}>
          {clockTime(at)}
        </time>
      </li>
    ))}
  </ol>
);
