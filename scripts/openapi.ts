import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { buildMessages, buildOpenApi } from '../libs/contracts/src/openapi.ts';
import { sdkContract } from './sdk-contract.ts';

const help = `node run.mjs openapi [--check]   writes docs/openapi.json, docs/messages.json and what the SDK knows of them from the contracts

  --check   writes nothing; says whether they are as the contracts are, exit 1 if not`;

const docs = resolve(import.meta.dirname, '..', 'docs');
const sdk = resolve(import.meta.dirname, '..', 'clients/sdk/src');

/** The generated files with what belongs in them. */
export const generated = (): { file: string; content: string }[] => [
  { file: resolve(docs, 'openapi.json'), content: `${JSON.stringify(buildOpenApi(), null, 2)}\n` },
  { file: resolve(docs, 'messages.json'), content: `${JSON.stringify(buildMessages(), null, 2)}\n` },
  { file: resolve(sdk, 'contract.ts'), content: sdkContract() },
];

/** The generated files that are not as the contracts are. */
export const stale = (): string[] =>
  generated()
    .filter(({ file, content }) => {
      try {
        return readFileSync(file, 'utf8') !== content;
      } catch {
        return true;
      }
    })
    .map(({ file }) => file);

if (import.meta.main) {
  const { values } = parseArgs({
    options: { check: { type: 'boolean', default: false }, help: { type: 'boolean', default: false } },
  });
  if (values.help) console.log(help);
  else if (values.check) {
    const files = stale();
    if (files.length > 0) {
      console.error(`Not as the contracts are: ${files.join(', ')}. Run: node run.mjs openapi`);
      process.exitCode = 1;
    }
  } else {
    for (const { file, content } of generated()) {
      writeFileSync(file, content);
      console.log(file);
    }
  }
}
