/** From the models of Services to the transactions that make one table say the same. */
import type { Registers, TableFamily } from '../net/element.ts';
import { type Claims, createClaims, type Note, placeOf } from './claims.ts';
import { createCounter } from './counter.ts';
import { type Face, faceOf, NO_FACE } from './face.ts';
import type { Conflict, Plan, Planner, PortModel, ServiceModel, StaleFlows } from './model.ts';
import { newPlaced, type Placed, type Placer, place, placedElements } from './placed.ts';
import { foundRanges, type Range, rangeChanges, rangeElements, rangesOf } from './ranges.ts';
import { ADDRESS_BYTES, classidAt, classidRegisters } from './registers.ts';
import { RANGE_SETS, type RangeSet } from './schema.ts';
import { createTable, type Draft, newDraft } from './table.ts';

export interface PlannerOptions {
  readonly family: TableFamily;
  /**
   * Where endpoint ids start, below 2^32: later than those of an earlier run (seconds since 1970 do), because clients
   * remember ids for hours.
   */
  readonly firstId: number;
}

/** An empty planner for one family's table. */
export function createPlanner({ family, firstId }: PlannerOptions): Planner {
  const table = createTable();
  const models = new Map<string, ServiceModel>(); // key -> what is planned, or announced
  const unplanned = new Set<string>(); // keys of models that the table is not known to follow
  const placed = new Map<Registers, Placed>(); // frontend -> what it has in the table
  const placedAt = (frontend: Registers): Placed => {
    let state = placed.get(frontend);
    if (state === undefined) {
      state = newPlaced(table.isAdopting);
      placed.set(frontend, state);
    }
    return state;
  };
  const claims = createClaims({
    family,
    modelOf: (key) => models.get(key),
    holders: {
      get: (frontend) => placed.get(frontend)?.holder,
      set: (frontend, key) => {
        placedAt(frontend).holder = key;
      },
    },
  });
  const clusterIps = createCounter('cluster-ips', table);
  const hairpin = createCounter('hairpin', table);
  const ranges = new Map<RangeSet, readonly Range[]>();
  const ids = createIds(firstId);
  const chains = new Set<number>(); // values that have their chain in the table
  let timeouts: number[] = [];
  let unswept = new Set<RangeSet>();

  /** One plan in the making. */
  interface Work {
    readonly draft: Draft;
    readonly chains: number[];
    readonly flows: StaleFlows[];
    readonly conflicted: Set<string>;
  }

  let needed: number[] = [];
  const placer: Placer = {
    family,
    table,
    draft: newDraft(),
    allocate: ids.allocate,
    free: ids.free,
    claim: ids.claim,
    timeoutIndex: (seconds) => {
      const index = timeouts.indexOf(seconds);
      return index >= 0 ? index : timeouts.push(seconds) - 1;
    },
    need: (value) => {
      if (chains.has(value)) return;
      chains.add(value);
      needed.push(value);
    },
    memo: {},
  };

  const begin = (): Work => {
    const draft = newDraft();
    placer.draft = draft;
    placer.memo = {};
    needed = [];
    return { draft, chains: needed, flows: [], conflicted: new Set() };
  };

  const finish = ({ draft, chains: values, flows, conflicted }: Work): Plan => {
    clusterIps.flush(draft);
    hairpin.flush(draft);
    const later = table.seal(draft);
    return {
      chains: values.sort((a, b) => a - b),
      now: draft.slots.length === 0 ? draft.front : [...draft.slots, ...draft.front],
      ...(later === undefined ? {} : { later }),
      flows,
      conflicted: conflicted.size === 0 ? NOBODY : [...conflicted].sort(),
    };
  };

  const settle = (key: Registers, face: Face, { flows }: Work): void => {
    if (face === NO_FACE && !placed.has(key)) return;
    const state = placedAt(key);
    const stale = staleFlows(key, state, face);
    if (stale !== undefined) flows.push(stale);
    // Not counted while it is a hint: `adopt` has set all counts to zero.
    const wasClusterIp = state.isClusterIp && !state.isHint;
    if (wasClusterIp !== face.isClusterIp) {
      const address = key.slice(0, ADDRESS_BYTES[family]);
      if (wasClusterIp) clusterIps.remove(address);
      else clusterIps.add(address);
    }
    place(key, state, face, placer);
    if (face === NO_FACE) placed.delete(key);
  };

  /** The frontend gets the face that its owner gives it, or none. */
  const settleByOwner = (key: Registers, work: Work): void => {
    const owner = claims.owner(key);
    const model = owner === undefined ? undefined : models.get(owner);
    const at = model === undefined ? undefined : placeOf(model, family, key);
    settle(key, at === undefined ? NO_FACE : faceOf(at.port, at.frontend, family), work);
  };

  /** Frontends that the model wants no more. */
  const claimAll = (
    old: ServiceModel | undefined,
    model: ServiceModel | undefined,
    { key, note }: { readonly key: string; readonly note?: Note },
  ): readonly Registers[] => {
    for (const port of portsIn(model, family))
      for (const frontend of port.frontends) claims.acquire(frontend.key, key, note);
    if (old === undefined || (model !== undefined && hasSameFrontends(old, model, family))) return NO_FRONTENDS;
    const wanted = new Set(frontendsIn(model, family));
    const lost = [...frontendsIn(old, family)].filter((frontend) => !wanted.has(frontend));
    for (const frontend of lost) claims.release(frontend, key, note);
    return lost;
  };

  const settleAll = (changes: Iterable<readonly [string, ServiceModel | undefined]>, work: Work): void => {
    const changed: { key: string; lost: readonly Registers[]; model: ServiceModel | undefined }[] = [];
    const note: Note = (before, now) => noteConflicts(before, now, work.conflicted);
    for (const [key, model] of changes) {
      const old = models.get(key);
      const isPlanned = unplanned.size === 0 || !unplanned.delete(key);
      if (old === model && isPlanned) continue;
      if (model === undefined) models.delete(key);
      else models.set(key, model);
      if (isPlanned) count(old, -1);
      count(model, 1);
      changed.push({ key, lost: claimAll(old, model, { key, note }), model });
    }
    for (const { key, lost, model } of changed) {
      for (const frontend of lost) settleByOwner(frontend, work);
      for (const port of portsIn(model, family))
        for (const frontend of port.frontends)
          if (claims.owner(frontend.key) === key) settle(frontend.key, faceOf(port, frontend, family), work);
          else settleByOwner(frontend.key, work);
    }
  };

  const planAll = (changes: Iterable<readonly [string, ServiceModel | undefined]>): Plan => {
    const work = begin();
    settleAll(changes, work);
    return finish(work);
  };

  const count = (model: ServiceModel | undefined, by: 1 | -1): void => {
    for (const { hairpin: addresses } of portsIn(model, family))
      for (const address of addresses) {
        if (by > 0) hairpin.add(`${address}${address}`);
        else hairpin.remove(`${address}${address}`);
      }
  };

  const planRange = (set: RangeSet, wanted: readonly Range[]): Plan => {
    const known = unswept.delete(set) ? foundRanges(table.foundRanges(set), family) : (ranges.get(set) ?? []);
    ranges.set(set, wanted);
    return { chains: [], now: rangeChanges(set, known, wanted), flows: [], conflicted: [] };
  };

  return {
    family,
    announce(announced) {
      for (const model of announced) {
        if (models.has(model.key)) continue;
        models.set(model.key, model);
        unplanned.add(model.key);
        claimAll(undefined, model, { key: model.key });
      }
    },
    plan: planAll,
    planRanges: (set, cidrs) => planRange(set, rangesOf(cidrs, family)),
    release: table.release,
    adopt(found) {
      if (!table.isAdopting) {
        for (const state of placed.values()) state.isHint = true;
        for (const key of models.keys()) unplanned.add(key);
        clusterIps.reset();
        hairpin.reset();
        unswept = new Set(RANGE_SETS);
      }
      table.adopt(found);
    },
    replan: (keys) => planAll([...keys].map((key) => [key, models.get(key)] as const)),
    sweep() {
      const work = begin();
      for (const set of [...unswept]) work.draft.front.push(...planRange(set, ranges.get(set) ?? []).now);
      // Elements of what was not planned yet must not be taken for nobody's.
      settleAll(
        [...unplanned].map((key) => [key, models.get(key)] as const),
        work,
      );
      table.sweep(work.draft);
      return finish(work);
    },
    refused: table.refused,
    loaded(values, seconds) {
      chains.clear();
      for (const value of values) chains.add(value);
      timeouts = [...seconds];
    },
    chains: () =>
      [...new Set([...placed.values()].flatMap(({ services, near }) => [services, near]))]
        .filter((value) => value !== 0)
        .sort((a, b) => a - b),
    timeouts: () => timeouts,
    *elements() {
      for (const [key, state] of placed) yield* placedElements(key, state);
      for (const key of clusterIps.keys()) yield { set: 'cluster-ips', key };
      for (const key of hairpin.keys()) yield { set: 'hairpin', key };
      for (const [set, wanted] of ranges) for (const range of wanted) yield* rangeElements(set, range);
    },
    keys: () => models.keys(),
    model: (key) => models.get(key),
    ownerOf: claims.owner,
    conflicts: (key) => conflictsOf(models.get(key), claims, family),
  };
}

/** Endpoint ids: each only once in a planner's life, 0 never. */
function createIds(firstId: number): Pick<Placer, 'allocate' | 'free' | 'claim'> {
  const used = new Set<Registers>();
  let next = firstId >>> 0;
  const step = (): void => {
    next = (next + 1) >>> 0;
  };
  return {
    allocate() {
      while (next === 0 || used.has(classidRegisters(next))) step();
      const id = classidRegisters(next);
      used.add(id);
      step();
      return id;
    },
    free: (id) => used.delete(id),
    claim(id) {
      used.add(id);
      // Clients may remember younger ids than those in the table, but hardly any.
      if (classidAt(id, 0) >= next) {
        next = classidAt(id, 0);
        step();
      }
    },
  };
}

const NO_PORTS: readonly PortModel[] = [];
const NO_FRONTENDS: readonly Registers[] = [];
const NOBODY: readonly string[] = [];
const portsIn = (model: ServiceModel | undefined, family: TableFamily): readonly PortModel[] =>
  model === undefined ? NO_PORTS : model[family];

function* frontendsIn(model: ServiceModel | undefined, family: TableFamily): Generator<Registers> {
  for (const { frontends } of portsIn(model, family)) for (const { key } of frontends) yield key;
}

/** In the same ports and order, as when endpoints changed only. */
function hasSameFrontends(a: ServiceModel, b: ServiceModel, family: TableFamily): boolean {
  const [ports, others] = [a[family], b[family]];
  return (
    ports.length === others.length &&
    ports.every(({ frontends }, index) => {
      const theirs = others[index]?.frontends ?? [];
      return frontends.length === theirs.length && frontends.every(({ key }, at) => key === theirs[at]?.key);
    })
  );
}

/** kube-proxy leaves entries alone while nobody serves. */
/** Also when the last endpoint leaves (kube-proxy since 1.37): a flow that only sends would reach for it for ever. */
function staleFlows(frontend: Registers, { serving: before }: Placed, face: Face): StaleFlows | undefined {
  const { serving } = face;
  if (before === serving || face === NO_FACE || before.length + serving.length === 0) return undefined;
  const kept = new Set(serving);
  const left = before.filter((target) => !kept.has(target));
  return left.length > 0 || before.length === 0 ? { frontend, left, serving } : undefined;
}

/** Everybody for whom it is new that another has the frontend, or that it is theirs. */
function noteConflicts(before: readonly string[], now: readonly string[], conflicted: Set<string>): void {
  const losers = (claimants: readonly string[]) => new Map(claimants.slice(1).map((key) => [key, claimants[0]]));
  const [old, current] = [losers(before), losers(now)];
  for (const key of new Set([...old.keys(), ...current.keys()]))
    if (old.get(key) !== current.get(key)) conflicted.add(key);
}

function conflictsOf(model: ServiceModel | undefined, claims: Claims, family: TableFamily): readonly Conflict[] {
  return portsIn(model, family).flatMap(({ frontends }) =>
    frontends.flatMap(({ kind, key }) => {
      const owner = claims.owner(key);
      return owner === undefined || owner === model?.key ? [] : [{ kind, key, owner }];
    }),
  );
}
