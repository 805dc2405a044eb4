import {
  type Job,
  type Payment,
  type ReceiptClaims,
  verifyBlock,
  verifyInclusion,
  verifyReceipt,
} from '@aitbc/sdk';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { amount, count } from '../../format.ts';
import { Answer } from '../../parts/answer.tsx';
import { Badge, Card, Hash, Id, When } from '../../parts/look.tsx';
import { OFTEN_MS } from '../../queries.ts';
import { api } from '../../session.ts';

// The receipt of a job, checked here: the coordinator gives bytes and keys, and this page does the arithmetic.

const useReceipt = (job: Job) =>
  useQuery({
    queryKey: ['job', job.id, 'receipt', job.status],
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: async ({ signal }) => {
      const [receipts, keys] = await Promise.all([
        api().jobs.receipts(job.id, { signal }),
        api().explorer.receiptKeys({ signal }),
      ]);
      const receipt = receipts[0];
      if (receipt === undefined) return null;
      const verdict = await verifyReceipt(receipt, keys, { parameters: job.parameters, salt: job.salt });
      return { receipt, verdict };
    },
  });

interface Sealed {
  readonly height: number;
  readonly hash: string;
  readonly leaf: string;
  readonly path: readonly string[];
  readonly root: string;
  readonly blockReason: string | null;
  readonly pathReason: string | null;
}

/** The transfer that paid the miner, the block that holds it, and the way from one to the other. */
const useSeal = (payment: Payment | undefined) => {
  const hash = payment?.status === 'released' ? payment.transaction_hash : null;
  return useQuery<Sealed | null>({
    queryKey: ['seal', hash],
    enabled: hash !== null && hash !== undefined,
    // A block is sealed every two seconds while there is something to seal.
    refetchInterval: ({ state }) => (state.data == null ? OFTEN_MS : false),
    queryFn: async ({ signal }): Promise<Sealed | null> => {
      const transaction = await api().explorer.transaction(hash as string, { signal });
      if (transaction.block_height === null) return null;
      const [proof, block, keys] = await Promise.all([
        api().explorer.proof(transaction.hash, { signal }),
        api().explorer.block(transaction.block_height, { signal }),
        api().explorer.ledgerKeys({ signal }),
      ]);
      const [ofBlock, ofPath] = await Promise.all([
        verifyBlock(block, keys),
        verifyInclusion(transaction, proof, block),
      ]);
      return {
        height: block.height,
        hash: block.hash,
        leaf: transaction.hash,
        path: proof.path,
        root: block.merkle_root,
        blockReason: ofBlock.reason,
        pathReason: ofPath.reason,
      };
    },
  });
};

const Checked = ({ reason }: { reason: string | null }) => (
  <Badge state={reason === null ? 'checked' : 'wrong'} tone={reason === null ? 'good' : 'bad'} />
);

const Node = ({ title, check, children }: { title: string; check: ReactNode; children: ReactNode }) => (
  <li>
    <div className="row">
      <strong>{title}</strong>
      {check}
    </div>
    <div className="small muted wrap">{children}</div>
  </li>
);

const Claims = ({ claims }: { claims: ReceiptClaims }) => {
  const rows: [string, ReactNode, string][] = [
    ['Job', <Id key="v" id={claims.job_id} />, `It is this job, in its attempt ${claims.attempt}.`],
    ['Miner', <Id key="v" id={claims.miner_id} />, 'Who did the work.'],
    [
      'Asked',
      <Hash key="v" hash={claims.parameters_sha256} />,
      'The SHA-256 of what was asked, computed here again: the same.',
    ],
    [
      'Answered',
      <Hash key="v" hash={claims.result_sha256} />,
      'The SHA-256 of the result above, computed here again: the same.',
    ],
    ['Price', amount(claims.price), 'What you agreed to, not what the miner claims.'],
    ['Began', <When key="v" at={claims.started_at} />, 'When this attempt began.'],
    ['Ended', <When key="v" at={claims.completed_at} />, 'When its result was accepted.'],
  ];
  return (
    <div className="scroll">
      <table className="table">
        <thead>
          <tr>
            <th scope="col">Claim</th>
            <th scope="col">Says</th>
            <th scope="col">Means</th>
          </tr>
        </thead>
        <tbody>
          {rows.map(([name, value, meaning]) => (
            <tr key={name}>
              <td>{name}</td>
              <td>{value}</td>
              <td className="muted">{meaning}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
};

const Merkle = ({ seal }: { seal: Sealed }) => (
  <details>
    <summary className="small">The way through the tree: {count(seal.path.length)} steps</summary>
    <ol className="merkle mono">
      <li>
        <span className="muted">transfer</span>{' '}
        <Link to="/explorer/transactions/$hash" params={{ hash: seal.leaf }}>
          <Hash hash={seal.leaf} />
        </Link>
      </li>
      {seal.path.map((sibling) => (
        <li key={sibling}>
          <span className="muted">hashed with</span> <Hash hash={sibling} />
        </li>
      ))}
      <li>
        <span className="muted">is the root</span> <Hash hash={seal.root} />
      </li>
    </ol>
  </details>
);

export const Proof = ({ job, payment }: { job: Job; payment: Payment | undefined }) => {
  const receipt = useReceipt(job);
  const seal = useSeal(payment);
  return (
    <Card title="Receipt, checked in this browser">
      <Answer query={receipt}>
        {(found) =>
          found === null ? (
            <p className="muted">There is no receipt for this job.</p>
          ) : (
            <div className="stack">
              <ol className="chain">
                <Node title="Job" check={<Badge state={job.status} />}>
                  You sent it, a miner answered.
                </Node>
                <Node title="Receipt" check={<Checked reason={found.verdict.reason} />}>
                  {found.verdict.reason ??
                    'Signed by the coordinator (Ed25519) over what was asked, what was answered and the price.'}
                </Node>
                {payment === undefined ? (
                  <Node title="Free of charge" check={null}>
                    Nothing was paid, so the ledger has nothing to show.
                  </Node>
                ) : (
                  <>
                    <Node title="Escrow" check={<Badge state={payment.status} />}>
                      {amount(payment.amount)} stood at <span className="mono">{payment.escrow_address}</span>
                    </Node>
                    {seal.data === undefined || seal.data === null ? (
                      <Node title="Block" check={<Badge state="pending" />}>
                        {payment.status === 'released'
                          ? 'The payment is sealed into a block within seconds.'
                          : 'Sealed once the miner is paid.'}
                      </Node>
                    ) : (
                      <>
                        <Node
                          title={`Block ${count(seal.data.height)}`}
                          check={<Checked reason={seal.data.blockReason} />}
                        >
                          {seal.data.blockReason ??
                            'Its hash is the hash of its header, and its signature is good.'}{' '}
                          <Link to="/explorer/blocks/$height" params={{ height: String(seal.data.height) }}>
                            Open the block
                          </Link>
                        </Node>
                        <Node title="Merkle proof" check={<Checked reason={seal.data.pathReason} />}>
                          {seal.data.pathReason ?? 'The block holds exactly this payment.'}
                          <Merkle seal={seal.data} />
                        </Node>
                      </>
                    )}
                  </>
                )}
              </ol>
              {found.verdict.claims === null ? null : <Claims claims={found.verdict.claims} />}
            </div>
          )
        }
      </Answer>
    </Card>
  );
};
