import { hasEnded, type Job, type JobSubmission } from '@aitbc/sdk';
import type { Command } from 'commander';
import { collect, count, number, parseFields, parseObject, readText, wholeNumber } from '../arguments.ts';
import { isMeant } from '../confirmation.ts';
import type { Context } from '../context.ts';
import { EXIT, type ExitCode, UsageError } from '../failures.ts';
import type { Act } from '../program.ts';
import { startStatusLine } from '../waiting.ts';
import { addBatch } from './batch.ts';

interface SubmitOptions {
  param?: string[];
  params?: string;
  pay?: number;
  priority?: number;
  ttl?: number;
  timeout?: number;
  maxAttempts?: number;
  label?: string[];
  gpuModel?: string;
  minVram?: number;
  cuda?: string;
  region?: string;
  miner?: string;
  maxPrice?: number;
  callback?: string;
  idempotencyKey?: string;
}

const withSubmission = (command: Command): Command =>
  command
    .argument('<type>', 'llm_inference, embedding, ocr, language_detection, …')
    .option('-p, --param <name=value>', 'a parameter; name=@file for the text of a file', collect)
    .option('--params <file>', 'all parameters as JSON: a file, or - for stdin')
    .option('--pay <aitbc>', 'what the job pays, held until it is done', number)
    .option('--priority <0-9>', 'among your own jobs', wholeNumber)
    .option('--ttl <seconds>', 'start within', wholeNumber)
    .option('--timeout <seconds>', 'run within', wholeNumber)
    .option('--max-attempts <n>', 'attempts when miners are lost', wholeNumber)
    .option('--label <text>', 'to find it by; several are possible', collect)
    .option('--gpu-model <model>', 'needs this card')
    .option('--min-vram <gb>', 'needs so much memory', number)
    .option('--cuda <version>', 'needs this CUDA version at least')
    .option('--region <region>', 'runs there only')
    .option('--miner <id>', 'runs on this miner only')
    .option('--max-price <aitbc>', 'no miner that asks for more', number)
    .option(
      '--callback <url>',
      'told when the job ends; aitbc webhooks rotate-secret callbacks gives the secret',
    )
    .option('--idempotency-key <key>', 'given again with the same job, it is the same job');

const submissionOf = async (
  context: Context,
  type: string,
  options: SubmitOptions,
): Promise<JobSubmission> => {
  const parameters = {
    ...(options.params === undefined
      ? {}
      : parseObject(await readText(context, options.params), options.params)),
    ...(await parseFields(context, options.param ?? [])),
  };
  const constraints = {
    gpu_model: options.gpuModel,
    min_vram_gb: options.minVram,
    cuda_version_min: options.cuda,
    region: options.region,
    miner_id: options.miner,
    max_price: options.maxPrice,
  };
  return {
    job_type: type,
    parameters,
    payment_amount: options.pay,
    priority: options.priority,
    ttl_seconds: options.ttl,
    timeout_seconds: options.timeout,
    max_attempts: options.maxAttempts,
    labels: options.label,
    callback_url: options.callback,
    ...(Object.values(constraints).some((value) => value !== undefined) ? { constraints } : {}),
  };
};

const show = ({ output }: Context, job: Job): void => {
  if (output.isJson) {
    output.json(job);
    return;
  }
  output.record({
    id: job.id,
    type: job.job_type,
    status: job.status,
    progress: `${Math.round(job.progress * 100)} %`,
    attempt: `${job.attempt} of ${job.max_attempts}`,
    miner: job.miner_id,
    payment: job.payment_amount === null ? 'none' : `${job.payment_amount} AITBC, ${job.payment_status}`,
    created: job.created_at,
    ended: job.ended_at,
    error: job.error === null ? null : `${job.error.code}: ${job.error.message}`,
  });
  if (job.status === 'completed') output.json(job.result);
};

const exitOf = (job: Job): ExitCode =>
  hasEnded(job) && job.status !== 'completed' ? EXIT.jobFailed : EXIT.done;

const addSubmits = (jobs: Command, act: Act): void => {
  withSubmission(jobs.command('submit').description('Submit a job and do not wait for it'))
    .addHelpText(
      'after',
      `
Examples:
  aitbc jobs submit language_detection -p text='Guten Morgen'
  aitbc jobs submit embedding -p model=nomic -p input=@text.txt --pay 0.02
  echo '{"text": "Hola"}' | aitbc jobs submit language_detection --params -`,
    )
    .action(
      act(async (context, type: string, options: SubmitOptions) => {
        const { job_type, parameters, ...rest } = await submissionOf(context, type, options);
        const job = await context.client.jobs.submit(job_type, parameters, {
          ...rest,
          signal: context.signal,
          idempotencyKey: options.idempotencyKey,
        });
        if (context.output.isJson) context.output.json(job);
        else {
          context.output.line(job.id);
          if (context.output.isInteractive) context.output.note(`Follow it with: aitbc jobs watch ${job.id}`);
        }
      }),
    );
  withSubmission(jobs.command('run').description('Submit a job, wait for it and print its result'))
    .option('--keep', 'let the job go on when this is interrupted; without it, it is cancelled')
    .addHelpText(
      'after',
      `
The result goes to stdout, what happens meanwhile to stderr. With --json the
whole job.

Examples:
  aitbc jobs run language_detection -p text='Wo ist der Bahnhof?'
  aitbc jobs run ocr -p image_base64="$(base64 -w0 page.png)" | jq -r .text`,
    )
    .action(
      act(async (context, type: string, options: SubmitOptions & { keep?: true }) => {
        const { output, client, signal } = context;
        const { job_type, parameters, ...rest } = await submissionOf(context, type, options);
        const waiting = startStatusLine(output, context.streams, 'submitting');
        try {
          const job = await client.jobs.run(job_type, parameters, {
            ...rest,
            signal,
            idempotencyKey: options.idempotencyKey,
            cancelOnAbort: options.keep !== true,
            onStatus: ({ status, waiting_reason, progress }) =>
              waiting.say(
                status === 'running' && progress > 0
                  ? `running, ${Math.round(progress * 100)} %`
                  : waiting_reason === null
                    ? status
                    : `${status}: ${waiting_reason.replaceAll('_', ' ')}`,
              ),
          });
          waiting.end();
          output.json(output.isJson ? job : job.result);
        } finally {
          waiting.end();
        }
      }),
    );
};

const addWipe = (jobs: Command, act: Act): void => {
  jobs
    .command('wipe')
    .description('Erase what jobs that ended were given and made; hashes and receipts stay')
    .argument('<ids...>')
    .option('-y, --yes', 'do not ask')
    .addHelpText(
      'after',
      '\nExamples:\n  aitbc jobs wipe 0190f2a5-…\n  aitbc jobs wipe 0190f2a5-… --yes --json',
    )
    .action(
      act(async ({ client, output, streams, signal }, ids: string[], options: { yes?: true }) => {
        const what = ids.length === 1 ? `the content of ${ids[0]}` : `the content of ${ids.length} jobs`;
        const asked = { what: `erase ${what}`, done: 'erased', isSure: options.yes === true };
        if (!(await isMeant(output, streams, asked))) return EXIT.failed;
        const wiped: Awaited<ReturnType<typeof client.jobs.wipe>>[] = [];
        for (const id of ids) {
          wiped.push(await client.jobs.wipe(id, { signal }));
          if (!output.isJson) output.line(`${id} wiped`);
        }
        if (output.isJson) output.json(wiped);
      }),
    );
};

export const addJobs = (program: Command, act: Act): void => {
  const jobs = program.command('jobs').description('Submit work, follow it, and read what came of it');
  addSubmits(jobs, act);
  jobs
    .command('watch')
    .description('What happens to a job, as it happens, until its end')
    .argument('<id>')
    .addHelpText(
      'after',
      '\nWith --json, one line of JSON for each event.\n\nExample:\n  aitbc jobs watch 0190f2a5-…',
    )
    .action(
      act(async ({ client, output, signal }, id: string) => {
        let last = '';
        for await (const event of client.jobs.watch(id, { signal })) {
          if ('status' in event) last = event.status;
          if (output.isJson) output.jsonLine(event);
          // What the miner puts out is for `chat` and for programs.
          else if ('status' in event) {
            const progress = event.type === 'progress' ? ` ${Math.round(event.progress * 100)} %` : '';
            const message = event.message === null ? '' : ` ${event.message}`;
            output.line(`${output.colors.dim(event.at)} ${output.status(event.type)}${progress}${message}`);
          }
        }
        return last === 'completed' ? EXIT.done : EXIT.jobFailed;
      }),
    );
  jobs
    .command('get')
    .description('One job, with its result when it has one')
    .argument('<id>')
    .option('--wait', 'until it has ended')
    .addHelpText('after', '\nExample:\n  aitbc jobs get 0190f2a5-… --wait --json | jq .result')
    .action(
      act(async (context, id: string, options: { wait?: true }) => {
        const { client, signal } = context;
        const job =
          options.wait === true
            ? await client.jobs.wait(id, { signal })
            : await client.jobs.get(id, { signal });
        show(context, job);
        return exitOf(job);
      }),
    );
  jobs
    .command('list')
    .description('Own jobs, newest first')
    .option('--status <status>', 'pending, running, completed, failed, cancelled, expired')
    .option('--type <type>', 'of this job type')
    .option('--label <text>', 'with this label')
    .option('--since <time>', 'made after this time, ISO 8601')
    .option('-n, --limit <n>', 'at most so many', count, 20)
    .addHelpText(
      'after',
      "\nExamples:\n  aitbc jobs list --status failed\n  aitbc jobs list -n 1000 --json | jq -r '.[].id'",
    )
    .action(
      act(
        async (
          { client, output, signal },
          options: {
            status?: Job['status'];
            type?: Job['job_type'];
            label?: string;
            since?: string;
            limit: number;
          },
        ) => {
          const since = options.since === undefined ? undefined : new Date(options.since);
          if (since !== undefined && Number.isNaN(since.getTime()))
            throw new UsageError(`${options.since} is no time.`, 'It looks like 2026-11-24T09:30:00Z');
          const query = {
            status: options.status,
            job_type: options.type,
            label: options.label,
            created_after: since?.toISOString(),
            limit: Math.min(Math.max(options.limit, 1), 500),
          };
          const found = await client.jobs.list(query, { signal }).take(options.limit);
          if (output.isJson) return output.json(found);
          output.table(
            ['id', 'status', 'type', 'created', 'pays', 'ended'],
            found.map((job) => [
              job.id,
              job.status,
              job.job_type,
              job.created_at,
              job.payment_amount,
              job.ended_at,
            ]),
            'No jobs.',
          );
        },
      ),
    );
  jobs
    .command('cancel')
    .description('Cancel jobs that have not ended')
    .argument('<ids...>')
    .addHelpText(
      'after',
      "\nExample:\n  aitbc jobs list --status pending --json |\n    jq -r '.[].id' | xargs aitbc jobs cancel",
    )
    .action(
      act(async ({ client, output, signal }, ids: string[]) => {
        const cancelled: Job[] = [];
        for (const id of ids) {
          cancelled.push(await client.jobs.cancel(id, { signal }));
          if (!output.isJson) output.line(`${id} cancelled`);
        }
        if (output.isJson) output.json(cancelled);
      }),
    );
  addWipe(jobs, act);
  addBatch(jobs, act);
};
