import type { Session } from '@aitbc/sdk';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { Answer, Failure } from '../../parts/answer.tsx';
import { Confirm } from '../../parts/confirm.tsx';
import { Entries, Entry } from '../../parts/entries.tsx';
import { Badge, Card, When } from '../../parts/look.tsx';
import { useWho } from '../../queries.ts';
import { api, signOut } from '../../session.ts';

/** Ends one; this one by signing out. */
const End = ({ session }: { session: Session }) => {
  const queries = useQueryClient();
  const end = useMutation({
    mutationFn: async () => {
      if (session.current) await signOut();
      else await api().account.endSession(session.id);
    },
    onSettled: () => queries.invalidateQueries({ queryKey: ['me'] }),
  });
  return (
    <>
      <Confirm
        action="End"
        about={session.current ? 'this session' : `the session of ${session.created_at}`}
        title={session.current ? 'Sign out here?' : 'End this session?'}
        isBusy={end.isPending}
        onConfirm={() => end.mutate()}
      >
        {session.current
          ? 'You are signed out on this computer, and sign in again with your wallet.'
          : 'Whoever uses it is signed out, and needs your wallet to sign in again.'}
      </Confirm>
      {end.error === null ? null : <Failure error={end.error} />}
    </>
  );
};

export const Sessions = () => {
  const who = useWho();
  const endAll = useMutation({
    mutationFn: async () => {
      await api().account.logout({ all: true });
      await signOut();
    },
  });
  return (
    <Card
      title="Sessions"
      actions={
        <Confirm
          action="End all"
          about="sessions"
          title="End all sessions?"
          isBusy={endAll.isPending}
          onConfirm={() => endAll.mutate()}
        >
          You are signed out everywhere, here too. Your keys work on.
        </Confirm>
      }
    >
      <div className="stack">
        {endAll.error === null ? null : <Failure error={endAll.error} />}
        <Answer query={who}>
          {({ sessions }) => (
            <Entries name="Sessions">
              {sessions.map((session) => (
                <Entry
                  key={session.id}
                  title={
                    <>
                      Signed in <When at={session.created_at} />
                    </>
                  }
                  state={session.current ? <Badge state="this one" tone="good" /> : undefined}
                  actions={<End session={session} />}
                >
                  Used <When at={session.last_used_at} isRelative /> · ends <When at={session.expires_at} />
                </Entry>
              ))}
            </Entries>
          )}
        </Answer>
      </div>
    </Card>
  );
};
