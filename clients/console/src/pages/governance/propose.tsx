import type { Input, Proposal } from '@aitbc/sdk';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { useRef, useState } from 'react';
import { Answer, Failure } from '../../parts/answer.tsx';
import { AmountField, amountIn } from '../../parts/entries.tsx';
import { Card, Empty } from '../../parts/look.tsx';
import { api } from '../../session.ts';
import { Change, newValue } from './change.tsx';
import { useParameters } from './parameters.tsx';
import { Power, useMayVote } from './power.tsx';
import { typeWords } from './words.ts';

type Draft = Input<'governance.propose'>['body'];
const TYPES = [
  'parameter_change',
  'fund_allocation',
  'policy_change',
  'protocol_upgrade',
] as const satisfies readonly Proposal['type'][];

// As the contract has them.
const TITLE = { min: 10, max: 200 };
const DESCRIPTION = { min: 50, max: 5_000 };
const TEXT_MAX = 10_000;
const DAYS = { first: 7, max: 30 };
const ID = '[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}';

type Parameters = NonNullable<ReturnType<typeof useParameters>['data']>;

const Form = ({ parameters }: { parameters: Parameters }) => {
  const { parameter: wanted } = useSearch({ from: '/governance' });
  const navigate = useNavigate();
  const queries = useQueryClient();
  const [type, setType] = useState<Proposal['type']>('parameter_change');
  const [title, setTitle] = useState('');
  const [description, setDescription] = useState('');
  const [days, setDays] = useState(String(DAYS.first));
  const [name, setName] = useState(wanted ?? parameters[0]?.name ?? '');
  const parameter = parameters.find((each) => each.name === name) ?? parameters[0];
  const [value, setValue] = useState(JSON.stringify(parameter?.value));
  const [recipient, setRecipient] = useState('');
  const [sum, setSum] = useState('');
  const [subject, setSubject] = useState('');
  const [text, setText] = useState('');
  // One for each page: pressed again after a cut connection, it is proposed once.
  const key = useRef(crypto.randomUUID());

  const target = (): unknown => {
    if (type === 'parameter_change')
      return parameter === undefined
        ? undefined
        : { parameter: parameter.name, value: newValue(parameter, value) };
    if (type === 'fund_allocation')
      return { recipient_account_id: recipient.trim(), amount: amountIn(sum) ?? 0 };
    return { [type === 'policy_change' ? 'policy' : 'release']: subject.trim(), text };
  };
  const propose = useMutation({
    mutationFn: () =>
      api().governance.propose(
        {
          type,
          title: title.trim(),
          description: description.trim(),
          voting_period_days: Number(days),
          target: target(),
        } as Draft,
        { idempotencyKey: key.current },
      ),
    onError: () => {
      key.current = crypto.randomUUID();
    },
    onSuccess: ({ id }) => navigate({ to: '/governance/$proposalId', params: { proposalId: id } }),
    onSettled: () => queries.invalidateQueries({ queryKey: ['proposals'] }),
  });
  const isReady =
    type !== 'parameter_change' || (parameter !== undefined && newValue(parameter, value) !== undefined);
  return (
    <form
      className="stack propose"
      onSubmit={(event) => {
        event.preventDefault();
        propose.mutate();
      }}
    >
      <label className="field">
        <span>About</span>
        <select
          value={type}
          onChange={({ target: chosen }) =>
            setType(TYPES.find((each) => each === chosen.value) ?? 'parameter_change')
          }
        >
          {TYPES.map((each) => (
            <option key={each} value={each}>
              {typeWords(each)}
            </option>
          ))}
        </select>
      </label>
      {type === 'parameter_change' && parameter !== undefined ? (
        <Change
          parameters={parameters}
          parameter={parameter}
          text={value}
          onParameter={(chosen) => {
            setName(chosen);
            setValue(JSON.stringify(parameters.find((each) => each.name === chosen)?.value));
          }}
          onText={setValue}
        />
      ) : null}
      {type === 'fund_allocation' ? (
        <div className="grid">
          <label className="field">
            <span>To the account</span>
            <input
              required
              className="mono"
              pattern={ID}
              title="The id of an account"
              value={recipient}
              onChange={({ target: field }) => setRecipient(field.value)}
            />
          </label>
          <AmountField label="Amount" isRequired value={sum} onChange={setSum} />
        </div>
      ) : null}
      {type === 'policy_change' || type === 'protocol_upgrade' ? (
        <>
          <label className="field">
            <span>{type === 'policy_change' ? 'Name of the policy' : 'Name of the release'}</span>
            <input
              required
              maxLength={TITLE.max}
              value={subject}
              onChange={({ target: field }) => setSubject(field.value)}
            />
          </label>
          <label className="field">
            <span>{type === 'policy_change' ? 'Its whole new text' : 'What it changes'}</span>
            <textarea
              required
              maxLength={TEXT_MAX}
              value={text}
              onChange={({ target: field }) => setText(field.value)}
            />
          </label>
        </>
      ) : null}
      <label className="field">
        <span>Title</span>
        <input
          required
          minLength={TITLE.min}
          maxLength={TITLE.max}
          value={title}
          onChange={({ target: field }) => setTitle(field.value)}
        />
        <small>At least {TITLE.min} characters.</small>
      </label>
      <label className="field">
        <span>Why</span>
        <textarea
          required
          minLength={DESCRIPTION.min}
          maxLength={DESCRIPTION.max}
          value={description}
          onChange={({ target: field }) => setDescription(field.value)}
        />
        <small>
          What it is for, what it costs, what happens without it: at least {DESCRIPTION.min} characters.
        </small>
      </label>
      <label className="field">
        <span>Votes are taken for, in days</span>
        <input
          required
          type="number"
          min="1"
          max={DAYS.max}
          value={days}
          onChange={({ target: field }) => setDays(field.value)}
        />
      </label>
      {propose.error === null ? null : <Failure error={propose.error} />}
      <div className="row">
        <button type="submit" className="button" data-kind="main" disabled={propose.isPending || !isReady}>
          Propose it
        </button>
      </div>
    </form>
  );
};

export const Propose = () => {
  const parameters = useParameters();
  const mayVote = useMayVote();
  if (mayVote === false)
    return (
      <section className="card">
        <Empty title="This key neither proposes nor votes">
          <p>Sign in with a key that may vote, or with a wallet.</p>
        </Empty>
      </section>
    );
  return (
    <Card title="Propose" actions={<Power />}>
      <Answer query={parameters} lines={14}>
        {(all) => <Form parameters={all} />}
      </Answer>
    </Card>
  );
};
