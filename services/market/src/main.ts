import { loadConfig, runMain } from '@aitbc/chassis';
import { configShape } from './config.ts';
import { startMarket } from './service.ts';

await runMain((fail) => startMarket(loadConfig(configShape, process.env), fail));
