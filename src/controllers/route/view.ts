import type { Call, Cidr, Clock, Route, Routes, RouteTable } from '../../core/provider.ts';
import {
  type ObservedDestination,
  prefixLengthOf,
  type RouteAction,
  routeIndex,
  tableOf,
} from '../../core/route/diff.ts';

/** A list may lag behind a write of ours for so long: until then we know better. */
const LAG_MS = 10_000;

/** The cloud's routes: the last list, and what we wrote since. A cache that a list rebuilds, never the truth. */
export interface View {
  /** Nothing is known before the first list. */
  readonly listed: boolean;
  of(destination: Cidr): ObservedDestination;
  /** Destinations of routes that we are responsible for, in no order. */
  destinations(): Iterable<Cidr>;
  /** Ids of our tables; [''] where the cloud has only one. */
  tables(): readonly string[];
  /** The same with their quotas, as far as the cloud says; what was written since the last list is counted. */
  quotas(): readonly RouteTable[];
  /** The last list began less than `maxAgeMs` ago, and nothing has called it into question. */
  isFresh(maxAgeMs: number): boolean;
  /** Lists, unless `isFresh`. Runs at once share one list. */
  refresh(maxAgeMs: number): Promise<void>;
  /** A write succeeded. */
  wrote(action: RouteAction): void;
  /** Something answered as if the view were wrong: the next refresh lists. */
  doubt(): void;
}

export interface ViewOptions {
  readonly routes: Routes;
  readonly clock: Clock;
  readonly clusterCidrs: readonly Cidr[];
  /** For one list; ends with the controller. */
  readonly call: () => { readonly call: Call; end(): void };
  /** Next hops that are ours. */
  readonly hops: () => Iterable<string>;
  /** After each list; seconds that it took. */
  readonly told: (seconds: number) => void;
}

export function createView({ routes, clock, clusterCidrs, call, hops, told }: ViewOptions): View {
  const written = new Map<Cidr, { readonly routes: readonly Route[]; readonly atMs: number }>(); // what we know better than the list
  let list: readonly Route[] = [];
  const lengths = new Set<number>(); // prefix lengths that were asked for
  let index = routeIndex(list, { clusterCidrs, lengths });
  let tables: readonly RouteTable[] = [];
  let listedMs: number | undefined; // monotonic: when the list of the index began
  let doubted = false;
  let more = new Map<string, number>(); // table -> routes that we added to it since the last list
  let running: Promise<void> | undefined;

  async function read(): Promise<void> {
    const startMs = clock.monotonicMs();
    const within = call();
    doubted = false;
    try {
      list = await routes.list(within.call, new Set(hops()));
      tables = routes.tables?.() ?? [];
      more = new Map();
      listedMs = startMs;
      for (const [destination, { atMs }] of written) if (atMs + LAG_MS <= startMs) written.delete(destination);
      index = routeIndex(list, { clusterCidrs, lengths });
      told((clock.monotonicMs() - startMs) / 1000);
    } catch (error) {
      doubted = true;
      throw error;
    } finally {
      within.end();
    }
  }

  const routesOf = (destination: Cidr): readonly Route[] =>
    written.get(destination)?.routes ?? index.of(destination).routes;

  const isFresh = (maxAgeMs: number): boolean =>
    !doubted && listedMs !== undefined && clock.monotonicMs() - listedMs < maxAgeMs;

  return {
    get listed() {
      return listedMs !== undefined;
    },
    of(destination) {
      // A first pod CIDR of another length: others' routes inside it must be found, too.
      if (!lengths.has(prefixLengthOf(destination))) {
        lengths.add(prefixLengthOf(destination));
        index = routeIndex(list, { clusterCidrs, lengths });
      }
      return { routes: routesOf(destination), obstacles: index.of(destination).obstacles };
    },
    *destinations() {
      for (const destination of new Set([...index.destinations, ...written.keys()]))
        if (routesOf(destination).length > 0) yield destination;
    },
    tables: () => (routes.tables === undefined ? [''] : tables.map(({ id }) => id)),
    quotas: () => tables.map((table) => ({ ...table, used: table.used + (more.get(table.id) ?? 0) })),
    isFresh,
    async refresh(maxAgeMs) {
      if (isFresh(maxAgeMs)) return;
      running ??= read().finally(() => {
        running = undefined;
      });
      await running;
    },
    wrote(action) {
      const { destination } = action.route;
      const gone =
        action.kind === 'replaceRoute' ? action.old : action.kind === 'removeRoute' ? action.route : undefined;
      const left = routesOf(destination).filter((route) => gone === undefined || !isSame(route, gone));
      const now = action.kind === 'removeRoute' ? left : [...left, action.route];
      const table = tableOf(action.route);
      const change = { createRoute: 1, removeRoute: -1, replaceRoute: 0 }[action.kind];
      more.set(table, (more.get(table) ?? 0) + change);
      written.set(destination, { routes: now, atMs: clock.monotonicMs() });
    },
    doubt() {
      doubted = true;
    },
  };
}

const isSame = (a: Route, b: Route): boolean =>
  tableOf(a) === tableOf(b) && a.id === b.id && a.nextHop === b.nextHop && a.destination === b.destination;
