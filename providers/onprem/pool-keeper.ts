import { isEqual } from '../../src/core/equal.ts';
import type { Allocator } from '../../src/core/ipam/allocator.ts';
import type { PoolChange } from '../../src/core/ipam/change.ts';
import { type IPAddressPool, poolsOf } from '../../src/core/ipam/pools.ts';
import type { KubeObject } from '../../src/core/objects.ts';
import type { Log, ObjectReader } from '../../src/core/provider.ts';
import { judge, type Objection } from './guard.ts';
import type { Lifetime } from './lifetime.ts';

/** The pools in use: the live ones as long as they may be, else the last good ones. */
export interface PoolKeeper {
  /** Before the blocks are restored: what was good when the last process ended. */
  begin(lastGood: readonly IPAddressPool[] | undefined): void;
  /** Looks at the live pools now. */
  look(): void;
  /** Looks soon: several objects that are applied together are one change. */
  changed(): void;
  /** As `changed`, where pools select namespaces by labels. */
  namespaceChanged(old: KubeObject | undefined, now: KubeObject | undefined): void;
  /** Why there are no pools to decide by. */
  frozen(): string | undefined;
  readonly objections: readonly Objection[];
  /** The objects in use. */
  readonly good: readonly IPAddressPool[];
  /** For metrics (metallb_k8s_client_*). */
  configuration(): Configuration;
}
export interface Configuration {
  /** Looks at the pools since the start, and how many of them had objections. */
  readonly updates: number;
  readonly errors: number;
  /** There are pools to decide by. */
  readonly loaded: boolean;
  /** The pools in the cluster are not those in use. */
  readonly stale: boolean;
}
export interface PoolKeeperOptions {
  readonly allocator: Allocator;
  readonly pools: ObjectReader;
  readonly namespaces: ObjectReader;
  /** --metallb-namespace */
  readonly namespace: string;
  readonly lifetime: Lifetime;
  readonly log: Log;
  /** The pools in use are others now. */
  readonly onTaken: (change: PoolChange) => void;
  /** A look is over: what is good, or objected to, may be others. */
  readonly onLooked: () => void;
}

/** Objects of one `kubectl apply` come a few milliseconds apart. */
const QUIET_MS = 50;

export function createPoolKeeper(options: PoolKeeperOptions): PoolKeeper {
  const { allocator, pools, namespaces, namespace, lifetime, log, onTaken, onLooked } = options;
  let good: readonly IPAddressPool[] | undefined;
  let objections: readonly Objection[] = [];
  let isDue = false;
  let updates = 0;
  let errors = 0;

  const live = () => pools.list() as readonly IPAddressPool[];
  const spaces = () => namespaces.list() as readonly KubeObject[];

  function look(): void {
    const objects = live();
    const judgement = judge({ objects, namespaces: spaces(), namespace }, allocator);
    updates += 1;
    if (!judgement.taken) errors += 1;
    if (judgement.taken) {
      good = objects;
      objections = [];
      use(judgement.pools);
    } else {
      if (!isEqual(objections, judgement.objections)) {
        const messages = judgement.objections.map(({ message }) => message);
        log.warn(
          { problems: messages },
          good === undefined ? 'no valid pools' : 'pools not taken, the last good ones stay',
        );
      }
      objections = judgement.objections;
      // The selectors of the pools in use follow the namespaces all the same.
      if (good !== undefined) use(poolsOf(good, spaces()));
    }
    onLooked();
  }

  function use(next: ReturnType<typeof poolsOf>): void {
    if (isEqual(next, allocator.pools)) return;
    onTaken(allocator.setPools(next));
  }

  function changed(): void {
    if (isDue) return;
    isDue = true;
    lifetime.after(QUIET_MS, () => {
      isDue = false;
      look();
    });
  }

  return {
    begin(lastGood) {
      if (lastGood === undefined) return;
      try {
        allocator.setPools(poolsOf(lastGood, spaces()));
        good = lastGood;
      } catch (error) {
        log.warn({ err: error }, 'the last good pools are not valid any more');
      }
    },
    look,
    changed,
    namespaceChanged(old, now) {
      if (isEqual(old?.metadata.labels, now?.metadata.labels) && old !== undefined && now !== undefined) return;
      const selects = ({ spec }: IPAddressPool) => (spec?.serviceAllocation?.namespaceSelectors ?? []).length > 0;
      if ([...live(), ...(good ?? [])].some(selects)) changed();
    },
    frozen: () => (good === undefined ? objections.map(({ message }) => message).join('\n') : undefined),
    get objections() {
      return objections;
    },
    get good() {
      return good ?? [];
    },
    configuration: () => ({ updates, errors, loaded: good !== undefined, stale: objections.length > 0 }),
  };
}
