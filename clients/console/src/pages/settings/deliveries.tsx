import type { Webhook, WebhookDelivery } from '@aitbc/sdk';
import { useInfiniteQuery, useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { duration, words } from '../../format.ts';
import { Answer, Failure, More } from '../../parts/answer.tsx';
import { Entries, Entry } from '../../parts/entries.tsx';
import { Badge, Block, Card, Empty, Id, type Tone, When } from '../../parts/look.tsx';
import { OFTEN_MS } from '../../queries.ts';
import { api } from '../../session.ts';
import { eventWords } from './webhook-form.tsx';

const PAGE = 25;
/** Beyond that the pages stand still: keeping them fresh would take more requests than a page has. */
const LIVE_PAGES_MAX = 2;

type Status = WebhookDelivery['status'];
const TONES: Record<Status, Tone> = { waiting: 'warn', calling: 'busy', delivered: 'good', failed: 'bad' };
const STATES = Object.keys(TONES) as Status[];

const ERRORS: Record<NonNullable<WebhookDelivery['attempts'][number]['error']>, string> = {
  url_refused: 'This address is not called: it must be https, and out in the internet.',
  address_refused: 'The name leads to an address inside our network, which is never called.',
  name_unknown: 'No address is known for that name. Look whether it is written right.',
  timed_out: 'No answer within ten seconds. Answer first, and work afterwards.',
  not_reached: 'Nobody answered there. Look whether the server runs and its certificate is good.',
  bad_status: 'It answered, but not with a 2xx.',
  interrupted: 'We stopped in the middle of it. It may have arrived.',
};

const Attempts = ({ delivery }: { delivery: WebhookDelivery }) => (
  <details>
    <summary className="small muted">
      {delivery.attempts.length === 1 ? 'One try' : `${delivery.attempts.length} tries`}
    </summary>
    <ol className="stack">
      {delivery.attempts.map(({ attempt, started_at, duration_ms, status, error, response }) => (
        <li key={attempt}>
          <p className="small">
            <When at={started_at} />
            {status === null ? '' : ` · answered ${status}`}
            {duration_ms === null ? '' : ` after ${duration(duration_ms)}`}
          </p>
          {error === null ? null : <p className="small">{ERRORS[error]}</p>}
          {response === null || response === '' ? null : (
            <Block name={`what it answered to try ${attempt}`}>{response}</Block>
          )}
        </li>
      ))}
    </ol>
  </details>
);

const Again = ({ delivery }: { delivery: WebhookDelivery }) => {
  const queries = useQueryClient();
  const again = useMutation({
    mutationFn: () => api().webhooks.redeliver(delivery.webhook_id, delivery.id),
    onSettled: () => queries.invalidateQueries({ queryKey: ['webhooks'] }),
  });
  return (
    <>
      <button
        type="button"
        className="button"
        aria-label={`Send ${delivery.type} of ${delivery.created_at} ${
          delivery.status === 'waiting' ? 'now' : 'again'
        }`}
        disabled={again.isPending || delivery.status === 'calling'}
        onClick={() => again.mutate()}
      >
        {delivery.status === 'waiting' ? 'Send now' : 'Send again'}
      </button>
      {again.error === null ? null : <Failure error={again.error} />}
    </>
  );
};

/** What was sent, and what came of it. Each can be sent once more. */
export const Deliveries = ({ webhook }: { webhook: Webhook }) => {
  const [status, setStatus] = useState<Status>();
  const deliveries = useInfiniteQuery({
    queryKey: ['webhooks', webhook.id, 'deliveries', status],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam, signal }) =>
      api().webhooks.deliveries(webhook.id, { limit: PAGE, cursor: pageParam, status }, { signal }).page(),
    getNextPageParam: ({ next_cursor }) => next_cursor ?? undefined,
    refetchInterval: ({ state }) => ((state.data?.pages.length ?? 1) > LIVE_PAGES_MAX ? false : OFTEN_MS),
  });
  return (
    <Card
      title="Deliveries"
      actions={
        <label className="row small">
          State
          <select
            style={{ width: 'auto' }}
            value={status ?? ''}
            onChange={({ target }) => setStatus(STATES.find((each) => each === target.value))}
          >
            <option value="">All</option>
            {STATES.map((each) => (
              <option key={each} value={each}>
                {words(each)}
              </option>
            ))}
          </select>
        </label>
      }
    >
      <Answer query={deliveries} lines={5}>
        {({ pages }) => {
          const all = pages.flatMap(({ items }) => items);
          return all.length === 0 ? (
            <Empty title={status === undefined ? 'Nothing was sent yet' : 'Nothing like that'}>
              <p>
                {status === undefined
                  ? 'What happens from about five seconds after the webhook was made is sent. Try it with a job from the playground.'
                  : 'Take the filter away to see the others.'}
              </p>
            </Empty>
          ) : (
            <div className="stack">
              <Entries name="Deliveries">
                {all.map((delivery) => (
                  <Entry
                    key={delivery.id}
                    title={eventWords(delivery.type)}
                    state={<Badge state={delivery.status} tone={TONES[delivery.status]} />}
                    actions={webhook.enabled ? <Again delivery={delivery} /> : undefined}
                    rest={delivery.attempts.length === 0 ? undefined : <Attempts delivery={delivery} />}
                  >
                    About <Id id={delivery.object_id} /> · <When at={delivery.created_at} isRelative />
                    {delivery.next_attempt_at === null ? null : (
                      <>
                        {' '}
                        · next try <When at={delivery.next_attempt_at} isRelative />
                      </>
                    )}
                  </Entry>
                ))}
              </Entries>
              <More query={deliveries} />
            </div>
          );
        }}
      </Answer>
    </Card>
  );
};
