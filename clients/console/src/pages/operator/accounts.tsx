import type { ApiKey } from '@aitbc/sdk';
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { amount } from '../../format.ts';
import { Answer, Failure, More } from '../../parts/answer.tsx';
import { Confirm } from '../../parts/confirm.tsx';
import { AmountField, amountIn, Entries, Entry } from '../../parts/entries.tsx';
import { Badge, Card, Empty, Facts, Id } from '../../parts/look.tsx';
import { SOMETIMES_MS } from '../../queries.ts';
import { api } from '../../session.ts';
import { KeyFacts, stateOf } from '../settings/keys.tsx';

const PAGE = 50;
const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const REASON_MAX = 500;

const Find = () => {
  const navigate = useNavigate();
  const [text, setText] = useState('');
  return (
    <form
      className="search"
      onSubmit={(event) => {
        event.preventDefault();
        void navigate({ to: '/operator', search: { part: 'accounts', account: text.trim() } });
      }}
    >
      <label className="field">
        <span>Find an account</span>
        <input
          type="search"
          required
          placeholder="Its id"
          value={text}
          onChange={({ target }) => setText(target.value)}
        />
      </label>
      <button type="submit" className="button" data-kind="main">
        Find
      </button>
    </form>
  );
};

const Revoke = ({ apiKey: key }: { apiKey: ApiKey }) => {
  const queries = useQueryClient();
  const revoke = useMutation({
    mutationFn: () => api().admin.keys.revoke(key.id),
    onSettled: () => queries.invalidateQueries({ queryKey: ['operator', 'keys'] }),
  });
  const name = key.label ?? key.prefix;
  return (
    <>
      <Confirm
        action="Revoke"
        about={name}
        title={`Revoke “${name}”?`}
        isBusy={revoke.isPending}
        onConfirm={() => revoke.mutate()}
      >
        It belongs to somebody else. Within five seconds nothing can be done with it any more, and it cannot
        be taken back{key.source === 'environment' ? ', also while the configuration still names it' : ''}.
      </Confirm>
      {revoke.error === null ? null : <Failure error={revoke.error} />}
    </>
  );
};

const KeysOf = ({ account }: { account: string | undefined }) => {
  const keys = useInfiniteQuery({
    queryKey: ['operator', 'keys', account],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam, signal }) =>
      api()
        .admin.keys.list(
          { limit: PAGE, cursor: pageParam, ...(account === undefined ? {} : { account_id: account }) },
          { signal },
        )
        .page(),
    getNextPageParam: ({ next_cursor }) => next_cursor ?? undefined,
  });
  return (
    <Card title={account === undefined ? 'Keys of all accounts, newest first' : 'Its keys'}>
      <Answer query={keys} lines={6}>
        {({ pages }) => {
          const all = pages.flatMap(({ items }) => items);
          return all.length === 0 ? (
            <Empty title="No key">
              <p>This account signs in with a wallet, or is not known here.</p>
            </Empty>
          ) : (
            <div className="stack">
              <Entries name="Keys">
                {all.map((key) => (
                  <Entry
                    key={key.id}
                    title={key.label ?? 'Without a name'}
                    state={<Badge state={stateOf(key)} tone={stateOf(key) === 'active' ? 'good' : 'still'} />}
                    actions={stateOf(key) === 'active' ? <Revoke apiKey={key} /> : undefined}
                  >
                    {account === undefined ? (
                      <>
                        <Link to="/operator" search={{ part: 'accounts', account: key.account_id }}>
                          account <Id id={key.account_id} />
                        </Link>{' '}
                        ·{' '}
                      </>
                    ) : null}
                    <KeyFacts apiKey={key} />
                    {key.source === 'user'
                      ? null
                      : ` · from ${key.source === 'admin' ? 'an operator' : 'the configuration'}`}
                  </Entry>
                ))}
              </Entries>
              <More query={keys} />
            </div>
          );
        }}
      </Answer>
    </Card>
  );
};

const Credit = ({ account }: { account: string }) => {
  const queries = useQueryClient();
  const [given, setGiven] = useState('');
  const [reason, setReason] = useState('');
  const credit = useMutation({
    mutationFn: () => api().admin.credit(account, { amount: amountIn(given) ?? 0, reason: reason.trim() }),
    onSuccess: () => {
      setGiven('');
      setReason('');
    },
    onSettled: () => queries.invalidateQueries({ queryKey: ['operator', 'balance', account] }),
  });
  const isReady = /^\d{0,8}(\.\d{1,8})?$/.test(given) && Number(given) > 0 && reason.trim() !== '';
  return (
    <div className="stack">
      <div className="grid">
        <AmountField label="Credit" value={given} onChange={setGiven} />
        <label className="field">
          <span>Why</span>
          <input maxLength={REASON_MAX} value={reason} onChange={({ target }) => setReason(target.value)} />
        </label>
      </div>
      {credit.error === null ? null : <Failure error={credit.error} />}
      <div className="row">
        <Confirm
          action="Credit"
          title={`Make ${given === '' ? 'new' : given} AITBC?`}
          kind="plain"
          isBusy={credit.isPending}
          isReady={isReady}
          onConfirm={() => credit.mutate()}
        >
          {isReady
            ? 'New tokens are made and given to this account. Everybody sees that on the ledger, and it cannot be taken back.'
            : 'Write an amount and a reason first.'}
        </Confirm>
        {credit.isSuccess ? <span role="status">Done: {amount(credit.data.amount)} were given.</span> : null}
      </div>
    </div>
  );
};

const Account = ({ account }: { account: string }) => {
  const balance = useQuery({
    queryKey: ['operator', 'balance', account],
    queryFn: ({ signal }) => api().call('payments.balance', { params: { user_id: account } }, { signal }),
    refetchInterval: SOMETIMES_MS,
  });
  return (
    <Card title={<span className="mono wrap">{account}</span>}>
      <div className="stack">
        <Answer query={balance} lines={4}>
          {(now) => (
            <Facts
              facts={[
                ['Balance', amount(now.balance)],
                ['Free to use', amount(now.available)],
                ['Set aside', amount(now.held)],
                now.debt === 0 ? null : ['Owes', amount(now.debt)],
                [
                  'On the ledger',
                  <Link
                    key="address"
                    to="/explorer/addresses/$address"
                    params={{ address: now.address }}
                    className="mono"
                  >
                    {now.address}
                  </Link>,
                ],
              ]}
            />
          )}
        </Answer>
        <Credit account={account} />
      </div>
    </Card>
  );
};

export const Accounts = ({ account }: { account: string | undefined }) => (
  <>
    <Find />
    {account === undefined ? (
      <KeysOf account={undefined} />
    ) : ID.test(account) ? (
      <>
        <Account key={account} account={account.toLowerCase()} />
        <KeysOf account={account.toLowerCase()} />
      </>
    ) : (
      <section className="card">
        <Empty title="That is no id of an account">
          <p>It has 32 hexadecimal digits in five groups, as a receipt or a job names it.</p>
        </Empty>
      </section>
    )}
  </>
);
