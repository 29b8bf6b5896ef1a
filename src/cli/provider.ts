import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { ProviderModule } from '../core/provider.ts';
import { InputError } from './command.ts';

/** Names that `--provider` takes besides paths and packages. */
export const builtIn = ['onprem', 'aws', 'memory'] as const;

/**
 * The module behind `--provider`: a built-in name, a path ('./mine.js', '/opt/mine.js') or an npm package that is
 * installed below `cwd`. Throws an InputError that says what is wrong with it.
 */
export async function loadProvider(name: string, cwd: string): Promise<ProviderModule> {
  // Literal imports: each becomes a chunk of its own, and a cloud SDK loads only when its provider is chosen.
  switch (name) {
    case 'onprem':
      return await loadOnprem();
    case 'aws':
      return await loadAws();
    case 'memory':
      return await import('../../providers/memory/index.ts');
    default:
      return checked(name, await importModule(name, cwd, '--provider'));
  }
}

/** On-prem with what only the command line asks of it: explanations, pool edits, cleaning up. */
export const loadOnprem = async () => await import('../../providers/onprem/index.ts');

/** AWS with what only the command line asks of it: load balancers as they are there. */
export const loadAws = async () => await import('../../providers/aws/index.ts');

/** Imports a path or a package from the point of view of `cwd`; `flag` is named in errors. */
export async function importModule(
  name: string,
  cwd: string,
  flag: string,
): Promise<Readonly<Record<string, unknown>>> {
  const url = locate(name, cwd, flag);
  try {
    return (await import(url)) as Readonly<Record<string, unknown>>;
  } catch (error) {
    throw new InputError([`${flag}: ${JSON.stringify(name)} does not load: ${(error as Error).message}`]);
  }
}

function locate(name: string, cwd: string, flag: string): string {
  if (/^(\.{0,2}\/|[A-Za-z]:\\)/.test(name) || name.startsWith('file:')) {
    return name.startsWith('file:') ? name : pathToFileURL(resolve(cwd, name)).href;
  }
  try {
    return pathToFileURL(createRequire(pathToFileURL(`${cwd}/`)).resolve(name)).href;
  } catch (error) {
    throw new InputError([`${flag}: ${whyNot(name, error as NodeJS.ErrnoException)}`]);
  }
}

function whyNot(name: string, error: NodeJS.ErrnoException): string {
  if (error.code === 'ERR_PACKAGE_PATH_NOT_EXPORTED') {
    return `package ${JSON.stringify(name)} exports nothing that can be found: its "exports" must have a "default" condition, "import" alone is not enough`;
  }
  return `${JSON.stringify(name)} is none of ${builtIn.join(', ')}, and no package of that name is installed here; write a path as ./mine.js`;
}

function checked(name: string, module: Readonly<Record<string, unknown>>): ProviderModule {
  const { apiVersion, create } = module;
  const problems: string[] = [];
  if (apiVersion !== 1) {
    problems.push(
      `--provider: ${JSON.stringify(name)} exports apiVersion ${JSON.stringify(apiVersion) ?? 'nothing'}; this Fairlead needs 1`,
    );
  }
  if (typeof create !== 'function') problems.push(`--provider: ${JSON.stringify(name)} exports no function "create"`);
  if (problems.length > 0) throw new InputError(problems);
  return module as unknown as ProviderModule;
}
