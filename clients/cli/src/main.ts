#!/usr/bin/env node
import { runProgram } from './run.ts';

process.exitCode = await runProgram(process.argv.slice(2), process.env, process);
// Whatever is still open (a held connection, stdin) is of no interest any more.
process.stdout.write('', () => process.exit());
