/** Tries the flows of a suite and says what became of them. */
import type { Case, ChangedService, Suite } from './cases.ts';
import type { Cluster } from './cluster.ts';
import { type Cell, cellOf, parseCell, triesFor } from './outcome.ts';
import { clusterIp, ready, type ServiceSpec } from './services.ts';
import type { Row, Source } from './tables.ts';
import type { Flow, Outcomes } from './traffic.ts';
import { families, type World } from './world.ts';

/** What was seen of a case: cells in the spelling of the expected ones where they agree. */
export interface Seen extends Case {
  readonly seen: Row;
}

const DROP_MS = 300;
/** A busy machine makes a drop of a packet that is only late. */
const PATIENT_MS = 3000;
const AT_ONCE = 24;
const WAITING_AT_ONCE = 400;
const WRITES_AT_ONCE = 6;

export async function putAll(cluster: Cluster, services: readonly ServiceSpec[]): Promise<void> {
  await pooled(services, WRITES_AT_ONCE, (spec) => cluster.put(spec));
}

export async function changeAll(cluster: Cluster, changes: readonly ChangedService[]): Promise<void> {
  await pooled(changes, WRITES_AT_ONCE, ({ before, after }) =>
    after === undefined ? cluster.remove(before.name) : cluster.put(after),
  );
}

export async function listenAll(world: World, { nodeListens }: Suite): Promise<void> {
  for (const port of nodeListens) await world.listenOnNode(port);
}

/** All cases at once, as far as the machine goes. */
export async function tryAll(world: World, cases: readonly Case[]): Promise<readonly Seen[]> {
  const cells = cases.flatMap((each) =>
    (Object.keys(each.flows) as Source[]).map((source) => ({
      each,
      source,
      flow: each.flows[source] as Flow,
      expected: each.expected[source] as Cell,
    })),
  );
  const seen = new Map<Case, Partial<Record<Source, Cell>>>(cases.map((each) => [each, {}]));
  const one = async ({ each, source, flow, expected }: (typeof cells)[number]): Promise<void> => {
    const row = seen.get(each);
    if (row !== undefined) row[source] = await tryCell(world, { flow, source, expected });
  };
  const waits = (expected: Cell): boolean => parseCell(expected).isDropped;
  // Those that will only wait do so beside the others.
  await Promise.all([
    pooled(
      cells.filter(({ expected }) => !waits(expected)),
      AT_ONCE,
      one,
    ),
    pooled(
      cells.filter(({ expected }) => waits(expected)),
      WAITING_AT_ONCE,
      one,
    ),
  ]);
  return cases.map((each) => ({ ...each, seen: seen.get(each) ?? {} }));
}

async function tryCell(
  world: World,
  { flow, source, expected }: { readonly flow: Flow; readonly source: Source; readonly expected: Cell },
): Promise<Cell> {
  const want = parseCell(expected);
  const count = triesFor(want);
  const parallel = flow.protocol === 'sctp' ? 4 : 16;
  const outcomes = await world.traffic.try(flow, { count, parallel, timeoutMs: DROP_MS });
  const cell = cellOf(outcomes, expected, source);
  if (cell === expected || want.isDropped || !outcomes.has('timeout')) return cell;
  const again = await world.traffic.try(flow, { count, parallel: 4, timeoutMs: PATIENT_MS });
  return cellOf(again, expected, source);
}

/**
 * Waits until the proxy has seen everything that was written before: a Service made now is served, on both families.
 * `nth` must be another one each time.
 */
export async function caughtUp(world: World, cluster: Cluster, nth: number, withinMs = 30_000): Promise<void> {
  const spec: ServiceSpec = { name: `canary-${nth}`, index: 99 + nth, slices: [ready('a')], type: 'ClusterIP' };
  await cluster.put(spec);
  const deadline = performance.now() + withinMs;
  for (const family of families) {
    const flow: Flow = { ns: 'd', protocol: 'tcp', address: clusterIp(spec.index)[family], port: 80 };
    while (!isReached(await world.traffic.try(flow, { count: 1, timeoutMs: 100 }))) {
      if (performance.now() > deadline) throw new Error(`the proxy serves no ClusterIP within ${withinMs} ms`);
    }
  }
}

function isReached(outcomes: Outcomes): boolean {
  return [...outcomes.keys()].some((outcome) => /^a[=^~]/.test(outcome));
}

async function pooled<T>(items: readonly T[], atOnce: number, work: (item: T) => Promise<void>): Promise<void> {
  const rest = items.values();
  const worker = async (): Promise<void> => {
    for (const item of rest) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
}
