import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Executor, invalidInput, JobFailure, type Parameters } from './executor.ts';

/** Output beyond this ends the command: a result may have 4 MB, and nobody reads a megabyte of log. */
const OUTPUT_MAX_BYTES = 512 * 1024;
/** Whatever the job's deadline, a command ends after this. */
const RUN_MAX_MS = 600_000;
/** How much of the error output goes to the client with a failure. */
const DETAIL_MAX = 1_000;
const ARGUMENTS_MAX = 100;
const ARGUMENT_MAX = 10_000;

export interface CustomResult {
  readonly exit_code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const readCommand = (parameters: Parameters): [string, ...string[]] => {
  if (parameters.image !== undefined && parameters.image !== null) {
    throw new JobFailure('IMAGE_NOT_SUPPORTED', 'this miner runs commands, not container images', {
      retryable: false,
    });
  }
  const { command } = parameters;
  if (!Array.isArray(command) || command.length > ARGUMENTS_MAX) {
    throw invalidInput(
      `command must be a list of 1 to ${ARGUMENTS_MAX} texts: the program, then its arguments`,
    );
  }
  const words = command.map((word: unknown) => {
    if (typeof word !== 'string' || word.length > ARGUMENT_MAX || word.includes('\0')) {
      throw invalidInput(`each part of command must be a text of at most ${ARGUMENT_MAX} characters`);
    }
    return word;
  });
  const [program, ...rest] = words;
  if (program === undefined || program === '') throw invalidInput('command must name a program');
  return [program, ...rest];
};

/** What the program reads on its standard input: a text as it is, anything else as JSON. */
const readInput = ({ input }: Parameters): string => {
  if (input === undefined) return '';
  return typeof input === 'string' ? input : JSON.stringify(input);
};

const runCommand = (
  [program, ...args]: [string, ...string[]],
  input: string,
  folder: string,
  signal: AbortSignal,
): Promise<CustomResult> =>
  new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: folder,
      // Nothing of the agent's environment but the search path: it holds the miner's key.
      env: { PATH: process.env.PATH ?? '', HOME: folder, TMPDIR: folder, LANG: 'C.UTF-8' },
      // A group of its own, so that what the command starts ends with it.
      detached: true,
      shell: false,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    let stopped: JobFailure | undefined;
    let bytes = 0;
    const output = { stdout: [] as Buffer[], stderr: [] as Buffer[] };

    const killGroup = (): void => {
      if (child.pid === undefined) return;
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {
        // Already gone.
      }
    };
    const stop = (failure: JobFailure): void => {
      stopped ??= failure;
      killGroup();
    };
    const onAbort = (): void => stop(new JobFailure('ABORTED', 'the job was stopped', { retryable: true }));
    const timer = setTimeout(() => {
      const message = `the command ran longer than ${RUN_MAX_MS / 1000} s`;
      stop(new JobFailure('COMMAND_TIMED_OUT', message, { retryable: false }));
    }, RUN_MAX_MS);
    const collect = (name: 'stdout' | 'stderr') => (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= OUTPUT_MAX_BYTES) output[name].push(chunk);
      else
        stop(
          new JobFailure('OUTPUT_TOO_LARGE', `the command wrote more than ${OUTPUT_MAX_BYTES} bytes`, {
            retryable: false,
          }),
        );
    };
    const settle = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    };

    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    child.stdout.on('data', collect('stdout'));
    child.stderr.on('data', collect('stderr'));
    // A program that does not read its input closes the pipe; that is its right.
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    child.on('error', (error: NodeJS.ErrnoException) => {
      settle();
      const message =
        error.code === 'ENOENT' ? 'the program is not on this miner' : 'the program could not be started';
      reject(new JobFailure('COMMAND_NOT_FOUND', message, { retryable: error.code === 'ENOENT' }));
    });
    // What it left running in the background would hold the pipes open, and with them `close`.
    child.on('exit', killGroup);
    child.on('close', (code) => {
      settle();
      const stdout = Buffer.concat(output.stdout).toString('utf8');
      const stderr = Buffer.concat(output.stderr).toString('utf8');
      if (stopped !== undefined) reject(stopped);
      else if (code === 0) resolve({ exit_code: 0, stdout, stderr });
      else {
        const message = code === null ? 'the command was killed' : `the command ended with exit code ${code}`;
        reject(
          new JobFailure('COMMAND_FAILED', message, { retryable: false, detail: stderr.slice(-DETAIL_MAX) }),
        );
      }
    });
  });

/**
 * Runs a client's command on this machine with the rights of the agent's user: no shell, an empty folder, bounded
 * time and output. That is not a sandbox, which is why it is off unless the owner switches it on.
 */
export const createCustom = (isAllowed: boolean): Executor => ({
  type: 'custom',
  async probe() {
    if (isAllowed) return { offered: true, detail: 'clients’ commands run as this user', models: [] };
    const reason = 'off; --allow-custom would run clients’ commands on this machine';
    return { offered: false, reason, isChoice: true };
  },
  async run(parameters, { signal }) {
    if (!isAllowed)
      throw new JobFailure('NOT_ALLOWED', 'this miner does not run commands', {
        retryable: true,
        notStarted: true,
      });
    const command = readCommand(parameters);
    const folder = await mkdtemp(join(tmpdir(), 'aitbc-custom-'));
    try {
      return await runCommand(command, readInput(parameters), folder, signal);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
});
