import type { Webhook, WebhookCreated } from '@aitbc/sdk';
import { useInfiniteQuery, useMutation, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { count } from '../../format.ts';
import { Answer, Failure, More } from '../../parts/answer.tsx';
import { Confirm } from '../../parts/confirm.tsx';
import { Entries, Entry, Secret } from '../../parts/entries.tsx';
import { Badge, Card, Empty, When } from '../../parts/look.tsx';
import { SOMETIMES_MS } from '../../queries.ts';
import { api } from '../../session.ts';
import { OVERLAP_AT_FIRST, OverlapChoice } from './overlap.tsx';
import { someEvents, WebhookForm, type WebhookValues } from './webhook-form.tsx';

const PAGE = 50;

const OFF: Record<NonNullable<Webhook['disabled_reason']>, string> = {
  failing: 'Switched off: nothing got through for three days.',
  gone: 'Switched off: it answered 410, which says that it is gone for good.',
  owner: 'Paused by you.',
};

export const WebhookState = ({ webhook }: { webhook: Webhook }) =>
  !webhook.enabled ? (
    <Badge state={webhook.disabled_reason === 'owner' ? 'paused' : 'switched off'} tone="warn" />
  ) : webhook.failing_since === null ? (
    <Badge state="on" tone="good" />
  ) : (
    <Badge state="failing" tone="bad" />
  );

/** How it is going, in words. */
export const WebhookFacts = ({ webhook }: { webhook: Webhook }) => (
  <>
    {webhook.disabled_reason === null ? null : <p>{OFF[webhook.disabled_reason]}</p>}
    {webhook.failing_since === null ? null : (
      <p>
        Nothing got through since <When at={webhook.failing_since} isRelative />.
      </p>
    )}
    <p>
      {webhook.waiting === 0 ? 'Nothing waits' : `${count(webhook.waiting)} wait to be sent`}
      {webhook.skipped === 0 ? '' : `, and ${count(webhook.skipped)} were left out because too many waited`}.
    </p>
  </>
);

/** All `callback_url` of an account's jobs are signed by one secret, which is got by replacing it. */
const Callbacks = () => {
  const [overlap, setOverlap] = useState<number>(OVERLAP_AT_FIRST);
  const renew = useMutation({
    gcTime: 0,
    mutationFn: () => api().webhooks.rotateSecret('callbacks', { overlap_seconds: overlap }),
  });
  return (
    <div className="stack">
      {renew.data === undefined ? null : (
        <Secret
          title="The new secret of your jobs’ callbacks."
          secret={renew.data.secret}
          onDone={() => renew.reset()}
        />
      )}
      {renew.error === null ? null : <Failure error={renew.error} />}
      <div className="row">
        <p className="small muted">
          What a job’s own callback_url is sent is signed by one secret of the account.
        </p>
        <Confirm
          action="New callback secret"
          kind="plain"
          title="A new secret for callbacks?"
          isBusy={renew.isPending}
          onConfirm={() => renew.mutate()}
          fields={<OverlapChoice value={overlap} onChange={setOverlap} />}
        >
          It is shown once. Until the old one ends, each callback carries a signature by both.
        </Confirm>
      </div>
    </div>
  );
};

export const useWebhooks = () =>
  useInfiniteQuery({
    queryKey: ['webhooks', 'list'],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam, signal }) =>
      api().webhooks.list({ limit: PAGE, cursor: pageParam }, { signal }).page(),
    getNextPageParam: ({ next_cursor }) => next_cursor ?? undefined,
    refetchInterval: SOMETIMES_MS,
  });

export const Webhooks = () => {
  const queries = useQueryClient();
  const [isMaking, setMaking] = useState(false);
  const [made, setMade] = useState<WebhookCreated>();
  const make = useMutation({
    gcTime: 0,
    mutationFn: ({ description, ...values }: WebhookValues) =>
      api().webhooks.create({ ...values, ...(description === null ? {} : { description }) }),
    onSuccess: (webhook) => {
      setMade(webhook);
      setMaking(false);
    },
    onSettled: () => queries.invalidateQueries({ queryKey: ['webhooks'] }),
  });
  const webhooks = useWebhooks();
  return (
    <Card
      title="Webhooks"
      actions={
        isMaking ? null : (
          <button type="button" className="button" onClick={() => setMaking(true)}>
            Make a webhook
          </button>
        )
      }
    >
      <div className="stack">
        {made === undefined ? null : (
          <Secret
            title="The secret that its deliveries are signed by."
            secret={made.secret}
            onDone={() => setMade(undefined)}
          >
            <p className="small">
              Whoever receives them checks the signature with it, as Standard Webhooks says: in JavaScript
              with verifyWebhook of @aitbc/sdk.
            </p>
          </Secret>
        )}
        {isMaking ? (
          <div className="maker">
            <WebhookForm
              action="Make the webhook"
              isBusy={make.isPending}
              error={make.error}
              onSend={(values) => make.mutate(values)}
              onLeave={() => setMaking(false)}
            />
          </div>
        ) : null}
        <Answer query={webhooks}>
          {({ pages }) => {
            const all = pages.flatMap(({ items }) => items);
            return all.length === 0 ? (
              <Empty title="No webhook yet">
                <p>A program of yours can be told when a job ends, instead of asking again and again.</p>
              </Empty>
            ) : (
              <>
                <Entries name="Webhooks">
                  {all.map((webhook) => (
                    <Entry
                      key={webhook.id}
                      title={
                        <Link to="/settings/webhooks/$webhookId" params={{ webhookId: webhook.id }}>
                          {webhook.url}
                        </Link>
                      }
                      state={<WebhookState webhook={webhook} />}
                    >
                      {webhook.description === null ? null : <p>{webhook.description}</p>}
                      <p>
                        {webhook.kind === 'callback'
                          ? 'Made by a job that named it'
                          : someEvents(webhook.events)}
                      </p>
                      <WebhookFacts webhook={webhook} />
                    </Entry>
                  ))}
                </Entries>
                <More query={webhooks} />
              </>
            );
          }}
        </Answer>
        <Callbacks />
      </div>
    </Card>
  );
};
