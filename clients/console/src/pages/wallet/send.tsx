import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useRef, useState } from 'react';
import { amount } from '../../format.ts';
import { Failure } from '../../parts/answer.tsx';
import { Confirm } from '../../parts/confirm.tsx';
import { AmountField, amountIn } from '../../parts/entries.tsx';
import { Card } from '../../parts/look.tsx';
import { api } from '../../session.ts';

const MEMO_LENGTH_MAX = 140;

/** Gives tokens to another account. It cannot be taken back, so it is asked about first. */
export const Send = () => {
  const queries = useQueryClient();
  const [to, setTo] = useState('');
  const [value, setValue] = useState('');
  const [memo, setMemo] = useState('');
  // One for each wish: pressed again after a cut connection, it is sent once.
  const key = useRef(crypto.randomUUID());
  const change = (set: (text: string) => void) => (text: string) => {
    key.current = crypto.randomUUID();
    set(text);
  };
  const wanted = amountIn(value);
  const send = useMutation({
    mutationFn: () =>
      api().account.transfer(
        {
          to: to.trim(),
          amount: wanted as number,
          ...(memo.trim() === '' ? {} : { memo: memo.trim() }),
        },
        { idempotencyKey: key.current },
      ),
    onSuccess: () => {
      change(setTo)('');
      setValue('');
      setMemo('');
    },
    onSettled: () =>
      Promise.all([
        queries.invalidateQueries({ queryKey: ['balance'] }),
        queries.invalidateQueries({ queryKey: ['statement'] }),
      ]),
  });
  const isReady = to.trim() !== '' && wanted !== undefined && wanted > 0;
  return (
    <Card title="Send">
      <div className="stack">
        <label className="field">
          <span>To</span>
          <input
            className="mono"
            autoComplete="off"
            spellCheck={false}
            placeholder="An account id or a ledger address"
            value={to}
            onChange={({ target }) => change(setTo)(target.value)}
          />
        </label>
        <div className="grid">
          <AmountField label="Amount" value={value} onChange={change(setValue)} />
          <label className="field">
            <span>Memo</span>
            <input
              maxLength={MEMO_LENGTH_MAX}
              value={memo}
              onChange={({ target }) => change(setMemo)(target.value)}
            />
            <small>Seen by the two of you alone.</small>
          </label>
        </div>
        {send.error === null ? null : <Failure error={send.error} />}
        {send.data === undefined ? null : (
          <p className="alert" data-tone="good" role="status">
            {amount(send.data.amount)} were sent.
          </p>
        )}
        <div className="row">
          {isReady ? (
            <Confirm
              action="Send"
              title={`Send ${amount(wanted)}?`}
              isBusy={send.isPending}
              onConfirm={() => send.mutate()}
            >
              To {to.trim()}. There is no fee, and no way back.
            </Confirm>
          ) : (
            <p className="small muted">Say to whom and how much.</p>
          )}
        </div>
      </div>
    </Card>
  );
};
