import { Link } from '@tanstack/react-router';
import { SignedIn } from '../../parts/answer.tsx';
import { Card, Empty, Head } from '../../parts/look.tsx';
import { useCredential } from '../../session.ts';
import { Keys } from './keys.tsx';
import { Sessions } from './sessions.tsx';
import { Webhooks } from './webhooks.tsx';

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

export const Settings = () => {
  const credential = useCredential();
  return (
    <>
      <Head title="Settings">Who may act for your account, and where it tells what happened.</Head>
      <SignedIn what="your settings">
        {credential?.kind === 'session' ? (
          <>
            <Keys />
            <Sessions />
          </>
        ) : (
          <WalletOnly />
        )}
        <Webhooks />
      </SignedIn>
    </>
  );
};
