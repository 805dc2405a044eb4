import { createHash } from 'node:crypto';
import {
  closeSync,
  createReadStream,
  existsSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  statSync,
  writeSync,
} from 'node:fs';
import { createInterface } from 'node:readline';
import type { BatchItem, JobSubmission, Submitted } from '@aitbc/sdk';
import type { Command } from 'commander';
import { collect, number, parseObject, wholeNumber } from '../arguments.ts';
import { type Context, wantsColors } from '../context.ts';
import { EXIT, UsageError } from '../failures.ts';
import type { Act } from '../program.ts';
import { progressBar, startStatusLine } from '../waiting.ts';

interface BatchCommand {
  output?: string;
  type?: string;
  pay?: number;
  label?: string[];
  timeout?: number;
  ttl?: number;
  chunk: number;
  ahead: number;
}

/** The first line of the journal: which batch this is. */
interface Header {
  readonly batch: string;
  readonly input_sha256: string;
  readonly options_sha256: string;
  readonly url: string;
  readonly lines: number;
}

/** What is not there twice is not made twice: jobs of chunks that are not in the journal are found by their key, this long. */
const KEYS_KEPT_HOURS = 24;

interface Input {
  readonly lines: number;
  readonly sha256: string;
}
/** Reads all of it once: nothing is submitted of a file that is wrong further down. */
const inspect = async (
  file: string,
  submission: (line: string, number: number) => JobSubmission,
): Promise<Input> => {
  const hash = createHash('sha256');
  let lines = 0;
  for await (const line of linesOf(file)) {
    hash.update(`${line}\n`);
    submission(line, ++lines);
  }
  return { lines, sha256: hash.digest('hex') };
};
/** Lines with something in them. */
async function* linesOf(file: string): AsyncGenerator<string> {
  if (!existsSync(file)) throw new UsageError(`There is no file ${file}.`);
  for await (const line of createInterface({
    input: createReadStream(file),
    crlfDelay: Number.POSITIVE_INFINITY,
  }))
    if (line.trim() !== '') yield line;
}

/** A file that only grows, a whole line at a time; a line that a kill cut off is taken away when it is opened. */
const openLines = (
  path: string,
): { lines: string[]; append(line: string, toDisk?: boolean): void; close(): void } => {
  const file = openSync(path, 'a+', 0o600);
  const text = statSync(path).size === 0 ? '' : readFileSync(path, 'utf8');
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  if (whole.length < text.length) ftruncateSync(file, Buffer.byteLength(whole));
  return {
    lines: whole === '' ? [] : whole.slice(0, -1).split('\n'),
    append: (line, toDisk = false) => {
      writeSync(file, `${line}\n`);
      if (toDisk) fsyncSync(file);
    },
    close: () => closeSync(file),
  };
};

const resultLine = ({ index, jobId, job, error }: BatchItem): string =>
  JSON.stringify({
    line: index + 1,
    ...(jobId === undefined ? {} : { job_id: jobId }),
    status: job?.status ?? 'refused',
    ...(job?.status === 'completed' ? { result: job.result } : {}),
    ...(job?.error ? { error: job.error } : {}),
    ...(error === undefined
      ? {}
      : { error: { code: error.code, message: error.issues[0]?.message ?? error.message } }),
  });

/** The journal of a batch that was begun, or a new one; what follows the header is what was answered to its chunks. */
const openJournal = (path: string, header: Omit<Header, 'batch'>, chunk: number) => {
  const journal = openLines(path);
  const [first, ...rest] = journal.lines;
  if (first === undefined) {
    const made: Header = { batch: `batch-${crypto.randomUUID()}`, ...header };
    journal.append(JSON.stringify({ ...made, chunk, begun: new Date().toISOString() }), true);
    return { journal, batch: made.batch, chunk, known: [] as Submitted[] };
  }
  const begun = JSON.parse(first) as Header & { chunk: number; begun: string };
  const differs = (['input_sha256', 'options_sha256', 'url'] as const).find(
    (name) => begun[name] !== header[name],
  );
  if (differs !== undefined) {
    const what = { input_sha256: 'file', options_sha256: 'options', url: 'coordinator' }[differs];
    throw new UsageError(
      `${path} belongs to another batch: the ${what} changed since it was begun.`,
      'Give another --output for a new batch, or delete that file and its results.',
    );
  }
  const known = rest.flatMap((line) => JSON.parse(line) as Submitted[]);
  const hours = (Date.now() - Date.parse(begun.begun)) / 3_600_000;
  if (hours > KEYS_KEPT_HOURS - 1 && known.length < begun.lines)
    throw new UsageError(
      `This batch was begun ${Math.floor(hours)} hours ago: what was submitted then and never answered could be made twice.`,
      'Put the lines without a result into a new file and give it another --output.',
    );
  return { journal, batch: begun.batch, chunk: begun.chunk, known };
};

export const addBatch = (jobs: Command, act: Act): void => {
  jobs
    .command('batch')
    .description('Submit each line of a file as a job, and write the results in the same order')
    .argument('<file.jsonl>', 'a submission a line; with --type, the parameters of one')
    .option('-o, --output <file>', 'where results go (FILE.results.jsonl)')
    .option('--type <type>', 'the job type of all lines')
    .option('--pay <aitbc>', 'what each job pays, where its line does not say', number)
    .option('--label <text>', 'for all of them; several are possible', collect)
    .option('--ttl <seconds>', 'start within', wholeNumber)
    .option('--timeout <seconds>', 'run within', wholeNumber)
    .option('--chunk <n>', 'jobs in one request, 1,000 at most', wholeNumber, 1_000)
    .option('--ahead <n>', 'requests submitted ahead of the results', wholeNumber, 4)
    .addHelpText(
      'after',
      `
Started again with the same file it goes on where it was, also after a crash:
each line has one job and one result. What was submitted is noted in
OUTPUT.journal. A result line:
  {"line": 1, "job_id": "…", "status": "completed", "result": …}

Examples:
  aitbc jobs batch jobs.jsonl
  aitbc jobs batch texts.jsonl --type language_detection -o languages.jsonl
  jq -c 'select(.status != "completed")' languages.jsonl`,
    )
    .action(
      act(async (context, file: string, options: BatchCommand) => {
        const submission = (line: string, number: number): JobSubmission => {
          const where = `${file}:${number}`;
          const object = parseObject(line, where);
          const given = options.type === undefined ? object : { job_type: options.type, parameters: object };
          if (typeof given.job_type !== 'string' || typeof given.parameters !== 'object')
            throw new UsageError(
              `${where} is no submission.`,
              'It looks like {"job_type": "…", "parameters": {…}}; with --type it is the parameters alone.',
            );
          return {
            payment_amount: options.pay,
            ttl_seconds: options.ttl,
            timeout_seconds: options.timeout,
            ...(given as unknown as JobSubmission),
            labels: [...((given.labels as string[] | undefined) ?? []), ...(options.label ?? [])],
          };
        };
        const input = await inspect(file, submission);
        const path = options.output ?? `${file.replace(/\.jsonl$/, '')}.results.jsonl`;
        const { type, pay, label, ttl, timeout } = options;
        const about = JSON.stringify({ type, pay, label, ttl, timeout });
        const { journal, batch, chunk, known } = openJournal(
          `${path}.journal`,
          {
            input_sha256: input.sha256,
            options_sha256: createHash('sha256').update(about).digest('hex'),
            url: context.client.baseUrl,
            lines: input.lines,
          },
          Math.min(Math.max(options.chunk, 1), 1_000),
        );
        const results = openLines(path);
        const count = await collectResults(context, {
          file,
          submission,
          input,
          journal,
          results,
          batch,
          chunk,
          known,
          ahead: options.ahead,
        });
        const summary = { lines: input.lines, ...count, output: path };
        if (context.output.isJson) context.output.json(summary);
        else
          context.output.note(
            `${input.lines} lines: ${count.completed} completed, ${count.failed} failed, ${count.refused} refused. Results: ${path}`,
          );
        return count.failed + count.refused > 0 ? EXIT.jobFailed : EXIT.done;
      }),
    );
};

const collectResults = async (
  { client, output, streams, signal, options, environment }: Context,
  work: {
    file: string;
    submission: (line: string, number: number) => JobSubmission;
    input: Input;
    journal: ReturnType<typeof openLines>;
    results: ReturnType<typeof openLines>;
    batch: string;
    chunk: number;
    known: Submitted[];
    ahead: number;
  },
) => {
  const { input, journal, results, known } = work;
  const count = { completed: 0, failed: 0, refused: 0 };
  const add = (status: string): void => {
    count[status === 'completed' || status === 'refused' ? status : 'failed'] += 1;
  };
  for (const line of results.lines) add((JSON.parse(line) as { status: string }).status);
  let done = results.lines.length;
  let submitted = known.length;
  const bar = () => `${progressBar(done, input.lines)} results, ${submitted} submitted`;
  const line = startStatusLine(output, streams, bar());
  if (done > 0 && !output.isJson && wantsColors(options, environment, streams.stderr))
    output.note(`Going on after ${done} results.`);
  async function* submissions(): AsyncGenerator<JobSubmission> {
    let at = 0;
    for await (const text of linesOf(work.file)) yield work.submission(text, ++at);
  }
  try {
    const items = client.jobs.batch(submissions(), {
      key: work.batch,
      chunkSize: work.chunk,
      parallelism: work.ahead,
      from: done,
      known,
      signal,
      onSubmitted: (answers) => {
        journal.append(JSON.stringify(answers), true);
        submitted += answers.length;
        line.say(bar());
      },
    });
    for await (const item of items) {
      results.append(resultLine(item));
      add(item.job?.status ?? 'refused');
      done += 1;
      line.say(bar());
    }
  } finally {
    line.end();
    results.close();
    journal.close();
  }
  return count;
};
