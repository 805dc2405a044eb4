import { once } from 'node:events';
import type { Client, Connection } from 'pg';

/** The socket holds so much that is not sent; then the sender waits. */
const UNSENT_MAX_BYTES = 1_048_576;

// The driver speaks COPY, but has no query for it.
interface CopyConnection extends Connection {
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
  sendCopyFail(reason: string): void;
}

/** The answers to one COPY statement. */
const copying = (
  client: Client,
  text: string,
  on: { start?: () => void; data?: (chunk: Buffer) => void },
) => {
  const done = Promise.withResolvers<void>();
  // It is looked at when the rows are through.
  done.promise.catch(() => {});
  let failure: unknown;
  const fail = (error: unknown): void => {
    failure ??= error;
  };
  const query = {
    callback: () => {},
    submit: (connection: Connection) => void connection.query(text),
    handleCopyInResponse: () => on.start?.(),
    handleCopyData: (message: { chunk: Buffer }) => {
      if (failure !== undefined) return;
      try {
        on.data?.(message.chunk);
      } catch (error) {
        fail(error);
      }
    },
    handleRowDescription: () => {},
    handleDataRow: () => {},
    handlePortalSuspended: () => {},
    handleEmptyQuery: () => {},
    handleCommandComplete: () => {},
    handleError: (error: unknown) => {
      fail(error);
      done.reject(error);
    },
    handleReadyForQuery: () => (failure === undefined ? done.resolve() : done.reject(failure)),
  };
  client.query(query);
  return { done: done.promise, failed: () => failure };
};

/** Runs `COPY … TO STDOUT`. @param take is given what comes, as it comes; it does not wait */
export const copyOut = async (client: Client, text: string, take: (chunk: Buffer) => void): Promise<void> =>
  copying(client, text, { data: take }).done;

/** Runs `COPY … FROM STDIN`. */
export const copyIn = async (client: Client, text: string) => {
  const connection = client.connection as CopyConnection;
  const started = Promise.withResolvers<void>();
  const { done, failed } = copying(client, text, { start: started.resolve });
  await Promise.race([started.promise, done]);
  return {
    /** @throws what the server refused before */
    write: async (chunk: Buffer): Promise<void> => {
      if (failed() !== undefined) throw failed();
      connection.sendCopyFromChunk(chunk);
      if (connection.stream.writableLength > UNSENT_MAX_BYTES)
        await Promise.race([once(connection.stream, 'drain'), done]);
    },
    end: async (): Promise<void> => {
      if (failed() === undefined) connection.endCopyFrom();
      await done;
    },
  };
};
