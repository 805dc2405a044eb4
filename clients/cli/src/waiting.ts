import type { Output, Streams } from './output.ts';

export interface StatusLine {
  say(text: string): void;
  /** Takes it away. */
  end(): void;
}

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const FRAME_MS = 100;
const CLEAR_LINE = '\r\u001b[K';

/**
 * One line at the bottom that moves while one waits; to nobody who looks, nothing. Ctrl-C stays what it is: it cancels the
 * job that is waited for.
 */
export const startStatusLine = (output: Output, streams: Streams, first: string): StatusLine => {
  if (!output.isInteractive) return { say: () => {}, end: () => {} };
  let text = first;
  let frame = 0;
  const draw = (): void => {
    const width = (streams.stderr.columns ?? 80) - 3;
    const sign = output.colors.cyan(FRAMES[frame++ % FRAMES.length] ?? '');
    streams.stderr.write(`${CLEAR_LINE}${sign} ${text.slice(0, width)}`);
  };
  draw();
  let timer: ReturnType<typeof setInterval> | undefined = setInterval(draw, FRAME_MS);
  return {
    say: (now) => {
      text = now;
    },
    end: () => {
      if (timer === undefined) return;
      clearInterval(timer);
      timer = undefined;
      streams.stderr.write(CLEAR_LINE);
    },
  };
};

const BAR_CELLS = 24;
/** `━━━━━━──────  250 of 1000`: as text for the line, or for a log. */
export const progressBar = (done: number, all: number): string => {
  const full = all === 0 ? BAR_CELLS : Math.floor((done / all) * BAR_CELLS);
  return `${'━'.repeat(full)}${'─'.repeat(BAR_CELLS - full)} ${done} of ${all}`;
};
