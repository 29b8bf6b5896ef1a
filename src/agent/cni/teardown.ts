import { type Attachment, keyOf, nameOf } from '../../core/cni/attachment.ts';
import type { Clock, Log } from '../../core/provider.ts';
import { exponential } from '../../work/backoff.ts';
import type { Timers } from '../../work/clock.ts';
import type { RouteChannel } from '../netlink/channel.ts';
import type { Journal } from './journal.ts';
import { removeLinks } from './links.ts';

export interface TeardownOptions {
  readonly journal: Journal;
  readonly route: RouteChannel;
  readonly clock: Clock & Timers;
  readonly log: Log;
  /** Resolves when no host port leads to the attachment any more, in the kernel. */
  readonly unpublished: (attachment: Attachment) => Promise<void>;
  readonly signal: AbortSignal;
}

/**
 * Takes down, in the background, what DEL, GC and failed ADDs left: the link, then the address files, then the state. An
 * address is free only when its link is gone. Tried until it works; a start goes on with what is left.
 */
export interface Teardown {
  /**
   * Its state is `removing` on disk, or a start would undo it anyway. Resolves when nothing is left of it. `quiet`: not
   * before calls have stopped coming for a moment, since each link that goes holds up everybody's changes for 20 ms.
   */
  add(key: string, when?: 'now' | 'quiet'): Promise<void>;
  /** In work. */
  readonly size: number;
  /** Resolves when nothing is in work. */
  idle(): Promise<void>;
}

const QUIET_MS = 30;
const LATEST_MS = 300;

export function createTeardown({ journal, route, clock, log, unpublished, signal }: TeardownOptions): Teardown {
  const waiting = new Map<string, PromiseWithResolvers<void>>(); // key -> settles when it is gone
  let quietAtMs = 0; // when the calls will have been quiet for long enough
  let latestMs = Number.POSITIVE_INFINITY; // when those that come no longer count
  const delayOf = exponential({ baseMs: 200, capMs: 30_000 });
  let isRunning = false;
  let failures = 0;

  function finish(key: string): void {
    journal.forget(key);
    waiting.get(key)?.resolve();
    waiting.delete(key);
  }

  /** All that waits, once; throws what the kernel or the disk says of the first that did not work. */
  async function round(): Promise<void> {
    const all = [...waiting.keys()].flatMap((key) => journal.get(key) ?? []);
    for (const key of waiting.keys()) if (journal.get(key) === undefined) finish(key);
    const gone = await removeLinks(
      route,
      all.flatMap(({ link }) => link ?? []),
    );
    let failed: unknown;
    for (const attachment of all) {
      if (attachment.link !== undefined && !gone.has(attachment.link.name)) {
        failed ??= new Error(`the link ${attachment.link.name} of ${nameOf(attachment)} could not be deleted`);
        continue;
      }
      try {
        await unpublished(attachment);
        finish(keyOf(attachment));
      } catch (error) {
        failed ??= error;
      }
    }
    if (failed !== undefined) throw failed;
  }

  async function quiet(): Promise<void> {
    for (;;) {
      const waitMs = Math.min(quietAtMs, latestMs) - clock.monotonicMs();
      if (waitMs <= 0) break;
      await clock.sleep(waitMs, signal);
    }
    latestMs = Number.POSITIVE_INFINITY;
  }

  async function pump(): Promise<void> {
    if (isRunning) return;
    isRunning = true;
    while (waiting.size > 0 && !signal.aborted) {
      try {
        await quiet();
        await round();
        failures = 0;
      } catch (err) {
        failures += 1;
        const retryMs = delayOf(failures);
        log.warn({ err, retryMs, left: waiting.size }, 'pods are not torn down; their addresses stay reserved');
        await clock.sleep(retryMs, signal).catch(() => {});
      }
    }
    isRunning = false;
  }

  return {
    add(key, when = 'now') {
      const entry = waiting.get(key) ?? Promise.withResolvers<void>();
      waiting.set(key, entry);
      const nowMs = clock.monotonicMs();
      if (when === 'quiet') {
        quietAtMs = nowMs + QUIET_MS;
        latestMs = Math.min(latestMs, nowMs + LATEST_MS);
      } else quietAtMs = 0;
      void pump();
      return entry.promise;
    },
    get size() {
      return waiting.size;
    },
    async idle() {
      while (waiting.size > 0) await Promise.race([...waiting.values()].map(({ promise }) => promise));
    },
  };
}
