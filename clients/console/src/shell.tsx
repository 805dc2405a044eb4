import { type ErrorComponentProps, Link, Outlet, useRouterState } from '@tanstack/react-router';
import { useEffect, useState } from 'react';
import icon from './icon.svg';
import { Failure } from './parts/answer.tsx';
import { Empty, Head, Id } from './parts/look.tsx';
import { useAway, useWho } from './queries.ts';
import { signOut, useCredential } from './session.ts';
import { setTheme, type Theme, useTheme } from './theme.ts';

const PAGES = [
  { to: '/', name: 'Home' },
  { to: '/playground', name: 'Playground' },
  { to: '/jobs', name: 'Jobs' },
  { to: '/miners', name: 'Miners' },
  { to: '/market', name: 'Market' },
  { to: '/governance', name: 'Governance' },
  { to: '/explorer', name: 'Explorer' },
] as const;

/** Pages that are there for those who can use them. */
const OwnLinks = () => {
  const { data: who } = useWho();
  return who === undefined ? null : (
    <>
      <li>
        <Link to="/wallet">Wallet</Link>
      </li>
      <li>
        <Link to="/settings">Settings</Link>
      </li>
      {who.scopes.includes('admin') ? (
        <li>
          <Link to="/operator" activeOptions={{ includeSearch: false }}>
            Operator
          </Link>
        </li>
      ) : null}
    </>
  );
};

const Account = () => {
  const credential = useCredential();
  const { data: who } = useWho();
  if (credential === null)
    return (
      <Link to="/sign-in" className="button" data-kind="main">
        Sign in
      </Link>
    );
  return (
    <div className="stack">
      <p className="small muted">
        Signed in{who === undefined ? '' : ' as '}
        {who === undefined ? null : <Id id={who.user_id} />}
        <br />
        {credential.kind === 'key' ? 'with an API key' : 'with a wallet'}
      </p>
      <button type="button" className="button" onClick={() => void signOut()}>
        Sign out
      </button>
    </div>
  );
};

const ThemeChoice = () => (
  <label className="field">
    <span>Appearance</span>
    <select value={useTheme()} onChange={({ target }) => setTheme(target.value as Theme)}>
      <option value="system">As the system</option>
      <option value="light">Light</option>
      <option value="dark">Dark</option>
    </select>
  </label>
);

export const Shell = () => {
  const [isOpen, setOpen] = useState(false);
  const path = useRouterState({ select: ({ location }) => location.pathname });
  const isAway = useAway();
  // biome-ignore lint/correctness/useExhaustiveDependencies: another page closes the menu
  useEffect(() => setOpen(false), [path]);
  return (
    <>
      <a className="skip" href="#content">
        To the content
      </a>
      <div className="shell">
        <header className="side" data-open={isOpen}>
          <div className="side-top">
            <Link to="/" className="brand">
              <img src={icon} alt="" width="28" height="28" />
              AITBC
            </Link>
            <button
              type="button"
              className="button menu-button"
              aria-expanded={isOpen}
              aria-controls="side-body"
              onClick={() => setOpen(!isOpen)}
            >
              Menu
            </button>
          </div>
          <div className="side-body" id="side-body">
            <nav aria-label="Pages">
              <ul className="nav">
                {PAGES.map(({ to, name }) => (
                  <li key={to}>
                    <Link to={to} activeOptions={{ exact: to === '/', includeSearch: false }}>
                      {name}
                    </Link>
                  </li>
                ))}
                <li>
                  <a href="/docs">API</a>
                </li>
                <OwnLinks />
              </ul>
            </nav>
            <div className="side-foot">
              <ThemeChoice />
              <Account />
            </div>
          </div>
        </header>
        <div>
          <div aria-live="polite">
            {isAway ? (
              <p className="notice">The coordinator does not answer. This page tries again by itself.</p>
            ) : null}
          </div>
          <main className="main" id="content" tabIndex={-1}>
            <Outlet />
          </main>
        </div>
      </div>
    </>
  );
};

export const NotThere = () => (
  <>
    <Head title="Nothing here" />
    <section className="card">
      <Empty title="There is no such page">
        <Link to="/" className="button">
          To the first page
        </Link>
      </Empty>
    </section>
  </>
);

/** A page that broke; also when its code could not be loaded, as while the coordinator starts again. */
export const Trouble = ({ error, reset }: ErrorComponentProps) => (
  <>
    <Head title="That did not work" />
    <Failure error={error} onRetry={reset} />
  </>
);
