import { type Logger, pino } from 'pino';
import { traced } from './traces.ts';

export type Log = Logger;

/** JSON lines on stdout. Anything that could hold a secret, a prompt or a result is cut out wherever it is named so. */
export const createLog = (service: string, level = 'info'): Log =>
  pino({
    name: service,
    level,
    base: { service },
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: (error: Error) => pino.stdSerializers.err(traced(error)) },
    redact: {
      paths: [
        'key',
        'token',
        'secret',
        'signature',
        'parameters',
        'result',
        'prompt',
        'body',
        'headers',
        'payload',
      ].flatMap((name) => [name, `*.${name}`]),
      censor: '[cut]',
    },
  });
