import type { Readable } from 'node:stream';

/** What a command may touch of the process; tests give their own. */
export interface Terminal {
  readonly stdout: { write(text: string): unknown; readonly isTTY?: boolean; readonly columns?: number };
  readonly stderr: { write(text: string): unknown; readonly isTTY?: boolean };
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Aborts at SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
}

/** One flag of a command. `parse` turns its text into the value, or throws an Error that says the right form. */
export interface Flag {
  /** Without dashes: 'cluster-name'. */
  readonly name: string;
  readonly aliases?: readonly string[];
  /** Placeholder of the value in the help; absent for a boolean flag, which takes `=true` or `=false`. */
  readonly value?: string;
  readonly help: string;
  readonly parse: (text: string) => unknown;
  /** As text, so that help and parser cannot disagree; absent: no value. */
  readonly default?: string;
  /** Given again it adds to its list. */
  readonly repeats?: true;
  /** Offered by shell completion. */
  readonly choices?: readonly string[];
  /** Accepted for the sake of old manifests and left out of the help's first page. */
  readonly hidden?: true;
}

export type Values = Readonly<Record<string, unknown>>;

export interface Input {
  /** Flag name -> parsed value. */
  readonly flags: Values;
  /** Names of the flags that were given, not defaulted. */
  readonly given: ReadonlySet<string>;
  readonly args: readonly string[];
}

export interface Command {
  readonly name: string;
  readonly summary: string;
  /** How the positional arguments are written: '[svc/NAME]'. Empty: none are taken. */
  readonly usage: string;
  /** Most positional arguments it takes. */
  readonly maxArgs: number;
  readonly flags: readonly Flag[];
  readonly examples: readonly string[];
  /** Resolves to the exit code: 0, 1 failure. Throws InputError for 2. */
  run(input: Input, terminal: Terminal): Promise<number>;
}

/** Every problem of one input at once; ends the process with 2. */
export class InputError extends Error {
  override readonly name = 'InputError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.problems = problems;
  }
}
