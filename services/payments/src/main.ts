import { loadConfig, runMain } from '@aitbc/chassis';
import { configShape } from './config.ts';
import { startPayments } from './service.ts';

await runMain((fail) => startPayments(loadConfig(configShape, process.env), fail));
