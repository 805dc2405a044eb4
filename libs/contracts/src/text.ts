import { z } from 'zod';

/** What shows nothing: format and control characters, fillers, the empty Braille cell. White space is counted apart. */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}\u2800]/gu;
/** Control characters that a text has no use for; tabs and line breaks it has. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are the point
const CONTROL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/;

/** As a reader counts: what shows nothing is nothing, and a run of white space is one blank. */
const visibleLength = (text: string): number =>
  text.replace(/\s+/g, ' ').replace(INVISIBLE, '').replace(/ +/g, ' ').trim().length;

/**
 * A text that people read: a title, a name, a label, a reason. White space around it is taken off; what is left is
 * kept exactly as it was sent (no Unicode normalisation), must be well-formed, and has at least `min` characters that
 * show: blanks and zero-width characters alone are no text.
 */
export const Text = (min: number, max: number) =>
  z
    .string()
    .trim()
    .max(max)
    .refine((text) => text.isWellFormed() && !CONTROL.test(text), 'must not hold control characters')
    .refine(
      (text) => text.length > max || visibleLength(text) >= min,
      min === 1 ? 'must have a character that shows' : `must have at least ${min} characters that show`,
    )
    .meta({ minLength: min });
