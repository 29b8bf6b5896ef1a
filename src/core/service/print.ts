import { isEqual } from '../equal.ts';
import type { LoadBalancerSpec, Target } from '../provider.ts';

/** What is kept of a spec to tell later what another one changed: ten thousand whole ones would be ten megabytes. */
export interface SpecPrint {
  /** Of everything but targets and facts. */
  readonly wish: number;
  /** Of `LoadBalancerSpec.service`. */
  readonly facts: number;
  readonly targetKind: LoadBalancerSpec['targetKind'];
  /** The spec's own array, which specs with equal targets share. */
  readonly targets: readonly Target[];
}

/** Equal specs have equal prints; two that differ have the same one in one of 2^53 cases. */
export function printOf({ targets, service, ...wish }: LoadBalancerSpec): SpecPrint {
  return {
    wish: hash(JSON.stringify(wish)),
    facts: hash(JSON.stringify(service)),
    targetKind: wish.targetKind,
    targets,
  };
}

/** What an `ensure` of `now` is for, after `before` has settled (`Served.cause`): 'hosts' when only targets differ. */
export function causeOf(before: SpecPrint | undefined, now: SpecPrint): 'first' | 'spec' | 'hosts' | 'none' {
  if (before === undefined) return 'first';
  if (before.wish !== now.wish || before.facts !== now.facts) return 'spec';
  return isEqual(before.targets, now.targets) ? 'none' : 'hosts';
}

/** 53 bits of a text: two multiplicative hashes side by side (cyrb53, public domain). */
function hash(text: string): number {
  let [high, low] = [0xdeadbeef, 0x41c6ce57];
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    high = Math.imul(high ^ code, 2654435761);
    low = Math.imul(low ^ code, 1597334677);
  }
  high = Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909);
  low = Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(high ^ (high >>> 13), 3266489909);
  return 4294967296 * (2097151 & low) + (high >>> 0);
}
