import { defineConfig } from 'vite';

/** Where a coordinator runs, for the development server; `npm run console -- --target URL` sets it. */
const target = process.env.CONSOLE_TARGET ?? 'http://127.0.0.1:8000';
const api = [
  '/v1',
  '/api',
  '/.well-known',
  '/health',
  '/metrics',
  '/openapi.json',
  '/docs',
  '/redoc',
  '/admin',
];

export default defineConfig({
  root: import.meta.dirname,
  server: { proxy: Object.fromEntries(api.map((path) => [path, { target, changeOrigin: true }])) },
  // JSX is turned into calls by Vite itself, as tsconfig.json says.
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    target: 'es2023',
    // The policy of the page lets data: in for pictures alone; and every file has a name that says what is in it.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // The gateway knows what is loaded first by it, and a test how large that is.
    manifest: 'manifest.json',
    reportCompressedSize: false,
    rolldownOptions: {
      // Libraries mark files for servers that render React; nothing is rendered on one here.
      onLog: (level, log, next) => (log.code === 'MODULE_LEVEL_DIRECTIVE' ? undefined : next(level, log)),
    },
  },
});
