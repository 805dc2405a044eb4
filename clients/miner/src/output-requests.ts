import type { Answer, Coordinator } from './coordinator.ts';
import type { OutputAnswer, OutputLine, OutputPart } from './output.ts';
import { isRecord } from './record.ts';

/** Between two requests, unless one is in a hurry: what an eye takes for steady. */
const INTERVAL_MS = 50;
/** The contract's bound. */
const STREAMS_MAX = 64;
/**
 * Of one request, beyond which no other job is added to it: with the 256 K characters of the last one that is below the 1 MB
 * of bytes of the contract, whatever the letters.
 */
const FULL = 64 * 1024;

interface Waiting {
  readonly job: { readonly id: string; readonly lease: string };
  readonly take: () => OutputPart;
  readonly settle: (answer: OutputAnswer) => void;
}

const isLost = (status: unknown, code: unknown): boolean => status === 409 || code === 'NOT_FOUND';

const readVerdict = (body: unknown): OutputAnswer =>
  isRecord(body) && typeof body.listening === 'boolean' && Number.isSafeInteger(body.seq)
    ? { listening: body.listening, seq: body.seq as number }
    : 'again';

/** @returns what each of the jobs was answered. */
const readAnswer = (answer: Answer<unknown>, jobs: readonly Waiting[]): OutputAnswer[] => {
  if (answer.kind === 'refused') {
    const all = jobs.length === 1 && isLost(answer.status, answer.code) ? 'lost' : 'again';
    return jobs.map(() => all);
  }
  if (answer.kind !== 'ok') return jobs.map(() => 'again');
  if (jobs.length === 1) return [readVerdict(answer.body)];
  const items = isRecord(answer.body) && Array.isArray(answer.body.items) ? answer.body.items : [];
  return jobs.map((_, at) => {
    const item: unknown = items[at];
    if (!isRecord(item)) return 'again';
    const code = isRecord(item.error) ? item.error.code : undefined;
    return isLost(item.status, code) ? 'lost' : readVerdict(item.verdict);
  });
};

/**
 * Carries what all jobs of this agent make: one request at a time, at most each 50 ms, with all that came meanwhile, so that
 * twenty streams cost what one costs.
 */
export const createOutputRequests = (
  coordinator: Pick<Coordinator, 'stream'>,
  signal: AbortSignal,
): ((job: Waiting['job']) => OutputLine) => {
  let queue: Waiting[] = [];
  let isSending = false;
  let isHurried = false;
  let sentAt = Number.NEGATIVE_INFINITY;
  let timer: NodeJS.Timeout | undefined;

  const send = async (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    isSending = true;
    isHurried = false;
    sentAt = performance.now();
    const texts: string[] = [];
    let size = 0;
    while (texts.length < Math.min(queue.length, STREAMS_MAX) && size < FULL) {
      const { job, take } = queue[texts.length] as Waiting;
      const { seq, chunks } = take();
      const head = JSON.stringify({ job_id: job.id, lease: job.lease, seq });
      const text = `${head.slice(0, -1)},"chunks":[${chunks.join(',')}]}`;
      size += text.length;
      texts.push(text);
    }
    const jobs = queue.slice(0, texts.length);
    queue = queue.slice(texts.length);
    // What did not fit has waited already.
    if (queue.length > 0) isHurried = true;
    const json = texts.length === 1 ? (texts[0] as string) : `{"streams":[${texts.join(',')}]}`;
    const answers = readAnswer(await coordinator.stream(json, signal), jobs);
    isSending = false;
    for (const [at, { settle }] of jobs.entries()) settle(answers[at] ?? 'again');
    plan();
  };

  const plan = (): void => {
    if (isSending || queue.length === 0) return;
    const waitMs = isHurried ? 0 : sentAt + INTERVAL_MS - performance.now();
    if (waitMs <= 0) void send();
    else timer ??= setTimeout(() => void send(), waitMs);
  };

  return (job) => ({
    send: (take) =>
      new Promise((resolve) => {
        queue.push({ job, take, settle: resolve });
        plan();
      }),
    hurry: () => {
      isHurried = true;
      plan();
    },
  });
};
