import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type Flag, type Input, InputError, type Terminal } from './command.ts';
import { parse } from './flags.ts';

/** Of `--provider=aws`; those without `aws-` have the AWS Load Balancer Controller's names and defaults. */
export const awsFlags: readonly Flag[] = [
  {
    name: 'aws-region',
    value: 'REGION',
    help: 'Region of the cluster (aws) [$AWS_REGION, else of the instance]',
    parse: parse.text,
  },
  { name: 'aws-vpc-id', value: 'VPC', help: 'VPC of the cluster (aws) [of the instance]', parse: parse.text },
  { name: 'aws-vpc-tags', value: 'K=V,...', help: 'Tags that only the VPC of the cluster has (aws)', parse: pairs },
  toggle('aws-adopt-lbc', 'false', 'Take over what the AWS Load Balancer Controller made for our Services'),
  toggle('aws-publish-when-healthy', 'false', 'Show the host name only once a target is healthy'),
  toggle('aws-allow-targets-outside-vpc', 'false', 'Accept pod addresses outside the CIDRs of the VPC'),
  toggle('aws-load-balancer-security-groups', 'true', 'Give load balancers security groups'),
  toggle('aws-tcp-udp-listeners', 'true', 'Make one TCP_UDP listener of TCP and UDP on one port'),
  {
    name: 'max-targets-per-target-group',
    value: 'N',
    help: 'At most so many targets in a group (aws)',
    parse: parse.integer(1, 1000),
  },
  {
    name: 'backend-security-group',
    value: 'SG',
    help: 'The source of rules on nodes, in place of one that we make (aws)',
    parse: parse.text,
  },
  {
    name: 'default-load-balancer-scheme',
    value: 'SCHEME',
    help: 'Of Services that do not say (aws)',
    parse: parse.oneOf('internal', 'internet-facing'),
    default: 'internal',
    choices: ['internal', 'internet-facing'],
  },
  {
    name: 'default-ssl-policy',
    value: 'POLICY',
    help: 'Of TLS listeners that do not say (aws)',
    parse: parse.text,
    default: 'ELBSecurityPolicy-2016-08',
  },
  { name: 'default-tags', value: 'K=V,...', help: 'On everything that we create (aws)', parse: pairs },
  {
    name: 'default-target-type',
    value: 'TYPE',
    help: 'Of Services that do not say: instance sends to node ports, ip to pods (aws)',
    parse: parse.oneOf('instance', 'ip'),
    default: 'instance',
    choices: ['instance', 'ip'],
  },
  toggle('disable-restricted-sg-rules', 'false', 'Open all ports of nodes to the load balancers, not a range'),
  toggle('enable-backend-security-group', 'true', 'One security group for the way to the nodes, of all load balancers'),
  { name: 'external-managed-tags', value: 'KEYS', help: 'Tags that others look after (aws)', parse: parse.list },
];

const names: ReadonlySet<string> = new Set(awsFlags.map(({ name }) => name));

/** Flags that belong to --provider=aws and were given to another. */
export function strayAwsFlags({ given }: Pick<Input, 'given'>): readonly string[] {
  return [...given].filter((name) => names.has(name));
}

/** What the provider gets: the flags that were given, by name, and the in-tree provider's file as text. */
export async function awsConfig({ flags, given }: Input, { cwd }: Pick<Terminal, 'cwd'>): Promise<object> {
  const file = flags['cloud-config'] as string | undefined;
  const own = Object.fromEntries([...given].filter((name) => names.has(name)).map((name) => [name, flags[name]]));
  if (file === undefined) return own;
  try {
    return { ...own, cloudConfig: { file, text: await readFile(resolve(cwd, file), 'utf8') } };
  } catch (error) {
    throw new InputError([`--cloud-config: ${file}: ${(error as Error).message}`]);
  }
}

function toggle(name: string, fallback: 'true' | 'false', help: string): Flag {
  return { name, help: `${help} (aws)`, parse: parse.boolean, default: fallback };
}

/** 'k=v,k=v'; a comma or an equals sign in a value needs a backslash before it, as in the annotations. */
function pairs(text: string): Readonly<Record<string, string>> {
  const items = text.match(/(?:\\.|[^,\\])+/g) ?? [];
  return Object.fromEntries(
    items.map((item) => {
      const [, key = '', value] = /^\s*((?:\\.|[^=\\])+?)\s*=(.*)$/s.exec(item) ?? [];
      if (value === undefined)
        throw new Error(`has ${JSON.stringify(item.trim())} without "="; write key=value,key=value`);
      return [key.replace(/\\(.)/g, '$1'), value.trim().replace(/\\(.)/g, '$1')];
    }),
  );
}
