import type { Webhook } from '@aitbc/sdk';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, useNavigate, useParams } from '@tanstack/react-router';
import { useState } from 'react';
import { Answer, Failure, SignedIn } from '../../parts/answer.tsx';
import { Confirm } from '../../parts/confirm.tsx';
import { Secret } from '../../parts/entries.tsx';
import { Card, Empty, Facts, Head, When } from '../../parts/look.tsx';
import { SOMETIMES_MS } from '../../queries.ts';
import { api } from '../../session.ts';
import { Deliveries } from './deliveries.tsx';
import { OVERLAP_AT_FIRST, OverlapChoice } from './overlap.tsx';
import { eventWords, WebhookForm, type WebhookValues } from './webhook-form.tsx';
import { WebhookFacts, WebhookState } from './webhooks.tsx';

const useChange = (webhook: Webhook) => {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (change: Partial<WebhookValues> & { enabled?: boolean }) =>
      api().webhooks.change(webhook.id, change),
    onSettled: () => queries.invalidateQueries({ queryKey: ['webhooks'] }),
  });
};

const Change = ({ webhook }: { webhook: Webhook }) => {
  const [isChanging, setChanging] = useState(false);
  const change = useChange(webhook);
  return (
    <Card
      title="What it tells"
      actions={
        isChanging || webhook.kind === 'callback' ? null : (
          <button type="button" className="button" onClick={() => setChanging(true)}>
            Change
          </button>
        )
      }
    >
      {isChanging ? (
        <WebhookForm
          webhook={webhook}
          action="Keep the change"
          isBusy={change.isPending}
          error={change.error}
          onSend={(values) => change.mutate(values, { onSuccess: () => setChanging(false) })}
          onLeave={() => setChanging(false)}
        />
      ) : (
        <div className="stack">
          <Facts
            facts={[
              ['Address', webhook.url],
              webhook.description === null ? null : ['Note', webhook.description],
              [
                'Tells when',
                webhook.kind === 'callback'
                  ? 'a job ends that named an address of this origin'
                  : webhook.events.map(eventWords).join(' · '),
              ],
              ['Result of a job', webhook.include_result ? 'sent along where it is small' : 'not sent'],
              ['Made', <When key="made" at={webhook.created_at} />],
              webhook.secret_expires_at === null
                ? null
                : [
                    'Old secret',
                    <span key="old">
                      good until <When at={webhook.secret_expires_at} />
                    </span>,
                  ],
            ]}
          />
          <div className="small muted">
            <WebhookFacts webhook={webhook} />
          </div>
        </div>
      )}
    </Card>
  );
};

const View = ({ webhook }: { webhook: Webhook }) => {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const [overlap, setOverlap] = useState<number>(OVERLAP_AT_FIRST);
  const change = useChange(webhook);
  const rotate = useMutation({
    gcTime: 0,
    mutationFn: () => api().webhooks.rotateSecret(webhook.id, { overlap_seconds: overlap }),
    onSettled: () => queries.invalidateQueries({ queryKey: ['webhooks'] }),
  });
  const remove = useMutation({
    mutationFn: () => api().webhooks.remove(webhook.id),
    onSuccess: async () => {
      await navigate({ to: '/settings' });
      await queries.invalidateQueries({ queryKey: ['webhooks', 'list'] });
    },
  });
  const error = change.error ?? rotate.error ?? remove.error;
  return (
    <>
      <Head
        title="Webhook"
        actions={
          <>
            {webhook.enabled ? (
              <Confirm
                action="Pause"
                title="Pause this webhook?"
                isBusy={change.isPending}
                onConfirm={() => change.mutate({ enabled: false })}
              >
                What waits to be sent is given up, and what happens meanwhile is never sent.
              </Confirm>
            ) : (
              <button
                type="button"
                className="button"
                disabled={change.isPending}
                onClick={() => change.mutate({ enabled: true })}
              >
                Switch on
              </button>
            )}
            {webhook.kind === 'callback' ? null : (
              <Confirm
                action="Rotate the secret"
                kind="plain"
                title="A new secret?"
                isBusy={rotate.isPending}
                onConfirm={() => rotate.mutate()}
                fields={<OverlapChoice value={overlap} onChange={setOverlap} />}
              >
                It is shown once. Until the old one ends, each delivery carries a signature by both.
              </Confirm>
            )}
            <Confirm
              action="Delete"
              title="Delete this webhook?"
              isBusy={remove.isPending}
              onConfirm={() => remove.mutate()}
            >
              Nothing more is sent to it. What was sent, and what came of it, is forgotten too.
            </Confirm>
          </>
        }
      >
        <WebhookState webhook={webhook} /> <span className="wrap">{webhook.url}</span>
      </Head>
      {error === null ? null : <Failure error={error} />}
      {rotate.data === undefined ? null : (
        <Secret title="The new secret." secret={rotate.data.secret} onDone={() => rotate.reset()} />
      )}
      <Change webhook={webhook} />
      <Deliveries webhook={webhook} />
    </>
  );
};

const NoSuchWebhook = () => (
  <section className="card">
    <Empty title="There is no such webhook">
      <p>It was deleted, or belongs to another account.</p>
      <Link to="/settings" className="button">
        To your settings
      </Link>
    </Empty>
  </section>
);

const Loaded = ({ webhookId }: { webhookId: string }) => {
  const webhook = useQuery({
    queryKey: ['webhooks', webhookId],
    queryFn: ({ signal }) => api().webhooks.get(webhookId, { signal }),
    refetchInterval: SOMETIMES_MS,
  });
  return (
    <>
      {webhook.data === undefined ? <Head title="Webhook" /> : null}
      <Answer query={webhook} lines={8} missing={<NoSuchWebhook />}>
        {(found) => <View webhook={found} />}
      </Answer>
    </>
  );
};

export const WebhookPage = () => {
  const { webhookId } = useParams({ from: '/settings/webhooks/$webhookId' });
  return (
    <SignedIn what="this webhook">
      <Loaded key={webhookId} webhookId={webhookId} />
    </SignedIn>
  );
};
