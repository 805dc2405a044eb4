import type { Proposal } from '@aitbc/sdk';
import { amount, words } from '../../format.ts';
import { Block, Id } from '../../parts/look.tsx';
import { shown, typeWords } from './words.ts';

/** What would be done, in a line. */
export const TargetLine = ({ proposal: { type, target } }: { proposal: Proposal }) => {
  if ('parameter' in target)
    return (
      <>
        Sets {words(target.parameter)} to{' '}
        <strong>
          <bdi>{shown(target.value)}</bdi>
        </strong>
      </>
    );
  if ('amount' in target)
    return (
      <>
        Pays <strong>{amount(target.amount)}</strong> of the treasury to{' '}
        <Id id={target.recipient_account_id} />
      </>
    );
  return (
    <>
      About {typeWords(type)}: <bdi>{'policy' in target ? target.policy : target.release}</bdi>
    </>
  );
};

export const TargetText = ({ proposal: { target } }: { proposal: Proposal }) =>
  'text' in target ? (
    <Block name="The text" isProse>
      {target.text}
    </Block>
  ) : null;
