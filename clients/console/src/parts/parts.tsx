import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';

/**
 * The parts of a page, as links that stand in the address.
 * @param now the part that is shown: marked also while a filter stands in the address
 * @param parts by name, the first without one
 */
export const Parts = ({
  to,
  now,
  parts,
  children,
}: {
  to: '/operator' | '/market' | '/governance';
  now: string | undefined;
  parts: readonly (readonly [name: string | undefined, says: string])[];
  /** More to go to, behind them. */
  children?: ReactNode;
}) => (
  <nav aria-label="Parts of this page">
    <ul className="parts">
      {parts.map(([name, says]) => (
        <li key={says}>
          <Link
            to={to}
            search={name === undefined ? {} : { part: name }}
            className="button"
            activeOptions={{ exact: name === undefined, includeSearch: true }}
            {...(now === name ? { 'aria-current': 'page' } : {})}
          >
            {says}
          </Link>
        </li>
      ))}
      {children}
    </ul>
  </nav>
);
