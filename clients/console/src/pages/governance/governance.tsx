import { useSearch } from '@tanstack/react-router';
import { SignedIn } from '../../parts/answer.tsx';
import { Head } from '../../parts/look.tsx';
import { Parts } from '../../parts/parts.tsx';
import { Parameters } from './parameters.tsx';
import { Proposals } from './proposals.tsx';
import { Propose } from './propose.tsx';
import './governance.css';

const PARTS = [
  [undefined, 'Proposals'],
  ['propose', 'Propose'],
  ['parameters', 'Parameters'],
] as const;

const Part = () => {
  const { part } = useSearch({ from: '/governance' });
  switch (part) {
    case 'propose':
      return (
        <SignedIn what="what you can propose">
          <Propose />
        </SignedIn>
      );
    case 'parameters':
      return <Parameters />;
    default:
      return <Proposals />;
  }
};

export const Governance = () => {
  const { part } = useSearch({ from: '/governance' });
  return (
    <>
      <Head title="Governance">
        What runs here is decided by vote. A token is a vote, as it was held when the proposal was made.
      </Head>
      <Parts to="/governance" now={part} parts={PARTS} />
      <Part />
    </>
  );
};
