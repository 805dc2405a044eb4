import { closeSync, existsSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, relative } from 'node:path';
import { hasGoodChecksum } from '../services/gateway/src/domain.ts';

// No secret stays anywhere but with its owner. Each test looks after its own; this looks, at the end of a run,
// at all that any of them left: databases with their freed pages, logs, metrics, and every write Redis was ever given.

/** What a secret looks like, where its form says so. A look ahead lets one begin inside what only began like one. */
const FORMS: readonly { kind: string; form: RegExp; isOne?: (text: string) => boolean }[] = [
  { kind: 'API key', form: /ak_[a-z]+_(?=([\w-]{49}))/g, isOne: hasGoodChecksum },
  // Standing alone: the middle of a longer base64 text may look the same. Beside other letters it is found by its value.
  { kind: 'session token', form: /(?<![\w-])st_[\w-]{43}(?![\w-])/g },
  { kind: 'private key', form: /MC4CAQAwBQYDK2VwBCIEI[\w+/-]{43}/g }, // Ed25519 in PKCS 8, base64
];

/** Where a secret is at home. */
const EXCEPTIONS: readonly { file: RegExp; kind?: string; because: string }[] = [
  { file: /^dev-secrets\.json$/, because: 'where `npm start` keeps what it made, for the owner alone' },
  { file: /^credentials\.json$/, because: 'where `aitbc login` keeps a key, for the owner alone' },
  { file: /^broker\.conf$/, because: 'where a broker reads its password, for the owner alone' },
  { file: /^known-secrets$/, because: 'the list of what to look for' },
  // A key that was given, from the environment, is looked for in these as well: by its value.
  { file: /^jobs\.db/, kind: 'private key', because: 'without RECEIPT_SIGNING_KEY, in development alone' },
  { file: /^payments\.db/, kind: 'private key', because: 'without LEDGER_SIGNING_KEY, in development alone' },
  {
    file: /^\d+(?:\.\d+)?$/,
    kind: 'private key',
    because: 'both of these, where they are tables in PostgreSQL',
  },
];

export interface Find {
  readonly file: string;
  readonly kind: string;
}

const CHUNK = 16 * 1024 * 1024;
/** More than the longest of what is looked for, so that none hides across two chunks. */
const OVERLAP = 1_024;

/** Everything below a folder that is or holds a secret. Never the secret itself: who reads this may not be its owner. */
export const secretsIn = (folder: string) => {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  const known = knownSecrets(files);
  const finder = finderOf(known);
  const found = new Map<string, Find>();
  let bytes = 0;
  for (const path of files) {
    const exceptions = EXCEPTIONS.filter(({ file }) => file.test(basename(path)));
    if (exceptions.some(({ kind }) => kind === undefined)) continue;
    const file = relative(folder, path);
    for (const chunk of chunksOf(path)) {
      bytes += chunk.length;
      for (const kind of new Set([...finder(chunk), ...byForm(chunk)]))
        if (!exceptions.some((exception) => exception.kind === kind))
          found.set(`${file} ${kind}`, { file, kind });
    }
  }
  return { found: [...found.values()], files: files.length, bytes, known: known.size };
};

/** What opens doors but does not look like it, with the name to call it by. */
const knownSecrets = (files: readonly string[]): Map<string, string> => {
  const known = new Map<string, string>();
  for (const path of files) {
    if (basename(path) === 'known-secrets')
      for (const secret of readFileSync(path, 'utf8').trim().split('\n'))
        known.set(secret, 'secret that a test named');
    if (basename(path) !== 'dev-secrets.json') continue;
    const { keys, ...others } = JSON.parse(readFileSync(path, 'utf8')) as { keys: Record<string, string> };
    for (const [name, secret] of Object.entries({ ...others, ...keys }) as [string, string][])
      known.set(secret, `${name} of dev-secrets.json`);
  }
  return known;
};

/** As it is, in hexadecimal, and in base64 wherever it begins in what was encoded. */
const writings = (secret: string): string[] => {
  const base64 = [0, 1, 2].flatMap((before) => {
    const bytes = Buffer.from('\0'.repeat(before) + secret);
    // The first and last characters depend on the neighbours.
    const [from, to] = [Math.ceil((before * 8) / 6), Math.floor((bytes.length * 8) / 6)];
    return (['base64', 'base64url'] as const).map((encoding) => bytes.toString(encoding).slice(from, to));
  });
  const hex = Buffer.from(secret).toString('hex');
  return [secret, hex, hex.toUpperCase(), ...base64];
};

/** Finds thousands of texts in one pass: a table says which four bytes may begin one, a map says which one it is. */
const finderOf = (known: Map<string, string>) => {
  const starts = new Uint8Array(65_536);
  const hash = (fourBytes: number) => Math.imul(fourBytes, 0x9e3779b1) >>> 16;
  const byStart = new Map<string, { text: string; kind: string }[]>();
  for (const [secret, kind] of known)
    for (const text of writings(secret)) {
      starts[hash(Buffer.from(text).readInt32LE(0))] = 1;
      const start = text.slice(0, 8);
      byStart.set(start, [...(byStart.get(start) ?? []), { text, kind }]);
    }
  return (chunk: Buffer): string[] => {
    const kinds: string[] = [];
    let fourBytes = 0;
    for (let at = -3; at + 4 <= chunk.length; at++) {
      fourBytes = (fourBytes >>> 8) | ((chunk[at + 3] as number) << 24);
      if (starts[hash(fourBytes)] !== 1 || at < 0) continue;
      for (const { text, kind } of byStart.get(chunk.toString('latin1', at, at + 8)) ?? [])
        if (chunk.toString('latin1', at, at + text.length) === text) kinds.push(kind);
    }
    return kinds;
  };
};

const byForm = (chunk: Buffer): string[] => {
  const text = chunk.toString('latin1');
  return FORMS.filter(({ form, isOne = () => true }) =>
    [...text.matchAll(form)].some(([match, rest = '']) => isOne(match + rest)),
  ).map(({ kind }) => kind);
};

function* chunksOf(path: string): Generator<Buffer> {
  // A process that is just ending takes its shared memory file along.
  if (!existsSync(path)) return;
  const file = openSync(path, 'r');
  try {
    const buffer = Buffer.allocUnsafe(CHUNK);
    let position = 0;
    for (;;) {
      const length = readSync(file, buffer, 0, CHUNK, position);
      if (length > 0) yield buffer.subarray(0, length);
      if (length < CHUNK) return;
      position += CHUNK - OVERLAP;
    }
  } finally {
    closeSync(file);
  }
}

/** At the end of a run, before its folder goes. */
export const teardown = (): void => {
  const folder = tmpdir();
  const since = performance.now();
  const { found, files, bytes, known } = secretsIn(folder);
  const redis = existsSync(join(folder, 'redis', 'appendonlydir'))
    ? ''
    : ', but not Redis, which keeps no file here';
  console.log(
    `searched ${files} files, ${Math.round(bytes / 1e6)} MB, for ${known} known secrets and every form of one, ` +
      `in ${((performance.now() - since) / 1_000).toFixed(1)} s${redis}`,
  );
  if (found.length === 0) return;
  const list = found.map(({ file, kind }) => `  - ${kind} in ${file}`);
  throw new Error(`Secrets were left behind by the tests:\n${list.join('\n')}`);
};
