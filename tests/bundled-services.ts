import type { TestProject } from 'vitest/node';
import { bundleServices } from '../scripts/bundle.ts';

/** Processes that tests start are what runs in production: bundles, of the sources as they are now. */
export default async (project: TestProject): Promise<void> => {
  const bundle = async () => {
    await bundleServices(() => {});
  };
  project.onTestsRerun(bundle);
  await bundle();
};
