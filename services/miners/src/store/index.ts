export * from './attempts.ts';
export * from './earnings.ts';
export * from './miners.ts';
export * from './old.ts';
export * from './presence.ts';
export * from './reputation.ts';
