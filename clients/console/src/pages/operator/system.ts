import type { Reply } from '@aitbc/sdk';
import type { Tone } from '../../parts/look.tsx';

export type Stats = Reply<'gateway.admin_stats'>;
type Mailbox = NonNullable<Stats['mailboxes']>[number];

/** A part of the system as the picture shows it: what it is called, how it is, and what that means. */
export interface Part {
  readonly name: string;
  readonly tone: Extract<Tone, 'good' | 'warn' | 'bad' | 'still'>;
  readonly says: string;
  readonly lines: readonly string[];
}

/** More than this in a mailbox is a backlog: a batch holds up to a hundred messages, and is emptied in milliseconds. */
const BACKLOG = 100;

const plural = (many: number, one: string, more = `${one}s`): string =>
  `${many.toLocaleString('en')} ${many === 1 ? one : more}`;

const mailboxLine = (mailbox: Mailbox | undefined): string =>
  mailbox === undefined
    ? 'mailbox unknown'
    : mailbox.waiting + mailbox.active + mailbox.delayed === 0
      ? 'mailbox empty'
      : `${plural(mailbox.waiting + mailbox.active + mailbox.delayed, 'batch', 'batches')} wait`;

const isBehind = (mailbox: Mailbox | undefined): boolean =>
  mailbox !== undefined && mailbox.waiting + mailbox.delayed > BACKLOG;

const servicePart = (stats: Stats, name: string): Part => {
  const service = stats.services.find((each) => each.service === name);
  const mailbox = stats.mailboxes?.find(({ destination }) => destination === name);
  const letters = service?.dead_letters ?? null;
  const unsent = service?.outbox_unacknowledged;
  const lines = [
    letters === null
      ? 'dead letters unknown'
      : letters === 0
        ? 'no dead letter'
        : plural(letters, 'dead letter'),
    mailboxLine(mailbox),
    ...(unsent == null
      ? []
      : [unsent === 0 ? 'all sent and heard' : `${unsent.toLocaleString('en')} not yet heard`]),
  ];
  if (service === undefined || !service.ok) return { name, tone: 'bad', says: 'does not work', lines };
  if (letters !== null && letters > 0) return { name, tone: 'warn', says: 'needs a look', lines };
  if (isBehind(mailbox)) return { name, tone: 'warn', says: 'is behind', lines };
  return { name, tone: 'good', says: 'works', lines };
};

const workerPart = (stats: Stats, name: string): Part => {
  const mailbox = stats.mailboxes?.find(({ destination }) => destination === name);
  const lines = [
    mailbox === undefined ? 'workers unknown' : plural(mailbox.workers, 'worker'),
    mailboxLine(mailbox),
  ];
  if (mailbox === undefined) return { name, tone: 'still', says: 'not known', lines };
  if (mailbox.workers === 0) return { name, tone: 'bad', says: 'nobody there', lines };
  return isBehind(mailbox)
    ? { name, tone: 'warn', says: 'is behind', lines }
    : { name, tone: 'good', says: 'works', lines };
};

export interface System {
  readonly gateway: Part;
  readonly services: readonly Part[];
  readonly redis: Part;
  readonly workers: readonly Part[];
}

/** Every part of the coordinator, as the operator's figures tell. */
export const systemOf = (stats: Stats): System => {
  const mailboxes = stats.mailboxes;
  const waiting = (mailboxes ?? []).reduce((sum, each) => sum + each.waiting + each.delayed, 0);
  return {
    gateway: servicePart(stats, 'gateway'),
    services: stats.services
      .filter(({ service }) => service !== 'gateway')
      .map(({ service }) => servicePart(stats, service)),
    redis:
      mailboxes === null
        ? { name: 'Redis', tone: 'bad', says: 'does not answer', lines: ['messages wait in the outboxes'] }
        : {
            name: 'Redis',
            tone: 'good',
            says: 'works',
            lines: [waiting === 0 ? 'nothing waits' : `${plural(waiting, 'batch', 'batches')} wait`],
          },
    workers: ['dispatcher', 'webhooks'].map((name) => workerPart(stats, name)),
  };
};

/** The same in a sentence, for those who do not see the picture. */
export const systemInWords = ({ gateway, services, redis, workers }: System): string =>
  [gateway, ...services, redis, ...workers]
    .map(({ name, says, lines }) => `${name} ${says}: ${lines.join(', ')}.`)
    .join(' ');
