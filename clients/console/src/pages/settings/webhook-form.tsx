import type { Webhook, WebhookDelivery } from '@aitbc/sdk';
import { useState } from 'react';
import { Failure } from '../../parts/answer.tsx';
import { Choices } from '../../parts/entries.tsx';

type EventName = WebhookDelivery['type'];
/** Every event there is: one that a contract adds does not compile without its words. */
const EVENTS: Record<EventName, string> = {
  'job.completed': 'A job completed',
  'job.failed': 'A job failed',
  'job.cancelled': 'A job was cancelled',
  'job.expired': 'A job expired: no miner began in time',
  'payment.released': 'A payment went to whom it was for',
  'payment.refunded': 'A payment came back',
  'booking.started': 'A booking began',
  'booking.ended': 'A booking ended',
  'invoice.confirmed': 'Bought tokens arrived',
  'proposal.passed': 'A proposal passed',
  'proposal.executed': 'A proposal was executed',
  'miner.inactive': 'A miner of yours went silent',
};
const ALL = Object.entries(EVENTS) as [EventName, string][];
export const eventWords = (name: EventName): string => EVENTS[name] ?? name;

/** As many as two lines of a phone hold. */
const EVENTS_SHOWN = 3;
/** The events of a webhook where many stand below each other; its own page names all of them. */
export const someEvents = (events: readonly EventName[]): string => {
  if (events.length === ALL.length) return 'Everything that it can be told';
  const shown = events.slice(0, EVENTS_SHOWN).map(eventWords).join(' · ');
  const more = events.length - EVENTS_SHOWN;
  return more > 0 ? `${shown} · and ${more} more` : shown;
};

export interface WebhookValues {
  readonly url: string;
  readonly events: EventName[];
  readonly description: string | null;
  readonly include_result: boolean;
}

/** Where to send, and what. */
export const WebhookForm = ({
  webhook,
  action,
  isBusy,
  error,
  onSend,
  onLeave,
}: {
  webhook?: Webhook;
  action: string;
  isBusy: boolean;
  error: unknown;
  onSend: (values: WebhookValues) => void;
  onLeave: () => void;
}) => {
  const [url, setUrl] = useState(webhook?.url ?? '');
  const [description, setDescription] = useState(webhook?.description ?? '');
  const [events, setEvents] = useState<EventName[]>(webhook?.events ?? ['job.completed', 'job.failed']);
  const [isWithResult, setWithResult] = useState(webhook?.include_result ?? false);
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        const text = description.trim();
        onSend({
          url: url.trim(),
          events,
          description: text === '' ? null : text,
          include_result: isWithResult,
        });
      }}
    >
      <div className="grid">
        <label className="field">
          <span>Address</span>
          <input
            type="url"
            required
            maxLength={2_048}
            placeholder="https://example.org/hooks"
            value={url}
            onChange={({ target }) => setUrl(target.value)}
          />
        </label>
        <label className="field">
          <span>Note, if you like</span>
          <input
            maxLength={200}
            value={description}
            onChange={({ target }) => setDescription(target.value)}
          />
        </label>
      </div>
      <Choices legend="Tells when" all={ALL} chosen={events} onChange={setEvents} />
      <label className="check">
        <input
          type="checkbox"
          checked={isWithResult}
          onChange={({ target }) => setWithResult(target.checked)}
        />
        Send the result of a job along, where it is small
      </label>
      {error === null ? null : <Failure error={error} />}
      <div className="row">
        <button type="submit" className="button" data-kind="main" disabled={isBusy || events.length === 0}>
          {action}
        </button>
        <button type="button" className="button" onClick={onLeave}>
          Not now
        </button>
      </div>
    </form>
  );
};
