import { confirm } from '@clack/prompts';
import { UsageError } from './failures.ts';
import type { Output, Streams } from './output.ts';

/**
 * Asks whether something that cannot be taken back is meant.
 * @param asked.what as in “send 1 AITBC”; `done`: as in “sent”; `isSure`: --yes was given
 * @throws UsageError when nobody can be asked
 */
export const isMeant = async (
  output: Output,
  streams: Streams,
  asked: { what: string; done: string; isSure: boolean },
): Promise<boolean> => {
  const { what, done, isSure } = asked;
  if (isSure) return true;
  if (!output.isInteractive)
    throw new UsageError(
      `Nobody can be asked whether to ${what}.`,
      `With --yes it is ${done} without a question.`,
    );
  const answer = await confirm({
    message: `${what.charAt(0).toUpperCase()}${what.slice(1)}? It cannot be taken back.`,
    initialValue: false,
    input: streams.stdin,
    output: streams.stderr,
  });
  if (answer === true) return true;
  output.note(`Nothing was ${done}.`);
  return false;
};
