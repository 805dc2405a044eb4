import { expect } from 'vitest';
import { openTerminal, type Ran, type Terminal } from '../../clients/cli/src/testing/terminal.ts';
import { installedCli, type World } from './world.ts';

/** The installed command line, with the key of one of the coordinator's callers or another one. */
export const commandsOf = (world: () => World) => {
  const terminal = (key: keyof World['coordinator']['keys'] | string, environment = {}): Terminal => {
    const { coordinator } = world();
    const AITBC_API_KEY = (coordinator.keys as Record<string, string>)[key] ?? key;
    return openTerminal({ AITBC_URL: coordinator.url, AITBC_API_KEY, ...environment }, [
      process.execPath,
      installedCli(world()),
    ]);
  };
  const good = (ran: Ran): string => {
    expect(ran).toMatchObject({ exit: 0 });
    return ran.stdout;
  };
  // biome-ignore lint/suspicious/noExplicitAny: what it holds is for the test to say
  const json = (ran: Ran): any => JSON.parse(good(ran));
  return { terminal, good, json };
};
