import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { connect } from 'node:net';
import { join } from 'node:path';
import { scratchDirectory } from '@aitbc/testing';
import { expect, test } from 'vitest';
import { KEYS, startTestGateway } from './testing/gateway.ts';
import { sendRaw } from './testing/raw.ts';

const hasOpenssl = spawnSync('openssl', ['version']).status === 0;
const because = hasOpenssl ? '' : ' (skipped: no openssl here to make a certificate with)';

test.skipIf(!hasOpenssl)(
  `with a certificate it speaks TLS alone, in production too${because}`,
  { timeout: 40_000 },
  async () => {
    const directory = scratchDirectory();
    const [TLS_KEY, TLS_CERT] = [join(directory, 'key.pem'), join(directory, 'cert.pem')];
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'];
    const made = spawnSync('openssl', [
      ...[
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:prime256v1',
        '-nodes',
        '-days',
        '1',
      ],
      ...['-keyout', TLS_KEY, '-out', TLS_CERT],
      ...subject,
    ]);
    expect(made.status).toBe(0);
    const gateway = await startTestGateway({ TLS_KEY, TLS_CERT, NODE_ENV: 'production' });
    expect(gateway.url).toMatch(/^https:/);
    const answer = await new Promise<{ status: number | undefined; hsts: string | undefined }>(
      (resolve, reject) => {
        const asked = request(
          `${gateway.url}/v1/client/jobs`,
          { ca: readFileSync(TLS_CERT), headers: { 'x-api-key': KEYS.client } },
          (response) => {
            response.resume();
            resolve({ status: response.statusCode, hsts: response.headers['strict-transport-security'] });
          },
        );
        asked.on('error', reject);
        asked.end();
      },
    );
    expect(answer).toEqual({ status: 200, hsts: expect.stringContaining('max-age=') });
    // A handshake that never begins holds a connection for ten seconds, not for two minutes; and no stop at all.
    const { hostname, port } = new URL(gateway.url);
    /** Connects and says nothing. @returns what waits for its end */
    const begin = async () => {
      const silent = connect({ host: hostname, port: Number(port) });
      silent.on('error', () => {});
      await once(silent, 'connect');
      const closed = once(silent.resume(), 'close');
      return () => closed;
    };
    const closed = await begin();
    const plain = await sendRaw(gateway.url, 'GET /v1/miners HTTP/1.1\r\nHost: localhost\r\n\r\n');
    expect(plain.filter((one) => one.status < 400)).toEqual([]);
    await closed();
    const another = await begin();
    const startedAt = performance.now();
    await gateway.stop();
    expect(performance.now() - startedAt).toBeLessThan(9_000);
    await another();
  },
);
