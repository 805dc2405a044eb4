/** Severities, least first: the position is the rank that `--log-level` compares. */
export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
type LogFields = Readonly<Record<string, string | number | boolean | null | readonly string[]>>;

/**
 * One line per event. `event` is the stable name a machine looks for, `text` the sentence a person reads.
 * Never give it a key, a prompt, a command or a result: logs are copied into issues and chat.
 */
export interface Log {
  debug(event: string, text: string, fields?: LogFields): void;
  info(event: string, text: string, fields?: LogFields): void;
  warn(event: string, text: string, fields?: LogFields): void;
  error(event: string, text: string, fields?: LogFields): void;
}

/** Text from the network ends up in a terminal: without this it could forge lines or send escape sequences. */
const singleLine = (text: string): string => text.replace(/[\p{Cc}\u2028\u2029]+/gu, ' ').trim();

const MARKS: Readonly<Record<LogLevel, string>> = { debug: '· ', info: '', warn: '! ', error: '!! ' };

export interface LogOptions {
  readonly level: LogLevel;
  /** True for one JSON object a line, false for sentences. */
  readonly json: boolean;
  readonly write: (line: string) => void;
}

export const createLog = ({ level, json, write }: LogOptions): Log => {
  const least = LOG_LEVELS.indexOf(level);
  const at =
    (severity: LogLevel) =>
    (event: string, text: string, fields: LogFields = {}): void => {
      if (LOG_LEVELS.indexOf(severity) < least) return;
      const time = new Date();
      const message = singleLine(text);
      if (json) {
        write(JSON.stringify({ time: time.toISOString(), level: severity, event, message, ...fields }));
        return;
      }
      write(`${time.toTimeString().slice(0, 8)} ${MARKS[severity]}${message}`);
    };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
};
