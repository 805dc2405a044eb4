export * from './audit.ts';
export * from './caller.ts';
export * from './canonical-json.ts';
export * from './client.ts';
export * from './ids.ts';
export * from './job-types.ts';
export * from './json.ts';
export * from './json-text.ts';
export * from './ledger.ts';
export * from './ledger-fields.ts';
export * from './message.ts';
export * from './messages/index.ts';
export * from './model-names.ts';
export * from './money.ts';
export * from './names.ts';
export * from './openai-errors.ts';
export * from './openai-requests.ts';
export * from './page.ts';
export * from './parameters.ts';
export * from './problem.ts';
export * from './query.ts';
export * from './route.ts';
export * from './routes/audit.ts';
export * from './routes/door.ts';
export * from './routes/exchange.ts';
export * from './routes/gateway.ts';
export * from './routes/governance.ts';
export * from './routes/index.ts';
export * from './routes/jobs.ts';
export { type Dialect, dialects } from './routes/legacy/dialects.ts';
export * from './routes/legacy/jobs.ts';
export { legacyMinerName } from './routes/legacy/lenient.ts';
export * from './routes/legacy/miners.ts';
export {
  addressNames,
  blockNames,
  COORDINATOR,
  receiptNames,
  transactionTexts,
} from './routes/legacy/names.ts';
export * from './routes/legacy/public.ts';
export * from './routes/market.ts';
export * from './routes/miners.ts';
export * from './routes/operations.ts';
export * from './routes/payments.ts';
export * from './routes/transfers.ts';
export * from './routes/usage.ts';
export * from './routes/webhooks.ts';
export * from './text.ts';
export * from './webhook-events.ts';
