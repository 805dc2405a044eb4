import type { JobStatusView } from '@aitbc/sdk';

export const STATES = ['pending', 'running', 'completed', 'failed', 'cancelled', 'expired'] as const;
export const TYPES = [
  'chat_completion',
  'text_completion',
  'llm_inference',
  'embedding',
  'image_generation',
  'ocr',
  'language_detection',
  'custom',
] as const;

const WAITS: Record<NonNullable<JobStatusView['waiting_reason']>, string> = {
  awaiting_funds:
    'Its money is being set aside. That takes a moment; without enough of it the job fails and costs nothing.',
  price_too_low:
    'Miners that could do it ask for more than it pays. Send it again with a higher amount, or wait for a cheaper miner.',
  no_capable_miner:
    'No miner that is here can do it: none offers this type, this model, or what you asked of its card. It starts as soon as one comes.',
  all_busy: 'Every miner that can do it is busy. It starts when the first of them is free.',
  retrying: 'An attempt was lost, so it waits to be tried again, by another miner where there is one.',
};
export const whyItWaits = (status: JobStatusView): string =>
  status.waiting_reason === null ? 'It is about to start.' : WAITS[status.waiting_reason];
