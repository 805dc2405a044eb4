import { execFile } from 'node:child_process';
import type { Registration } from './coordinator.ts';

export type Gpu = NonNullable<Registration['gpus']>[number];

export interface Hardware {
  readonly gpus: readonly Gpu[];
  readonly cudaVersion: string | undefined;
  /** Why the list is empty or shorter than the machine, for the log. */
  readonly notes: readonly string[];
}

/** nvidia-smi answers in well under a second; a driver that hangs must not keep the agent from starting. */
const TIMEOUT_MS = 10_000;
/** The contract takes at most 64 kinds of GPU. */
const KINDS_MAX = 64;

type Output =
  | { readonly ok: true; readonly text: string }
  | { readonly ok: false; readonly missing: boolean };

const runNvidiaSmi = (args: readonly string[], env: NodeJS.ProcessEnv): Promise<Output> =>
  new Promise((resolve) => {
    execFile('nvidia-smi', args, { timeout: TIMEOUT_MS, env, windowsHide: true }, (error, stdout) => {
      resolve(error === null ? { ok: true, text: stdout } : { ok: false, missing: error.code === 'ENOENT' });
    });
  });

/** `--format=csv,noheader,nounits` gives `name, MiB` a line; equal cards become one entry with a count. */
export const parseGpus = (csv: string): { gpus: Gpu[]; notes: string[] } => {
  const kinds = new Map<string, Gpu>();
  const notes: string[] = [];
  for (const line of csv.split('\n')) {
    const comma = line.lastIndexOf(',');
    if (comma < 0) continue;
    const model = line.slice(0, comma).trim().slice(0, 100);
    const mebibytes = Number(line.slice(comma + 1).trim());
    if (model === '') continue;
    if (!(mebibytes > 0)) {
      // Boards that share the system's memory report `[N/A]`: a number would be invented.
      notes.push(`${model} is left out: its memory is not reported`);
      continue;
    }
    // Cards report a little less than their name says (24,564 MiB for 24 GB), so the nearest whole number is meant.
    const vram = Math.max(1, Math.round(mebibytes / 1024));
    const key = `${model}|${vram}`;
    const known = kinds.get(key);
    if (known === undefined) kinds.set(key, { model, vram_gb: vram, count: 1 });
    else known.count = Math.min(64, known.count + 1);
  }
  return { gpus: [...kinds.values()].slice(0, KINDS_MAX), notes };
};

/** The banner of plain `nvidia-smi` names the newest CUDA that the driver runs; no query field does. */
export const parseCudaVersion = (banner: string): string | undefined =>
  /CUDA (?:UMD )?Version\s*:\s*(\d{1,3}(?:\.\d{1,3})?)/.exec(banner)?.[1];

/** What the machine has, by the driver's own word. No driver, no GPUs: the agent then offers what a CPU can do. */
export const readHardware = async (env: NodeJS.ProcessEnv): Promise<Hardware> => {
  const list = await runNvidiaSmi(['--query-gpu=name,memory.total', '--format=csv,noheader,nounits'], env);
  if (!list.ok) {
    const note = list.missing
      ? 'nvidia-smi is not on this machine'
      : 'nvidia-smi failed: is the driver loaded?';
    return { gpus: [], cudaVersion: undefined, notes: [note] };
  }
  const { gpus, notes } = parseGpus(list.text);
  if (gpus.length === 0)
    return { gpus, cudaVersion: undefined, notes: [...notes, 'nvidia-smi lists no GPU'] };
  const banner = await runNvidiaSmi([], env);
  return { gpus, cudaVersion: banner.ok ? parseCudaVersion(banner.text) : undefined, notes };
};
