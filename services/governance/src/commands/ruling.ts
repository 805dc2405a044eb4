import type { Parameters } from '@aitbc/chassis';

/** What the commands obey. */
export interface Ruling {
  readonly timeScale: number;
  readonly parameters: Parameters<'governance'>;
}
