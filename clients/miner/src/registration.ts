import { type Coordinator, isKeyRefused, type Refusal, type Registration } from './coordinator.ts';
import type { Log } from './log.ts';
import { type Backoff, createNotice, pause, retryDelayMs } from './pacing.ts';

export interface RegistrationDeps {
  readonly coordinator: Pick<Coordinator, 'register'>;
  /** What to say of this machine now; undefined while it has nothing to offer, which the coordinator refuses. */
  readonly describe: () => Registration | undefined;
  readonly backoff: Backoff;
  readonly signal: AbortSignal;
  readonly log: Log;
  readonly onKeyRefused: (refusal: Refusal) => void;
  /** The registration itself is wrong, and would be tomorrow: an option has to change. */
  readonly onRefused: (refusal: Refusal) => void;
}

export interface MinerRegistry {
  /** The miner's id, once the coordinator has given one. */
  id(): string | undefined;
  /** Registers, or tells of a change. Resolves when it is done or cannot be; one at a time, whoever asks. */
  register(): Promise<void>;
  /** After the coordinator said that it does not know this miner. */
  registerAgain(): Promise<void>;
  /** Resolves at the next success, or when the signal fires. */
  registered(signal: AbortSignal): Promise<void>;
}

export const createRegistry = (deps: RegistrationDeps): MinerRegistry => {
  const { coordinator, describe, backoff, signal, log, onKeyRefused, onRefused } = deps;
  const changed = createNotice();
  let id: string | undefined;
  let underWay: Promise<void> | undefined;

  const attempt = async (): Promise<void> => {
    for (let failures = 0; !signal.aborted; failures += 1) {
      const body = describe();
      if (body === undefined) return;
      const answer = await coordinator.register(body, signal);
      if (answer.kind === 'ok') {
        const how =
          answer.body.id === id
            ? 'registration updated,'
            : answer.status === 201
              ? 'registered'
              : 'registered again';
        id = answer.body.id;
        log.info('registered', `${how} as ${id}: ${body.capabilities.join(', ')}`, {
          miner_id: id,
          capabilities: body.capabilities,
        });
        changed.raise();
        return;
      }
      if (answer.kind === 'aborted') return;
      if (answer.kind === 'refused') {
        if (isKeyRefused(answer)) onKeyRefused(answer);
        else onRefused(answer);
        return;
      }
      await pause(retryDelayMs(failures, answer.retryAfterMs, backoff), signal);
    }
  };

  const register = (): Promise<void> => {
    underWay ??= attempt().finally(() => {
      underWay = undefined;
    });
    return underWay;
  };

  return {
    id: () => id,
    register,
    registerAgain() {
      if (underWay === undefined)
        log.warn('unknown', 'the coordinator does not know this miner: registering again');
      return register();
    },
    registered: (until) => changed.wait(until),
  };
};
