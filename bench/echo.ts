// The reference: a bare Express echo, and in front of it a bare Express with the gateway's proxy library and agent
// settings. Nothing else: no identity, no limits, no database. `node bench/echo.ts upstream|proxy [UPSTREAM_URL]`
import { Agent } from 'node:http';
import express from 'express';
import { createProxyMiddleware } from 'http-proxy-middleware';

const [role, target] = process.argv.slice(2);
const app = express();
app.disable('x-powered-by');
app.disable('etag');
if (role === 'upstream') {
  app.use(
    express.json({ limit: 262_144 }),
    (request, response) => void response.status(201).json(request.body),
  );
} else {
  app.use(createProxyMiddleware({ target: target as string, agent: new Agent({ keepAlive: true }) }));
}
const server = app.listen(0, '127.0.0.1', () => {
  process.send?.((server.address() as { port: number }).port);
});
process.on('disconnect', () => process.exit());
