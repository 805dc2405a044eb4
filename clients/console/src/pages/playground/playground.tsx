import { Tabs } from '@base-ui/react/tabs';
import { useMutation, useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { useState } from 'react';
import { amount, count, duration } from '../../format.ts';
import { Answer, Failure } from '../../parts/answer.tsx';
import { Badge, Block, Card, Copy, Head } from '../../parts/look.tsx';
import { SOMETIMES_MS, useBalance } from '../../queries.ts';
import { api, useCredential } from '../../session.ts';
import { useLive } from '../jobs/live.ts';
import { Result } from '../jobs/result.tsx';
import { whyItWaits } from '../jobs/words.ts';
import {
  type Field,
  FORMS,
  PICTURE_BYTES_MAX,
  parametersOf,
  startValues,
  TRIED,
  type TriedType,
  type Values,
} from './forms.ts';
import { snippets } from './snippets.ts';
import '../jobs/job.css';
import './playground.css';

const useModels = () =>
  useQuery({
    queryKey: ['models'],
    queryFn: ({ signal }) => api().call('jobs.models', {}, { signal }),
    refetchInterval: SOMETIMES_MS,
    enabled: useCredential() !== null,
  });
const KIND_OF: Partial<Record<TriedType, 'chat' | 'embedding'>> = {
  llm_inference: 'chat',
  embedding: 'embedding',
};

const readPicture = async (file: File): Promise<string> => {
  if (file.size > PICTURE_BYTES_MAX)
    throw new Error(
      `This picture has ${count(Math.ceil(file.size / 1_000))} KB. A job takes ${count(PICTURE_BYTES_MAX / 1_000)} KB: save it smaller, or as a JPEG.`,
    );
  const bytes = new Uint8Array(await file.arrayBuffer());
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
};

const Picture = ({ field, value, onChange }: InputProps) => {
  const [error, setError] = useState<unknown>(null);
  const take = (file: File | undefined): void => {
    if (file === undefined) return;
    readPicture(file).then(
      (base64) => {
        setError(null);
        onChange(base64);
      },
      (problem: unknown) => {
        setError(problem);
        onChange('');
      },
    );
  };
  return (
    <div className="stack">
      <label
        className="drop"
        onDragOver={(event) => event.preventDefault()}
        onDrop={(event) => {
          event.preventDefault();
          take(event.dataTransfer.files[0]);
        }}
      >
        <span>
          <strong>{field.label}</strong>: drop a PNG or JPEG here, or choose one
        </span>
        <input type="file" accept="image/png,image/jpeg" onChange={({ target }) => take(target.files?.[0])} />
      </label>
      {error === null ? null : <Failure error={error} />}
      {value === '' ? null : (
        <img src={`data:image/png;base64,${value}`} alt="What is going to be read" className="picture" />
      )}
    </div>
  );
};

interface InputProps {
  readonly field: Field;
  readonly type: TriedType;
  readonly value: string;
  readonly onChange: (value: string) => void;
}
const ModelChoice = ({ field, type, value, onChange }: InputProps) => {
  const models = useModels();
  const offered = (models.data?.data ?? []).filter(({ aitbc }) =>
    aitbc.kinds.includes(KIND_OF[type] ?? 'chat'),
  );
  const chosen = offered.find(({ id }) => id === value);
  return (
    <label className="field">
      <span>{field.label}</span>
      <input
        list={`models-${type}`}
        required
        value={value}
        onChange={({ target }) => onChange(target.value)}
      />
      <datalist id={`models-${type}`}>
        {offered.map(({ id }) => (
          <option key={id} value={id} />
        ))}
      </datalist>
      <small>
        {chosen !== undefined
          ? `${count(chosen.aitbc.miners)} miners have it, from ${amount(chosen.aitbc.price_min)}${
              chosen.aitbc.usual_wait_seconds === null
                ? ''
                : `; it usually starts after ${duration(chosen.aitbc.usual_wait_seconds * 1_000)}`
            }.`
          : models.data === undefined
            ? 'A name as miners offer it.'
            : offered.length === 0
              ? 'No miner that is here offers a model of this kind now. A job would wait for one.'
              : `Offered now: ${offered
                  .slice(0, 5)
                  .map(({ id }) => id)
                  .join(', ')}`}
      </small>
    </label>
  );
};

const Input = (props: InputProps) => {
  const { field, value, onChange } = props;
  if (field.kind === 'picture') return <Picture {...props} />;
  if (field.kind === 'model') return <ModelChoice {...props} />;
  const control = {
    id: `${props.type}-${field.name}`,
    required: field.isRequired === true,
    value,
    onChange: ({ target }: { target: { value: string } }) => onChange(target.value),
  };
  return (
    <div className="field">
      <label htmlFor={control.id}>{field.label}</label>
      {field.kind === 'long' ? (
        <textarea {...control} />
      ) : (
        <input {...control} inputMode={field.kind === 'number' ? 'numeric' : 'text'} />
      )}
    </div>
  );
};

/** What came of it, here: text as it is written, and the result once it is there. */
const Outcome = ({ jobId }: { jobId: string }) => {
  const live = useLive(jobId);
  const job = useQuery({
    queryKey: ['job', jobId],
    queryFn: ({ signal }) => api().jobs.get(jobId, { signal }),
    refetchInterval: ({ state }) =>
      state.data === undefined || state.data.status === 'pending' || state.data.status === 'running'
        ? SOMETIMES_MS
        : false,
  });
  const isWaiting = job.data?.status === 'pending';
  const status = useQuery({
    queryKey: ['job', jobId, 'status'],
    queryFn: ({ signal }) => api().jobs.status(jobId, {}, { signal }),
    enabled: isWaiting,
    refetchInterval: 2_000,
  });
  return (
    <Card
      title="What came of it"
      actions={
        <Link to="/jobs/$jobId" params={{ jobId }}>
          Its page, with receipt and proof
        </Link>
      }
    >
      <Answer query={job}>
        {(found) => (
          <div className="stack" aria-live="polite">
            <div>
              <Badge state={found.status} />
            </div>
            {isWaiting && status.data !== undefined ? (
              <p className="muted">{whyItWaits(status.data)}</p>
            ) : null}
            {found.status === 'running' && live.text !== '' ? (
              <Block name="the answer so far" isProse>
                {live.text}
              </Block>
            ) : null}
            {found.error === null ? null : <p className="wrap">{found.error.message}</p>}
            {found.status === 'completed' ? <Result job={found} /> : null}
          </div>
        )}
      </Answer>
    </Card>
  );
};

const Snippets = ({ type, values, pays }: { type: TriedType; values: Values; pays: number | undefined }) => {
  const all = snippets({ url: location.origin, type, parameters: parametersOf(type, values), amount: pays });
  return (
    <Card title="The same from a program">
      <Tabs.Root defaultValue={all[0]?.[0]}>
        <Tabs.List className="tabs" aria-label="Language">
          {all.map(([name]) => (
            <Tabs.Tab key={name} value={name} className="tab">
              {name}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        {all.map(([name, text]) => (
          <Tabs.Panel key={name} value={name} className="stack">
            <Block name={`the request in ${name}`}>{text}</Block>
            <div>
              <Copy text={text} what={`the request in ${name}`} />
            </div>
          </Tabs.Panel>
        ))}
      </Tabs.Root>
    </Card>
  );
};

const Price = ({ pays, onChange }: { pays: string; onChange: (pays: string) => void }) => {
  const balance = useBalance();
  return (
    <label className="field">
      <span>Pays, in AITBC</span>
      <input
        inputMode="decimal"
        pattern="\d{0,8}(\.\d{1,8})?"
        title="A number with at most 8 decimals"
        placeholder="0: only miners that work for nothing"
        value={pays}
        onChange={({ target }) => onChange(target.value)}
      />
      <small>
        Exactly this is set aside, paid when the job is done, and comes back when it fails.
        {balance.data === undefined ? '' : ` You have ${amount(balance.data.available)}.`}
      </small>
    </label>
  );
};

const Try = ({ type }: { type: TriedType }) => {
  const isSignedIn = useCredential() !== null;
  const [values, setValues] = useState<Values>(() => startValues(type));
  const [pays, setPays] = useState('');
  const given = Number(pays) > 0 ? Number(pays) : undefined;
  const send = useMutation({
    mutationFn: () =>
      api().jobs.submit(type as string, parametersOf(type, values), {
        labels: ['console'],
        ...(given === undefined ? {} : { payment_amount: given }),
      }),
  });
  const isFilled = FORMS[type].fields.every(
    ({ name, isRequired }) => isRequired !== true || (values[name] ?? '').trim() !== '',
  );
  return (
    <div className="columns">
      <div className="stack">
        <Card title={FORMS[type].title}>
          <form
            className="stack"
            onSubmit={(event) => {
              event.preventDefault();
              send.mutate();
            }}
          >
            <p className="muted">{FORMS[type].says}</p>
            {FORMS[type].fields.map((field) => (
              <Input
                key={field.name}
                field={field}
                type={type}
                value={values[field.name] ?? ''}
                onChange={(value) => setValues((now) => ({ ...now, [field.name]: value }))}
              />
            ))}
            {isSignedIn ? <Price pays={pays} onChange={setPays} /> : null}
            {send.error === null ? null : <Failure error={send.error} />}
            <div>
              {isSignedIn ? (
                <button
                  type="submit"
                  className="button"
                  data-kind="main"
                  disabled={send.isPending || !isFilled}
                >
                  {send.isPending ? 'Sending …' : 'Send it'}
                </button>
              ) : (
                <Link
                  to="/sign-in"
                  search={{ to: `/playground?type=${type}` }}
                  className="button"
                  data-kind="main"
                >
                  Sign in to send it
                </Link>
              )}
            </div>
          </form>
        </Card>
        {send.data === undefined ? null : <Outcome key={send.data.id} jobId={send.data.id} />}
      </div>
      <Snippets type={type} values={values} pays={given} />
    </div>
  );
};

export const Playground = () => {
  const search = useSearch({ from: '/playground' });
  const navigate = useNavigate({ from: '/playground' });
  const type = TRIED.find((each) => each === search.type) ?? 'language_detection';
  return (
    <>
      <Head title="Playground">
        Send a job by hand, see what comes back, and take the same request into your program.
      </Head>
      <fieldset className="kinds">
        <legend className="hidden">What to do</legend>
        {TRIED.map((each) => (
          <label key={each} className="kind">
            <input
              type="radio"
              name="type"
              checked={each === type}
              onChange={() => void navigate({ search: { type: each }, replace: true })}
            />
            {FORMS[each].title}
          </label>
        ))}
      </fieldset>
      <Try key={type} type={type} />
    </>
  );
};
