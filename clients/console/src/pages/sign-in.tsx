import { useMutation } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { useState } from 'react';
import { Failure } from '../parts/answer.tsx';
import { Card, Head } from '../parts/look.tsx';
import { type Credential, signIn } from '../session.ts';
import { signWith, useWallets, type Wallet } from '../wallets.ts';

/** A place of this console; never another host. */
const isOurs = (to: string | undefined): to is string => to !== undefined && /^\/(?![/\\])/.test(to);

export const SignIn = () => {
  const navigate = useNavigate();
  const { to } = useSearch({ from: '/sign-in' });
  const wallets = useWallets();
  const [key, setKey] = useState('');
  const [isRemembered, setRemembered] = useState(false);
  const enter = useMutation({
    mutationFn: async (from: { key: string } | { wallet: Wallet }) => {
      const credential: Credential =
        'key' in from ? { kind: 'key', secret: from.key } : await signWith(from.wallet);
      await signIn(credential, isRemembered);
    },
    onSuccess: () => navigate({ href: isOurs(to) ? to : '/' }),
  });
  return (
    <>
      <Head title="Sign in">
        Without signing in you see everything that is public. Signed in you run jobs, see what is yours, and
        pay.
      </Head>
      {enter.error === null ? null : <Failure error={enter.error} />}
      <div className="grid">
        <Card title="With an API key">
          <form
            className="stack"
            onSubmit={(event) => {
              event.preventDefault();
              enter.mutate({ key: key.trim() });
            }}
          >
            <label className="field">
              <span>API key</span>
              <input
                type="password"
                autoComplete="off"
                spellCheck={false}
                required
                value={key}
                onChange={({ target }) => setKey(target.value)}
              />
              <small>On your own machine, npm start prints keys to try.</small>
            </label>
            <label className="check">
              <input
                type="checkbox"
                checked={isRemembered}
                onChange={({ target }) => setRemembered(target.checked)}
              />
              Remember me on this computer
            </label>
            <p className="small muted">
              {isRemembered
                ? 'Whoever uses this browser can act as you, until you sign out.'
                : 'Kept for this tab alone: closing it signs you out.'}
            </p>
            <div>
              <button type="submit" className="button" data-kind="main" disabled={enter.isPending}>
                Sign in with the key
              </button>
            </div>
          </form>
        </Card>
        <Card title="With a wallet">
          {wallets.length === 0 ? (
            <p className="muted">
              No wallet was found in this browser. Install one that is made for Ethereum (it must speak
              EIP-6963, as all common ones do), and load this page again.
            </p>
          ) : (
            <div className="stack">
              <p className="muted">
                Your wallet asks you to sign a message. It costs nothing and moves nothing.
              </p>
              {wallets.map((wallet) => (
                <button
                  key={wallet.info.uuid}
                  type="button"
                  className="button"
                  disabled={enter.isPending}
                  onClick={() => enter.mutate({ wallet })}
                >
                  {/^data:image\//.test(wallet.info.icon) ? (
                    <img src={wallet.info.icon} alt="" width="20" height="20" />
                  ) : null}
                  {wallet.info.name}
                </button>
              ))}
            </div>
          )}
        </Card>
      </div>
    </>
  );
};
