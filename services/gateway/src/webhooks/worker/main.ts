import { loadConfig, runMain } from '@aitbc/chassis';
import { webhookWorkerConfigShape } from './config.ts';
import { startWebhookWorker } from './service.ts';

await runMain((fail) => startWebhookWorker(loadConfig(webhookWorkerConfigShape, process.env), fail));
