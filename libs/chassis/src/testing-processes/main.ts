import { runMain } from '../index.ts';
import { startStandIn } from './stand-in.ts';

// A stand-in as a process of its own: to be killed, configured badly, or stopped.
await runMain((fail) =>
  startStandIn(process.env.STAND_IN === 'payments' ? 'payments' : 'jobs', process.env, fail),
);
