import type { LoadBalancerSpec } from '../../src/core/provider.ts';
import type { Desired } from './model.ts';
import type { WaitsOn } from './progress.ts';

/** What this process knows of the Services' wishes: the last plan of each, and which of them must be looked at whole. */
export interface Wanted {
  /** Notes the plan of a run that begins. `print`: of all but the targets. */
  plan(spec: LoadBalancerSpec, desired: Desired, print: string): void;
  get(uid: string): Wish | undefined;
  values(): Iterable<Wish>;
  /** The Service is being removed: nothing of it is read but what must go. */
  leave(uid: string): void;
  /** For tests and metrics. */
  readonly size: number;
}

export interface Wish {
  readonly uid: string;
  readonly key: string;
  readonly desired: Desired;
  readonly print: string;
  readonly lbcFinalizer: boolean;
  /** All parts of it are to be read at the next look: the spec is another, or the audit's turn has come. */
  isDue: boolean;
  /** What the last run ended in a wait for: what AWS does by itself is asked for at the next look. */
  waitsOn: WaitsOn | undefined;
  /** Targets of it were new at the last look: they are looked at again at the next one. */
  isFollowed: boolean;
  /** Its last run has failed: what was written by it may not be what was meant. */
  isUnwell: boolean;
}

export function createWanted(lbcFinalizer: string): Wanted {
  const wishes = new Map<string, Wish>(); // uid -> last plan
  return {
    plan(spec, desired, print) {
      const { uid, key, service } = spec;
      const old = wishes.get(uid);
      wishes.set(uid, {
        uid,
        key,
        desired,
        print,
        lbcFinalizer: service.finalizers.includes(lbcFinalizer),
        isDue: old !== undefined && (old.isDue || old.print !== print),
        waitsOn: old?.waitsOn,
        isFollowed: old?.isFollowed ?? false,
        isUnwell: old?.isUnwell ?? false,
      });
    },
    get: (uid) => wishes.get(uid),
    values: () => wishes.values(),
    leave: (uid) => void wishes.delete(uid),
    get size() {
      return wishes.size;
    },
  };
}
