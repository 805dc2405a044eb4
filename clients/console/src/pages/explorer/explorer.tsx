import { useMutation, useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { Answer, Failure } from '../../parts/answer.tsx';
import { Card, Head } from '../../parts/look.tsx';
import { SOMETIMES_MS } from '../../queries.ts';
import { api } from '../../session.ts';
import { Blocks } from './blocks.tsx';
import { find } from './ledger.ts';
import { Transfers } from './transfers.tsx';

const SHOWN = 15;

const Search = () => {
  const navigate = useNavigate();
  const [text, setText] = useState('');
  const search = useMutation({
    mutationFn: async () => {
      const found = await find(text);
      if (found === undefined) throw new Error('Nothing by that name is on the ledger.');
      await navigate(found);
    },
  });
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        search.mutate();
      }}
    >
      <div className="search">
        <label className="field">
          <span>Find a block, a transfer, an address or a job</span>
          <input
            type="search"
            placeholder="Height, hash, address or id"
            value={text}
            onChange={({ target }) => setText(target.value)}
          />
        </label>
        <button type="submit" className="button" data-kind="main" disabled={search.isPending}>
          Find
        </button>
      </div>
      {search.error === null ? null : <Failure error={search.error} />}
    </form>
  );
};

const NewestBlocks = () => {
  const blocks = useQuery({
    queryKey: ['blocks', 'list'],
    queryFn: ({ signal }) => api().explorer.blocks({ limit: SHOWN }, { signal }).page(),
    refetchInterval: SOMETIMES_MS,
  });
  return (
    <Card title="Newest blocks">
      <Answer query={blocks} lines={8}>
        {({ items }) => <Blocks items={items} />}
      </Answer>
    </Card>
  );
};

const NewestTransfers = () => {
  const transfers = useQuery({
    queryKey: ['transfers', 'list'],
    queryFn: ({ signal }) => api().explorer.transactions({ limit: SHOWN }, { signal }).page(),
    refetchInterval: SOMETIMES_MS,
  });
  return (
    <Card title="Newest transfers">
      <Answer query={transfers} lines={8}>
        {({ items }) => <Transfers items={items} />}
      </Answer>
    </Card>
  );
};

export const Explorer = () => (
  <>
    <Head title="Explorer">
      Every transfer is sealed into a signed block. What you open here is checked in your browser, not
      believed.
    </Head>
    <Search />
    <NewestTransfers />
    <NewestBlocks />
  </>
);
