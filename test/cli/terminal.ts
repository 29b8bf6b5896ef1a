import { Readable } from 'node:stream';
import type { Terminal } from '../../src/cli/command.ts';

export interface FakeTerminal extends Terminal {
  readonly out: () => string;
  readonly err: () => string;
}

/** A terminal that remembers what was written. */
export function fakeTerminal(more: { readonly stdin?: string } & Partial<Omit<Terminal, 'stdin'>> = {}): FakeTerminal {
  const [out, err]: [string[], string[]] = [[], []];
  const { stdin = '', ...rest } = more;
  return {
    stdout: { write: (text: string) => out.push(text) },
    stderr: { write: (text: string) => err.push(text) },
    stdin: Readable.from([stdin]),
    env: {},
    cwd: process.cwd(),
    signal: new AbortController().signal,
    ...rest,
    out: () => out.join(''),
    err: () => err.join(''),
  };
}
