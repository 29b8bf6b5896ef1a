import { type Command, InputError } from './command.ts';
import { hint } from './flags.ts';

const shells = ['bash', 'zsh', 'fish'] as const;

/** `all`: the commands to complete, this one included. */
export const completionOf = (all: () => Promise<readonly Command[]>): Command => ({
  name: 'completion',
  summary: 'Print a completion script for a shell',
  usage: `${shells.join('|')}`,
  maxArgs: 1,
  flags: [],
  examples: [
    'source <(fairlead completion bash)',
    'fairlead completion zsh > ~/.zfunc/_fairlead',
    'fairlead completion fish > ~/.config/fish/completions/fairlead.fish',
  ],
  async run({ args: [shell] }, { stdout }) {
    if (shell === undefined) throw new InputError([`name a shell: ${shells.join(', ')}`]);
    const write = writers[shell as keyof typeof writers];
    if (write === undefined)
      throw new InputError([`${JSON.stringify(shell)} is none of ${shells.join(', ')}${hint(shell, shells)}`]);
    stdout.write(write(await all()));
    return 0;
  },
});

const flagsOf = ({ flags }: Command) => flags.filter(({ hidden }) => hidden !== true);

const writers = {
  bash: (all: readonly Command[]): string => `# bash completion for fairlead
_fairlead() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" words=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    words="${all.map(({ name }) => name).join(' ')} --help --version"
  else
    case "\${COMP_WORDS[1]}" in
${all.map((one) => `      ${one.name}) words="${[...flagsOf(one).map(({ name }) => `--${name}`), ...wordsOf(one), '--help'].join(' ')}" ;;`).join('\n')}
    esac
  fi
  COMPREPLY=( $(compgen -W "$words" -- "$cur") )
  [ \${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=( $(compgen -f -- "$cur") )
}
complete -F _fairlead fairlead
`,
  zsh: (all: readonly Command[]): string => `#compdef fairlead
_fairlead() {
  if (( CURRENT == 2 )); then
    local -a names=(${all.map(({ name, summary }) => quoted(`${name}:${summary}`)).join(' ')})
    _describe command names
    return
  fi
  case "$words[2]" in
${all
  .map(
    (one) =>
      `    ${one.name}) _arguments '*:argument:${wordsOf(one).length === 0 ? '_files' : `(${wordsOf(one).join(' ')})`}' ${flagsOf(
        one,
      )
        .map((flag) =>
          quoted(
            `--${flag.name}${flag.value === undefined ? '' : '='}[${flag.help.replaceAll(/[[\]:]/g, ' ')}]${flag.value === undefined ? '' : `:${flag.value}:${flag.choices === undefined ? '_files' : `(${flag.choices.join(' ')})`}`}`,
          ),
        )
        .join(' ')} ;;`,
  )
  .join('\n')}
  esac
}
compdef _fairlead fairlead
`,
  fish: (all: readonly Command[]): string =>
    `# fish completion for fairlead
${all.map(({ name, summary }) => `complete -c fairlead -n __fish_use_subcommand -f -a ${name} -d ${quoted(summary)}`).join('\n')}
${all.flatMap((one) => flagsOf(one).map((flag) => `complete -c fairlead -n '__fish_seen_subcommand_from ${one.name}' -l ${flag.name}${flag.value === undefined ? '' : ' -r'}${flag.choices === undefined ? '' : ` -a '${flag.choices.join(' ')}'`} -d ${quoted(flag.help)}`)).join('\n')}
${all.flatMap((one) => wordsOf(one).map((word) => `complete -c fairlead -n '__fish_seen_subcommand_from ${one.name}' -f -a ${word}`)).join('\n')}
`,
};

function wordsOf({ name }: Command): readonly string[] {
  return name === 'completion' ? shells : [];
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
