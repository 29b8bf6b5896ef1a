import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { parseAllDocuments } from 'yaml';
import { InputError, type Terminal } from './command.ts';

/** An object out of a file, not yet looked at by an API server. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string } & Readonly<Record<string, unknown>>;
  readonly [field: string]: unknown;
}

/**
 * The documents of files ('-': standard input) in their order; `kind: List` is opened, empty documents are skipped.
 * Throws an InputError that names file, document and field of every problem.
 */
export async function readManifests(
  files: readonly string[],
  terminal: Pick<Terminal, 'stdin' | 'cwd'>,
): Promise<readonly Manifest[]> {
  const problems: string[] = [];
  const found: Manifest[] = [];
  for (const file of files) {
    const content = await contentOf(file, terminal, problems);
    if (content === undefined) continue;
    const before = found.length;
    for (const [index, document] of parseAllDocuments(content).entries()) {
      const where = `${file === '-' ? 'standard input' : file}, document ${index + 1}`;
      if (!('errors' in document)) continue; // yaml's marker of an empty stream
      for (const error of document.errors) problems.push(`${where}: ${error.message.split('\n')[0]}`);
      if (document.errors.length === 0) collect(document.toJS() as unknown, where, found, problems);
    }
    if (found.length === before && problems.length === 0)
      problems.push(`${file === '-' ? 'standard input' : file}: holds no object`);
  }
  if (problems.length > 0) throw new InputError(problems);
  return found;
}

async function contentOf(
  file: string,
  { stdin, cwd }: Pick<Terminal, 'stdin' | 'cwd'>,
  problems: string[],
): Promise<string | undefined> {
  try {
    return file === '-' ? await text(stdin) : await readFile(resolve(cwd, file), 'utf8');
  } catch (error) {
    problems.push(`${file}: cannot be read: ${(error as Error).message}`);
    return undefined;
  }
}

function collect(value: unknown, where: string, found: Manifest[], problems: string[]): void {
  if (value === null || value === undefined) return;
  if (typeof value !== 'object' || Array.isArray(value)) {
    problems.push(`${where}: is no Kubernetes object but ${Array.isArray(value) ? 'a list' : JSON.stringify(value)}`);
    return;
  }
  const { apiVersion, kind, metadata, items } = value as Readonly<Record<string, unknown>>;
  if (kind === 'List' && Array.isArray(items)) {
    for (const [index, item] of items.entries()) collect(item, `${where}, item ${index + 1}`, found, problems);
    return;
  }
  const before = problems.length;
  if (typeof apiVersion !== 'string' || apiVersion === '')
    problems.push(`${where}: apiVersion is missing; a Service has v1`);
  if (typeof kind !== 'string' || kind === '') problems.push(`${where}: kind is missing; write for example Service`);
  const name = (metadata as { readonly name?: unknown } | undefined)?.name;
  if (typeof name !== 'string' || name === '') problems.push(`${where}: metadata.name is missing`);
  if (problems.length === before) found.push(value as Manifest);
}
