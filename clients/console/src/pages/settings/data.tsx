import { useMutation } from '@tanstack/react-query';
import { Failure } from '../../parts/answer.tsx';
import { Card } from '../../parts/look.tsx';
import { api } from '../../session.ts';

const NAME = 'aitbc-export.ndjson';
/** The last line of an export that is whole. */
const isWhole = (text: string): boolean => /\{"type":"end"[^\n]*\}\n$/.test(text);
const TAIL_BYTES = 4_096;

/** All that is the account's, as a file. */
const save = async (): Promise<void> => {
  const file = await new Response(await api().account.export()).blob();
  if (!isWhole(await file.slice(-TAIL_BYTES).text()))
    throw new Error('The export broke off before its end. Nothing was saved; try again.');
  const link = document.createElement('a');
  link.href = URL.createObjectURL(file);
  link.download = NAME;
  link.click();
  URL.revokeObjectURL(link.href);
};

export const Data = () => {
  const take = useMutation({ mutationFn: save });
  return (
    <Card title="Your data">
      <div className="stack">
        <p>
          All that is your account’s in one file: jobs with what they were given and made, receipts,
          transactions, bookings, votes, keys without their secrets. A line of JSON for each. What a single
          job was given and made is erased on its page.
        </p>
        {take.error === null ? null : <Failure error={take.error} />}
        {take.isSuccess ? (
          <p className="alert" data-tone="good" role="status">
            It is saved as {NAME}.
          </p>
        ) : null}
        <div>
          <button type="button" className="button" disabled={take.isPending} onClick={() => take.mutate()}>
            {take.isPending ? 'Reading all of it …' : 'Save it as a file'}
          </button>
        </div>
      </div>
    </Card>
  );
};
