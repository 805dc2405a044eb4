import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

export interface Ran {
  readonly exit: number | null;
  readonly stdout: string;
  readonly stderr: string;
}
export interface Terminal {
  /** A folder of its own: home, working folder and where profiles are kept. */
  readonly home: string;
  /** Starts it, with pipes for all three streams. */
  start(...args: string[]): ChildProcess;
  /** Runs it to its end. */
  aitbc(...args: string[]): Promise<Ran>;
  /** The same with something on stdin. */
  given(stdin: string, ...args: string[]): Promise<Ran>;
  /** The same on a pseudo-terminal: `answers` are typed one after the other, each when its question stands there. */
  onTerminal(
    answers: readonly (readonly [question: string, answer: string])[],
    ...args: string[]
  ): Promise<Ran>;
}

const MAIN = resolve(import.meta.dirname, '../main.ts');

const ended = (child: ChildProcess): Promise<Ran> => {
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name]?.setEncoding('utf8').on('data', (text: string) => {
      said[name] += text;
    });
  return new Promise((done) => child.on('close', (exit) => done({ exit, ...said })));
};

/** What was run in this process, each as its words. */
const ran: string[][] = [];
/** Whether a command was run that begins so. */
export const wasRun = (words: readonly string[]): boolean =>
  ran.some((line) => words.every((word, at) => line[at] === word));

/** @param program the command line: of the sources, or one that was installed */
export const openTerminal = (
  environment: Record<string, string | undefined> = {},
  program: readonly string[] = [process.execPath, MAIN],
): Terminal => {
  const home = mkdtempSync(join(tmpdir(), 'aitbc-home-'));
  const [node, ...main] = program as [string, ...string[]];
  const { PATH, NODE_COMPILE_CACHE } = process.env;
  const env = {
    PATH,
    NODE_COMPILE_CACHE,
    HOME: home,
    XDG_CONFIG_HOME: join(home, '.config'),
    ...environment,
  };
  const start = (...args: string[]): ChildProcess => {
    ran.push(args);
    return spawn(node, [...main, ...args], { cwd: home, env, stdio: 'pipe' });
  };
  return {
    home,
    start,
    aitbc: (...args) => {
      const child = start(...args);
      child.stdin?.end();
      return ended(child);
    },
    given: (stdin, ...args) => {
      const child = start(...args);
      child.stdin?.end(stdin);
      return ended(child);
    },
    onTerminal: (answers, ...args) => {
      ran.push(args);
      const words = [node, ...main, ...args].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
      // Of util-linux; it gives back what the program ended with. A terminal that nobody sized has no columns.
      const child = spawn('script', ['-qefc', `stty cols 100 rows 30; exec ${words}`, '/dev/null'], {
        cwd: home,
        env: { TERM: 'xterm-256color', ...env },
        stdio: 'pipe',
      });
      const waiting = [...answers];
      let seen = '';
      child.stdout?.setEncoding('utf8').on('data', (text: string) => {
        seen += text;
        const next = waiting[0];
        if (next === undefined || !seen.includes(next[0])) return;
        waiting.shift();
        seen = '';
        child.stdin?.write(next[1]);
      });
      return ended(child);
    },
  };
};
