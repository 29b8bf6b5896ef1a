import { type Command, InputError, type Terminal } from './command.ts';
import { hint, parseFlags } from './flags.ts';
import { commandHelp, overview } from './help.ts';
import { paint } from './table.ts';
import { version } from './version.ts';

/** Command name -> its file; literal imports, so that one command loads only its own code. */
export const commands: Readonly<Record<string, () => Promise<Command>>> = {
  controller: async () => (await import('./controller.ts')).command,
  agent: async () => (await import('./agent.ts')).command,
  plan: async () => (await import('./plan.ts')).command,
  status: async () => (await import('./status.ts')).command,
  why: async () => (await import('./why.ts')).command,
  gc: async () => (await import('./gc.ts')).command,
  demo: async () => (await import('./demo.ts')).command,
  completion: async () => (await import('./completion.ts')).completionOf(allCommands),
};

/** Every command, in the order of the help. */
export const allCommands = async (): Promise<readonly Command[]> =>
  await Promise.all(Object.values(commands).map((open) => open()));

/** Argv to exit code: 0, 1 failure, 2 usage or input. Never throws. */
export async function runCli(argv: readonly string[], terminal: Terminal): Promise<number> {
  const [name, ...rest] = argv;
  try {
    if (name === '--version' || name === 'version') {
      terminal.stdout.write(`fairlead ${await version()}\n`);
      return 0;
    }
    if (name === undefined || name === '--help' || name === '-h' || name === 'help')
      return await help(rest[0], name, terminal);
    const command = await load(name);
    if (rest.includes('--help') || rest.includes('-h')) {
      terminal.stdout.write(commandHelp(command));
      return 0;
    }
    return await command.run(parseFlags(rest, command.flags, command.maxArgs), terminal);
  } catch (error) {
    return report(error, name ?? '', terminal);
  }
}

async function help(topic: string | undefined, asked: string | undefined, terminal: Terminal): Promise<number> {
  if (topic !== undefined && asked === 'help') {
    terminal.stdout.write(commandHelp(await load(topic)));
    return 0;
  }
  // Without any word somebody made a mistake; with --help it is what was asked for.
  (asked === undefined ? terminal.stderr : terminal.stdout).write(overview(await allCommands()));
  return asked === undefined ? 2 : 0;
}

async function load(name: string): Promise<Command> {
  const open = commands[name];
  if (open !== undefined && Object.hasOwn(commands, name)) return await open();
  throw new InputError([
    `${JSON.stringify(name)} is no command${hint(name, Object.keys(commands))}; see fairlead --help`,
  ]);
}

function report(error: unknown, name: string, terminal: Terminal): number {
  const say = (text: string) => terminal.stderr.write(`${paint('red', 'error', terminal.stderr)}: ${text}\n`);
  if (error instanceof InputError) {
    for (const problem of error.problems) say(problem);
    return 2;
  }
  if (terminal.signal.aborted) return 0; // ended by the person, who knows
  say(error instanceof Error ? error.message : String(error));
  if (terminal.env['FAIRLEAD_DEBUG'] !== undefined && error instanceof Error) terminal.stderr.write(`${error.stack}\n`);
  else terminal.stderr.write(`(fairlead ${name} failed; FAIRLEAD_DEBUG=1 shows where)\n`);
  return 1;
}
