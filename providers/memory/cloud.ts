import { blockOf, hasIp } from '../../src/core/net/cidr.ts';
import { formatIp, parseIp } from '../../src/core/net/ip.ts';
import type { Cidr, Clock, HealthCheck, Protocol } from '../../src/core/provider.ts';
import { CloudError, type CloudErrorCode } from './cloud-error.ts';
import { createHistory } from './history.ts';
import { createMachines, type Machine } from './machines.ts';
import { createRouteTables, type RouteTables } from './route-tables.ts';

/** A load balancer of the memory cloud. Its name is its identity. */
export interface Balancer {
  readonly name: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly address: string;
  /** Sorted by protocol and port. */
  readonly ports: readonly BalancerPort[];
  readonly sources: readonly Cidr[];
  readonly targets: readonly string[];
  readonly health: HealthCheck;
  readonly state: 'creating' | 'active' | 'deleting';
}
export interface BalancerPort {
  readonly protocol: Protocol;
  readonly port: number;
  readonly targetPort: number;
}
/** `address` absent: the lowest free one of the range. */
export type NewBalancer = Omit<Balancer, 'state' | 'ports' | 'address'> & { readonly address?: string };
export type BalancerChange = Partial<Pick<Balancer, 'address' | 'sources' | 'targets' | 'health'>>;

/** A call as it arrives, before anything has happened. */
export interface CloudCall {
  /** Counted from 0 over all calls. */
  readonly number: number;
  readonly operation:
    | 'find'
    | 'list'
    | 'create'
    | 'update'
    | 'openPort'
    | 'closePort'
    | 'remove'
    | 'listMachines'
    | 'findRoute'
    | 'listRoutes'
    | 'createRoute'
    | 'removeRoute';
  readonly write: boolean;
  /** Of the balancer, or 'table destination' of a route; '' for lists. */
  readonly name: string;
}
export interface CloudFault {
  readonly code: CloudErrorCode;
  readonly retryAfterMs?: number;
  /** True: the call takes effect all the same, only its answer is lost. */
  readonly effect?: true;
}

export interface CloudSettings {
  /** Default 192.0.2.0/24 (TEST-NET-1). Its first and last address are not given out. */
  readonly range: Cidr;
  /** From a request to its answer; the effect is in the middle. Default 0. */
  readonly latencyMs: number;
  /** A list shows things as they were up to so long ago. Default 0. */
  readonly consistencyMs: number;
  /** How long a balancer is 'creating', and 'deleting'. Default 0. */
  readonly createMs: number;
  readonly deleteMs: number;
  readonly quotas: {
    readonly balancers?: number | undefined;
    readonly portsPerBalancer?: number | undefined;
    readonly routesPerTable?: number | undefined;
  };
  /** Ids of the route tables. Default one, 'main'. */
  readonly routeTables: readonly string[];
  /** Asked at each call; undefined lets it through. Also the place to count calls. */
  readonly fault: (call: CloudCall) => CloudFault | undefined;
}
export interface MemoryCloudOptions extends Partial<CloudSettings> {
  readonly clock: Clock;
  /** Instances that are there from the start. */
  readonly machines?: readonly Machine[];
  /** 0 <= x < 1: how much of `consistencyMs` a list lags. Default: all of it, always. */
  readonly random?: () => number;
}

/**
 * A small cloud in memory, with the manners of a large one. Calls reject with CloudError, or with the signal's reason;
 * a call whose signal aborts may have taken effect.
 */
export interface MemoryCloud {
  /** The addresses that it has. */
  readonly range: Cidr;
  readonly routes: RouteTables;
  /** Sees every write that has ended. */
  find(name: string, signal: AbortSignal): Promise<Balancer | undefined>;
  /** All balancers, sorted by name; may lag by `consistencyMs`. */
  list(signal: AbortSignal): Promise<readonly Balancer[]>;
  create(wanted: NewBalancer, signal: AbortSignal): Promise<void>;
  update(name: string, change: BalancerChange, signal: AbortSignal): Promise<void>;
  /** Opens the port, or gives an open one another target port. */
  openPort(name: string, port: BalancerPort, signal: AbortSignal): Promise<void>;
  /** No error when it is not open. */
  closePort(name: string, port: Pick<BalancerPort, 'protocol' | 'port'>, signal: AbortSignal): Promise<void>;
  /** Busy while ports are open. No error when the balancer is gone or going. */
  remove(name: string, signal: AbortSignal): Promise<void>;

  /** All instances, also terminated ones, sorted by id; may lag by `consistencyMs`. */
  listMachines(signal: AbortSignal): Promise<readonly Machine[]>;

  /** What really is there now, sorted by name. For tests, like all below. */
  snapshot(): readonly Balancer[];
  /** As somebody else does, past quotas and faults. */
  put(balancer: Balancer): void;
  drop(name: string): void;
  /** Makes an instance, or changes the one with this id. */
  putMachine(machine: Machine): void;
  configure(settings: Partial<CloudSettings>): void;
}

export function createMemoryCloud({
  clock,
  random = () => 1,
  machines: given = [],
  ...first
}: MemoryCloudOptions): MemoryCloud {
  let settings: CloudSettings = {
    range: '192.0.2.0/24' as Cidr,
    latencyMs: 0,
    consistencyMs: 0,
    createMs: 0,
    deleteMs: 0,
    quotas: {},
    routeTables: ['main'],
    fault: () => undefined,
    ...first,
  };
  const history = createHistory<Stored>();
  const machines = createMachines(given);
  let calls = 0;

  /** Latency, faults and the moment of effect, the same for every call. */
  async function perform<T>(
    operation: CloudCall['operation'],
    name: string,
    signal: AbortSignal,
    effect: () => T,
  ): Promise<T> {
    const write = !/^(?:find|list)/.test(operation);
    const fault = settings.fault({ number: calls++, operation, write, name });
    const failed = fault && new CloudError(fault.code, `${operation} ${name}: ${fault.code}`, fault.retryAfterMs);
    await travel(signal);
    if (failed !== undefined && fault?.effect !== true) throw failed;
    const result = effect();
    await travel(signal);
    if (failed !== undefined) throw failed;
    return result;
  }

  async function travel(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (settings.latencyMs > 0) await clock.sleep(settings.latencyMs / 2, signal);
  }

  function at(name: string, atMs = clock.monotonicMs()): Balancer | undefined {
    return toBalancer(history.at(name, atMs), atMs);
  }

  function all(atMs = clock.monotonicMs()): readonly Balancer[] {
    return history.names().flatMap((name) => at(name, atMs) ?? []);
  }

  /** Names of balancers that are gone, and gone from every list, too. */
  function sweep(): void {
    const horizonMs = clock.monotonicMs() - settings.consistencyMs;
    for (const name of history.names()) {
      const { goneMs = Number.POSITIVE_INFINITY } = history.at(name, Number.POSITIVE_INFINITY) ?? {};
      if (goneMs <= horizonMs) history.forget(name);
    }
  }

  function store(stored: Stored): void {
    const nowMs = clock.monotonicMs();
    history.put(stored.name, nowMs, stored, nowMs - settings.consistencyMs);
  }

  /** Applies a change to a balancer that is there and not going. */
  function change(name: string, make: (old: Stored) => Stored): void {
    const nowMs = clock.monotonicMs();
    const old = history.at(name, nowMs);
    const state = toBalancer(old, nowMs)?.state;
    if (old === undefined || state === undefined) throw new CloudError('NotFound', `there is no balancer ${name}`);
    if (state === 'deleting') throw busy(name, (old.goneMs ?? nowMs) - nowMs);
    store(make(old));
  }

  function takeAddress(wanted: string | undefined, owner: string): string {
    const taken = new Map(all().map(({ name, address }) => [address, name]));
    if (wanted !== undefined) {
      const ip = parseIp(wanted);
      const holder = taken.get(wanted);
      if (ip === undefined || !hasIp(blockOf(settings.range), ip) || (holder !== undefined && holder !== owner)) {
        throw new CloudError('AddressInUse', `${wanted} is not free`);
      }
      return wanted;
    }
    const { family, first, last } = blockOf(settings.range);
    for (let value = first + 1n; value < last; value += 1n) {
      const address = formatIp({ family, value });
      if (!taken.has(address)) return address;
    }
    throw new CloudError('QuotaExceeded', `no address of ${settings.range} is free`);
  }

  function checkQuota(what: keyof CloudSettings['quotas'], count: number): void {
    const limit = settings.quotas[what] ?? Number.POSITIVE_INFINITY;
    if (count > limit) throw new CloudError('QuotaExceeded', `quota ${what}: ${count} of ${limit}`);
  }

  return {
    get range() {
      return settings.range;
    },
    routes: createRouteTables({ clock, random, settings: () => settings, perform }),
    find: (name, signal) => perform('find', name, signal, () => at(name)),
    list: (signal) => perform('list', '', signal, () => all(clock.monotonicMs() - settings.consistencyMs * random())),
    create: (wanted, signal) =>
      perform('create', wanted.name, signal, () => {
        const nowMs = clock.monotonicMs();
        const there = at(wanted.name);
        if (there?.state === 'deleting')
          throw busy(there.name, (history.at(there.name, nowMs)?.goneMs ?? nowMs) - nowMs);
        if (there !== undefined) throw new CloudError('AlreadyExists', `balancer ${wanted.name} exists`);
        sweep();
        checkQuota('balancers', all().length + 1);
        const address = takeAddress(wanted.address, wanted.name);
        store({ ...wanted, address, ports: [], activeMs: nowMs + settings.createMs });
      }),
    update: (name, wanted, signal) =>
      perform('update', name, signal, () => {
        if (wanted.address !== undefined) takeAddress(wanted.address, name);
        change(name, (old) => ({ ...old, ...wanted }));
      }),
    openPort: (name, port, signal) =>
      perform('openPort', name, signal, () =>
        change(name, (old) => {
          const ports = [...withoutPort(old.ports, port), port].sort(byPort);
          checkQuota('portsPerBalancer', ports.length);
          return { ...old, ports };
        }),
      ),
    closePort: (name, port, signal) =>
      perform('closePort', name, signal, () =>
        change(name, (old) => ({ ...old, ports: withoutPort(old.ports, port) })),
      ),
    remove: (name, signal) =>
      perform('remove', name, signal, () => {
        const there = at(name);
        if (there === undefined || there.state === 'deleting') return;
        if (there.ports.length > 0) throw busy(name, 1000);
        change(name, (old) => ({ ...old, goneMs: clock.monotonicMs() + settings.deleteMs }));
      }),
    listMachines: (signal) =>
      perform('listMachines', '', signal, () => machines.at(clock.monotonicMs() - settings.consistencyMs * random())),
    snapshot: () => all(),
    put: ({ state: _, ...balancer }) => store({ ...balancer, activeMs: clock.monotonicMs() }),
    drop: (name) => change(name, (old) => ({ ...old, goneMs: clock.monotonicMs() })),
    putMachine(machine) {
      const nowMs = clock.monotonicMs();
      machines.put(machine, nowMs, nowMs - settings.consistencyMs);
    },
    configure(changed) {
      settings = { ...settings, ...changed };
    },
  };
}

/** A balancer as it is kept: its states are times. */
interface Stored extends Omit<Balancer, 'state'> {
  readonly activeMs: number;
  readonly goneMs?: number;
}

function toBalancer(stored: Stored | undefined, atMs: number): Balancer | undefined {
  if (stored === undefined) return undefined;
  const { activeMs, goneMs, ...balancer } = stored;
  if (goneMs === undefined) return { ...balancer, state: activeMs <= atMs ? 'active' : 'creating' };
  return goneMs <= atMs ? undefined : { ...balancer, state: 'deleting' };
}

function busy(name: string, retryAfterMs: number): CloudError {
  return new CloudError('Busy', `balancer ${name} is in use or being deleted`, retryAfterMs);
}

function withoutPort(
  ports: readonly BalancerPort[],
  { protocol, port }: Pick<BalancerPort, 'protocol' | 'port'>,
): readonly BalancerPort[] {
  return ports.filter((other) => other.protocol !== protocol || other.port !== port);
}

function byPort(a: BalancerPort, b: BalancerPort): number {
  if (a.protocol !== b.protocol) return a.protocol < b.protocol ? -1 : 1;
  return a.port - b.port;
}
