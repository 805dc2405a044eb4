import type { Job } from '@aitbc/sdk';
import { Link } from '@tanstack/react-router';
import { amount, duration, shortId, typeName } from '../../format.ts';
import { Badge, When } from '../../parts/look.tsx';

/** What a list shows of a job: the rest, up to half a megabyte each, is let go. */
export type JobLine = Pick<
  Job,
  'id' | 'job_type' | 'status' | 'progress' | 'labels' | 'payment_amount' | 'created_at'
> & { readonly tookMs: number | null };
export const lineOf = (job: Job): JobLine => ({
  id: job.id,
  job_type: job.job_type,
  status: job.status,
  progress: job.progress,
  labels: job.labels,
  payment_amount: job.payment_amount,
  created_at: job.created_at,
  tookMs: job.metrics.run_ms,
});

export const price = (job: Pick<Job, 'payment_amount'>): string =>
  job.payment_amount === null ? 'free' : amount(job.payment_amount);
export const took = (ms: number | null): string => (ms === null ? '–' : duration(ms));

export const JobLink = ({ job }: { job: Pick<Job, 'id' | 'job_type'> }) => (
  <Link to="/jobs/$jobId" params={{ jobId: job.id }}>
    {typeName(job.job_type)} <span className="mono small">{shortId(job.id)}</span>
  </Link>
);

/** A few jobs, without anything to filter. */
export const JobTable = ({ jobs }: { jobs: readonly Job[] }) => (
  <div className="scroll">
    <table className="table">
      <thead>
        <tr>
          <th scope="col">Job</th>
          <th scope="col">State</th>
          <th scope="col" className="end">
            Sent
          </th>
        </tr>
      </thead>
      <tbody>
        {jobs.map((job) => (
          <tr key={job.id}>
            <td>
              <JobLink job={job} />
            </td>
            <td>
              <Badge state={job.status} />
            </td>
            <td className="end muted">
              <When at={job.created_at} isRelative />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  </div>
);
