import type { KubeObject, Lease, Service } from '../core/objects.ts';
import { type ServiceState, stateOf } from '../core/service/state.ts';
import { print } from '../kube/json.ts';
import type { Client } from '../kube/request.ts';
import { resources } from '../kube/resource.ts';
import { type Command, InputError, type Terminal } from './command.ts';
import { connect, listOf } from './connect.ts';
import { clusterFlags, leaseFlags, outputFlag } from './flag-table.ts';
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
  ],
  examples: ['fairlead status', 'fairlead status -n web -o json'],
  async run({ flags }, terminal) {
    const client = connect(flags, terminal);
    try {
      const status = await read(client, flags, terminal.signal);
      terminal.stdout.write(
        flags['output'] === 'json' ? `${print(status)}\n` : statusText(status, Date.now(), terminal),
      );
      return 0;
    } finally {
      client.close();
    }
  },
};

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
  { leader, services, pools: rows }: Status,
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
  return `${paint('dim', head, stdout)}\n${list}${ranges}`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
