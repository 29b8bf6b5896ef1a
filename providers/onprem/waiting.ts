import type { Allocator } from '../../src/core/ipam/allocator.ts';
import type { Freed } from '../../src/core/ipam/entry.ts';
import { compareWaiters, serve, type Waiter, wake } from '../../src/core/ipam/waiters.ts';
import type { Clock, Log } from '../../src/core/provider.ts';
import type { Commit } from './commit.ts';
import { gathering } from './gathering.ts';
import { holdChange, madeOf } from './hold.ts';
import type { Lifetime } from './lifetime.ts';

/**
 * Services that got nothing, or less than they want. When room is made, those that fit are decided in memory, oldest
 * first, at most as many as there is room for; whole blocks are written, and only then are their keys queued: their own
 * run finds the address in its block and writes no block.
 */
export interface Waiting {
  /** Its last decision had a failure, a shortfall or a wish left open. */
  add(waiter: Waiter): void;
  /** It has what it wants, or is gone. */
  delete(uid: string): void;
  /** Room was made. Resolves when all who fit are decided, in memory. */
  serve(freed: readonly Freed[]): Promise<void>;
  readonly size: number;
}
export interface WaitingOptions {
  readonly allocator: Allocator;
  readonly commit: Commit;
  readonly clock: Clock;
  readonly lifetime: Lifetime;
  readonly log: Log;
  readonly resync: (reason: string, uids: readonly string[]) => void;
  /** Their own runs decide, for a plug-in has to be asked: those that fit are only queued. */
  readonly onlyWake?: boolean;
}

/** Decisions without a pause, about 10 ms: two whole blocks, so that most are written once. */
const CHUNK = 512;
/** Until a write that failed is tried again for those who would have been served by it. */
const RETRY_MS = 10_000;

export function createWaiting(options: WaitingOptions): Waiting {
  const { allocator, commit, clock, lifetime, log, resync, onlyWake = false } = options;
  const waiters = new Map<string, Waiter>(); // uid -> waiter
  // A Service that holds something gives it up in its own run, after the new is published.
  const taking = Object.assign(Object.create(allocator) as Allocator, {
    allocate: (request: Waiter['request']) => ({ ...allocator.take(request), freed: [] }),
  });
  let freed: Freed[] = [];
  let passing: Promise<void> | undefined;
  const unused = new Set<readonly Freed[]>(); // room that is still there because the writes failed
  /** Uids whose blocks are written. */
  const queue = gathering<string>((uids) => resync('addresses became free', uids));

  async function pass(): Promise<void> {
    while (freed.length > 0 && !lifetime.signal.aborted) {
      const room = freed;
      freed = [];
      const order = [...waiters.values()].sort(compareWaiters);
      if (onlyWake) wakeUp(wake(order, room, allocator));
      else await serveInOrder(order, room);
    }
  }

  async function serveInOrder(order: readonly Waiter[], room: readonly Freed[]): Promise<void> {
    for (let at = 0; at < order.length; at += CHUNK) {
      if (at > 0) await clock.sleep(0, lifetime.signal);
      const chunk = order.slice(at, at + CHUNK).filter(({ request: { uid } }) => waiters.has(uid));
      for (const { waiter, decision } of serve(chunk, room, taking)) follow(waiter, decision, room);
    }
  }

  function wakeUp(woken: readonly Waiter[]): void {
    for (const { request } of woken) {
      waiters.delete(request.uid); // back on the list when its run gets nothing
      queue(request.uid);
    }
  }

  function follow(waiter: Waiter, decision: ReturnType<Allocator['take']>, room: readonly Freed[]): void {
    const { request } = waiter;
    waiters.delete(request.uid);
    let isFirst = true;
    const again = holdChange(allocator, request);
    const make = () => {
      if (!isFirst) return again.make();
      isFirst = false;
      return madeOf(decision);
    };
    commit.commit({ make }).then(
      () => queue(request.uid),
      (error: unknown) => {
        if (lifetime.signal.aborted) return;
        log.debug({ uid: request.uid, err: error }, 'a waiting Service was not served');
        waiters.set(request.uid, waiter);
        retry(room);
      },
    );
  }

  /** Once for all whose writes failed meanwhile. */
  function retry(room: readonly Freed[]): void {
    unused.add(room);
    if (unused.size > 1) return;
    lifetime.after(RETRY_MS, () => {
      const all = [...unused].flat();
      unused.clear();
      void makeRoom(all);
    });
  }

  async function makeRoom(room: readonly Freed[]): Promise<void> {
    if (waiters.size === 0 || room.length === 0) return;
    freed.push(...room);
    if (passing === undefined) {
      passing = pass()
        .catch((error: unknown) => {
          if (!lifetime.signal.aborted) log.error({ err: error }, 'serving waiting Services failed');
        })
        .finally(() => {
          passing = undefined;
        });
    }
    await passing;
    // What came between the end of that pass and now.
    if (freed.length > 0 && !lifetime.signal.aborted) await makeRoom([...freed.splice(0)]);
  }

  return {
    add: (waiter) => void waiters.set(waiter.request.uid, waiter),
    delete: (uid) => void waiters.delete(uid),
    serve: makeRoom,
    get size() {
      return waiters.size;
    },
  };
}
