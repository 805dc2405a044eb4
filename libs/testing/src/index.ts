export * from './broker.ts';
export * from './callers.ts';
export * from './eventually.ts';
export * from './mailbox.ts';
export * from './ports.ts';
export * from './postgres.ts';
export * from './redis-servers.ts';
export * from './scratch.ts';
