import { AitbcError, AuthenticationError, ConnectionError, NotFoundError, RateLimitError } from '@aitbc/sdk';
import type { UseInfiniteQueryResult, UseQueryResult } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { useCredential } from '../session.ts';
import { Empty, Head, Skeleton } from './look.tsx';

/** What to do about an error, in words. */
const advice = (error: unknown): string => {
  if (error instanceof ConnectionError)
    return 'It is tried again by itself. If this stays, look whether the coordinator runs.';
  if (error instanceof RateLimitError) return 'That was too much at once. It goes on by itself in a moment.';
  if (error instanceof AuthenticationError) return 'Sign in again.';
  if (error instanceof AitbcError && error.status !== undefined && error.status >= 500)
    return 'A part of the coordinator does not answer now. It is tried again by itself.';
  return '';
};

/** Of refused fields; who mends these is told of the next. */
const ISSUES_SHOWN = 5;

export const Failure = ({ error, onRetry }: { error: unknown; onRetry?: () => void }) => {
  const known = error instanceof AitbcError ? error : undefined;
  return (
    <div className="alert" role="alert">
      <p>
        <strong>{error instanceof Error ? error.message : 'That did not work.'}</strong>
      </p>
      {known?.issues.slice(0, ISSUES_SHOWN).map(({ path, message }) => (
        <p key={`${path} ${message}`} className="small">
          <span className="mono">{path}</span> {message}
        </p>
      ))}
      <p className="small">
        {advice(error)} {known?.requestId === undefined ? null : `Request ${known.requestId}.`}
      </p>
      {onRetry === undefined ? null : (
        <button type="button" className="button" data-kind="quiet" onClick={onRetry}>
          Try again
        </button>
      )}
    </div>
  );
};

/** What a query gave, or what stands there meanwhile. An answer that is there stays while a later one fails. */
export function Answer<T>({
  query,
  lines,
  missing,
  children,
}: {
  query: Pick<UseQueryResult<T>, 'data' | 'error' | 'refetch'>;
  lines?: number;
  /** Said of what is not there, instead of an error. */
  missing?: ReactNode;
  children: (data: T) => ReactNode;
}): ReactNode {
  if (query.data !== undefined) return children(query.data);
  if (query.error === null) return <Skeleton {...(lines === undefined ? {} : { lines })} />;
  if (missing !== undefined && query.error instanceof NotFoundError) return missing;
  return <Failure error={query.error} onRetry={() => void query.refetch()} />;
}

/** A page about one thing that is not here yet, or not there at all. */
export const Sought = ({
  query,
  title,
  missing,
}: {
  query: Pick<UseQueryResult, 'data' | 'error' | 'refetch'>;
  title: string;
  missing: { title: string; says: string; to: '/market' | '/governance'; link: string };
}) => (
  <>
    <Head title={query.error instanceof NotFoundError ? missing.title : title} />
    <Answer
      query={query}
      lines={16}
      missing={
        <section className="card">
          <Empty title={missing.says}>
            <Link to={missing.to} className="button">
              {missing.link}
            </Link>
          </Empty>
        </section>
      }
    >
      {() => null}
    </Answer>
  </>
);

/** The rest of a list, page by page. */
export const More = ({
  query,
}: {
  query: Pick<UseInfiniteQueryResult, 'hasNextPage' | 'isFetchingNextPage' | 'fetchNextPage'>;
}) =>
  query.hasNextPage ? (
    <div>
      <button
        type="button"
        className="button"
        disabled={query.isFetchingNextPage}
        onClick={() => void query.fetchNextPage()}
      >
        More
      </button>
    </div>
  ) : null;

/** What only those who signed in see; others are told how. */
export const SignedIn = ({ what, children }: { what: string; children: ReactNode }): ReactNode =>
  useCredential() === null ? (
    <section className="card">
      <Empty title={`Sign in to see ${what}`}>
        <p>With an API key or a wallet. Everything public is open to you without it.</p>
        <Link
          to="/sign-in"
          search={{ to: location.pathname + location.search }}
          className="button"
          data-kind="main"
        >
          Sign in
        </Link>
      </Empty>
    </section>
  ) : (
    children
  );
