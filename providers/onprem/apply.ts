import type { Allocator } from '../../src/core/ipam/allocator.ts';
import type { Freed } from '../../src/core/ipam/entry.ts';
import type { Call, Clock } from '../../src/core/provider.ts';
import type { Book } from './book.ts';
import type { Change, Commit } from './commit.ts';
import { type Act, requestText } from './diff.ts';
import { holdChange } from './hold.ts';
import { claim, type IpamPlugin, unclaim } from './ipam.ts';
import type { Desired } from './plan.ts';

export interface ApplyOptions {
  readonly allocator: Allocator;
  readonly commit: Commit;
  readonly clock: Clock;
  readonly book: Book;
  readonly ipam?: IpamPlugin;
  /** Addresses became free, and that is in the blocks. */
  readonly onFreed: (freed: readonly Freed[]) => void;
}

/** One action. In memory before the first await; in the block when the promise resolves. */
export async function apply(options: ApplyOptions, act: Act, { signal }: Call): Promise<void> {
  const { allocator, commit, book } = options;
  switch (act.kind) {
    case 'reserve':
    case 'extend':
      return await until(signal, commit.commit(holdChange(allocator, act.request as Desired)));
    case 'release':
      return await release(options, act, signal);
    case 'claim': {
      const request = act.request as Desired;
      book.released.delete(act.uid);
      const addresses = await claim(options.ipam as IpamPlugin, request, signal);
      book.claims.set(act.uid, { request: requestText(request), addresses });
      return;
    }
    case 'unclaim': {
      const { uid, addresses } = act;
      await unclaim(options.ipam as IpamPlugin, { uid, addresses }, signal);
      book.claims.delete(uid);
      if (allocator.holdings(uid).length === 0) book.released.add(uid);
      return;
    }
    default:
      return act.kind satisfies never;
  }
}

async function release(
  { allocator, commit, clock, onFreed }: ApplyOptions,
  act: Act,
  signal: AbortSignal,
): Promise<void> {
  const { uid, addresses, retain } = act;
  await until(
    signal,
    freeing({ allocator, commit, onFreed }, { uid, addresses, ...(retain ? { retainAtMs: clock.now() } : {}) }),
  );
}

/** Gives addresses up, and tells who waits for them once nobody can find them taken any more. */
export async function freeing(
  { allocator, commit, onFreed }: Pick<ApplyOptions, 'allocator' | 'commit' | 'onFreed'>,
  {
    uid,
    addresses,
    retainAtMs,
  }: { readonly uid: string; readonly addresses: readonly string[]; readonly retainAtMs?: number },
  how: Pick<Change, 'insist'> = {},
): Promise<void> {
  let freed: readonly Freed[] = [];
  const make = () => {
    const done = allocator.release(uid, { addresses, ...(retainAtMs === undefined ? {} : { retainAtMs }) });
    if (done.freed.length > 0) freed = done.freed;
    return { changed: addresses };
  };
  await commit.commit({ make, ...how });
  onFreed(freed);
}

/** The write goes on, for others wait for it too; only this caller stops waiting. */
async function until(signal: AbortSignal, work: Promise<void>): Promise<void> {
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
    work.catch(() => {}); // told to nobody when the caller left first; the next look decides anew
  }
}
