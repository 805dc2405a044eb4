import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { eventually } from '@aitbc/testing';
import { afterEach, expect, test } from 'vitest';

/** A service that forgot the error handlers of its connections, and that has a bug for those who send "bug". */
const CARELESS = `
  import { createServer } from 'node:net';
  import { runMain } from '${new URL('./lifecycle.ts', import.meta.url)}';
  import { unhandledConnectionFaults } from '${new URL('./connections.ts', import.meta.url)}';
  await runMain(async () => {
    const server = createServer((socket) => {
      const talk = setInterval(() => socket.write('x'), 5);
      socket.on('close', () => clearInterval(talk));
      socket.on('data', async (data) => {
        if (String(data) === 'bug') throw new TypeError('a bug');
        const { values } = await unhandledConnectionFaults.get();
        socket.write('faults=' + values[0].value + ';');
      });
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    console.log(server.address().port);
    return { url: '', stop: async () => {} };
  });
`;

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) if (child.exitCode === null) child.kill('SIGKILL');
});

const start = async () => {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', CARELESS], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  let said = '';
  child.stderr.on('data', (data) => {
    said += data;
  });
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  const open = () => connect(Number(line), '127.0.0.1').on('error', () => {});
  const faults = async (): Promise<number> => {
    const socket = open();
    socket.write('how many?');
    let text = '';
    socket.on('data', (data) => {
      text += data;
    });
    const found = await eventually(() => /faults=(\d+);/.exec(text) ?? undefined);
    socket.end();
    return Number(found[1]);
  };
  return { child, open, faults, said: () => said };
};

test('the end of one connection that nobody looked after is told and counted, and ends nobody else', async () => {
  const { child, open, faults, said } = await start();
  const other = open();
  await once(other, 'data');
  for (let index = 0; index < 3; index += 1) {
    const socket = open();
    await once(socket, 'data');
    socket.resetAndDestroy();
  }
  await eventually(async () => (await faults()) >= 3);
  expect(said()).toMatch(/ECONNRESET|EPIPE/);
  await once(other, 'data');
  expect(child.exitCode).toBeNull();
});

test('any other error that nobody handled ends the process, loudly', async () => {
  const { child, open, said } = await start();
  open().write('bug');
  const [code] = await once(child, 'exit');
  expect([code, said()]).toEqual([1, expect.stringContaining('TypeError: a bug')]);
});
