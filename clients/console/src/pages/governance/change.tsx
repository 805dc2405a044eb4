import type { GovernedParameter } from '@aitbc/sdk';
import { words } from '../../format.ts';
import { Choices } from '../../parts/entries.tsx';
import { Facts } from '../../parts/look.tsx';
import { boundsOf, type Kind, kindOf, reach, shown, stepOf } from './words.ts';

/** The field's text as a value, or undefined while it is none that one vote could set. */
export const newValue = (parameter: GovernedParameter, text: string): unknown => {
  const kind = kindOf(parameter);
  if (kind.of === 'number') {
    const [low, high] = reach(parameter, kind);
    const value = Number(text);
    return text.trim() === '' || !(value >= low && value <= high) ? undefined : value;
  }
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

const Field = ({
  parameter,
  kind,
  text,
  onChange,
}: {
  parameter: GovernedParameter;
  kind: Kind;
  text: string;
  onChange: (text: string) => void;
}) => {
  if (kind.of === 'list') {
    const chosen = newValue(parameter, text);
    return (
      <Choices
        legend="New value"
        all={kind.entries.map((entry) => [entry, entry] as const)}
        chosen={Array.isArray(chosen) ? chosen.map(String) : []}
        onChange={(entries) => onChange(JSON.stringify(entries))}
      />
    );
  }
  if (kind.of === 'switch')
    return (
      <label className="field">
        <span>New value</span>
        <select value={text} onChange={({ target }) => onChange(target.value)}>
          <option value="true">on</option>
          <option value="false">off</option>
        </select>
      </label>
    );
  const [low, high] = kind.of === 'number' ? reach(parameter, kind) : [undefined, undefined];
  return (
    <label className="field">
      <span>New value</span>
      <input
        required
        value={text}
        {...(kind.of === 'number'
          ? { type: 'number', min: low, max: high, step: kind.isWhole ? 1 : 'any' }
          : {})}
        onChange={({ target }) => onChange(target.value)}
      />
      <small>
        {kind.of === 'number'
          ? `From ${shown(low)} to ${shown(high)}: so far one vote may move it.`
          : 'As JSON.'}
      </small>
    </label>
  );
};

/** Which parameter, what it is today, how far one vote may move it, and where to. */
export const Change = ({
  parameters,
  parameter,
  text,
  onParameter,
  onText,
}: {
  parameters: readonly GovernedParameter[];
  parameter: GovernedParameter;
  text: string;
  onParameter: (name: string) => void;
  onText: (text: string) => void;
}) => (
  <>
    <label className="field">
      <span>Parameter</span>
      <select value={parameter.name} onChange={({ target }) => onParameter(target.value)}>
        {parameters.map(({ name }) => (
          <option key={name} value={name}>
            {words(name)}
          </option>
        ))}
      </select>
      <small>{parameter.description}.</small>
    </label>
    <Facts
      facts={[
        [
          'Today',
          <strong key="today">
            <bdi>{shown(parameter.value)}</bdi>
          </strong>,
        ],
        ['By default', <bdi key="default">{shown(parameter.default)}</bdi>],
        ['May be', boundsOf(parameter)],
        ['One vote', stepOf(parameter)],
      ]}
    />
    <Field parameter={parameter} kind={kindOf(parameter)} text={text} onChange={onText} />
  </>
);
