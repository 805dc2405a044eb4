import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { routes } from '@aitbc/contracts';
import { eventually, rememberSecret } from '@aitbc/testing';
import { expect, test } from 'vitest';
import { openTerminal } from '../../clients/cli/src/testing/terminal.ts';
import { newWallet } from '../../services/gateway/src/testing/wallet.ts';
import { accountOf, must } from '../coordinator.ts';
import { leaveLetter } from '../dead-letter.ts';
import { commandsOf } from './commands.ts';
import { installedCli, nodes, type World } from './world.ts';

/** Every command, through real pipes, as somebody gets it. */
export const installedCommandLine = (world: () => World) => {
  const { terminal, good, json } = commandsOf(world);

  test('jobs: run, submit, watch, get, list, cancel', async () => {
    const { aitbc, given, home } = terminal('client');
    expect(
      json(await aitbc('jobs', 'run', 'language_detection', '-p', 'text=Wo ist der Bahnhof?')),
    ).toMatchObject({
      language: 'de',
    });
    writeFileSync(join(home, 'text.txt'), 'Buongiorno a tutti, come state?');
    const [submitted, piped] = await Promise.all([
      aitbc('jobs', 'submit', 'language_detection', '-p', 'text=@text.txt', '--label', 'of a pipe'),
      given('{"text": "Où est la gare?"}', 'jobs', 'run', 'language_detection', '--params', '-', '--json'),
    ]);
    expect(json(piped)).toMatchObject({ status: 'completed', result: { language: 'fr' } });
    const id = good(submitted).trim();
    const watched = good(await aitbc('jobs', 'watch', id, '--json'));
    const types = watched
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).type);
    expect(types).toEqual(['pending', 'running', 'completed']);

    const [got, listed, table] = await Promise.all([
      aitbc('jobs', 'get', id, '--wait'),
      aitbc('jobs', 'list', '--label', 'of a pipe', '--json'),
      aitbc('jobs', 'list', '--type', 'language_detection', '-n', '2'),
    ]);
    expect(good(got)).toContain('"language": "it"');
    expect(json(listed)).toMatchObject([{ id, status: 'completed' }]);
    expect(good(table).split('\n')).toHaveLength(4);
    expect(good(table)).not.toContain('\u001b');

    const waiting = good(
      await aitbc('jobs', 'submit', 'custom', '-p', 'input={"a": 1}', '--region', 'nowhere'),
    ).trim();
    expect(good(await aitbc('jobs', 'cancel', waiting))).toBe(`${waiting} cancelled\n`);
    expect(await aitbc('jobs', 'cancel', waiting)).toMatchObject({ exit: 5 });
    expect(await aitbc('jobs', 'get', waiting)).toMatchObject({ exit: 9 });

    expect(await aitbc('jobs', 'wipe', id)).toMatchObject({ exit: 2 });
    expect(good(await aitbc('jobs', 'wipe', id, '--yes'))).toBe(`${id} wiped\n`);
    const gone = await aitbc('jobs', 'get', id);
    expect(gone.exit).not.toBe(0);
    expect(gone.stderr).toContain('erased');
  });

  test('jobs run that is interrupted cancels its job', async () => {
    const { start } = terminal('client2');
    const { client2 } = world().coordinator;
    const child = start('jobs', 'run', 'custom', '-p', 'input=1', '--region', 'nowhere');
    const newest = async () =>
      must(await client2.call(routes.jobs.list, { query: { job_type: 'custom', limit: 1 } })).items[0];
    await expect.poll(async () => (await newest())?.status, { timeout: 20_000 }).toBe('pending');
    const ended = new Promise((done) => child.on('close', done));
    child.kill('SIGINT');
    expect(await ended).toBe(130);
    expect((await newest())?.status).toBe('cancelled');
  });

  test('errors: what to do next, the exit code, and JSON for scripts', async () => {
    const { coordinator } = world();
    const client = terminal('client');
    const [typo, wrong, missing, refused, nobody, miner] = await Promise.all([
      client.aitbc('jobs', 'lst'),
      terminal('ak_wrong').aitbc('jobs', 'list'),
      client.aitbc('jobs', 'get', '0190f2a4-6c3b-7d21-9a52-3f7b6f0c1e42', '--json'),
      client.aitbc('jobs', 'submit', 'language_detection', '-p', 'text=""'),
      terminal('client', { AITBC_URL: 'http://127.0.0.1:9' }).aitbc('explorer', 'blocks'),
      terminal('miner').aitbc('jobs', 'list'),
    ]);
    expect(typo).toMatchObject({ exit: 2, stderr: expect.stringContaining('Did you mean list?') });
    expect(wrong).toMatchObject({ exit: 3, stderr: expect.stringContaining('aitbc login') });
    expect(missing.exit).toBe(4);
    expect(JSON.parse(missing.stderr)).toMatchObject({
      error: { code: 'NOT_FOUND', message: expect.any(String), request_id: expect.any(String) },
    });
    expect(refused).toMatchObject({ exit: 2, stderr: expect.stringContaining('parameters.text') });
    expect(nobody).toMatchObject({ exit: 8, stderr: expect.stringContaining('aitbc doctor') });
    expect(miner).toMatchObject({ exit: 3 });
    for (const { stdout, stderr } of [typo, wrong, refused, nobody, miner]) {
      expect(stdout).toBe('');
      expect(stderr).not.toContain('\u001b');
      expect(stderr).not.toContain(coordinator.keys.client);
    }
  });

  test('a key is asked for on a terminal, kept for its owner alone, and sent to its own coordinator only', {
    timeout: 120_000,
  }, async () => {
    const { coordinator } = world();
    const { home, aitbc, given, onTerminal } = openTerminal({}, [process.execPath, installedCli(world())]);
    const file = join(home, '.config/aitbc/credentials.json');
    const shown = await onTerminal(
      [['Key', `${coordinator.keys.client}\r`]],
      'login',
      '--url',
      coordinator.url,
    );
    expect(shown).toMatchObject({ exit: 0, stdout: expect.stringContaining('Stored as profile default') });
    expect(shown.stdout).not.toContain(coordinator.keys.client);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(good(await aitbc('whoami'))).toContain(await accountOf(coordinator.client));

    good(
      await given(
        `${coordinator.keys.miner}\n`,
        'login',
        '--profile',
        'mine',
        '--url',
        `${coordinator.url}/`,
      ),
    );
    expect(json(await aitbc('--profile', 'mine', 'whoami', '--json'))).toMatchObject({
      profile: 'mine',
      scopes: ['miner'],
    });
    expect(json(await aitbc('whoami', '--json'))).toMatchObject({ profile: 'default' });
    const elsewhere = await aitbc('whoami', '--url', coordinator.url.replace('127.0.0.1', 'localhost'));
    expect(elsewhere.exit).toBe(3);

    const before = readFileSync(file, 'utf8');
    const bad = await given('ak_wrong\n', 'login', '--url', coordinator.url);
    expect(bad).toMatchObject({ exit: 2, stderr: expect.stringContaining('Nothing was stored') });
    expect(readFileSync(file, 'utf8')).toBe(before);
    good(await aitbc('logout', '--profile', 'mine'));
    expect(await aitbc('whoami', '--profile', 'mine')).toMatchObject({ exit: 2 });
  });

  test('a terminal has colours and something that moves, unless it is asked not to', async () => {
    const { onTerminal } = terminal('client');
    const args = ['jobs', 'run', 'language_detection', '-p', 'text=Guten Tag zusammen'];
    const { exit, stdout } = await onTerminal([], ...args);
    expect({ exit, stdout }).toEqual({ exit: 0, stdout: expect.stringContaining('⠋') });
    const list = ['jobs', 'list', '-n', '1'];
    expect((await onTerminal([], ...list)).stdout).toContain('\u001b[1m');
    expect((await terminal('client', { NO_COLOR: '1' }).onTerminal([], ...list)).stdout).not.toContain(
      '\u001b[1m',
    );
    expect((await onTerminal([], '--no-color', ...list)).stdout).not.toContain('\u001b[1m');
  });

  test('gpus: offer, list, book, orders, release, change, withdraw', async () => {
    const [owner, booker] = [terminal('miner'), terminal('client')];
    const offer = ['--model', 'RTX 4090', '--memory', '24', '--region', 'eu-central', '--price', '0.5'];
    const id = good(await owner.aitbc('gpus', 'offer', ...offer)).trim();
    const [listed, table] = await Promise.all([
      booker.aitbc('gpus', 'list', '--all', '--json'),
      booker.aitbc('gpus', 'list', '--all', '--sort', 'price'),
    ]);
    expect(json(listed)).toEqual([expect.objectContaining({ id, model: 'RTX 4090' })]);
    expect(good(table)).toContain('eu-central');
    const booked = json(
      await booker.aitbc('gpus', 'book', id, '--hours', '2', '--max-price', '0.5', '--json'),
    );
    expect(booked).toMatchObject({ gpu_id: id, status: 'active', amount: 1 });
    expect(await booker.aitbc('gpus', 'book', id, '--hours', '1')).toMatchObject({
      exit: 5,
      stderr: expect.stringContaining('GPU_NOT_AVAILABLE'),
    });
    expect(good(await booker.aitbc('gpus', 'orders'))).toContain(booked.id);
    expect(good(await booker.aitbc('gpus', 'release', id))).toContain('ended');
    expect(good(await owner.aitbc('gpus', 'change', id, '--price', '0.4'))).toContain('0.4 AITBC an hour');
    expect(good(await owner.aitbc('gpus', 'withdraw', id))).toBe(`${id} withdrawn\n`);
  });

  test('wallet: balance, history, buy', async () => {
    const { aitbc, onTerminal, start } = terminal('client');
    expect(json(await aitbc('wallet', 'balance', '--json')).balance).toBeGreaterThan(900);
    const bought = json(await aitbc('wallet', 'buy', '10', '--no-wait', '--json'));
    expect(bought).toMatchObject({ aitbc_amount: 10, status: 'pending' });
    // A code that a telephone reads, on a terminal alone.
    expect((await onTerminal([], 'wallet', 'buy', '10', '--no-wait')).stdout).toContain('▀');
    expect(await aitbc('wallet', 'buy')).toMatchObject({ exit: 2 });

    const waiting = start('wallet', 'buy', '20');
    let said = '';
    waiting.stdout?.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    const ended = new Promise((done) => waiting.on('close', done));
    const payment = await expect
      .poll(() => /payment\s+([0-9a-f-]{36})/.exec(said)?.[1], { timeout: 20_000 })
      .toBeDefined()
      .then(() => /payment\s+([0-9a-f-]{36})/.exec(said)?.[1] as string);
    const { client } = world().coordinator;
    must(await client.call(routes.payments.devBitcoinSend, { body: { payment_id: payment } }));
    must(await client.call(routes.payments.devBitcoinMine, { body: { blocks: 6 } }));
    expect(await ended).toBe(0);
    expect(said).toContain('Credited: 20 AITBC');
  });

  test('gov: parameters, propose, list, show, vote, cancel, execute; and what operators may', async () => {
    const { coordinator } = world();
    const voter = await coordinator.newAccount(['vote', 'client']);
    await world().coordinator.admin.call(routes.payments.credit, {
      params: { account_id: voter.id },
      body: { amount: 500, reason: 'to vote with' },
    });
    const { aitbc } = terminal(voter.key);
    expect(good(await aitbc('gov', 'parameters'))).toContain('platform_fee_basis_points');
    const power = async () =>
      must(await voter.caller.call(routes.governance.votingPower, { params: { user_id: voter.id } }))
        .voting_power;
    await expect.poll(power, { timeout: 20_000 }).toBe(500);
    const words = 'Miners earn more when the platform takes less, so there will be more of them.';
    const proposal = json(
      await aitbc(
        ...['gov', 'propose', '--json', '--title', 'Lower the platform fee', '--description', words],
        ...['--parameter', 'platform_fee_basis_points', '--value', '200'],
      ),
    );
    expect(good(await aitbc('gov', 'vote', proposal.id, 'for', '--reason', 'yes'))).toBe(
      'Voted for with 500 AITBC.\n',
    );
    expect(good(await aitbc('gov', 'list', '--status', 'active'))).toContain('Lower the platform fee');
    expect(good(await aitbc('gov', 'show', proposal.id))).toContain('500 for');
    expect(await aitbc('gov', 'execute', proposal.id)).toMatchObject({ exit: 5 });
    expect(good(await aitbc('gov', 'cancel', proposal.id))).toBe(`${proposal.id} cancelled\n`);
    const admin = terminal('admin');
    const why = ['--reason', 'a test of the command line'];
    const [veto, reset, debts] = await Promise.all([
      admin.aitbc('admin', 'veto', proposal.id, ...why),
      admin.aitbc('admin', 'reset-parameter', 'platform_fee_basis_points', ...why),
      admin.aitbc('admin', 'debts'),
    ]);
    expect(veto).toMatchObject({ exit: 5, stderr: expect.stringContaining('PROPOSAL_NOT_VETOABLE') });
    expect(good(reset)).toBe('platform_fee_basis_points is 250\n');
    expect(debts).toMatchObject({ exit: 0, stderr: 'No debts.\n' });
  });

  test('explorer and receipts: seen, and checked', async () => {
    const { coordinator } = world();
    const { aitbc, given, home } = terminal('client');
    const sealed = async () => must(await coordinator.anyone.call(routes.payments.blocks, {})).items.length;
    await expect.poll(sealed, { timeout: 20_000 }).toBeGreaterThan(0);
    expect(good(await aitbc('explorer', 'blocks', '-n', '1'))).toContain('height');
    expect(good(await aitbc('explorer', 'verify'))).toMatch(/^Valid: \d+ blocks, \d+ transactions\.\n$/);
    const [credit] = json(await aitbc('wallet', 'history', '--json')).slice(-1);
    expect(good(await aitbc('explorer', 'tx', credit.hash, '--check'))).toContain('credit');

    const job = json(await aitbc('jobs', 'run', 'language_detection', '-p', 'text=Hvor er den?', '--json'));
    const [receipt] = must(
      await coordinator.client.call(routes.jobs.receipts, { params: { job_id: job.id } }),
    ).items;
    const keys = must(await coordinator.anyone.call(routes.jobs.jwks, {}));
    writeFileSync(join(home, 'receipt.json'), JSON.stringify(receipt));
    writeFileSync(join(home, 'keys.json'), JSON.stringify(keys));
    const offline = openTerminal({ AITBC_URL: 'http://127.0.0.1:9' }, [
      process.execPath,
      installedCli(world()),
    ]);
    const path = (name: string) => join(home, name);
    expect(
      good(await offline.aitbc('receipt', 'verify', path('receipt.json'), '--keys', path('keys.json'))),
    ).toContain(job.id);
    expect(good(await given(receipt?.proof ?? '', 'receipt', 'verify', '-'))).toContain(job.id);
    writeFileSync(join(home, 'forged.json'), JSON.stringify({ ...receipt, result: { language: 'xx' } }));
    expect(await aitbc('receipt', 'verify', 'forged.json')).toMatchObject({
      exit: 10,
      stderr: expect.stringContaining('the result at hand is not what was signed'),
    });
  });

  test('keys: made, rotated and revoked in the session of a person', async () => {
    const { coordinator } = world();
    const { gateway } = routes;
    const wallet = newWallet();
    const { message } = must(
      await coordinator.anyone.call(gateway.challenge, { body: { wallet_address: wallet.address } }),
    );
    const signature = await wallet.signMessage({ message });
    const { session_token } = must(
      await coordinator.anyone.call(gateway.login, {
        body: { wallet_address: wallet.address, message, signature },
      }),
    );
    const { aitbc } = terminal(rememberSecret(session_token));
    const made = json(await aitbc('keys', 'create', '--label', 'laptop', '--spend-cap', '10', '--json'));
    expect(made).toMatchObject({ label: 'laptop', scopes: ['client'], spend_cap: 10 });
    expect(good(await terminal(made.key).aitbc('whoami'))).toContain('client');
    expect(good(await aitbc('keys', 'list'))).toContain('laptop');
    const rotated = await aitbc('keys', 'rotate', made.id, '--overlap', '60');
    expect(good(rotated)).toMatch(/^ak_\S+\n$/);
    expect(good(await aitbc('keys', 'revoke', made.id))).toBe(`${made.id} revoked\n`);
    expect(await aitbc('keys', 'revoke', made.id)).toMatchObject({ exit: 5 });
  });

  test('miner, admin, keys, doctor, completion', async () => {
    const { coordinator } = world();
    const [miner, admin, client] = [terminal('miner'), terminal('admin'), terminal('client')];
    const account = await accountOf(coordinator.client2);
    const [status, earnings, stats, credit, made, letters, session, health, completion] = await Promise.all([
      miner.aitbc('miner', 'status'),
      miner.aitbc('miner', 'earnings', '--json'),
      admin.aitbc('admin', 'stats'),
      admin.aitbc('admin', 'credit', account, '1.5', '--reason', 'of a pipe'),
      admin.aitbc('admin', 'keys', 'create', '--label', 'made in a terminal', '--json'),
      admin.aitbc('admin', 'dead-letters', 'list'),
      client.aitbc('keys', 'list'),
      client.aitbc('doctor'),
      client.aitbc('completion', 'bash'),
    ]);
    expect(good(status)).toContain('language_detection');
    expect(json(earnings)[0].jobs_completed).toBeGreaterThan(0);
    expect(good(stats)).toContain('governance');
    expect(good(credit)).toContain('Credited 1.5 AITBC');
    expect(letters).toMatchObject({ exit: 0, stderr: 'No dead letters.\n' });
    expect(session).toMatchObject({ exit: 3, stderr: expect.stringContaining('user session') });
    expect(good(health)).toContain('All is well.');
    expect(good(completion)).toContain('complete -o default -F _aitbc aitbc');
    const key = json(made);
    expect(good(await terminal(key.key).aitbc('whoami'))).toContain(key.account_id);
    expect(good(await admin.aitbc('admin', 'keys', 'list', '--account', key.account_id))).toContain(
      'made in a terminal',
    );
    const lines = good(await client.aitbc('account', 'export'))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string; data: { id?: string; status?: string } });
    expect(lines[0]).toMatchObject({ type: 'account' });
    // Of one that was wiped the receipt is left, too.
    const done = lines.filter(({ type, data }) => type === 'job' && data.status === 'completed');
    expect(done.length).toBeGreaterThan(0);
    expect(lines.filter(({ type }) => type === 'receipt').length).toBe(done.length);
    expect(lines.at(-1)).toMatchObject({ type: 'end', data: { left_out: ['api_key', 'miner'] } });
    good(await admin.aitbc('admin', 'keys', 'revoke', key.id));
    const revoked = await admin.aitbc('admin', 'audit', '--account', key.account_id);
    expect(good(revoked)).toMatch(new RegExp(`key.revoked +${key.id}[^]*key.created +${key.id}`));
    // The credit is another service's: it is told a moment later.
    await eventually(async () => {
      const audit = await admin.aitbc('admin', 'audit', '--action', 'account.credited', '--json');
      expect(json(audit)[0]).toMatchObject({ account_id: account, details: { reason: 'of a pipe' } });
      return true;
    });
    expect(
      json(
        await client
          .aitbc('complete', '--', 'jobs', 'b')
          .then((ran) => ({ ...ran, stdout: JSON.stringify(ran.stdout) })),
      ),
    ).toBe('batch\n');
  });

  test('a dead letter is tried again, another is dropped, and of none there is nothing to do', async () => {
    const { dataDir } = world().coordinator;
    const admin = terminal('admin');
    const [tried, dropped] = [await leaveLetter(dataDir, 30), await leaveLetter(dataDir, 31)];
    expect(good(await admin.aitbc('admin', 'dead-letters', 'list'))).toMatch(
      new RegExp(`${dropped}[^]*${tried}|${tried}[^]*${dropped}`),
    );
    const act = (action: string, id: string) => admin.aitbc('admin', 'dead-letters', action, 'miners', id);
    expect(good(await act('replay', tried))).toBe(`${tried} is tried again\n`);
    expect(good(await act('drop', dropped))).toBe(`${dropped} dropped\n`);
    expect(await act('drop', dropped)).toMatchObject({ exit: 4 });
    await eventually(async () => {
      const { stderr } = await admin.aitbc('admin', 'dead-letters', 'list');
      return stderr === 'No dead letters.\n';
    });
  });

  test.each(nodes)('it starts with $name', async ({ path }) => {
    const { aitbc } = openTerminal({}, [path, installedCli(world())]);
    expect(good(await aitbc('--version'))).toBe('0.1.0\n');
  });
};
