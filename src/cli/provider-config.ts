import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { parse as parseYaml } from 'yaml';
import { awsConfig, strayAwsFlags } from './aws-flags.ts';
import { type Input, InputError, type Terminal } from './command.ts';
import { importModule } from './provider.ts';

/** The provider's own file, with the flags that belong to it on top. */
export async function providerConfig(input: Input, { cwd }: Pick<Terminal, 'cwd'>): Promise<unknown> {
  const { flags, given } = input;
  if (flags['provider'] !== 'onprem')
    refuse(
      'onprem',
      ['ipam', 'metallb-namespace'].filter((name) => given.has(name)),
    );
  if (flags['provider'] === 'aws') return await awsConfig(input, { cwd });
  refuse('aws', strayAwsFlags(input));
  const file = flags['cloud-config'] as string | undefined;
  const config = file === undefined ? {} : await readConfig(file, cwd);
  const namespace = flags['metallb-namespace'] as string;
  const ipam = flags['ipam'] as string | undefined;
  if (flags['provider'] !== 'onprem') return config;
  const classes = flags['load-balancer-class'] as readonly string[] | undefined;
  return {
    identity: hostname(),
    ...config,
    ...(given.has('metallb-namespace') || config['metallbNamespace'] === undefined
      ? { metallbNamespace: namespace }
      : {}),
    ...(classes === undefined ? {} : { classes }),
    ...(ipam === undefined ? {} : { ipam: await importModule(ipam, cwd, '--ipam') }),
  };
}

function refuse(provider: string, wrong: readonly string[]): void {
  if (wrong.length > 0) throw new InputError(wrong.map((name) => `--${name} belongs to --provider=${provider}`));
}

async function readConfig(file: string, cwd: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    const value = parseYaml(await readFile(resolve(cwd, file), 'utf8')) as unknown;
    if (value === null || value === undefined) return {};
    if (typeof value !== 'object' || Array.isArray(value)) throw new Error('is no mapping of names to values');
    return value as Readonly<Record<string, unknown>>;
  } catch (error) {
    throw new InputError([`--cloud-config: ${file}: ${(error as Error).message.split('\n')[0]}`]);
  }
}

/** The same for a command that only looks: on-prem then never writes, and what it applies it only pretends. */
export async function viewing(input: Input, terminal: Pick<Terminal, 'cwd'>): Promise<object> {
  const config = (await providerConfig(input, terminal)) as object;
  return input.flags['provider'] === 'onprem' ? { ...config, viewer: true } : config;
}
