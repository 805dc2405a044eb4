import type { JobEvent } from '@aitbc/sdk';
import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { api } from '../../session.ts';

export type Step = Exclude<JobEvent, { type: 'delta' | 'restarted' | 'gap' }>;

/** The newest are kept: a job that reports its progress each second for hours does not fill the page. */
const STEPS_MAX = 300;
/** What a model writes meanwhile; the result holds everything. */
const TEXT_MAX = 200_000;

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null;

/** The text in what a miner put out, whichever of the job types that stream it is. */
const textOf = (chunk: Record<string, unknown>): string => {
  if (typeof chunk.text === 'string') return chunk.text;
  const choice: unknown = Array.isArray(chunk.choices) ? chunk.choices[0] : undefined;
  if (!isRecord(choice)) return '';
  const delta = isRecord(choice.delta) ? choice.delta.content : choice.text;
  return typeof delta === 'string' ? delta : '';
};

export interface Live {
  readonly steps: readonly Step[];
  readonly text: string;
  readonly error: unknown;
}
const NOTHING: Live = { steps: [], text: '', error: null };

const after = (live: Live, event: JobEvent): Live => {
  if (event.type === 'delta')
    return { ...live, text: (live.text + event.chunks.map(textOf).join('')).slice(-TEXT_MAX) };
  if (event.type === 'restarted') return { ...live, text: '' };
  if (event.type === 'gap') return live;
  if (live.steps.some(({ id }) => id === event.id)) return live;
  return { ...live, steps: [...live.steps, event].slice(-STEPS_MAX) };
};

/** What happens to a job, as it happens. It comes back by itself after a cut, where it was. */
export const useLive = (jobId: string): Live => {
  const queries = useQueryClient();
  const [live, setLive] = useState(NOTHING);
  useEffect(() => {
    const leaving = new AbortController();
    setLive(NOTHING);
    const follow = async (): Promise<void> => {
      for await (const event of api().jobs.watch(jobId, { signal: leaving.signal })) {
        setLive((now) => after(now, event));
        // The job itself is asked for when its state changed, not with each step of progress.
        if (event.type !== 'delta' && event.type !== 'progress')
          void queries.invalidateQueries({ queryKey: ['job', jobId] });
      }
      await queries.invalidateQueries({ queryKey: ['job', jobId] });
    };
    follow().catch((error: unknown) => {
      if (!leaving.signal.aborted) setLive((now) => ({ ...now, error }));
    });
    return () => leaving.abort();
  }, [jobId, queries]);
  return live;
};
