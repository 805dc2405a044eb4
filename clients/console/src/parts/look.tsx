import type { ReactNode } from 'react';
import { useEffect, useState, useSyncExternalStore } from 'react';
import { ago, localTime, shortHash, shortId, words } from '../format.ts';

// The small pieces that every page is made of.

export const Head = ({
  title,
  children,
  actions,
}: {
  title: string;
  children?: ReactNode;
  actions?: ReactNode;
}) => {
  useEffect(() => {
    document.title = `${title} · AITBC`;
  }, [title]);
  return (
    <div className="head">
      <div>
        <h1>{title}</h1>
        {children === undefined ? null : <p>{children}</p>}
      </div>
      {actions === undefined ? null : <div className="row">{actions}</div>}
    </div>
  );
};

export const Card = ({
  title,
  actions,
  children,
}: {
  title?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
}) => (
  <section className="card">
    {title === undefined ? null : (
      <header>
        <h2>{title}</h2>
        {actions}
      </header>
    )}
    {children}
  </section>
);

export type Tone = 'good' | 'warn' | 'bad' | 'busy' | 'still';
const TONES: Record<string, Tone> = {
  completed: 'good',
  active: 'good',
  released: 'good',
  confirmed: 'good',
  executed: 'good',
  running: 'busy',
  processing: 'busy',
  pending: 'warn',
  escrowed: 'busy',
  failed: 'bad',
  expired: 'bad',
  rejected: 'bad',
};
/** A state, in words and a colour: never in a colour alone. */
export const Badge = ({ state, tone }: { state: string; tone?: Tone }) => (
  <span className="badge" data-tone={tone ?? TONES[state] ?? 'still'}>
    {words(state)}
  </span>
);

export const Figure = ({ name, children, note }: { name: string; children: ReactNode; note?: ReactNode }) => (
  <dl className="figure">
    <dt>{name}</dt>
    <dd>
      {children}
      {note === undefined ? null : <div className="small muted">{note}</div>}
    </dd>
  </dl>
);

export const Empty = ({ title, children }: { title: string; children?: ReactNode }) => (
  <div className="empty">
    <strong>{title}</strong>
    {children}
  </div>
);

export const Skeleton = ({ lines = 3 }: { lines?: number }) => (
  <div role="status">
    <span className="hidden">Loading</span>
    {Array.from({ length: lines }, (_, line) => (
      // biome-ignore lint/suspicious/noArrayIndexKey: they are all the same
      <span key={line} className="bone" style={{ width: `${95 - ((line * 23) % 40)}%` }} />
    ))}
  </div>
);

const TICK_MS = 1_000;
let clock = Date.now();
const watchers = new Set<() => void>();
let ticking: ReturnType<typeof setInterval> | undefined;
/** One timer for all that shows how long ago something was. */
const onTick = (watcher: () => void): (() => void) => {
  watchers.add(watcher);
  ticking ??= setInterval(() => {
    clock = Date.now();
    for (const each of watchers) each();
  }, TICK_MS);
  return () => {
    watchers.delete(watcher);
    if (watchers.size > 0) return;
    clearInterval(ticking);
    ticking = undefined;
  };
};
export const useNow = (): number => useSyncExternalStore(onTick, () => clock);

/** Local time; in UTC when one points at it. */
export const When = ({ at, isRelative = false }: { at: string; isRelative?: boolean }) =>
  isRelative ? (
    <Ago at={at} />
  ) : (
    <time dateTime={at} title={`${at} (UTC)`}>
      {localTime(at)}
    </time>
  );
const Ago = ({ at }: { at: string }) => (
  <time dateTime={at} title={`${localTime(at)} · ${at} (UTC)`}>
    {ago(at, useNow())}
  </time>
);

const COPIED_MS = 1_500;
export const Copy = ({ text, what }: { text: string; what: string }) => {
  const [isCopied, setCopied] = useState(false);
  useEffect(() => {
    if (!isCopied) return;
    const timer = setTimeout(() => setCopied(false), COPIED_MS);
    return () => clearTimeout(timer);
  }, [isCopied]);
  return (
    <button
      type="button"
      className="button"
      data-kind="quiet"
      aria-label={`Copy ${what}`}
      onClick={() => void navigator.clipboard?.writeText(text).then(() => setCopied(true))}
    >
      {isCopied ? 'Copied' : 'Copy'}
    </button>
  );
};

export const Id = ({ id }: { id: string }) => (
  <span className="mono" title={id}>
    {shortId(id)}
  </span>
);
export const Hash = ({ hash }: { hash: string }) => (
  <span className="mono" title={hash}>
    {shortHash(hash)}
  </span>
);

export const Facts = ({ facts }: { facts: readonly (readonly [string, ReactNode] | null)[] }) => (
  <dl className="facts">
    {facts
      .filter((fact) => fact !== null)
      .map(([name, value]) => (
        <div key={name} style={{ display: 'contents' }}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
  </dl>
);

/** Text that may be long: it scrolls within, and is reached by keyboard. */
export const Block = ({
  name,
  isProse = false,
  children,
}: {
  name: string;
  isProse?: boolean;
  children: string;
}) => (
  // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard
  <section className={isProse ? 'block prose' : 'block'} tabIndex={0} aria-label={name}>
    {children}
  </section>
);
