import type { ApiKey, ApiKeyCreated } from '@aitbc/sdk';
import { useInfiniteQuery, useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { amount } from '../../format.ts';
import { Answer, Failure, More } from '../../parts/answer.tsx';
import { Confirm } from '../../parts/confirm.tsx';
import { AmountField, amountIn, Choices, Entries, Entry, Secret } from '../../parts/entries.tsx';
import { Badge, Card, Empty, When } from '../../parts/look.tsx';
import { api } from '../../session.ts';
import { OVERLAP_AT_FIRST, OverlapChoice } from './overlap.tsx';

const PAGE = 50;
const DAY_MS = 86_400_000;

type UserScope = 'client' | 'miner' | 'trade' | 'vote';
const SCOPES = [
  ['client', 'client', 'sends jobs and pays for them'],
  ['miner', 'miner', 'takes jobs and earns'],
  ['trade', 'trade', 'gives tokens away, and books beyond what it may spend'],
  ['vote', 'vote', 'proposes and votes with all that the account holds'],
] as const satisfies readonly (readonly [UserScope, string, string])[];

const LASTS = [
  [0, 'until it is revoked'],
  [30, '30 days'],
  [90, '90 days'],
  [365, 'a year'],
] as const;

const Make = ({ onMade, onLeave }: { onMade: (made: ApiKeyCreated) => void; onLeave: () => void }) => {
  const [label, setLabel] = useState('');
  const [scopes, setScopes] = useState<UserScope[]>(['client']);
  const [days, setDays] = useState(0);
  const [spend, setSpend] = useState('');
  const [transfer, setTransfer] = useState('');
  const [price, setPrice] = useState('');
  const make = useMutation({
    // A secret is not kept for a page that asks again.
    gcTime: 0,
    mutationFn: () =>
      api().account.keys.create({
        label: label.trim(),
        scopes,
        ...(days === 0 ? {} : { expires_at: new Date(Date.now() + days * DAY_MS).toISOString() }),
        spend_cap: amountIn(spend),
        daily_transfer_cap: scopes.includes('trade') ? amountIn(transfer) : undefined,
        default_price: scopes.includes('client') ? amountIn(price) : undefined,
      }),
    onSuccess: onMade,
  });
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        make.mutate();
      }}
    >
      <div className="grid">
        <label className="field">
          <span>Name</span>
          <input
            required
            maxLength={100}
            placeholder="What it is for"
            value={label}
            onChange={({ target }) => setLabel(target.value)}
          />
        </label>
        <label className="field">
          <span>Works</span>
          <select value={days} onChange={({ target }) => setDays(Number(target.value))}>
            {LASTS.map(([value, says]) => (
              <option key={value} value={value}>
                {says}
              </option>
            ))}
          </select>
        </label>
      </div>
      <Choices legend="What it may do" all={SCOPES} chosen={scopes} onChange={setScopes} />
      <div className="grid">
        <AmountField
          label="May spend in all"
          note="Empty: all that the account has."
          value={spend}
          onChange={setSpend}
        />
        {scopes.includes('client') ? (
          <AmountField
            label="A request pays"
            note="When it names no price itself, as programs made for OpenAI do not."
            value={price}
            onChange={setPrice}
          />
        ) : null}
        {scopes.includes('trade') ? (
          <AmountField
            label="May give away in a day"
            note="Empty: all that the account has."
            value={transfer}
            onChange={setTransfer}
          />
        ) : null}
      </div>
      {make.error === null ? null : <Failure error={make.error} />}
      <div className="row">
        <button
          type="submit"
          className="button"
          data-kind="main"
          disabled={make.isPending || scopes.length === 0}
        >
          Make the key
        </button>
        <button type="button" className="button" onClick={onLeave}>
          Not now
        </button>
      </div>
    </form>
  );
};

type KeyState = 'active' | 'revoked' | 'expired';
export const stateOf = (key: ApiKey): KeyState =>
  key.revoked_at !== null
    ? 'revoked'
    : key.expires_at !== null && Date.parse(key.expires_at) <= Date.now()
      ? 'expired'
      : 'active';

/** What a key is, in a line or two; the same for its owner and for an operator. */
export const KeyFacts = ({ apiKey: key }: { apiKey: ApiKey }) => (
  <>
    <span className="mono">{key.prefix}…</span> · may {key.scopes.join(', ')} · made{' '}
    <When at={key.created_at} isRelative /> ·{' '}
    {key.last_used_at === null ? (
      'never used'
    ) : (
      <>
        used <When at={key.last_used_at} isRelative />
      </>
    )}
    {key.revoked_at === null && key.expires_at !== null ? (
      <>
        {' '}
        · ends <When at={key.expires_at} />
      </>
    ) : null}
    {key.spend_cap === null ? null : ` · spends up to ${amount(key.spend_cap)}`}
    {key.daily_transfer_cap === null ? null : ` · gives away up to ${amount(key.daily_transfer_cap)} a day`}
    {key.default_price === null ? null : ` · a request pays ${amount(key.default_price)}`}
    {key.rate_limit_per_minute === null ? null : ` · ${key.rate_limit_per_minute} requests a minute`}
  </>
);

const Actions = ({ apiKey: key, onMade }: { apiKey: ApiKey; onMade: (made: ApiKeyCreated) => void }) => {
  const queries = useQueryClient();
  const [overlap, setOverlap] = useState<number>(OVERLAP_AT_FIRST);
  const onSettled = () => queries.invalidateQueries({ queryKey: ['keys'] });
  const rotate = useMutation({
    gcTime: 0,
    mutationFn: () => api().account.keys.rotate(key.id, { overlap_seconds: overlap }),
    onSuccess: onMade,
    onSettled,
  });
  const revoke = useMutation({ mutationFn: () => api().account.keys.revoke(key.id), onSettled });
  const error = rotate.error ?? revoke.error;
  const name = key.label ?? key.prefix;
  return (
    <>
      <Confirm
        action="Rotate"
        kind="plain"
        about={name}
        title={`Replace “${name}”?`}
        isBusy={rotate.isPending}
        onConfirm={() => rotate.mutate()}
        fields={<OverlapChoice value={overlap} onChange={setOverlap} />}
      >
        A new key with the same rights is made and shown once. What was spent with the old one counts for the
        new one too.
      </Confirm>
      <Confirm
        action="Revoke"
        about={name}
        title={`Revoke “${name}”?`}
        isBusy={revoke.isPending}
        onConfirm={() => revoke.mutate()}
      >
        Within five seconds nothing can be done with this key any more, anywhere. It cannot be taken back.
        Jobs that were sent with it go on.
      </Confirm>
      {error === null ? null : <Failure error={error} />}
    </>
  );
};

export const Keys = () => {
  const queries = useQueryClient();
  const [isMaking, setMaking] = useState(false);
  const [made, setMade] = useState<ApiKeyCreated>();
  const [isWhole, setWhole] = useState(false);
  const keys = useInfiniteQuery({
    queryKey: ['keys', isWhole],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam, signal }) =>
      api()
        .account.keys.list(
          { limit: PAGE, cursor: pageParam, ...(isWhole ? {} : { active: true }) },
          { signal },
        )
        .page(),
    getNextPageParam: ({ next_cursor }) => next_cursor ?? undefined,
  });
  const show = (key: ApiKeyCreated): void => {
    setMade(key);
    setMaking(false);
    void queries.invalidateQueries({ queryKey: ['keys'] });
  };
  return (
    <Card
      title="API keys"
      actions={
        isMaking ? null : (
          <button type="button" className="button" onClick={() => setMaking(true)}>
            Make a key
          </button>
        )
      }
    >
      <div className="stack">
        {made === undefined ? null : (
          <Secret
            title={`The key “${made.label ?? made.prefix}” is made.`}
            secret={made.key}
            onDone={() => setMade(undefined)}
          />
        )}
        {isMaking ? (
          <div className="maker">
            <Make onMade={show} onLeave={() => setMaking(false)} />
          </div>
        ) : null}
        <Answer query={keys}>
          {({ pages }) => {
            const all = pages.flatMap(({ items }) => items);
            return all.length === 0 ? (
              <Empty title="No key yet">
                <p>
                  Programs, miners and the command line act for you with a key. Make one for each of them.
                </p>
              </Empty>
            ) : (
              <>
                <Entries name="API keys">
                  {all.map((key) => (
                    <Entry
                      key={key.id}
                      title={key.label ?? 'Without a name'}
                      state={
                        <Badge state={stateOf(key)} tone={stateOf(key) === 'active' ? 'good' : 'still'} />
                      }
                      actions={stateOf(key) === 'active' ? <Actions apiKey={key} onMade={show} /> : undefined}
                    >
                      <KeyFacts apiKey={key} />
                    </Entry>
                  ))}
                </Entries>
                <More query={keys} />
              </>
            );
          }}
        </Answer>
        <label className="check small">
          <input type="checkbox" checked={isWhole} onChange={({ target }) => setWhole(target.checked)} />
          Show those that have ended too
        </label>
      </div>
    </Card>
  );
};
