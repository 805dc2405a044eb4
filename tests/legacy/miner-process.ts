import { setTimeout as sleep } from 'node:timers/promises';
import { programOf } from './program.ts';

// A miner of the original: one thread that polls, works without a sign, and reports. It knows of no lease.

const { URL: url = '', KEY: key = '', MODEL: model = '' } = process.env;
const WORK_MS = 150;
const miner = programOf({ url }, key, { 'x-miner-id': key });

await miner.post('/v1/miners/register', { capabilities: { models: [model] }, concurrency: 1 });
for (;;) {
  const { status, body } = await miner.post('/v1/miners/poll', { max_wait_seconds: 2 });
  if (status !== 200) continue;
  console.log(`took ${body.job_id}`);
  await sleep(WORK_MS);
  const answer = await miner.post(`/v1/miners/${body.job_id}/result`, {
    result: { output: `original: ${body.payload.prompt}` },
  });
  console.log(`said ${body.job_id} ${answer.status}`);
}
