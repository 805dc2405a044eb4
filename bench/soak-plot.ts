import type { Sample } from './soak.ts';
export const drawSoak = (_samples: readonly Sample[], _folder: string): void => {};
