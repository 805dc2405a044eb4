import { loadConfig, runMain } from '@aitbc/chassis';
import { configShape } from './config.ts';
import { startGovernance } from './service.ts';

await runMain((fail) => startGovernance(loadConfig(configShape, process.env), fail));
