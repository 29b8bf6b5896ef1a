import { failure } from '../../src/core/errors.ts';
import type { Call, Cidr, Clock, Route, Routes, RouteTable } from '../../src/core/provider.ts';
import type { AwsClients } from './client.ts';
import { awsCode, isNotFound } from './errors.ts';
import { createFlight } from './flight.ts';
import { createNodeInterfaces, type NodeInterfaces } from './node-interfaces.ts';
import { readTables, type TableRoute, type Tables } from './route-tables.ts';

export interface RoutesOptions {
  readonly clients: Pick<AwsClients, 'ec2'>;
  readonly clock: Clock;
  readonly cluster: string;
  readonly vpcId: string;
  /** [Global] RouteTableID. Absent: every table of the VPC with the cluster's tag. */
  readonly routeTableId?: string;
  /** Shared with who reads instances as well. */
  readonly interfaces?: NodeInterfaces;
}

/** What a change is checked against is not older: somebody else may have put his own route there. */
const FRESH_MS = 5000;

/**
 * Routes in VPC route tables: to the primary network interface of the node's instance, in every table of the cluster. Routes
 * carry no mark, so ours are those that lead to a node or to an instance with the cluster's tag, and blackholes that led to
 * an instance. A next hop is an instance id.
 */
export function createRoutes(options: RoutesOptions): Routes {
  const { clients, clock } = options;
  const { ec2 } = clients;
  const { interfaces = createNodeInterfaces(options) } = options;
  let tables: readonly RouteTable[] = [];
  let seen = new Map<string, TableRoute>(); // 'table destination' -> route of the last read, and what we wrote since
  let seenMs = Number.NEGATIVE_INFINITY;
  const reading = createFlight(read);

  async function read(call: Call): Promise<Tables> {
    const startMs = clock.monotonicMs();
    const all = await readTables(options, call);
    seen = new Map(all.routes.map((route) => [keyOf(route.table, route.destination), route]));
    seenMs = startMs;
    return all;
  }

  async function list(call: Call, hops: ReadonlySet<string>): Promise<readonly Route[]> {
    const { routes, quotas } = await reading.join(call);
    tables = quotas;
    // EC2 says no instance where it is gone, and some stand-ins never do.
    const unsaid = routes.filter(
      ({ interfaceId, instanceId }) => interfaceId !== undefined && instanceId === undefined,
    );
    const owners = await interfaces.owners(unique(unsaid.map(({ interfaceId }) => interfaceId ?? '')), call);
    const hopOf = ({ instanceId, interfaceId = '' }: TableRoute) => instanceId ?? owners.get(interfaceId);
    const strangers = routes.flatMap((route) => hopOf(route) ?? []).filter((id) => !hops.has(id));
    const instances = await interfaces.describe(unique(strangers), call);
    return routes.map((route) => {
      const nextHop = hopOf(route);
      const isInstance = nextHop !== undefined || /^(?:eni|i)-/.test(route.target) || route.target === '';
      const isOurs = nextHop !== undefined && (hops.has(nextHop) || instances.get(nextHop)?.isOurs === true);
      // Nothing is behind it any more that could say whose it was.
      const isDead = isInstance && route.blackhole && (nextHop === undefined || !instances.has(nextHop));
      return {
        id: route.target,
        table: route.table,
        node: '',
        destination: route.destination,
        nextHop: isInstance ? (nextHop ?? (route.blackhole ? '' : route.target)) : route.target,
        ...(route.blackhole ? { blackhole: true as const } : {}),
        ...(isOurs || isDead ? {} : { foreign: true as const }),
      };
    });
  }

  async function create(route: Route, call: Call): Promise<void> {
    const { table, destination, nextHop } = identified(route);
    const interfaceId = await ready(nextHop, call);
    try {
      await ec2.createRoute({ RouteTableId: table, NetworkInterfaceId: interfaceId, ...keyFor(destination) }, call);
    } catch (error) {
      if (awsCode(error) !== 'RouteAlreadyExists') throw refusal(error, nextHop);
      // An earlier try of ours whose answer was lost; or another route, which the error says.
      await reading.join(call);
      const there = seen.get(keyOf(table, destination));
      if (there?.interfaceId !== interfaceId && there?.instanceId !== nextHop) throw error;
    }
    remember(route, interfaceId);
  }

  async function replace(old: Route, wanted: Route, call: Call): Promise<void> {
    const { table, destination, nextHop } = identified(wanted);
    const interfaceId = await ready(nextHop, call);
    await guard(old, call);
    try {
      await ec2.replaceRoute({ RouteTableId: table, NetworkInterfaceId: interfaceId, ...keyFor(destination) }, call);
    } catch (error) {
      // The old one has gone by itself.
      if (awsCode(error) === 'InvalidParameterValue' || awsCode(error) === 'InvalidRoute.NotFound')
        return await create(wanted, call);
      throw refusal(error, nextHop);
    }
    remember(wanted, interfaceId);
  }

  async function remove(route: Route, call: Call): Promise<void> {
    const { table, destination } = identified(route);
    await guard(route, call);
    try {
      await ec2.deleteRoute({ RouteTableId: table, ...keyFor(destination) }, call);
    } catch (error) {
      if (awsCode(error) !== 'InvalidRoute.NotFound') throw error;
    }
    seen.delete(keyOf(table, destination));
  }

  /** DeleteRoute and ReplaceRoute ask for a destination only: what stands there must still be what was listed. */
  async function guard(listed: Route, call: Call): Promise<void> {
    const { table, destination } = identified(listed);
    if (clock.monotonicMs() - seenMs > FRESH_MS) await reading.join(call);
    const there = seen.get(keyOf(table, destination));
    if (there === undefined || there.target === listed.id || there.instanceId === listed.nextHop) return;
    if (listed.id === undefined && (await isInterfaceOf(listed.nextHop, there, call))) return;
    const message = `${destination} in ${table} leads to ${there.target} now, and not to ${listed.id ?? listed.nextHop}`;
    throw failure('FL_AWS_FOREIGN', message);
  }

  async function isInterfaceOf(instanceId: string, { interfaceId }: TableRoute, call: Call): Promise<boolean> {
    const instance = (await interfaces.describe([instanceId], call)).get(instanceId);
    return interfaceId !== undefined && instance?.interfaceId === interfaceId;
  }

  function remember({ table = '', destination, nextHop }: Route, interfaceId: string): void {
    const now = { table, destination, target: interfaceId, interfaceId, instanceId: nextHop, blackhole: false };
    seen.set(keyOf(table, destination), now);
  }

  async function ready(instanceId: string, call: Call): Promise<string> {
    try {
      return await interfaces.ready(instanceId, call);
    } catch (error) {
      throw refusal(error, instanceId);
    }
  }

  /** What EC2 does not find is another by now, or not visible to all of EC2 yet: to be read anew, and soon. */
  function refusal(error: unknown, instanceId: string): unknown {
    if (!isNotFound(error)) return error;
    interfaces.forget(instanceId);
    return failure('FL_AWS_NOT_FOUND', (error as Error).message, { cause: error });
  }

  return {
    nextHop: ({ providerId }) => (providerId === undefined ? undefined : instanceIdOf(providerId)),
    list,
    tables: () => tables,
    async prepare(wanted, call) {
      await interfaces.describe(unique(wanted.map(({ nextHop }) => nextHop)), call);
    },
    create,
    remove,
    replace,
  };
}

/** 'i-1' of 'aws:///eu-west-1a/i-1', 'aws:////i-1' and 'i-1'; undefined for what is no instance: another cloud's, a Fargate node. */
export function instanceIdOf(providerId: string): string | undefined {
  if (/^(?!aws:\/\/)[^/]*:/.test(providerId)) return undefined;
  const last = providerId.slice(providerId.lastIndexOf('/') + 1);
  return /^i-[0-9a-z]+$/.test(last) ? last : undefined;
}

const keyOf = (table: string, destination: Cidr): string => `${table} ${destination}`;

const keyFor = (destination: Cidr) =>
  destination.includes(':') ? { DestinationIpv6CidrBlock: destination } : { DestinationCidrBlock: destination };

const unique = (ids: readonly string[]): readonly string[] => [...new Set(ids)].sort();

/** Every route of ours is in a table that a list named. */
function identified({ table, destination, nextHop }: Route) {
  if (table === undefined) throw new TypeError(`${destination}: in which route table?`);
  return { table, destination, nextHop };
}
