import { loadConfig, runMain } from '@aitbc/chassis';
import { dispatcherConfigShape } from './config.ts';
import { startDispatcher } from './service.ts';

await runMain((fail) => startDispatcher(loadConfig(dispatcherConfigShape, process.env), fail));
