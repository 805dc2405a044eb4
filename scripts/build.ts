import { bundleServices } from './bundle.ts';
import { buildConsole } from './console.ts';

// What `npm start` does by itself; for an image, and for an installation that a service manager starts.
const built = [await bundleServices(console.log), await buildConsole(console.log)];
if (built.includes(false))
  throw new Error('the tools for it are left out of this installation: npm ci, with all dependencies');
