/** Connections through a VIP while its endpoints change all the time. */
import { clusterIp, endpointSlices, ready, type ServiceSpec } from './services.ts';
import type { Outcomes } from './traffic.ts';
import { type Family, podAddress, type World } from './world.ts';

export interface ChurnOptions {
  readonly spec: ServiceSpec;
  readonly family: Family;
  /** Until this many connections were made. */
  readonly connections: number;
  readonly parallel: number;
  /** Writes the Service's slice with these endpoints. */
  readonly write: (endpoints: string) => Promise<void>;
  /** Changes per second; absent: as fast as they are answered, by so many writers. */
  readonly perSecond?: number;
  readonly writers: number;
}

export interface Churn {
  readonly outcomes: Outcomes;
  readonly changes: number;
  readonly seconds: number;
}

/** Any of these may leave and come, but not all. */
const POOL = 'abcefg';

/** Equal from run to run. */
function endpointsOf(change: number): string {
  const bits = (Math.imul(change + 1, 0x9e3779b1) >>> 7) & 63;
  return [...POOL].filter((_, nth) => bits & (1 << nth)).join('') || 'a';
}

export async function churn(world: World, options: ChurnOptions): Promise<Churn> {
  const { spec, family, connections, parallel, write, perSecond, writers } = options;
  const source = podAddress('d')[family];
  const startMs = performance.now();
  const tries = world.traffic.start(
    { ns: 'd', source, protocol: 'tcp', address: clusterIp(spec.index)[family], port: 80 },
    { count: connections, parallel, timeoutMs: 5000 },
  );
  let isOver = false;
  let changes = 0;
  const writer = async (): Promise<void> => {
    while (!isOver) {
      const dueMs = perSecond === undefined ? 0 : startMs + (changes * 1000) / perSecond;
      const waitMs = dueMs - performance.now();
      if (waitMs > 1) await new Promise((resolve) => setTimeout(resolve, waitMs));
      const mine = changes;
      changes += 1;
      await write(endpointsOf(mine));
    }
  };
  const writing = Promise.all(Array.from({ length: writers }, writer));
  const outcomes = await tries.outcomes;
  const seconds = (performance.now() - startMs) / 1000;
  isOver = true;
  await writing;
  return { outcomes, changes, seconds };
}

/** The one slice of a family, with other endpoints. */
export function sliceWith(
  spec: ServiceSpec,
  family: Family,
  endpoints: string,
): ReturnType<typeof endpointSlices>[number] {
  const slice = endpointSlices({ ...spec, slices: [ready(endpoints)] }).find(
    (one) => one['addressType'] === `IPv${family}`,
  );
  if (slice === undefined) throw new Error(`no slice of IPv${family}`);
  return slice;
}

/** What came of connections that were not served. */
export function notServed(outcomes: Outcomes): Readonly<Record<string, number>> {
  return Object.fromEntries([...outcomes].filter(([text]) => !/^[a-h][=^~]/.test(text)));
}
