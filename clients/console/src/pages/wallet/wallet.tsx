import { amount } from '../../format.ts';
import { SignedIn } from '../../parts/answer.tsx';
import { Card, Figure, Head, Skeleton } from '../../parts/look.tsx';
import { useBalance, useWho } from '../../queries.ts';
import { useCredential } from '../../session.ts';
import { Buy, useNewestInvoice, useRates } from './buy.tsx';
import { Send } from './send.tsx';
import { Spend, useSpend } from './spend.tsx';
import { Statement, useStatement } from './statement.tsx';

const Balance = () => {
  const { data } = useBalance();
  if (data === undefined) return null;
  return (
    <div className="figures">
      <Card>
        <Figure name="You can spend">{amount(data.available)}</Figure>
      </Card>
      <Card>
        <Figure name="Held in escrow" note="For jobs and bookings that are not over">
          {amount(data.held)}
        </Figure>
      </Card>
      {data.debt > 0 ? (
        <Card>
          <Figure name="Owed" note="Bitcoin that was credited has left its chain again">
            {amount(data.debt)}
          </Figure>
        </Card>
      ) : null}
    </div>
  );
};

const Own = () => {
  const credential = useCredential();
  const { data: who } = useWho();
  // A session may do what its account may; a key what it was made for.
  const may = (scope: 'client' | 'trade'): boolean =>
    who !== undefined && (credential?.kind === 'session' || who.scopes.includes(scope));
  const isClient = may('client');
  const asked = [useRates(isClient), useNewestInvoice(isClient), useSpend(isClient), useStatement(isClient)];
  const balance = useBalance();
  // All at once, when all is there: what comes late would push down what stands there.
  if (who === undefined || balance.isPending || (isClient && asked.some(({ isPending }) => isPending)))
    return <Skeleton lines={16} />;
  return (
    <>
      <Balance />
      <div className="columns">
        <div className="stack">
          {isClient ? <Buy /> : null}
          {may('trade') ? <Send /> : null}
        </div>
        {isClient ? <Spend /> : null}
      </div>
      {isClient ? <Statement /> : null}
    </>
  );
};

export const Wallet = () => (
  <>
    <Head title="Wallet">What your account has, what it did with it, and how to get more.</Head>
    <SignedIn what="your wallet">
      <Own />
    </SignedIn>
  </>
);
