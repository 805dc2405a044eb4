import { Argument, type Command } from 'commander';
import { UsageError } from '../failures.ts';
import type { Act } from '../program.ts';

/** The shell asks this program what may follow, so that a new version needs no new script. */
const SCRIPTS: Record<string, string> = {
  bash: `_aitbc() {
  local IFS=$'\\n'
  COMPREPLY=($(compgen -W "$(aitbc complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _aitbc aitbc`,
  zsh: `#compdef aitbc
_aitbc() {
  local -a found
  found=("\${(@f)$(aitbc complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  compadd -a found || _files
}
compdef _aitbc aitbc`,
  fish: `complete -c aitbc -f -a '(aitbc complete -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'`,
};

/** What may stand in the place of the last word. */
export const candidates = (program: Command, words: readonly string[]): string[] => {
  let at = program;
  for (const word of words.slice(0, -1)) at = at.commands.find((command) => command.name() === word) ?? at;
  const last = words.at(-1) ?? '';
  const own = last.startsWith('-')
    ? [...at.options, ...(at === program ? [] : program.options)].map(({ long }) => long ?? '')
    : at.commands.filter((command) => command.name() !== 'complete').map((command) => command.name());
  return own.filter((name) => name.startsWith(last) && name !== '').sort();
};

export const addCompletion = (program: Command, act: Act): void => {
  program
    .command('completion')
    .description('A script that completes commands and options')
    .addArgument(new Argument('<shell>').choices(Object.keys(SCRIPTS)))
    .addHelpText(
      'after',
      `
Examples:
  aitbc completion bash >> ~/.bashrc
  aitbc completion zsh > "\${fpath[1]}/_aitbc"
  aitbc completion fish > ~/.config/fish/completions/aitbc.fish`,
    )
    .action(
      act(async ({ output }, shell: string) => {
        const script = SCRIPTS[shell];
        if (script === undefined) throw new UsageError(`There is no script for ${shell}.`);
        output.line(script);
      }),
    );
  program
    .command('complete', { hidden: true })
    .argument('[words...]')
    .action(
      act(async ({ output }, words: string[]) => {
        for (const word of candidates(program, words)) output.line(word);
      }),
    );
};
