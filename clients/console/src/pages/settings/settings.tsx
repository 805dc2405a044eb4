import { Link } from '@tanstack/react-router';
import { SignedIn } from '../../parts/answer.tsx';
import { Card, Empty, Head, Skeleton } from '../../parts/look.tsx';
import { useWho } from '../../queries.ts';
import { useCredential } from '../../session.ts';
import { Data } from './data.tsx';
import { Keys, useKeys } from './keys.tsx';
import { Sessions } from './sessions.tsx';
import { useWebhooks, Webhooks } from './webhooks.tsx';

/** A key can make no other key, so that one which was lost cannot grow. */
const WalletOnly = () => (
  <Card title="API keys and sessions">
    <Empty title="These belong to your wallet">
      <p>
        You signed in with a key, and a key can neither make nor revoke keys. Sign in with the wallet of the
        account to do that.
      </p>
      <Link to="/sign-in" search={{ to: '/settings' }} className="button">
        Sign in with a wallet
      </Link>
    </Empty>
  </Card>
);

/** All at once, when all is there: three lists of any length one below the other would push each other down. */
const OfAWallet = () => {
  const lists = [useKeys(false), useWho(), useWebhooks()];
  if (lists.some(({ isPending }) => isPending)) return <Skeleton lines={16} />;
  return (
    <>
      <Keys />
      <Sessions />
      <Webhooks />
      <Data />
    </>
  );
};

export const Settings = () => {
  const credential = useCredential();
  return (
    <>
      <Head title="Settings">Who may act for your account, and where it tells what happened.</Head>
      <SignedIn what="your settings">
        {credential?.kind === 'session' ? (
          <OfAWallet />
        ) : (
          <>
            <WalletOnly />
            <Webhooks />
            <Data />
          </>
        )}
      </SignedIn>
    </>
  );
};
