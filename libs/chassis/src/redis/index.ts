export * from './address.ts';
export * from './connect.ts';
export { leastRights } from './rights.ts';
export * from './watch.ts';
