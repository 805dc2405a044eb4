import { Link, useSearch } from '@tanstack/react-router';
import { SignedIn } from '../../parts/answer.tsx';
import { Empty, Head, Skeleton } from '../../parts/look.tsx';
import { Parts } from '../../parts/parts.tsx';
import { useWho } from '../../queries.ts';
import { Accounts } from './accounts.tsx';
import { Audit } from './audit.tsx';
import { DeadLetters } from './dead-letters.tsx';
import { Health } from './health.tsx';
import { Parameters } from './parameters.tsx';
import './operator.css';

const PARTS = [
  [undefined, 'Health'],
  ['dead-letters', 'Dead letters'],
  ['accounts', 'Accounts and credits'],
  ['parameters', 'Parameters'],
  ['audit', 'Audit log'],
] as const;

const Part = () => {
  const { part, account } = useSearch({ from: '/operator' });
  switch (part) {
    case 'dead-letters':
      return <DeadLetters />;
    case 'accounts':
      return <Accounts account={account} />;
    case 'parameters':
      return <Parameters />;
    case 'audit':
      return <Audit />;
    default:
      return <Health />;
  }
};

const OperatorsOnly = () => {
  const { part } = useSearch({ from: '/operator' });
  const { data: who } = useWho();
  if (who === undefined) return <Skeleton lines={8} />;
  if (!who.scopes.includes('admin'))
    return (
      <section className="card">
        <Empty title="This is for operators">
          <p>It takes an admin key. Whoever runs this coordinator has one in ADMIN_API_KEYS.</p>
          <Link to="/sign-in" search={{ to: '/operator' }} className="button">
            Sign in with another key
          </Link>
        </Empty>
      </section>
    );
  return (
    <>
      <Parts to="/operator" now={part} parts={PARTS}>
        <li>
          <a href="/admin/queues" className="button">
            Queues in detail
          </a>
        </li>
      </Parts>
      <Part />
    </>
  );
};

export const Operator = () => (
  <>
    <Head title="Operator">How the coordinator is, and what only its operators may do.</Head>
    <SignedIn what="how the coordinator is">
      <OperatorsOnly />
    </SignedIn>
  </>
);
