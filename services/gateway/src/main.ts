import { loadConfig, runMain } from '@aitbc/chassis';
import { configShape } from './config.ts';
import { startGateway } from './service.ts';

await runMain((fail) => startGateway(loadConfig(configShape, process.env), fail));
