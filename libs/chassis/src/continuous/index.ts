export { assembleFile, servicesIn } from './assemble.ts';
export type { StepEntry } from './chain.ts';
export { createFollower, type Follower } from './follow.ts';
