import { type Command, CommanderError } from 'commander';
import picocolors from 'picocolors';
import { createContext, type GlobalOptions, wantsColors } from './context.ts';
import { EXIT, type ExitCode, tellFailure, toFailure } from './failures.ts';
import type { Streams } from './output.ts';
import { createProgram } from './program.ts';

/** Runs one command line. @returns its exit code. */
export const runProgram = async (
  args: readonly string[],
  environment: Record<string, string | undefined>,
  streams: Streams,
): Promise<ExitCode> => {
  const leaving = new AbortController();
  const interrupt = () => leaving.abort(new DOMException('Interrupted.', 'AbortError'));
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  // Who reads may have enough: `aitbc jobs list | head`.
  streams.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT.done);
    throw error;
  });
  let options: GlobalOptions = {};
  let exit: ExitCode = EXIT.done;
  const program = createProgram(async (command: Command, work) => {
    options = command.optsWithGlobals<GlobalOptions>();
    exit = (await work(createContext(options, environment, streams, leaving.signal))) ?? EXIT.done;
  });
  try {
    await program.parseAsync([...args], { from: 'user' });
    return exit;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    const failure = toFailure(error);
    if (options.json === true) {
      const { exit: _, requestId, ...rest } = failure;
      streams.stderr.write(`${JSON.stringify({ error: { ...rest, request_id: requestId } })}\n`);
    } else {
      const colors = picocolors.createColors(wantsColors(options, environment, streams.stderr));
      tellFailure(streams, colors, failure);
    }
    return failure.exit;
  }
};
