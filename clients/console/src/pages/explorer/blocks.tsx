import type { Block } from '@aitbc/sdk';
import { Link } from '@tanstack/react-router';
import { count } from '../../format.ts';
import { Empty, Hash, When } from '../../parts/look.tsx';

/** Blocks, newest first. */
export const Blocks = ({ items }: { items: readonly Block[] }) =>
  items.length === 0 ? (
    <Empty title="No block yet">
      <p>One is sealed as soon as money moves for the first time.</p>
    </Empty>
  ) : (
    <table className="table">
      <thead>
        <tr>
          <th scope="col">Height</th>
          <th scope="col" className="wide">
            Hash
          </th>
          <th scope="col" className="end">
            Transfers
          </th>
          <th scope="col" className="end">
            Sealed
          </th>
        </tr>
      </thead>
      <tbody>
        {items.map((block) => (
          <tr key={block.height}>
            <td className="number">
              <Link to="/explorer/blocks/$height" params={{ height: String(block.height) }}>
                {count(block.height)}
              </Link>
            </td>
            <td className="wide">
              <Hash hash={block.hash} />
            </td>
            <td className="end number">{count(block.tx_count)}</td>
            <td className="end muted">
              <When at={block.timestamp} isRelative />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
