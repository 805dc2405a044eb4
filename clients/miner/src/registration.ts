import {
  type Coordinator,
  isKeyRefused,
  isNameInUse,
  type Refusal,
  type Registration,
} from './coordinator.ts';
import type { Log } from './log.ts';
import { type Backoff, createNotice, pause, retryDelayMs } from './pacing.ts';

export interface RegistrationDeps {
  readonly coordinator: Pick<Coordinator, 'register'>;
  /** What to say of this machine now. */
  readonly describe: () => Registration;
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
  /** Registers. Resolves when it is done or cannot be; one at a time, whoever asks. */
  register(): Promise<void>;
  /**
   * Tells of a change: one that came while a registration was under way is told right after it. Before the first one nobody
   * has to be told: it says what there is by then.
   */
  update(): Promise<void>;
  /** After the coordinator said that it does not know this miner, or that another agent has its name. */
  registerAgain(refusal: Refusal): Promise<void>;
  /** Resolves at the next success, or when the signal fires. */
  registered(signal: AbortSignal): Promise<void>;
}

/** Quick, since a crashed agent's name is free a few seconds later, and rare enough to be harmless for ever. */
const NAME_BACKOFF: Backoff = { baseMs: 500, capMs: 2_000 };

export const createRegistry = (deps: RegistrationDeps): MinerRegistry => {
  const { coordinator, describe, backoff, signal, log, onKeyRefused, onRefused } = deps;
  const changed = createNotice();
  let id: string | undefined;
  let underWay: Promise<void> | undefined;
  let isChanged = false;
  let conflict = '';

  const attempt = async (): Promise<void> => {
    for (let failures = 0; !signal.aborted; failures += 1) {
      isChanged = false;
      const body = describe();
      const answer = await coordinator.register(body, signal);
      if (answer.kind === 'ok') {
        const how =
          answer.body.id === id
            ? 'registration updated,'
            : answer.status === 201
              ? 'registered'
              : 'registered again';
        id = answer.body.id;
        conflict = '';
        log.info('registered', `${how} as ${id}: ${body.capabilities.join(', ') || 'nothing for now'}`, {
          miner_id: id,
          capabilities: body.capabilities,
        });
        changed.raise();
        if (!isChanged) return;
        continue;
      }
      if (answer.kind === 'aborted') return;
      if (answer.kind === 'refused') {
        if (isNameInUse(answer)) {
          const { message } = answer;
          if (message !== conflict) log.warn('name-in-use', `${message} Trying again until it is free.`);
          conflict = message;
          await pause(retryDelayMs(failures, null, NAME_BACKOFF), signal);
          continue;
        }
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
    update() {
      isChanged = true;
      return id === undefined ? Promise.resolve() : register();
    },
    registerAgain(refusal) {
      if (isNameInUse(refusal)) id = undefined;
      else if (underWay === undefined)
        log.warn('unknown', 'the coordinator does not know this miner: registering again');
      return register();
    },
    registered: (until) => changed.wait(until),
  };
};
