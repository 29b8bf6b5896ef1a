import type { Allocator } from '../../src/core/ipam/allocator.ts';
import { keyOf, type Service } from '../../src/core/objects.ts';
import type { Commit } from './commit.ts';
import type { Lifetime } from './lifetime.ts';
import type { Services } from './services.ts';

/**
 * Frees what the blocks hold for Services that are gone or no load balancers any more, without any finalizer: somebody
 * took it off, or a crash came between the block and the status. A relist from a stale API server may hide a Service for
 * a moment, so absence counts only when it lasts; a new Service under the name is proof at once.
 */
export interface Gone {
  /** Looks at every UID in the blocks. */
  start(): void;
  onService(old: Service | undefined, now: Service | undefined): void;
  /**
   * Something was reserved for it: by the late write of an earlier leader, or by a run that began before it went. Nothing
   * for a Service that is there.
   */
  onUser(uid: string, key: string): void;
}
export interface GoneOptions {
  readonly allocator: Allocator;
  readonly commit: Commit;
  readonly services: Services;
  readonly lifetime: Lifetime;
  /** Frees everything of it. */
  readonly free: (uid: string, key: string) => void;
}

/** How long a Service must be missing. */
const GRACE_MS = 30_000;

export function createGone({ allocator, commit, services, lifetime, free }: GoneOptions): Gone {
  const suspects = new Map<string, Set<string>>(); // key -> uids

  function suspect(uid: string, key: string): void {
    const uids = suspects.get(key) ?? new Set();
    if (uids.has(uid) || !holds(uid)) return;
    suspects.set(key, uids.add(uid));
    lifetime.after(GRACE_MS, () => {
      if (clear(uid, key) && isGone(uid, key)) free(uid, key);
    });
  }

  /** True when it was a suspect and still holds something. */
  function clear(uid: string, key: string): boolean {
    const uids = suspects.get(key);
    const wasSuspect = uids?.delete(uid) === true;
    if (uids?.size === 0) suspects.delete(key);
    return wasSuspect && holds(uid);
  }

  const holds = (uid: string): boolean => allocator.holdings(uid).length > 0 || commit.recorded(uid).length > 0;
  const isGone = (uid: string, key: string): boolean => services.find(uid, key)?.spec.type !== 'LoadBalancer';

  /** By what its addresses say. */
  function ownerOf(uid: string): string | undefined {
    for (const { address } of allocator.holdings(uid)) {
      const user = allocator.entry(address)?.users.find((each) => each.uid === uid);
      if (user !== undefined) return `${user.namespace}/${user.name}`;
    }
    return undefined;
  }

  return {
    start() {
      for (const uid of allocator.holders()) {
        const key = ownerOf(uid);
        if (key === undefined || !isGone(uid, key)) continue;
        const isReplaced = services.get(key) !== undefined && services.find(uid, key) === undefined;
        if (isReplaced) free(uid, key);
        else suspect(uid, key);
      }
    },
    onUser(uid, key) {
      if (isGone(uid, key)) suspect(uid, key);
    },
    onService(old, now) {
      if (old !== undefined && isGone(old.metadata.uid, keyOf(old))) suspect(old.metadata.uid, keyOf(old));
      if (now === undefined) return;
      const key = keyOf(now);
      for (const uid of [...(suspects.get(key) ?? [])]) if (uid !== now.metadata.uid && clear(uid, key)) free(uid, key);
    },
  };
}
