import { Link, useSearch } from '@tanstack/react-router';
import { SignedIn } from '../../parts/answer.tsx';
import { Head } from '../../parts/look.tsx';
import { Bookings } from './bookings.tsx';
import { Gpus } from './gpus.tsx';
import { Offers } from './offers.tsx';
import './market.css';

const PARTS = [
  [undefined, 'GPUs'],
  ['bookings', 'Your bookings'],
  ['offers', 'Your offers'],
] as const;

const Part = () => {
  const { part } = useSearch({ from: '/market' });
  switch (part) {
    case 'bookings':
      return (
        <SignedIn what="your bookings">
          <Bookings />
        </SignedIn>
      );
    case 'offers':
      return (
        <SignedIn what="what you offer">
          <Offers />
        </SignedIn>
      );
    default:
      return <Gpus />;
  }
};

export const Market = () => {
  const { part } = useSearch({ from: '/market' });
  return (
    <>
      <Head title="Market">
        Graphics cards by the hour. The price is held until the end; what you do not use comes back.
      </Head>
      <nav aria-label="Parts of this page">
        <ul className="parts">
          {PARTS.map(([name, says]) => (
            <li key={says}>
              <Link
                to="/market"
                search={name === undefined ? {} : { part: name }}
                className="button"
                activeOptions={{ exact: name === undefined, includeSearch: true }}
                // Also while filters stand in the address.
                {...(part === name ? { 'aria-current': 'page' } : {})}
              >
                {says}
              </Link>
            </li>
          ))}
        </ul>
      </nav>
      <Part />
    </>
  );
};
