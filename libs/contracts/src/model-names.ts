// The one form in which names of models and cards are compared, stored and indexed. They are shown as they were written.

/**
 * An AI model: case does not matter, and `name` is `name:latest`, as model servers have it. Another tag is part of the
 * name.
 */
export const modelKey = (name: string): string =>
  name
    .trim()
    .toLowerCase()
    .replace(/(?<=.):latest$/, '') || name;

interface Word {
  readonly text: string;
  /** Behind a card's number it makes another product: an RTX 4080 SUPER is no RTX 4080. */
  readonly isProduct: boolean;
}

const PRODUCT_WORDS: ReadonlySet<string> = new Set(
  'super ti xt xtx gre laptop mobile max ultra pro ada sff d'.split(' '),
);
/** Letters that do so where they stand right behind the number: L40S, A10G, A30X, 1650M. */
const PRODUCT_LETTERS: ReadonlySet<string> = new Set(['s', 'g', 'x', 'm']);
/** How a card is plugged in; a digit behind `sxm` belongs to it. It matters where it is asked for. */
const PLUG_WORDS: ReadonlySet<string> = new Set(['pcie', 'sxm', 'nvl']);
/** Words of an offered card's name that count; the longest that drivers report have ten. */
const CARD_WORDS_MAX = 12;

/** Letters of any script, so that two cards named in another one are not the same card. */
const WORDS = /[\p{L}\p{M}]+|\p{Nd}+/gu;
const isNumber = (text: string): boolean => /^\p{Nd}/u.test(text);

const readWords = (name: string): Word[] => {
  const found = [...name.toLowerCase().matchAll(WORDS)];
  return found.map(([text], at) => {
    const before = found[at - 1];
    const isGlued =
      before !== undefined && isNumber(before[0]) && before.index + before[0].length === found[at]?.index;
    return { text, isProduct: PRODUCT_WORDS.has(text) || (isGlued && PRODUCT_LETTERS.has(text)) };
  });
};

/**
 * A card's name as its words: `NVIDIA GeForce RTX 4090` and `nvidia-geforce-rtx-4090` are written by different people
 * for the same card. A name without any stays what it is, and is no card's.
 */
export const cardKey = (name: string): string =>
  readWords(name)
    .map((word) => word.text)
    .join(' ') || name.trim().toLowerCase();

/**
 * What a client may call a card of this name: every run of its words, with and without the plug, behind which no word
 * makes it another product. At most 156, for a name of twelve words.
 */
export const cardPhrases = (name: string): Set<string> => {
  const words = readWords(name).slice(0, CARD_WORDS_MAX);
  const withoutPlug = words.filter(
    ({ text }, at) => !PLUG_WORDS.has(text) && !(words[at - 1]?.text === 'sxm' && /^\d$/.test(text)),
  );
  const phrases = new Set<string>();
  for (const variant of [words, withoutPlug]) {
    for (let from = 0; from < variant.length; from++) {
      let hasNumber = false;
      for (let to = from + 1; to <= variant.length; to++) {
        hasNumber ||= isNumber(variant[to - 1]?.text ?? '');
        // `RTX` alone asks for any of them; with a number it is one product.
        if (hasNumber && variant.slice(to).some((word) => word.isProduct)) continue;
        phrases.add(
          variant
            .slice(from, to)
            .map((word) => word.text)
            .join(' '),
        );
      }
    }
  }
  return phrases;
};
