import type { Cidr, Clock } from '../../src/core/provider.ts';
import { CloudError } from './cloud-error.ts';
import { createHistory } from './history.ts';

/** A route of the memory cloud. Table and destination are its identity. */
export interface CloudRoute {
  readonly table: string;
  readonly destination: Cidr;
  /** providerID of the machine that it leads to; '' leads nowhere. */
  readonly target: string;
  readonly tags: Readonly<Record<string, string>>;
}

/** The route tables of the memory cloud; calls behave as those for balancers. */
export interface RouteTables {
  /** Ids, sorted. */
  readonly tables: readonly string[];
  /** What one table takes; undefined: without end. */
  readonly limit: number | undefined;
  /** All routes, sorted by table and destination; may lag by `consistencyMs`. */
  list(signal: AbortSignal): Promise<readonly CloudRoute[]>;
  /** Sees every write that has ended. */
  find(table: string, destination: Cidr, signal: AbortSignal): Promise<CloudRoute | undefined>;
  /** AlreadyExists while the table has a route with this destination. */
  create(route: CloudRoute, signal: AbortSignal): Promise<void>;
  /** No error when it is gone. One that is tagged for another cluster stays: it was put there since somebody looked. */
  remove(table: string, destination: Cidr, cluster: string, signal: AbortSignal): Promise<void>;

  /** What really is there now. For tests, like all below. */
  snapshot(): readonly CloudRoute[];
  /** As somebody else does, past quotas and faults. */
  put(route: CloudRoute): void;
  drop(table: string, destination: Cidr): void;
}

export interface RouteTablesOptions {
  readonly clock: Clock;
  readonly random: () => number;
  readonly settings: () => {
    readonly routeTables: readonly string[];
    readonly consistencyMs: number;
    readonly quotas: { readonly routesPerTable?: number | undefined };
  };
  /** Latency, faults and the moment of effect of one call. */
  readonly perform: <T>(
    operation: 'findRoute' | 'listRoutes' | 'createRoute' | 'removeRoute',
    name: string,
    signal: AbortSignal,
    effect: () => T,
  ) => Promise<T>;
}

export function createRouteTables({ clock, random, settings, perform }: RouteTablesOptions): RouteTables {
  const history = createHistory<CloudRoute | undefined>(); // 'table destination' -> route; undefined once it is gone

  const all = (atMs: number): readonly CloudRoute[] => history.names().flatMap((name) => history.at(name, atMs) ?? []);
  const now = (): readonly CloudRoute[] => all(clock.monotonicMs());
  const at = (table: string, destination: Cidr): CloudRoute | undefined =>
    history.at(nameOf(table, destination), clock.monotonicMs());

  function set(table: string, destination: Cidr, route: CloudRoute | undefined): void {
    const nowMs = clock.monotonicMs();
    history.put(nameOf(table, destination), nowMs, route, nowMs - settings().consistencyMs);
  }

  return {
    get tables() {
      return [...settings().routeTables].sort();
    },
    get limit() {
      return settings().quotas.routesPerTable;
    },
    list: (signal) =>
      perform('listRoutes', '', signal, () => all(clock.monotonicMs() - settings().consistencyMs * random())),
    find: (table, destination, signal) =>
      perform('findRoute', nameOf(table, destination), signal, () => at(table, destination)),
    create: (route, signal) =>
      perform('createRoute', nameOf(route.table, route.destination), signal, () => {
        const { table, destination } = route;
        if (!settings().routeTables.includes(table))
          throw new CloudError('NotFound', `there is no route table ${table}`);
        if (at(table, destination) !== undefined)
          throw new CloudError('AlreadyExists', `route ${nameOf(table, destination)} exists`);
        const { routesPerTable = Number.POSITIVE_INFINITY } = settings().quotas;
        const used = now().filter((other) => other.table === table).length;
        if (used >= routesPerTable)
          throw new CloudError('QuotaExceeded', `quota routesPerTable: ${used} of ${routesPerTable} in ${table}`);
        set(table, destination, route);
      }),
    remove: (table, destination, cluster, signal) =>
      perform('removeRoute', nameOf(table, destination), signal, () => {
        if (at(table, destination)?.tags['cluster'] === cluster) set(table, destination, undefined);
      }),
    snapshot: now,
    put: (route) => set(route.table, route.destination, route),
    drop: (table, destination) => set(table, destination, undefined),
  };
}

const nameOf = (table: string, destination: Cidr): string => `${table} ${destination}`;
