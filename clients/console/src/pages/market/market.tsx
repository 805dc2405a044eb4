import { useSearch } from '@tanstack/react-router';
import { SignedIn } from '../../parts/answer.tsx';
import { Head } from '../../parts/look.tsx';
import { Parts } from '../../parts/parts.tsx';
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
      <Parts to="/market" now={part} parts={PARTS} />
      <Part />
    </>
  );
};
