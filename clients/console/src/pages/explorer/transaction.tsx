import { useQuery } from '@tanstack/react-query';
import { Link, useParams } from '@tanstack/react-router';
import { amount, count } from '../../format.ts';
import { Answer } from '../../parts/answer.tsx';
import { Badge, Card, Copy, Empty, Facts, Hash, Head, When } from '../../parts/look.tsx';
import { OFTEN_MS } from '../../queries.ts';
import { checkedTransaction, kindOf } from './ledger.ts';
import { AddressLink } from './transfers.tsx';
import '../jobs/job.css';

type Checked = Awaited<ReturnType<typeof checkedTransaction>>;

const Seal = ({ seal }: { seal: Checked['seal'] }) =>
  seal === null ? (
    <Card title="Proof">
      <p className="muted">It is not sealed yet. A block is sealed every few seconds while money moves.</p>
    </Card>
  ) : (
    <Card
      title="Proof"
      actions={
        <Badge
          state={seal.ofPath.valid && seal.ofBlock.valid ? 'checked here' : 'wrong'}
          tone={seal.ofPath.valid && seal.ofBlock.valid ? 'good' : 'bad'}
        />
      }
    >
      <div className="stack">
        <p className="muted">
          {seal.ofPath.reason ??
            seal.ofBlock.reason ??
            'Hashed step by step with its neighbours, this transfer leads to the Merkle root that the block signs.'}
        </p>
        <ol className="chain">
          <li>
            <strong>This transfer</strong>
            <div className="small muted">
              place {count(seal.proof.index + 1)} of {count(seal.block.tx_count)}
            </div>
          </li>
          {seal.proof.path.map((sibling) => (
            <li key={sibling}>
              <span className="small muted">hashed with </span>
              <Hash hash={sibling} />
            </li>
          ))}
          <li>
            <strong>Merkle root</strong>
            <div>
              <Hash hash={seal.block.merkle_root} />
            </div>
          </li>
          <li>
            <strong>
              <Link to="/explorer/blocks/$height" params={{ height: String(seal.block.height) }}>
                Block {count(seal.block.height)}
              </Link>
            </strong>
            <div>
              <Hash hash={seal.block.hash} />
            </div>
          </li>
        </ol>
      </div>
    </Card>
  );

export const TransactionPage = () => {
  const { hash } = useParams({ from: '/explorer/transactions/$hash' });
  const query = useQuery<Checked>({
    queryKey: ['transfer', hash],
    queryFn: ({ signal }) => checkedTransaction(hash, signal),
    refetchInterval: ({ state }) => (state.data?.seal === null ? OFTEN_MS : false),
  });
  const missing = (
    <section className="card">
      <Empty title="There is no such transfer">
        <Link to="/explorer" className="button">
          To the newest transfers
        </Link>
      </Empty>
    </section>
  );
  return (
    <>
      <Head title="Transfer" />
      <Answer query={query} missing={missing}>
        {({ transaction, seal }) => (
          <div className="columns">
            <Card title={kindOf(transaction)}>
              <Facts
                facts={[
                  ['Amount', amount(transaction.value)],
                  ['From', <AddressLink key="from" address={transaction.from} />],
                  ['To', <AddressLink key="to" address={transaction.to} />],
                  ['When', <When key="at" at={transaction.timestamp} />],
                  [
                    'Belongs to',
                    <span key="reference" className="mono wrap">
                      {transaction.reference}
                    </span>,
                  ],
                  [
                    'Hash',
                    <span key="hash" className="row">
                      <span className="mono wrap">{transaction.hash}</span>
                      <Copy text={transaction.hash} what="the hash" />
                    </span>,
                  ],
                ]}
              />
            </Card>
            <Seal seal={seal} />
          </div>
        )}
      </Answer>
    </>
  );
};
