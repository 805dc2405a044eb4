import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { createServer } from 'vite';

const help = `npm run console -- [options]     serves the console from its sources, and loads it again when they change

  --target URL   the coordinator that it asks; default http://127.0.0.1:8000 (start one with npm start)
  --port N       of the page; default 5173
  --help         this text`;

const { values } = parseArgs({
  options: {
    target: { type: 'string', default: 'http://127.0.0.1:8000' },
    port: { type: 'string', default: '5173' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(help);
} else {
  process.env.CONSOLE_TARGET = values.target;
  const server = await createServer({
    configFile: join(resolve(import.meta.dirname, '..'), 'clients/console/vite.config.ts'),
    server: { port: Number(values.port) },
  });
  await server.listen();
  server.printUrls();
}
