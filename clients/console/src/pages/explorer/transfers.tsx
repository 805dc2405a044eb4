import type { Transaction } from '@aitbc/sdk';
import { Link } from '@tanstack/react-router';
import { amount } from '../../format.ts';
import { Empty, Hash, When } from '../../parts/look.tsx';
import { kindOf } from './ledger.ts';

export const AddressLink = ({ address }: { address: string }) => (
  <Link to="/explorer/addresses/$address" params={{ address }} className="wrap">
    <Hash hash={address} />
  </Link>
);

/** Transfers, newest first. */
export const Transfers = ({ items }: { items: readonly Transaction[] }) =>
  items.length === 0 ? (
    <Empty title="No transfer yet">
      <p>Money moves when someone is credited, pays for a job, or rents a card.</p>
    </Empty>
  ) : (
    <table className="table">
      <thead>
        <tr>
          <th scope="col">Transfer</th>
          <th scope="col" className="wide">
            From
          </th>
          <th scope="col" className="wide">
            To
          </th>
          <th scope="col" className="end">
            Amount
          </th>
          <th scope="col" className="end wide">
            When
          </th>
        </tr>
      </thead>
      <tbody>
        {items.map((each) => (
          <tr key={each.hash}>
            <td>
              <Link to="/explorer/transactions/$hash" params={{ hash: each.hash }}>
                {kindOf(each)}
              </Link>
            </td>
            <td className="wide">
              <AddressLink address={each.from} />
            </td>
            <td className="wide">
              <AddressLink address={each.to} />
            </td>
            <td className="end number">{amount(each.value)}</td>
            <td className="end muted wide">
              <When at={each.timestamp} isRelative />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
