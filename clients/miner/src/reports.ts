import {
  type Answer,
  type Coordinator,
  isKeyRefused,
  isNotRegistered,
  isPollReply,
  type PollReply,
  type Refusal,
  type Report,
} from './coordinator.ts';
import { type Backoff, pause, retryDelayMs } from './pacing.ts';
import { isRecord } from './record.ts';

/** How a report ended. `abandoned`: the agent ended before anybody answered; the lease will run out. */
type Verdict =
  | { readonly kind: 'accepted'; readonly receiptId: string | null }
  | { readonly kind: 'refused'; readonly status: number; readonly code: string }
  | { readonly kind: 'abandoned' };

export interface Reports {
  /** Resolves with the coordinator's definite answer, however long it takes. */
  deliver(report: Report): Promise<Verdict>;
  waiting(): number;
}

export interface ReportsDeps {
  readonly coordinator: Pick<Coordinator, 'result'>;
  readonly backoff: Backoff;
  /** Ends delivery; what is not answered by then is abandoned. */
  readonly signal: AbortSignal;
  readonly onKeyRefused: (refusal: Refusal) => void;
  /** Registers again; the reports that met the refusal are then sent again. */
  readonly onNotRegistered: (refusal: Refusal) => Promise<void>;
  /** Whether the slot of the one job in hand is to be filled again with its report. */
  readonly wantsNext: () => boolean;
  /** What came with the answer of a report. */
  readonly onWork: (work: PollReply) => void;
}

/** The bound of one batch in the contract. */
const BATCH_MAX = 100;
/** The body limit of the route is 4 MiB; this leaves room for the envelope. */
export const REPORT_MAX_BYTES = 4 * 1024 * 1024 - 4096;

interface Waiting {
  readonly jobId: string;
  readonly json: string;
  readonly settle: (verdict: Verdict) => void;
}

const readVerdict = (body: unknown): Verdict => {
  const receipt = isRecord(body) ? body.receipt : undefined;
  return {
    kind: 'accepted',
    receiptId: isRecord(receipt) && typeof receipt.id === 'string' ? receipt.id : null,
  };
};

/** @returns null when this item of a batch has no definite answer yet. */
const readItem = (item: unknown, jobId: string): Verdict | null => {
  if (!isRecord(item) || typeof item.status !== 'number') return null;
  if (typeof item.job_id === 'string' && item.job_id !== jobId) return null;
  if (item.status < 300) return readVerdict(item.verdict);
  if (item.status >= 500 || item.status === 429) return null;
  const code = isRecord(item.error) && typeof item.error.code === 'string' ? item.error.code : 'REFUSED';
  return { kind: 'refused', status: item.status, code };
};

/**
 * The way home of results. One request is under way at a time and carries all that finished meanwhile, so a burst of
 * short jobs costs few requests of the rate limit, and an outage is met by one back-off instead of one for each job.
 */
export const createReports = ({
  coordinator,
  backoff,
  signal,
  onKeyRefused,
  onNotRegistered,
  wantsNext,
  onWork,
}: ReportsDeps): Reports => {
  // Until a coordinator of a release before this one refuses it.
  let knowsNext = true;
  let queue: Waiting[] = [];
  let isSending = false;
  // One at a time after a batch as a whole was refused, to find which report it was.
  let batchMax = BATCH_MAX;

  const takeBatch = (): Waiting[] => {
    const batch: Waiting[] = [];
    let bytes = 0;
    for (const waiting of queue.slice(0, batchMax)) {
      bytes += Buffer.byteLength(waiting.json);
      if (batch.length > 0 && bytes > REPORT_MAX_BYTES) break;
      batch.push(waiting);
    }
    return batch;
  };

  const settle = (verdicts: ReadonlyMap<Waiting, Verdict>): void => {
    queue = queue.filter((waiting) => !verdicts.has(waiting));
    for (const [waiting, verdict] of verdicts) waiting.settle(verdict);
  };

  /** @returns how long to wait before the next request; null when there was progress. */
  const take = async (
    batch: readonly Waiting[],
    answer: Answer<unknown>,
    failures: number,
    asked: boolean,
  ): Promise<number | null> => {
    const [first] = batch;
    if (answer.kind === 'aborted' || first === undefined) return null;
    if (answer.kind === 'again') return retryDelayMs(failures, answer.retryAfterMs, backoff);
    if (answer.kind === 'ok') {
      if (batch.length === 1) {
        settle(new Map([[first, readVerdict(answer.body)]]));
        const { body } = answer;
        // After what waits for the verdict: it frees the slot.
        if (isPollReply(body) && body.items.length > 0) setImmediate(() => onWork(body));
        return null;
      }
      const items = isRecord(answer.body) && Array.isArray(answer.body.items) ? answer.body.items : [];
      const verdicts = new Map<Waiting, Verdict>();
      for (const [position, waiting] of batch.entries()) {
        const verdict = readItem(items[position], waiting.jobId);
        if (verdict !== null) verdicts.set(waiting, verdict);
      }
      settle(verdicts);
      return verdicts.size > 0 ? null : retryDelayMs(failures, null, backoff);
    }
    if (isKeyRefused(answer)) {
      onKeyRefused(answer);
      return retryDelayMs(failures, null, backoff);
    }
    if (isNotRegistered(answer)) {
      await onNotRegistered(answer);
      return retryDelayMs(failures, null, backoff);
    }
    if (batch.length > 1) {
      batchMax = 1;
      return null;
    }
    if (asked && (answer.status === 400 || answer.status === 422)) {
      knowsNext = false;
      return null;
    }
    settle(new Map([[first, { kind: 'refused', status: answer.status, code: answer.code }]]));
    return null;
  };

  const send = async (): Promise<void> => {
    if (isSending) return;
    isSending = true;
    let failures = 0;
    while (queue.length > 0 && !signal.aborted) {
      const batch = takeBatch();
      const [first] = batch;
      // Another report that ends meanwhile would wait behind the work that is asked for.
      const asks = knowsNext && batch.length === 1 && queue.length === 1 && wantsNext();
      const body =
        batch.length === 1 && first !== undefined
          ? asks
            ? `${first.json.slice(0, -1)},"next":{"wait_seconds":0,"max_jobs":1}}`
            : first.json
          : `{"results":[${batch.map((waiting) => waiting.json).join(',')}]}`;
      const delay = await take(batch, await coordinator.result(body, signal), failures, asks);
      failures = delay === null ? 0 : failures + 1;
      if (delay !== null) await pause(delay, signal);
      if (queue.length === 0) batchMax = BATCH_MAX;
    }
    isSending = false;
    if (signal.aborted) settle(new Map(queue.map((waiting) => [waiting, { kind: 'abandoned' }])));
  };

  return {
    deliver(report) {
      return new Promise((resolve) => {
        queue.push({ jobId: report.job_id, json: JSON.stringify(report), settle: resolve });
        void send();
      });
    },
    waiting: () => queue.length,
  };
};
