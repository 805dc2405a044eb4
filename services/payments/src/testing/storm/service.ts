import { loadConfig, runMain } from '@aitbc/chassis';
import { configShape } from '../../config.ts';
import { startPayments } from '../../service.ts';
import { fastClock, readPlan } from './plan.ts';

// The service as it is, but for its clock: deadlines of minutes come within seconds.
const plan = readPlan(process.env.STORM_PLAN as string);
await runMain((fail) => startPayments(loadConfig(configShape, process.env), fail, fastClock(plan)));
