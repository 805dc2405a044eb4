import { styleText } from 'node:util';
import type { Log } from './supervisor.ts';

const colours = ['cyan', 'magenta', 'green', 'yellow', 'blue', 'cyanBright', 'magentaBright'] as const;
const levels: Record<number, string> = {
  10: 'trace',
  20: 'debug',
  30: '',
  40: 'warning',
  50: 'error',
  60: 'fatal',
};
const everywhere = new Set(['level', 'time', 'msg', 'pid', 'hostname', 'name', 'service', 'v']);

/** Writes lines with the padded, coloured name of their process. In a terminal JSON lines become readable ones. */
export function logTo(stream: NodeJS.WriteStream): Log {
  const seen: string[] = [];
  let width = 12;
  return (line, from) => {
    if (from === undefined) {
      stream.write(`${line}\n`);
      return;
    }
    if (!seen.includes(from)) seen.push(from);
    width = Math.max(width, from.length);
    const colour = colours[seen.indexOf(from) % colours.length] as (typeof colours)[number];
    const prefix = styleText(colour, `${from.padEnd(width)} |`, { stream });
    stream.write(`${prefix} ${stream.isTTY ? readable(line) : line}\n`);
  };
}

/** `{"level":40,"msg":"slow","ms":7}` as `warning slow ms=7`; every other line as it is. */
export function readable(line: string): string {
  if (!line.startsWith('{')) return line;
  let entry: Record<string, unknown>;
  try {
    entry = JSON.parse(line);
  } catch {
    return line;
  }
  if (typeof entry.msg !== 'string') return line;
  const level = levels[entry.level as number] ?? String(entry.level);
  const rest = Object.entries(entry)
    .filter(([key]) => !everywhere.has(key))
    .map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  return [level, entry.msg, ...rest].filter(Boolean).join(' ');
}
