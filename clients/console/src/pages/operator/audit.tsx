import type { AuditEntry } from '@aitbc/sdk';
import { useInfiniteQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { count } from '../../format.ts';
import { Answer, More } from '../../parts/answer.tsx';
import { Entries, Entry } from '../../parts/entries.tsx';
import { Card, Empty, Hash, Id, When } from '../../parts/look.tsx';
import { OFTEN_MS } from '../../queries.ts';
import { api } from '../../session.ts';

const PAGE = 50;
/** Beyond that the pages stand still. */
const LIVE_PAGES_MAX = 2;

type Action = AuditEntry['action'];
/** Every act there is: one that a contract adds does not compile without its words. */
const ACTS: Record<Action, string> = {
  'key.created': 'A key was made',
  'key.rotated': 'A key was replaced',
  'key.revoked': 'A key was revoked',
  'key.restored': 'A key came back',
  'account.credited': 'An account was credited',
  'proposal.vetoed': 'A proposal was vetoed',
  'parameter.reset': 'A parameter was reset',
  'dead_letter.replayed': 'A dead letter was replayed',
  'dead_letter.dropped': 'A dead letter was dropped',
  'job.wiped': 'The content of a job was wiped',
};
const ALL = Object.entries(ACTS) as [Action, string][];

const AccountLink = ({ id }: { id: string }) => (
  <Link to="/operator" search={{ part: 'accounts', account: id }}>
    <Id id={id} />
  </Link>
);

const detailsOf = ({ details }: AuditEntry) => Object.entries(details).filter(([, value]) => value !== null);

const Facts = ({ entry }: { entry: AuditEntry }) => (
  <>
    <p>
      <When at={entry.at} /> · in {entry.service} · by{' '}
      {entry.actor_id === null ? 'the configuration' : <AccountLink id={entry.actor_id} />}
      {entry.account_id === null ? null : (
        <>
          {' '}
          · of account <AccountLink id={entry.account_id} />
        </>
      )}
    </p>
    <p>
      <bdi className="mono">{entry.object}</bdi>
      {detailsOf(entry).map(([name, value]) => (
        <span key={name}>
          {' '}
          · <bdi>{name}</bdi>: <bdi>{String(value)}</bdi>
        </span>
      ))}
    </p>
    <p>
      Number {count(entry.seq)}, hash <Hash hash={entry.hash} />
    </p>
  </>
);

/** What operators and owners did, for ever. The chain as a whole is checked by `npm run verify`. */
export const Audit = () => {
  const [action, setAction] = useState<Action>();
  const audit = useInfiniteQuery({
    queryKey: ['operator', 'audit', action],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam, signal }) =>
      api().admin.audit({ limit: PAGE, cursor: pageParam, action }, { signal }).page(),
    getNextPageParam: ({ next_cursor }) => next_cursor ?? undefined,
    refetchInterval: ({ state }) => ((state.data?.pages.length ?? 1) > LIVE_PAGES_MAX ? false : OFTEN_MS),
  });
  return (
    <Card
      title="Audit log"
      actions={
        <label className="row small">
          Act
          <select
            style={{ width: 'auto' }}
            value={action ?? ''}
            onChange={({ target }) => setAction(ALL.find(([name]) => name === target.value)?.[0])}
          >
            <option value="">All</option>
            {ALL.map(([name, says]) => (
              <option key={name} value={name}>
                {says}
              </option>
            ))}
          </select>
        </label>
      }
    >
      <Answer query={audit} lines={12}>
        {({ pages }) => {
          const all = pages.flatMap(({ items }) => items);
          return all.length === 0 ? (
            <Empty title="Nothing was done">
              <p>
                {action === undefined
                  ? 'What is done with keys, money, votes, parameters and dead letters stands here, for ever.'
                  : 'Choose all acts to see the others.'}
              </p>
            </Empty>
          ) : (
            <div className="stack">
              <Entries name="Audit log">
                {all.map((entry) => (
                  <Entry key={entry.seq} title={ACTS[entry.action] ?? entry.action}>
                    <Facts entry={entry} />
                  </Entry>
                ))}
              </Entries>
              <More query={audit} />
            </div>
          );
        }}
      </Answer>
    </Card>
  );
};
