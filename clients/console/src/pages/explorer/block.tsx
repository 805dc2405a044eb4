import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { Link, useParams } from '@tanstack/react-router';
import { count } from '../../format.ts';
import { Answer, More } from '../../parts/answer.tsx';
import { Badge, Card, Copy, Empty, Facts, Head, When } from '../../parts/look.tsx';
import { api } from '../../session.ts';
import { checkedBlock } from './ledger.ts';
import { Transfers } from './transfers.tsx';

const PAGE = 100;

const Content = ({ height }: { height: number }) => {
  const transfers = useInfiniteQuery({
    queryKey: ['transfers', 'block', height],
    staleTime: Number.POSITIVE_INFINITY,
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam, signal }) =>
      api().explorer.transactions({ block: height, limit: PAGE, cursor: pageParam }, { signal }).page(),
    getNextPageParam: ({ next_cursor }) => next_cursor ?? undefined,
  });
  return (
    <Card title="What it holds">
      <Answer query={transfers}>
        {({ pages }) => (
          <div className="stack">
            <Transfers items={pages.flatMap(({ items }) => items)} />
            <More query={transfers} />
          </div>
        )}
      </Answer>
    </Card>
  );
};

export const BlockPage = () => {
  const { height: text } = useParams({ from: '/explorer/blocks/$height' });
  const height = /^\d{1,15}$/.test(text) ? Number(text) : Number.MAX_SAFE_INTEGER;
  const query = useQuery({
    queryKey: ['block', height],
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: ({ signal }) => checkedBlock(height, signal),
  });
  const missing = (
    <section className="card">
      <Empty title="There is no such block">
        <Link to="/explorer" className="button">
          To the newest blocks
        </Link>
      </Empty>
    </section>
  );
  return (
    <>
      <Head
        title={query.data === undefined ? 'Block' : `Block ${count(height)}`}
        actions={
          <>
            {height > 0 && query.data !== undefined ? (
              <Link to="/explorer/blocks/$height" params={{ height: String(height - 1) }} className="button">
                The one before
              </Link>
            ) : null}
            <Link to="/explorer/blocks/$height" params={{ height: String(height + 1) }} className="button">
              The one after
            </Link>
          </>
        }
      />
      <Answer query={query} missing={missing}>
        {({ block, verdict }) => (
          <>
            <Card
              title="Header"
              actions={
                <Badge
                  state={verdict.valid ? 'checked here' : 'wrong'}
                  tone={verdict.valid ? 'good' : 'bad'}
                />
              }
            >
              <div className="stack">
                <p className="muted">
                  {verdict.reason ??
                    'Its hash is the SHA-256 of this header, it names the block before it, and the signature is good.'}
                </p>
                <Facts
                  facts={[
                    [
                      'Hash',
                      <span key="hash" className="row">
                        <span className="mono wrap">{block.hash}</span>
                        <Copy text={block.hash} what="the hash" />
                      </span>,
                    ],
                    [
                      'Before it',
                      <span key="before" className="mono wrap">
                        {block.previous_hash}
                      </span>,
                    ],
                    [
                      'Merkle root',
                      <span key="root" className="mono wrap">
                        {block.merkle_root}
                      </span>,
                    ],
                    ['Transfers', count(block.tx_count)],
                    ['Sealed', <When key="at" at={block.timestamp} />],
                    [
                      'Signed by',
                      <span key="by" className="mono wrap">
                        {block.proposer}
                      </span>,
                    ],
                  ]}
                />
              </div>
            </Card>
            <Content height={block.height} />
          </>
        )}
      </Answer>
    </>
  );
};
