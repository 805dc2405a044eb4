// The model server of the bench, in a process of its own: `node bench/model-server.ts FIRST_TOKEN_MS BETWEEN_MS TOKENS`
import { startModelServer } from '../clients/miner/src/testing/model-server.ts';

const [firstByteMs, betweenMs, tokens] = process.argv.slice(2).map(Number);
const server = await startModelServer(['bench']);
Object.assign(server.script, {
  firstByteMs,
  betweenMs,
  pieces: Array.from({ length: tokens ?? 1 }, (_, at) => `word${at} `),
});
process.send?.(server.url);
process.on('disconnect', () => process.exit());
