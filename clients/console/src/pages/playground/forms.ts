import type { JobParameters } from '@aitbc/sdk';

// What each type asks for. The names are held against the SDK's types, which are made from the contracts: a field that
// a contract does not know does not compile.

/** Types that a person tries by hand. The others are for programs, and the API describes them. */
export type TriedType = 'language_detection' | 'ocr' | 'llm_inference' | 'image_generation' | 'embedding';

export interface Field {
  readonly name: string;
  readonly label: string;
  readonly kind: 'text' | 'long' | 'picture' | 'model' | 'number';
  readonly isRequired?: boolean;
  readonly start?: string;
  readonly note?: string;
}

interface Form {
  readonly title: string;
  readonly says: string;
  readonly fields: readonly Field[];
}
type FieldOf<T extends TriedType> = Field & { readonly name: string & keyof JobParameters[T] };
type Forms = { readonly [T in TriedType]: Omit<Form, 'fields'> & { readonly fields: readonly FieldOf<T>[] } };

/** 250,000 characters of base64: what a job takes. */
export const PICTURE_BYTES_MAX = 187_500;

const FORMS_BY_TYPE: Forms = {
  language_detection: {
    title: 'Tell a language',
    says: 'Which language a text is written in, with how sure that is.',
    fields: [{ name: 'text', label: 'Text', kind: 'long', isRequired: true, start: 'Wo ist der Bahnhof?' }],
  },
  ocr: {
    title: 'Read a picture',
    says: 'The text in a picture: a scan, a photograph of a letter, a screenshot.',
    fields: [{ name: 'image_base64', label: 'Picture', kind: 'picture', isRequired: true }],
  },
  llm_inference: {
    title: 'Ask a model',
    says: 'A language model answers, and you read along while it writes.',
    fields: [
      { name: 'model', label: 'Model', kind: 'model', isRequired: true },
      {
        name: 'prompt',
        label: 'Question',
        kind: 'long',
        isRequired: true,
        start: 'Explain in two sentences what a Merkle tree is good for.',
      },
      { name: 'max_tokens', label: 'Longest answer, in tokens', kind: 'number', start: '256' },
    ],
  },
  image_generation: {
    title: 'Paint a picture',
    says: 'A picture made from words.',
    fields: [
      {
        name: 'prompt',
        label: 'What it shows',
        kind: 'long',
        isRequired: true,
        start: 'A lighthouse in a storm, oil on canvas',
      },
      { name: 'width', label: 'Width in pixels', kind: 'number', start: '512' },
      { name: 'height', label: 'Height in pixels', kind: 'number', start: '512' },
    ],
  },
  embedding: {
    title: 'Turn text into numbers',
    says: 'A vector for a text: near each other when the texts mean nearly the same.',
    fields: [
      { name: 'model', label: 'Model', kind: 'model', isRequired: true },
      { name: 'input', label: 'Text', kind: 'long', isRequired: true, start: 'The harbour is quiet today.' },
    ],
  },
};
export const FORMS: { readonly [T in TriedType]: Form } = FORMS_BY_TYPE;
export const TRIED = Object.keys(FORMS) as readonly TriedType[];

export type Values = Readonly<Record<string, string>>;
export const startValues = (type: TriedType): Values =>
  Object.fromEntries(FORMS[type].fields.map(({ name, start }) => [name, start ?? '']));

/** The parameters of a job from what was filled in; what was left empty is left out. */
export const parametersOf = (type: TriedType, values: Values): Record<string, unknown> =>
  Object.fromEntries(
    FORMS[type].fields.flatMap(({ name, kind }) => {
      const value = values[name] ?? '';
      if (value.trim() === '') return [];
      return [[name, kind === 'number' ? Number(value) : value]];
    }),
  );
