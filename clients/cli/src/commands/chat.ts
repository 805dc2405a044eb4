import { createInterface } from 'node:readline';
import type { ChatAnswer, ChatMessage, ChatRequest } from '@aitbc/sdk';
import { isCancel, select } from '@clack/prompts';
import type { Command } from 'commander';
import { collect, number, parseFields, readText, wholeNumber } from '../arguments.ts';
import type { Context } from '../context.ts';
import { tellFailure, toFailure, UsageError } from '../failures.ts';
import type { Act } from '../program.ts';
import { startStatusLine } from '../waiting.ts';

interface ChatOptions {
  model?: string;
  system?: string;
  price?: number;
  maxWait?: number;
  param?: string[];
}

/** What stays the same from question to question. */
type Setting = Omit<ChatRequest, 'messages'> & { readonly model: string };

const interrupted = () => new DOMException('Interrupted.', 'AbortError');

/** The one that was named, or the only one that there is; on a terminal it may be chosen. */
const chooseModel = async (context: Context, given: string | undefined): Promise<string> => {
  if (given !== undefined) return given;
  const { client, output, signal, streams } = context;
  const models = (await client.chat.models({ signal })).filter(({ aitbc }) => aitbc.kinds.includes('chat'));
  const [first, ...others] = models;
  if (first === undefined)
    throw new UsageError(
      'No miner offers a model to chat with now.',
      'Wait for one, or run aitbc-miner beside a model server.',
    );
  if (others.length === 0) return first.id;
  if (!output.isInteractive)
    throw new UsageError(
      `Say which model: --model ${first.id}`,
      `Offered now: ${models.map(({ id }) => id).join(', ')}`,
    );
  const answer = await select({
    message: 'Model',
    options: models.map(({ id, aitbc }) => ({
      value: id,
      label: id,
      hint: aitbc.price_min === 0 ? 'free' : `from ${aitbc.price_min} AITBC`,
    })),
    input: streams.stdin,
    output: streams.stderr,
  });
  if (isCancel(answer)) throw interrupted();
  return answer;
};

/** Asks, and writes the answer while it comes. */
const ask = async (
  context: Context,
  request: ChatRequest,
  signal: AbortSignal = context.signal,
): Promise<ChatAnswer> => {
  const { client, output, streams } = context;
  const line = startStatusLine(output, streams, 'asking');
  let last = '';
  try {
    for await (const event of client.chat.stream(request, { signal })) {
      if (event.type === 'waiting') line.say(event.message);
      else if (event.type === 'end') {
        const { type: _, ...answer } = event;
        return answer;
      } else if (event.text !== '' && !output.isJson) {
        line.end();
        output.text(event.text);
        last = event.text.at(-1) ?? last;
      } else if (event.reasoning !== '') line.say('thinking');
    }
  } finally {
    line.end();
    if (last !== '' && last !== '\n') output.text('\n');
  }
  throw new Error('The answer has no end.');
};

/** What it came to, for whoever reads. */
const bill = ({ price, usage, finish_reason, receipt_id }: ChatAnswer): string =>
  [
    price === 0 ? 'free' : `${price} AITBC`,
    ...(usage?.completion_tokens === undefined ? [] : [`${usage.completion_tokens} tokens`]),
    ...(finish_reason === null || finish_reason === 'stop' ? [] : [`ended by ${finish_reason}`]),
    `receipt ${receipt_id}`,
  ].join(' · ');

/** Question after question, each with all that was said before. */
const converse = async (context: Context, setting: Setting, before: ChatMessage[]): Promise<void> => {
  const { output, streams, signal } = context;
  const { colors } = output;
  output.note(colors.dim(`${setting.model} · Ctrl-C stops an answer · Ctrl-D ends`));
  const terminal = createInterface({
    input: streams.stdin,
    output: streams.stderr,
    prompt: colors.cyan('> '),
    terminal: true,
  });
  let answering: AbortController | undefined;
  const leave = () => (answering === undefined ? terminal.close() : answering.abort(interrupted()));
  // A terminal that is read key by key sends no signal of its own.
  terminal.on('SIGINT', leave);
  signal.addEventListener('abort', () => terminal.close(), { once: true });
  let messages = before;
  const all = { answers: 0, price: 0 };
  terminal.prompt();
  for await (const text of terminal) {
    if (text.trim() !== '') {
      const asked: ChatMessage[] = [...messages, { role: 'user', content: text }];
      answering = new AbortController();
      try {
        const answer = await ask(context, { ...setting, messages: asked }, answering.signal);
        messages = [...asked, { role: 'assistant', content: answer.text }];
        all.answers += 1;
        all.price += answer.price;
        output.note(colors.dim(bill(answer)));
      } catch (error) {
        // The next question may do better; what was half said is no part of the talk.
        if (answering.signal.aborted) output.note(colors.dim('cancelled'));
        else tellFailure(streams, colors, toFailure(error));
      }
      answering = undefined;
    }
    terminal.prompt();
  }
  output.note(
    colors.dim(
      `\n${all.answers} ${all.answers === 1 ? 'answer' : 'answers'}, ${Number(all.price.toFixed(8))} AITBC`,
    ),
  );
};

/** Words of the command line; `-` stands for what is on stdin. */
const promptOf = async (context: Context, words: readonly string[]): Promise<string> => {
  const parts: string[] = [];
  for (const word of words.length === 0 ? ['-'] : words)
    parts.push(word === '-' ? (await readText(context, '-')).trim() : word);
  const prompt = parts.join(words.includes('-') ? '\n\n' : ' ');
  if (prompt.trim() === '')
    throw new UsageError('There is no question.', "Ask it like this: aitbc chat 'Why is the sky blue?'");
  return prompt;
};

export const addChat = (program: Command, act: Act): void => {
  program
    .command('chat')
    .description('Chat with a model: on a terminal question after question, else one answer')
    .argument('[question...]', 'words of one question; - for what is on stdin')
    .option('-m, --model <name>', 'one of aitbc models; the only one, or asked for')
    .option('-s, --system <text>', 'what the model is told first')
    .option('--price <aitbc>', 'what is paid for each answer, held until it is there', number)
    .option('--max-wait <seconds>', 'until a miner has it; 60 without', wholeNumber)
    .option('-p, --param <name=value>', 'more for the model: max_tokens=200, temperature=0', collect)
    .addHelpText(
      'after',
      `
The answer goes to stdout as it is written, its price and receipt to stderr.
With --json one document at the end. Ctrl-C cancels: nothing is paid for an
answer that did not come.

Examples:
  aitbc chat                                             questions and answers
  aitbc chat -m llama3.2:1b 'Why is the sky blue?'
  git diff | aitbc chat 'Write a commit message for:' -
  aitbc chat --price 0.02 --json 'A haiku on queues' | jq -r .text`,
    )
    .action(
      act(async (context, words: string[], options: ChatOptions) => {
        const { output, streams } = context;
        const aitbc = {
          ...(options.price === undefined ? {} : { price: options.price }),
          ...(options.maxWait === undefined ? {} : { max_wait_seconds: options.maxWait }),
        };
        const isTalk = words.length === 0 && output.isInteractive;
        const question = isTalk ? '' : await promptOf(context, words);
        const setting: Setting = {
          ...(await parseFields(context, options.param ?? [])),
          model: await chooseModel(context, options.model),
          ...(Object.keys(aitbc).length === 0 ? {} : { aitbc }),
        };
        const before: ChatMessage[] =
          options.system === undefined ? [] : [{ role: 'system', content: options.system }];
        if (isTalk) return converse(context, setting, before);
        const answer = await ask(context, {
          ...setting,
          messages: [...before, { role: 'user', content: question }],
        });
        if (output.isJson) output.json(answer);
        else streams.stderr.write(`${output.colors.dim(bill(answer))}\n`);
      }),
    );
  program
    .command('models')
    .description('Models that miners offer now, and what they ask for')
    .addHelpText('after', '\nExample:\n  aitbc models --json | jq -r ".[].id"')
    .action(
      act(async ({ client, output, signal }) => {
        const models = await client.chat.models({ signal });
        if (output.isJson) return output.json(models);
        output.table(
          ['model', 'for', 'AITBC from', 'median', 'miners', 'free slots', 'wait'],
          models.map(({ id, aitbc }) => [
            id,
            aitbc.kinds.join(' '),
            aitbc.price_min,
            aitbc.price_median,
            aitbc.miners,
            aitbc.free_slots,
            aitbc.usual_wait_seconds === null ? null : `${aitbc.usual_wait_seconds} s`,
          ]),
          'No models: no miner offers one now.',
        );
      }),
    );
};
