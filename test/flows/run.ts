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

/** After this a packet counts as dropped: where that is expected, where it is not, and where it is not for the second time. */
const DROP_MS = 300;
/** A refusal by ICMPv6 that comes back while `connect` still holds the socket counts only after the second SYN, a second later. */
const REACH_MS = 2500;
const PATIENT_MS = 5000;
/** More than these are not late, they are dropped. */
const LATE_MAX = 40;
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
  const attempts = cases.flatMap((each) =>
    (Object.keys(each.flows) as Source[]).map((source) => attemptOf(each, source)),
  );
  // Those that will only wait do so beside the others.
  const [waiting = [], others = []] = [true, false].map((waits) => attempts.filter((each) => each.waits === waits));
  const pass = (some: readonly Attempt[], atOnce: number, timeoutMs: number): Promise<void> =>
    pooled(some, atOnce, async (attempt) => {
      attempt.cell = await tryCell(world, attempt, timeoutMs);
    });
  await Promise.all([pass(waiting, WAITING_AT_ONCE, DROP_MS), pass(others, AT_ONCE, REACH_MS)]);
  // Late is not dropped: what may have been late is tried once more on a machine that does nothing else of ours.
  const late = others.filter(({ cell, expected }) => cell !== expected && cell.includes('-'));
  if (late.length <= LATE_MAX) await pass(late, 2, PATIENT_MS);
  return cases.map((each) => ({
    ...each,
    seen: Object.fromEntries(attempts.filter(({ of }) => of === each).map(({ source, cell }) => [source, cell])),
  }));
}

/** One cell. */
interface Attempt {
  readonly of: Case;
  readonly source: Source;
  readonly flow: Flow;
  readonly expected: Cell;
  readonly waits: boolean;
  /** What was seen last. */
  cell: Cell;
}

function attemptOf(of: Case, source: Source): Attempt {
  const [flow, expected] = [of.flows[source], of.expected[source]];
  if (flow === undefined || expected === undefined) throw new Error(`${of.test}: no flow from ${source}`);
  return { of, source, flow, expected, waits: parseCell(expected).isDropped, cell: '' };
}

async function tryCell(world: World, { flow, source, expected }: Attempt, timeoutMs: number): Promise<Cell> {
  const count = triesFor(parseCell(expected));
  const parallel = flow.protocol === 'sctp' ? 4 : 16;
  return cellOf(await world.traffic.try(flow, { count, parallel, timeoutMs }), expected, source);
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
