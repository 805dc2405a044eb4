/** News from another service is under way for so long at most, before "unknown" is the truth. */
export const NEWS_WAIT_MS = 2_000;
