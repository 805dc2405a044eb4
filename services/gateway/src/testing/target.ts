import { appendFileSync } from 'node:fs';
import { createServer } from 'node:http';

// One process of a service, to be killed: `node target.ts <port> <file>`. Each request that it heard whole is a line of
// the file before it is answered.
const [port, file] = process.argv.slice(2) as [string, string];
const ANSWER_AFTER_MS = 5;

createServer((request, response) => {
  if (request.url === '/health/ready') return void response.end('{}');
  request.resume().on('end', () => {
    appendFileSync(file, `${request.method} ${request.headers['x-request-id']}\n`);
    setTimeout(() => response.setHeader('content-type', 'application/json').end('{}'), ANSWER_AFTER_MS);
  });
}).listen(Number(port), '127.0.0.1', () => console.log('ready'));
// The channel closes with the test.
process.on('disconnect', () => process.exit());
