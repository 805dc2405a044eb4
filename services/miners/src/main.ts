import { loadConfig, runMain } from '@aitbc/chassis';
import { configShape } from './config.ts';
import { startMiners } from './service.ts';

await runMain((fail) => startMiners(loadConfig(configShape, process.env), fail));
