import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { parseCudaVersion, parseGpus, readHardware } from './hardware.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aitbc-smi-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A program of that name on PATH, which answers the query and the plain call as the real one does. */
const installNvidiaSmi = async (csv: string, banner: string, exitCode = 0): Promise<NodeJS.ProcessEnv> => {
  const script = `#!/bin/sh
case "$*" in
  "--query-gpu=name,memory.total --format=csv,noheader,nounits") printf '%s' '${csv}' ;;
  "") printf '%s' '${banner}' ;;
  *) echo "unexpected: $*" >&2; exit 9 ;;
esac
exit ${exitCode}
`;
  const path = join(folder, 'nvidia-smi');
  await writeFile(path, script);
  await chmod(path, 0o755);
  return { ...process.env, PATH: `${folder}:${process.env.PATH}` };
};

const BANNER = '| NVIDIA-SMI 550.54.15   Driver Version: 550.54.15   CUDA Version: 12.4     |\n';

it('reads cards and the CUDA version from nvidia-smi', async () => {
  const env = await installNvidiaSmi(
    'NVIDIA GeForce RTX 4090, 24564\nNVIDIA GeForce RTX 4090, 24564\nNVIDIA A100-SXM4-80GB, 81920\n',
    BANNER,
  );
  expect(await readHardware(env)).toEqual({
    gpus: [
      { model: 'NVIDIA GeForce RTX 4090', vram_gb: 24, count: 2 },
      { model: 'NVIDIA A100-SXM4-80GB', vram_gb: 80, count: 1 },
    ],
    cudaVersion: '12.4',
    notes: [],
  });
});

it('says why there is none: no nvidia-smi', async () => {
  expect(await readHardware({ PATH: folder })).toEqual({
    gpus: [],
    cudaVersion: undefined,
    notes: ['nvidia-smi is not on this machine'],
  });
});

it('says why there is none: a driver that does not answer', async () => {
  const env = await installNvidiaSmi('NVIDIA-SMI has failed\n', '', 9);
  expect((await readHardware(env)).notes).toEqual(['nvidia-smi failed: is the driver loaded?']);
});

it('leaves out a card whose memory is not reported, rather than to guess', () => {
  const { gpus, notes } = parseGpus('NVIDIA GB10, [N/A]\nNVIDIA L4, 23034\n\n');
  expect(gpus).toEqual([{ model: 'NVIDIA L4', vram_gb: 22, count: 1 }]);
  expect(notes).toEqual(['NVIDIA GB10 is left out: its memory is not reported']);
});

it('reads no CUDA version where the banner names none', () => {
  expect(parseCudaVersion('CUDA Version: N/A')).toBeUndefined();
  expect(parseCudaVersion('CUDA UMD Version: 13.0')).toBe('13.0');
});
