import { createHash } from 'node:crypto';
import type {
  Address,
  Instance,
  Listener,
  LoadBalancer,
  NetworkInterface,
  RouteTable,
  SecurityGroup,
  Subnet,
  TargetGroup,
  Vpc,
} from './records.ts';
import type { Settings } from './settings.ts';
import { createTable, type Table } from './table.ts';

/** One account in one region. */
export interface Cloud {
  readonly region: string;
  readonly account: string;
  readonly zones: readonly Zone[];
  /** Certificates of ACM that exist, by ARN. */
  readonly certificates: Set<string>;
  readonly prefixLists: Map<string, number>; // id -> its maximum of entries
  readonly settings: Settings;
  readonly vpcs: Table<Vpc>;
  readonly subnets: Table<Subnet>;
  readonly routeTables: Table<RouteTable>;
  readonly securityGroups: Table<SecurityGroup>;
  readonly interfaces: Table<NetworkInterface>;
  readonly instances: Table<Instance>;
  readonly addresses: Table<Address>;
  readonly loadBalancers: Table<LoadBalancer>;
  readonly listeners: Table<Listener>;
  readonly targetGroups: Table<TargetGroup>;
  /** What health checks meet at 'id:port' or 'id' of a target; a target of which nothing is said is well. */
  readonly sick: Map<string, import('./records.ts').FailReason>;
  nowMs(): number;
  /** As a Date, for answers. */
  dateOf(atMs: number): Date;
  /** `length` hexadecimal digits that nothing else has; the same in each run. */
  hex(length: number): string;
}
export interface Zone {
  readonly name: string;
  readonly id: string;
  readonly type: 'availability-zone' | 'local-zone' | 'wavelength-zone';
}

export interface CloudOptions {
  readonly region: string;
  readonly account: string;
  readonly zones: readonly Zone[];
  readonly clock: { now(): number; monotonicMs(): number };
  readonly settings: () => Settings;
}

export function createCloud({ region, account, zones, clock, settings }: CloudOptions): Cloud {
  const nowMs = (): number => clock.monotonicMs();
  const horizonMs = (): number => {
    const { reads = 0, writes = 0, tagging = 0 } = settings().lagMs;
    return Math.max(reads, writes, tagging);
  };
  const table = <T>(): Table<T> => createTable<T>({ nowMs, horizonMs });
  let ids = 0;
  return {
    region,
    account,
    zones,
    certificates: new Set(),
    prefixLists: new Map(),
    get settings() {
      return settings();
    },
    vpcs: table(),
    subnets: table(),
    routeTables: table(),
    securityGroups: table(),
    interfaces: table(),
    instances: table(),
    addresses: table(),
    loadBalancers: table(),
    listeners: table(),
    targetGroups: table(),
    sick: new Map(),
    nowMs,
    dateOf: (atMs) => new Date(clock.now() - nowMs() + atMs),
    hex(length) {
      ids += 1;
      return createHash('sha256').update(`fake-aws-${ids}`).digest('hex').slice(0, length);
    },
  };
}

/** What a call works on: `atMs` is the time whose state it sees, which lies a little back where reads lag. */
export interface Scope {
  readonly cloud: Cloud;
  readonly atMs: number;
}
/** One operation of a service. Throws AwsError. */
export type Operation<In = never, Out = object> = (scope: Scope, input: In) => Out;

/** For a write: there now, and already when this call looks. Undefined otherwise. */
export function reachable<T>(table: Table<T>, id: string, { atMs }: Scope): T | undefined {
  return table.get(id, atMs) === undefined ? undefined : table.get(id);
}

/** Network interfaces that are there at that time. */
export function interfacesAt({ interfaces }: Cloud, atMs: number): readonly NetworkInterface[] {
  return interfaces.values(atMs).filter(({ goneMs = Number.POSITIVE_INFINITY }) => goneMs > atMs);
}
