import { loadConfig, runMain } from '@aitbc/chassis';
import { configShape } from './config.ts';
import { startJobs } from './service.ts';

await runMain((fail) => startJobs(loadConfig(configShape, process.env), fail));
