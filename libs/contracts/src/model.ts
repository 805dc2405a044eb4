// The one form in which names of models and cards are compared. They are kept and shown as they were written.

/**
 * An AI model: case does not matter, and a name without a tag means its `latest`, as model servers read it.
 * `Llama3.2:latest` → `llama3.2`; a tag other than `latest` is part of the name.
 */
export const modelKey = (name: string): string =>
  name
    .trim()
    .toLowerCase()
    .replace(/:latest$/, '');

/** A graphics card: `RTX-4090` and `rtx 4090` are written by different people for the same card. */
export const cardWords = (name: string): string[] => name.toLowerCase().match(/[a-z]+|\d+/g) ?? [];
export const cardKey = (name: string): string => cardWords(name).join(' ');
