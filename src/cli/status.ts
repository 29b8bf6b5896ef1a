import type { LoadBalancerStatus } from '../../providers/aws/status.ts';
import type { KubeObject, Lease, Service } from '../core/objects.ts';
import { type ServiceState, stateOf } from '../core/service/state.ts';
import { print } from '../kube/json.ts';
import type { Client } from '../kube/request.ts';
import { resources } from '../kube/resource.ts';
import { openAws } from './aws.ts';
import { awsFlags } from './aws-flags.ts';
import { type Command, type Input, InputError, type Terminal } from './command.ts';
import { connect, listOf } from './connect.ts';
import { clusterFlags, leaseFlags, outputFlag, providerFlags } from './flag-table.ts';
import { parse } from './flags.ts';
import { age, paint, table } from './table.ts';

/** One LoadBalancer Service as `fairlead status` shows it. */
export interface ServiceRow {
  readonly namespace: string;
  readonly name: string;
  readonly class: string;
  /** Addresses or host names, in the order of the ingress. */
  readonly addresses: readonly string[];
  readonly pool: string;
  readonly state: ServiceState;
  /** Why it is not simply serving; empty when it is. */
  readonly reason: string;
  readonly message: string;
  readonly createdMs: number;
}

export interface PoolRow {
  readonly name: string;
  readonly addresses: readonly string[];
  /** int64, as the object has them. */
  readonly assigned: bigint;
  readonly available: bigint;
}

export interface Status {
  /** Identity of the leader, or undefined. */
  readonly leader: string | undefined;
  readonly services: readonly ServiceRow[];
  readonly pools: readonly PoolRow[];
  /** As the cloud has them; absent: it was not asked. */
  readonly loadBalancers?: readonly LoadBalancerStatus[];
}

const pools = { group: 'metallb.io', version: 'v1beta1', plural: 'ipaddresspools' };

export const command: Command = {
  name: 'status',
  summary: 'Show Services, addresses, pools and who leads',
  usage: '',
  maxArgs: 0,
  flags: [
    ...clusterFlags,
    {
      name: 'namespace',
      aliases: ['n'],
      value: 'NAMESPACE',
      help: 'Services of one namespace [all]',
      parse: parse.text,
    },
    outputFlag('table', 'json'),
    ...leaseFlags,
    {
      name: 'provider',
      value: 'NAME',
      help: 'aws: show its load balancers with the health of their targets, too',
      parse: parse.oneOf('aws'),
      choices: ['aws'],
    },
    ...providerFlags.filter(({ name }) => name === 'cluster-name' || name === 'cloud-config'),
    ...awsFlags,
  ],
  examples: [
    'fairlead status',
    'fairlead status -n web -o json',
    'fairlead status --provider=aws --cluster-name=prod --aws-region=eu-west-1 --aws-vpc-id=vpc-0a',
  ],
  async run(input, terminal) {
    const { flags } = input;
    const client = connect(flags, terminal);
    try {
      const inCluster = await read(client, flags, terminal.signal);
      const status =
        flags['provider'] === 'aws'
          ? { ...inCluster, loadBalancers: await inCloud(client, input, terminal) }
          : inCluster;
      terminal.stdout.write(
        flags['output'] === 'json' ? `${print(status)}\n` : statusText(status, Date.now(), terminal),
      );
      return 0;
    } finally {
      client.close();
    }
  },
};

async function inCloud(client: Client, input: Input, terminal: Terminal): Promise<readonly LoadBalancerStatus[]> {
  const aws = await openAws(client, input, terminal);
  try {
    return await aws.status();
  } finally {
    await aws.close();
  }
}

async function read(client: Client, flags: Readonly<Record<string, unknown>>, signal: AbortSignal): Promise<Status> {
  const namespace = flags['namespace'] as string | undefined;
  const [services, ranges, leases] = await Promise.all([
    listOf<Service>(client, resources.services, signal, namespace),
    listOf<KubeObject>(client, pools, signal),
    listOf<Lease>(client, resources.leases, signal, flags['leader-elect-resource-namespace'] as string),
  ]);
  if (services === undefined) throw new InputError(['the server has no Services: is this a Kubernetes API server?']);
  const lease = leases?.find(({ metadata }) => metadata.name === flags['leader-elect-resource-name']);
  return statusOf(services, ranges ?? [], lease);
}

/** The objects of the API as rows, sorted by namespace and name. */
export function statusOf(
  services: readonly Service[],
  ranges: readonly KubeObject[],
  lease: Lease | undefined,
): Status {
  const holder = lease?.spec?.holderIdentity;
  return {
    leader: holder === '' ? undefined : holder,
    services: services
      .filter(({ spec }) => spec.type === 'LoadBalancer')
      .map(rowOf)
      .sort((a, b) => compare(a.namespace, b.namespace) || compare(a.name, b.name)),
    pools: ranges.map(poolOf).sort((a, b) => compare(a.name, b.name)),
  };
}

function rowOf({ metadata, spec, status }: Service): ServiceRow {
  const { state, reason, message } = stateOf(status);
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    class: spec.loadBalancerClass ?? '',
    addresses: (status?.loadBalancer?.ingress ?? []).map(({ ip, hostname }) => ip ?? hostname ?? ''),
    pool: metadata.annotations?.['metallb.io/ip-allocated-from-pool'] ?? '',
    state,
    reason,
    message,
    createdMs: Date.parse(metadata.creationTimestamp),
  };
}

function poolOf(object: KubeObject): PoolRow {
  const { spec, status } = object as KubeObject & {
    readonly spec?: { readonly addresses?: readonly string[] };
    readonly status?: Readonly<Record<string, number | bigint>>;
  };
  const sum = (name: string) => BigInt(status?.[`${name}IPv4`] ?? 0) + BigInt(status?.[`${name}IPv6`] ?? 0);
  return {
    name: object.metadata.name,
    addresses: spec?.addresses ?? [],
    assigned: sum('assigned'),
    available: sum('available'),
  };
}

/** Two tables and a line about the leader. */
export function statusText(
  { leader, services, pools: rows, loadBalancers }: Status,
  nowMs: number,
  { stdout }: Pick<Terminal, 'stdout'>,
): string {
  const head = leader === undefined ? 'no leader: no controller is running\n' : `leader: ${leader}\n`;
  const list =
    services.length === 0
      ? 'no Services of type LoadBalancer\n'
      : table(
          [
            { title: 'NAMESPACE', cell: ({ namespace }) => namespace },
            { title: 'NAME', cell: ({ name }) => name },
            { title: 'ADDRESSES', cell: ({ addresses }) => addresses.join(',') },
            { title: 'POOL', cell: ({ pool }) => pool },
            { title: 'STATE', cell: ({ state, reason }) => (reason === '' ? state : `${state} (${reason})`) },
            { title: 'AGE', cell: ({ createdMs }) => age(createdMs, nowMs) },
            { title: 'MESSAGE', cell: ({ message }) => message, optional: true },
          ],
          services,
        );
  const ranges =
    rows.length === 0
      ? ''
      : `\n${table(
          [
            { title: 'POOL', cell: ({ name }) => name },
            { title: 'ASSIGNED', cell: ({ assigned }) => String(assigned) },
            { title: 'AVAILABLE', cell: ({ available }) => String(available) },
            { title: 'ADDRESSES', cell: ({ addresses }) => addresses.join(',') },
          ],
          rows,
        )}`;
  const balancers = loadBalancers === undefined ? '' : `\n${balancersText(loadBalancers)}`;
  return `${paint('dim', head, stdout)}\n${list}${ranges}${balancers}`;
}

function balancersText(rows: readonly LoadBalancerStatus[]): string {
  if (rows.length === 0) return 'no load balancers of this cluster\n';
  return table(
    [
      { title: 'LOAD BALANCER', cell: ({ name }) => name },
      { title: 'STATE', cell: ({ state }) => state },
      { title: 'SCHEME', cell: ({ scheme }) => scheme },
      {
        title: 'HEALTHY',
        cell: ({ targetGroups }) =>
          targetGroups.map(({ port, healthy, total }) => `${port}: ${healthy}/${total}`).join(', '),
      },
      { title: 'HOSTNAME', cell: ({ hostname }) => hostname },
      {
        title: 'REASONS',
        cell: ({ targetGroups }) => [...new Set(targetGroups.flatMap(({ reasons }) => reasons))].join(', '),
        optional: true,
      },
    ],
    rows,
  );
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
