import type { ReactNode } from 'react';
import { Copy } from './look.tsx';
import './entries.css';

/** A list whose lines say more than a table's would, and can be acted on. */
export const Entries = ({ name, children }: { name: string; children: ReactNode }) => (
  <ul className="entries" aria-label={name}>
    {children}
  </ul>
);

export const Entry = ({
  title,
  state,
  actions,
  children,
  rest,
}: {
  title: ReactNode;
  state?: ReactNode;
  actions?: ReactNode;
  /** What else there is to know, in a line or two. */
  children?: ReactNode;
  /** What takes the whole width. */
  rest?: ReactNode;
}) => (
  <li>
    <div className="wrap">
      <div className="row">
        <span className="entry-title wrap">{title}</span>
        {state}
      </div>
      <div className="small muted">{children}</div>
    </div>
    {actions === undefined ? null : <div className="row">{actions}</div>}
    {rest === undefined ? null : <div className="entry-rest">{rest}</div>}
  </li>
);

/** A secret that was just made: it stands in this page's memory alone, and is gone when it is put away. */
export const Secret = ({
  title,
  secret,
  onDone,
  children,
}: {
  title: string;
  secret: string;
  onDone: () => void;
  children?: ReactNode;
}) => (
  <div className="alert stack" data-tone="good" role="status">
    <p>
      <strong>{title}</strong> It is shown this once and kept nowhere. Copy it to where it belongs now.
    </p>
    <div className="secret mono">{secret}</div>
    {children}
    <div className="row">
      <Copy text={secret} what="the secret" />
      <button type="button" className="button" onClick={onDone}>
        I have it
      </button>
    </div>
  </div>
);

/** Any number of a few things, each with what it means. */
export function Choices<T extends string>({
  legend,
  all,
  chosen,
  onChange,
}: {
  legend: string;
  all: readonly (readonly [value: T, says: string, note?: string])[];
  chosen: readonly T[];
  onChange: (chosen: T[]) => void;
}): ReactNode {
  return (
    <fieldset className="choices">
      <legend>{legend}</legend>
      <div>
        {all.map(([value, says, note]) => (
          <label key={value} className="check">
            <input
              type="checkbox"
              checked={chosen.includes(value)}
              onChange={({ target }) =>
                onChange(target.checked ? [...chosen, value] : chosen.filter((each) => each !== value))
              }
            />
            <span>
              {says}
              {note === undefined ? null : <small>{note}</small>}
            </span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

/** An amount as text: a number with at most 8 decimals, or nothing. */
export const AmountField = ({
  label,
  note,
  value,
  isRequired = false,
  onChange,
}: {
  label: string;
  note?: ReactNode;
  value: string;
  isRequired?: boolean;
  onChange: (value: string) => void;
}) => (
  <label className="field">
    <span>{label}, in AITBC</span>
    <input
      inputMode="decimal"
      pattern="\d{0,8}(\.\d{1,8})?"
      title="A number with at most 8 decimals"
      required={isRequired}
      value={value}
      onChange={({ target }) => onChange(target.value)}
    />
    {note === undefined ? null : <small>{note}</small>}
  </label>
);
/** As the API takes it; left out when nothing was written. */
export const amountIn = (text: string): number | undefined => (text.trim() === '' ? undefined : Number(text));
