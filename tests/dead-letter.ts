import { join } from 'node:path';
import { schemaUrl } from '@aitbc/chassis';
import { messages, newId } from '@aitbc/contracts';
import { openByHand, scratchPostgres, testEngine } from '@aitbc/testing';

/** Numbers of messages that no stream has. */
let letters = 1;

/**
 * A vote that the miners service could not obey: its disk was full, and by now it has room again.
 * @returns its id
 */
export const leaveLetter = async (dataDir: string, heartbeatTimeoutSeconds: number): Promise<string> => {
  const id = newId();
  const byHand = await openByHand(
    testEngine === 'postgres'
      ? schemaUrl(scratchPostgres(dataDir), 'miners')
      : `sqlite:///${join(dataDir, 'miners.db')}`,
  );
  const name = 'governance.parameter_changed';
  const payload = JSON.stringify({
    name: 'heartbeat_timeout_seconds',
    value: heartbeatTimeoutSeconds,
    version: 1,
    proposal_id: newId(),
  });
  await byHand.exec(
    `INSERT INTO dead_letter (id, stream, seq, name, version, payload, attempts, error, retry_at_ms, created_at_ms)
     VALUES ('${id}', 'before', ${letters++}, '${name}', ${messages[name].version}, '${payload}', 10,
       'Error: <b>disk full</b>', NULL, ${Date.now()})`,
  );
  await byHand.close();
  return id;
};
