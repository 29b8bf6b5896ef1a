import type { Command, Flag } from './command.ts';

/** What `fairlead --help` prints. */
export function overview(commands: readonly Command[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  return [
    'fairlead: Service type LoadBalancer for any Kubernetes cluster',
    '',
    'Usage: fairlead COMMAND [flags]',
    '',
    'Commands:',
    ...commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`),
    '',
    'Examples:',
    ...commands.flatMap(({ examples }) => examples.slice(0, 1).map((example) => `  ${example}`)),
    '',
    'fairlead COMMAND --help tells more; --version prints the version.',
    'Exit codes: 0 done, 1 failure, 2 wrong usage or input.',
    '',
  ].join('\n');
}

/** What `fairlead COMMAND --help` prints. */
export function commandHelp(command: Command): string {
  const flags = command.flags.filter((flag) => flag.hidden !== true);
  return [
    `${command.summary}`,
    '',
    `Usage: fairlead ${command.name}${command.usage === '' ? '' : ` ${command.usage}`}${flags.length === 0 ? '' : ' [flags]'}`,
    '',
    'Examples:',
    ...command.examples.map((example) => `  ${example}`),
    ...(flags.length === 0 ? [] : ['', 'Flags:', ...flags.flatMap(flagHelp)]),
    '',
  ].join('\n');
}

function flagHelp(flag: Flag): readonly string[] {
  const names = [flag.name, ...(flag.aliases ?? [])].map((name) => `--${name}`).join(', ');
  const choices = flag.choices === undefined ? '' : ` (${flag.choices.join(', ')})`;
  const fallback = flag.default === undefined || flag.default === '' ? '' : ` [${flag.default}]`;
  return [`  ${names}${flag.value === undefined ? '' : `=${flag.value}`}`, `        ${flag.help}${choices}${fallback}`];
}
