import { bundleServices } from './bundle.ts';
import { buildConsole } from './console.ts';

// What `npm start` does by itself; for an image, and for an installation that a service manager starts.
await bundleServices(console.log);
if (!(await buildConsole(console.log)))
  throw new Error('the tools for it are left out of this installation: npm ci, with all dependencies');
