import { ConnectionError } from '@aitbc/sdk';
import { QueryCache, QueryClient, useQuery } from '@tanstack/react-query';
import { useSyncExternalStore } from 'react';
import { api, noteRefusal, onSessionChange, useCredential } from './session.ts';

// How often what is shown is asked for. A signed-out page has 60 requests a minute, so everything together stays far below.
export const OFTEN_MS = 4_000;
export const SOMETIMES_MS = 15_000;

let isAway = false;
const listeners = new Set<() => void>();
const setAway = (to: boolean): void => {
  if (isAway === to) return;
  isAway = to;
  for (const listener of listeners) listener();
};
/** True while nobody answers: said once at the top, and over as soon as one answer comes. */
export const useAway = (): boolean =>
  useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => isAway,
  );

export const queryClient = new QueryClient({
  queryCache: new QueryCache({
    onError: (error) => {
      noteRefusal(error);
      if (error instanceof ConnectionError) setAway(true);
    },
    onSuccess: () => setAway(false),
  }),
  defaultOptions: {
    // The SDK tries again where that helps; what failed is asked for again at the next turn.
    queries: { retry: false, staleTime: 2_000, refetchOnWindowFocus: true },
    mutations: { retry: false },
  },
});
// What one person saw is not shown to the next.
onSessionChange(() => queryClient.clear());

/** Who is signed in; undefined while nobody is, and until it is known. */
export const useWho = () => {
  const credential = useCredential();
  return useQuery({
    queryKey: ['me'],
    queryFn: ({ signal }) => api().account.me({ signal }),
    enabled: credential !== null,
    staleTime: 60_000,
  });
};

export const useBalance = () => {
  const { data: who } = useWho();
  return useQuery({
    queryKey: ['balance', who?.user_id],
    queryFn: ({ signal }) =>
      api().call('payments.balance', { params: { user_id: who?.user_id as string } }, { signal }),
    enabled: who !== undefined,
    refetchInterval: SOMETIMES_MS,
  });
};
