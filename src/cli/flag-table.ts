import { parseCidr } from '../core/net/cidr.ts';
import type { Cidr } from '../core/provider.ts';
import { awsFlags } from './aws-flags.ts';
import type { Flag, Input } from './command.ts';
import { parse } from './flags.ts';
import { nodeFlags, nodeProblems } from './node-flags.ts';

/** Controllers of a cloud-controller-manager: name -> alias. Only those in `built` can run in this version. */
const aliases: Readonly<Record<string, string>> = {
  service: 'service-lb-controller',
  route: 'node-route-controller',
  'cloud-node': 'cloud-node-controller',
  'cloud-node-lifecycle': 'cloud-node-lifecycle-controller',
};
const built: readonly string[] = ['service', 'cloud-node', 'cloud-node-lifecycle', 'route'];

/** How to reach the API server: every command that talks to a cluster takes these. */
export const clusterFlags: readonly Flag[] = [
  {
    name: 'kubeconfig',
    value: 'FILE',
    help: "Cluster and credentials; without it $KUBECONFIG, then the pod's own, then ~/.kube/config",
    parse: parse.text,
  },
  { name: 'master', value: 'URL', help: 'API server, over what the kubeconfig says', parse: parse.text },
];

/** Who provides the load balancers. */
export const providerFlags: readonly Flag[] = [
  {
    name: 'provider',
    aliases: ['cloud-provider'],
    value: 'NAME',
    help: 'onprem, aws, memory, a path (./mine.js) or an npm package',
    parse: parse.text,
    choices: ['onprem', 'aws', 'memory'],
  },
  {
    name: 'cloud-config',
    value: 'FILE',
    help: "The provider's own configuration: YAML, for aws the in-tree provider's INI",
    parse: parse.text,
  },
  {
    name: 'cluster-name',
    value: 'NAME',
    help: 'Marks what we create in a cloud',
    parse: parse.text,
    default: 'kubernetes',
  },
  {
    name: 'load-balancer-class',
    value: 'LIST',
    help: "Values of spec.loadBalancerClass to serve; none stands for Services without one [none and the provider's]",
    parse: nonEmptyList,
  },
  {
    name: 'default-class',
    help: 'Serve classless Services also where the provider leaves them to others',
    parse: parse.boolean,
    default: 'false',
  },
  {
    name: 'metallb-namespace',
    value: 'NAMESPACE',
    help: 'Where pools and peers are read (onprem)',
    parse: parse.text,
    default: 'metallb-system',
  },
  {
    name: 'ipam',
    value: 'MODULE',
    help: 'Claim addresses from a module with claim and release (onprem)',
    parse: parse.text,
  },
  ...awsFlags,
];

/** Which Lease the leader holds. */
export const leaseFlags: readonly Flag[] = [
  {
    name: 'leader-elect-resource-name',
    value: 'NAME',
    help: 'The Lease; cloud-controller-manager takes over from a running one without overlap',
    parse: parse.text,
    default: 'fairlead-controller',
  },
  {
    name: 'leader-elect-resource-namespace',
    value: 'NAMESPACE',
    help: 'Where the Lease is',
    parse: parse.text,
    default: 'kube-system',
  },
];

/** The first choice is the default. */
export function outputFlag(...choices: readonly [string, ...string[]]): Flag {
  return {
    name: 'output',
    aliases: ['o'],
    value: 'FORMAT',
    help: 'How to print',
    parse: parse.oneOf(...choices),
    default: choices[0],
    choices,
  };
}

/** The namespace of svc/NAME. */
export const namespaceFlag: Flag = {
  name: 'namespace',
  aliases: ['n'],
  value: 'NAMESPACE',
  help: 'Of svc/NAME',
  parse: parse.text,
  default: 'default',
};

const electionFlags: readonly Flag[] = [
  { name: 'leader-elect', help: 'Work only while holding the Lease', parse: parse.boolean, default: 'true' },
  duration('leader-elect-lease-duration', 'Another may take the Lease after so long without renewal', '15s'),
  duration('leader-elect-renew-deadline', 'Give up leading after so long without a renewal', '10s'),
  duration('leader-elect-retry-period', 'Between two tries', '2s'),
  ...leaseFlags,
  {
    name: 'leader-elect-resource-lock',
    value: 'KIND',
    help: 'Only leases exist',
    parse: parse.oneOf('leases'),
    default: 'leases',
    hidden: true,
  },
];

const serviceFlags: readonly Flag[] = [
  {
    name: 'controllers',
    value: 'LIST',
    help: 'Which controllers run: *, names, -name to leave one out',
    parse: parse.list,
    default: '*',
  },
  {
    name: 'concurrent-service-syncs',
    value: 'N',
    help: 'Services worked on at once [10, 32 for on-prem]',
    parse: parse.integer(1, 1000),
  },
  duration('drift-check-period', 'How often everything is compared with what is really there', '10m'),
  { name: 'delete-orphans', help: 'Delete leftovers of ours after an hour', parse: parse.boolean, default: 'false' },
  {
    name: 'takeover-field-managers',
    value: 'LIST',
    help: 'Whose finalizers on classless Services count as ours',
    parse: parse.list,
    default: 'cloud-controller-manager',
  },
  {
    name: 'kube-api-qps',
    value: 'N',
    help: 'Requests per second to the API server; 0: no limit of ours, 429 is obeyed',
    parse: parse.number(0),
    default: '0',
  },
  {
    name: 'kube-api-burst',
    value: 'N',
    help: 'Requests at once under --kube-api-qps',
    parse: parse.integer(0),
    default: '0',
  },
];

const routeFlags: readonly Flag[] = [
  {
    name: 'cluster-cidr',
    value: 'CIDR[,CIDR]',
    help: 'Where pod CIDRs come from, one range of each IP family; empty: no routes are made',
    parse: clusterCidrs,
    default: '',
  },
  {
    name: 'configure-cloud-routes',
    help: 'Make a route to each pod CIDR, where the provider has route tables',
    parse: parse.boolean,
    default: 'true',
  },
  duration('route-reconciliation-period', 'How often all routes are compared with what is really there', '5m'),
];

const servingFlags: readonly Flag[] = [
  {
    name: 'bind-address',
    value: 'IP',
    help: 'For health paths without TLS, for everything with it [all addresses]',
    parse: parse.text,
  },
  {
    name: 'secure-port',
    value: 'PORT',
    help: 'Health, metrics and status; 0 turns it off',
    parse: parse.integer(0, 65_535),
    default: '10268',
  },
  { name: 'metrics-bind-address', value: 'IP:PORT', help: 'Plain HTTP, /metrics only', parse: hostPort },
  {
    name: 'tls-cert-file',
    value: 'FILE',
    help: 'Certificate of the serving port; re-read on change',
    parse: parse.text,
  },
  { name: 'tls-private-key-file', value: 'FILE', help: 'Its key', parse: parse.text },
  {
    name: 'webhook-cert-file',
    value: 'FILE',
    help: 'Serve the webhook that puts readiness gates on new pods, with this certificate; re-read on change',
    parse: parse.text,
  },
  { name: 'webhook-key-file', value: 'FILE', help: 'Its key', parse: parse.text },
  { name: 'webhook-bind-address', value: 'IP', help: 'Of the webhook [all addresses]', parse: parse.text },
  {
    name: 'webhook-secure-port',
    value: 'PORT',
    help: 'Of the webhook',
    parse: parse.integer(1, 65_535),
    default: '10270',
  },
  {
    name: 'log-level',
    value: 'LEVEL',
    help: 'What is written to standard output, as JSON',
    parse: parse.oneOf('debug', 'info', 'warn', 'error'),
    default: 'info',
    choices: ['debug', 'info', 'warn', 'error'],
  },
];

/** Names of the reference that mean something to controllers of later versions, or nothing at all any more. */
const inertFlags: readonly Flag[] = [
  inert('feature-gates', parse.anything),
  inert('min-resync-period', parse.durationMs),
  inert('node-sync-period', parse.durationMs),
  { ...inert('use-service-account-credentials', parse.boolean), value: undefined },
].map(({ value, ...flag }) => (value === undefined ? flag : { ...flag, value }));

/** Every flag of `fairlead controller`. */
export const controllerFlags: readonly Flag[] = [
  ...providerFlags,
  ...clusterFlags,
  ...serviceFlags,
  ...routeFlags,
  ...nodeFlags,
  ...electionFlags,
  ...servingFlags,
  ...inertFlags,
];

/** What the flags say beyond their single values: the rules between them. All problems, or none. */
export function flagProblems(input: Input): readonly string[] {
  const { flags, given } = input;
  const problems: string[] = [];
  if (flags['provider'] === undefined) problems.push('--provider is missing; write --provider=onprem');
  const [lease, renew, retry] = ['lease-duration', 'renew-deadline', 'retry-period'].map(
    (name) => flags[`leader-elect-${name}`] as number,
  ) as [number, number, number];
  if (lease <= renew) problems.push('--leader-elect-lease-duration must be longer than --leader-elect-renew-deadline');
  if (renew <= 1.2 * retry) {
    problems.push('--leader-elect-renew-deadline must be more than 1.2 times --leader-elect-retry-period');
  }
  if (given.has('tls-cert-file') !== given.has('tls-private-key-file')) {
    problems.push('--tls-cert-file and --tls-private-key-file go together');
  }
  if (given.has('webhook-cert-file') !== given.has('webhook-key-file')) {
    problems.push('--webhook-cert-file and --webhook-key-file go together');
  }
  if (flags['use-service-account-credentials'] === true) {
    problems.push('--use-service-account-credentials=true is not supported: Fairlead has one ServiceAccount');
  }
  for (const name of ['drift-check-period', 'route-reconciliation-period'])
    if ((flags[name] as number) < 1000) problems.push(`--${name} must be at least 1s`);
  return [...problems, ...nodeProblems(input), ...controllerProblems(flags['controllers'] as readonly string[])];
}

/** Names of the controllers that run. `*` means those that are built. */
export function controllersOf(list: readonly string[]): ReadonlySet<string> {
  const names = new Set<string>();
  for (const word of list) {
    if (word === '*') for (const name of built) names.add(name);
    else if (!word.startsWith('-')) names.add(canonical(word));
  }
  for (const word of list) if (word.startsWith('-')) names.delete(canonical(word.slice(1)));
  return names;
}

/** Given flags that have no effect in this version: to be warned of once. */
export function inertGiven({ given }: Input): readonly string[] {
  return inertFlags.map(({ name }) => name).filter((name) => given.has(name));
}

function controllerProblems(list: readonly string[]): readonly string[] {
  const known = Object.entries(aliases).flat();
  const problems = list
    .map((word) => word.replace(/^-/, ''))
    .filter((word) => word !== '*' && !known.includes(word))
    .map((word) => `--controllers: ${JSON.stringify(word)} is none of ${Object.keys(aliases).join(', ')}`);
  const missing = list.filter(
    (word) => word !== '*' && !word.startsWith('-') && known.includes(word) && !built.includes(canonical(word)),
  );
  for (const word of missing)
    problems.push(`--controllers: ${JSON.stringify(word)} is not built into this version; it has ${built.join(', ')}`);
  if (problems.length === 0 && controllersOf(list).size === 0)
    problems.push('--controllers leaves no controller to run');
  return problems;
}

function canonical(word: string): string {
  return Object.entries(aliases).find(([, alias]) => alias === word)?.[0] ?? word;
}

function nonEmptyList(text: string): readonly string[] {
  const list = parse.list(text);
  if (list.length === 0) throw new Error('names no class; write none, or a class such as fairlead.dev/onprem');
  return list;
}

/** One range, or one of each family. Empty: none. */
function clusterCidrs(text: string): readonly Cidr[] {
  const cidrs = parse.list(text).map((part) => {
    const cidr = parseCidr(part);
    if (cidr === undefined) throw new Error(`holds ${JSON.stringify(part)}, which is no CIDR such as 10.244.0.0/16`);
    return cidr;
  });
  const families = new Set(cidrs.map((cidr) => cidr.includes(':')));
  if (families.size < cidrs.length)
    throw new Error('has more than one range of an IP family; write 10.244.0.0/16,fd00:10:244::/56');
  return cidrs;
}

function duration(name: string, help: string, fallback: string): Flag {
  return { name, value: 'DURATION', help, parse: parse.durationMs, default: fallback };
}

function inert(name: string, of: (text: string) => unknown): Flag & { value: string | undefined } {
  return { name, value: 'VALUE', help: 'Accepted, without effect in this version', parse: of, hidden: true };
}

/** '127.0.0.1:9090', '[::1]:9090' or ':9090' for all addresses. */
function hostPort(text: string): { readonly host: string; readonly port: number } {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]*)):(\d{1,5})$/.exec(text) ?? [];
  if (port === undefined || Number(port) > 65_535)
    throw new Error('is no address and port; write 127.0.0.1:9090 or :9090');
  return { host: bracketed ?? (plain === '' || plain === undefined ? '::' : plain), port: Number(port) };
}
