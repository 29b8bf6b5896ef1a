import { isProviderError } from '../../core/errors.ts';
import type { Cidr, Clock, Log } from '../../core/provider.ts';
import type { ServiceModel } from '../../core/proxy/model.ts';
import type { RangeSet } from '../../core/proxy/schema.ts';
import type { Timers } from '../../work/clock.ts';
import type { NftChannel } from '../netlink/channel.ts';
import type { FamilyTable } from './family-table.ts';

export interface KeeperOptions {
  /** One or both families. */
  readonly tables: readonly FamilyTable[];
  readonly channel: Pick<NftChannel, 'generation' | 'commits'>;
  /** Texts that were loaded: transactions of ours that the channel does not count. */
  readonly loads: () => number;
  /** Who fills the tables; what nobody asks for stays until each has said `done`. */
  readonly owners: readonly string[];
  /** Least time between two commits while changes keep coming (100): each one makes who reads the ruleset start again. */
  readonly minPeriodMs: number;
  readonly clock: Clock & Timers;
  readonly log: Log;
}

/** The node's tables: what their owners want, in the kernel, whatever others do to them. */
export interface Keeper {
  /** Asks for a model in both families; `undefined`: it is gone. `commit` brings it on its way. */
  change(key: string, model: ServiceModel | undefined): void;
  ranges(set: RangeSet, cidrs: readonly Cidr[]): void;
  /** At once when the last commit is long ago enough, inside this call as far as the channel allows. */
  commit(): void;
  /** The owner has asked for all that it wants. */
  done(owner: string): void;
  /** Nothing is written for so long, 1 s at most, so that somebody can read the tables. */
  hold(ms: number): void;
  /** Resolves when what was asked for so far is in the kernel; rejects with the signal's reason. */
  written(signal: AbortSignal): Promise<void>;
  /** Compares everything with the kernel now, as it is done every hour. */
  resync(): void;
  /** True from the first time on that everything was in the kernel. */
  readonly synced: boolean;
  /** Resolves when `synced` turns true; rejects with the signal's reason. */
  whenSynced(signal: AbortSignal): Promise<void>;
  /** Changes are asked for that are not in the kernel. */
  readonly pending: boolean;
  /** Until the signal aborts; the tables stay as they are. Rejects for what no further try mends. */
  run(signal: AbortSignal): Promise<void>;
}

const LONGEST_HOLD_MS = 1000;
/** Elements that nobody reaches any more wait for the next change to take them along, but not longer. */
const RELEASE_MS = 500;
const LOOK_MS = 1000;
const RESYNC_MS = 3_600_000;
/** Of the time, so much at most goes into comparing tables beside somebody who changes the ruleset all the time. */
const COMPARE_SHARE = 0.05;
/** Never while packets may still be between the lookup of a count and that of its slot. */
const CALM_MS = 60;
const RETRY = { baseMs: 100, capMs: 10_000 };
/** The generation has 32 bits. */
const WRAP = 2 ** 32;

export function createKeeper(options: KeeperOptions): Keeper {
  return new TableKeeper(options);
}

class TableKeeper implements Keeper {
  readonly #options: KeeperOptions;
  readonly #failed = Promise.withResolvers<never>();
  readonly #undone: Set<string>;
  #isRunning = false;
  /** A sync or a look is under way: what comes meanwhile waits for its end. */
  #isBusy = false;
  #isWanted = false;
  #cancelCommit: (() => void) | undefined;
  #cancelRelease: (() => void) | undefined;
  /** End of the last commit of a change, or of a failure. */
  #lastMs = Number.NEGATIVE_INFINITY;
  #heldUntilMs = Number.NEGATIVE_INFINITY;
  #failures = 0;
  /** What was asked for while the keeper was busy, in its order. */
  readonly #untold: ((table: FamilyTable) => void)[] = [];
  /** Counts what was asked for, and how much of that is written. */
  #asked = 0;
  #written = 0;
  #waiting: { readonly asked: number; readonly resolve: () => void }[] = [];
  #synced = false;
  readonly #firstSync = Promise.withResolvers<void>();
  /** Generation less our own transactions, before the tables were last read. */
  #foreign: number | undefined;
  #nextCompareMs = Number.NEGATIVE_INFINITY;
  #resyncMs = Number.POSITIVE_INFINITY;

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.#undone = new Set(options.owners);
    this.#failed.promise.catch(() => {}); // `run` may have ended already
  }

  get synced(): boolean {
    return this.#synced;
  }

  get pending(): boolean {
    return this.#written < this.#asked;
  }

  change(key: string, model: ServiceModel | undefined): void {
    this.#asked += 1;
    this.#tell((table) => table.queue(key, model));
  }

  ranges(set: RangeSet, cidrs: readonly Cidr[]): void {
    this.#asked += 1;
    this.#tell((table) => table.queueRanges(set, cidrs));
  }

  done(owner: string): void {
    if (!this.#undone.delete(owner) || this.#undone.size > 0) return;
    this.#tell((table) => table.complete());
    this.commit();
  }

  commit(): void {
    this.#isWanted = true;
    if (!this.#isRunning || this.#isBusy || this.#cancelCommit !== undefined) return;
    const waitMs = this.#waitMs();
    if (waitMs <= 0) void this.#work();
    else this.#cancelCommit = this.#options.clock.after(waitMs, () => this.#fire());
  }

  hold(ms: number): void {
    this.#heldUntilMs = this.#options.clock.monotonicMs() + Math.min(ms, LONGEST_HOLD_MS);
  }

  resync(): void {
    this.#resyncMs = this.#options.clock.monotonicMs();
  }

  async whenSynced(signal: AbortSignal): Promise<void> {
    if (!this.#synced) await this.#before(signal, this.#firstSync.promise);
  }

  async written(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (!this.pending) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push({ asked: this.#asked, resolve });
    await this.#before(signal, promise);
  }

  async #before(signal: AbortSignal, promise: Promise<void>): Promise<void> {
    signal.throwIfAborted();
    const aborted = Promise.withResolvers<never>();
    const abort = (): void => aborted.reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    try {
      await Promise.race([promise, aborted.promise, this.#failed.promise]);
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const ended = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    this.#isRunning = true;
    this.#resyncMs = Math.min(this.#resyncMs, clock.monotonicMs() + RESYNC_MS);
    try {
      void this.#prepare();
      await Promise.race([ended, this.#failed.promise, this.#look(signal)]);
    } finally {
      this.#isRunning = false;
      this.#cancelCommit?.();
      this.#cancelRelease?.();
    }
  }

  /** Rules are loaded and tables read while the API server is still being asked. */
  async #prepare(): Promise<void> {
    await this.#exclusive(async () => {
      this.#foreign = await this.#foreignNow();
      await Promise.all(this.#options.tables.map((table) => table.prepare()));
    });
  }

  /** A sync goes on as long as something is asked for: each event of a watch that comes meanwhile would be a commit. */
  #tell(ask: (table: FamilyTable) => void): void {
    if (this.#isBusy) this.#untold.push(ask);
    else for (const table of this.#options.tables) ask(table);
  }

  #tellAll(): void {
    for (const ask of this.#untold.splice(0)) for (const table of this.#options.tables) ask(table);
  }

  /** Of the pace and of who reads. */
  #waitMs(): number {
    const { clock, minPeriodMs } = this.#options;
    const afterFailureMs = this.#failures === 0 ? 0 : Math.min(RETRY.capMs, RETRY.baseMs * 2 ** (this.#failures - 1));
    const dueMs = this.#lastMs + Math.max(minPeriodMs, afterFailureMs);
    return Math.max(this.#heldUntilMs, dueMs) - clock.monotonicMs();
  }

  #fire(): void {
    this.#cancelCommit = undefined;
    if (this.#waitMs() > 0)
      this.commit(); // held meanwhile
    else void this.#work();
  }

  async #work(): Promise<void> {
    await this.#exclusive(async () => {
      const asked = this.#asked;
      const isComplete = this.#undone.size === 0;
      const before = this.#options.channel.commits();
      // A release alone does not put off the change that may come next: there are few of them.
      const isChange = this.pending;
      this.#isWanted = false;
      for (const table of this.#options.tables) if (isDue(table, this.#options.clock)) await table.sync();
      if (isChange && this.#options.channel.commits() !== before) this.#lastMs = this.#options.clock.monotonicMs();
      this.#settle(asked, isComplete);
    });
  }

  /** One thing at a time happens to the tables; faults are retried, or end `run`. */
  async #exclusive(act: () => Promise<void>): Promise<void> {
    const { clock, log } = this.#options;
    this.#isBusy = true;
    this.#cancelRelease?.();
    this.#cancelRelease = undefined;
    try {
      await act();
      this.#failures = 0;
    } catch (error) {
      this.#failures += 1;
      this.#lastMs = clock.monotonicMs();
      this.#isWanted = true;
      if (isHopeless(error)) this.#failed.reject(error);
      else log.error({ err: error, failures: this.#failures }, 'the tables could not be written; trying again');
    } finally {
      this.#isBusy = false;
      this.#tellAll();
    }
    if (!this.#isRunning) return;
    if (this.#isWanted) this.commit();
    else this.#release();
  }

  #settle(asked: number, isComplete: boolean): void {
    this.#written = asked;
    if (isComplete) {
      this.#synced = true;
      this.#firstSync.resolve();
    }
    const done = this.#waiting.filter((one) => one.asked <= asked);
    this.#waiting = this.#waiting.filter((one) => one.asked > asked);
    for (const { resolve } of done) resolve();
  }

  /** What nobody reaches any more is removed with the next change, or when none comes. */
  #release(): void {
    if (this.#cancelRelease !== undefined) return;
    if (this.#options.tables.every(({ removalDueMs }) => removalDueMs === undefined)) return;
    this.#cancelRelease = this.#options.clock.after(RELEASE_MS, () => {
      this.#cancelRelease = undefined;
      this.commit();
    });
  }

  // -------------------------------------------------------------------------------------------------------------------
  // What others do to the ruleset

  async #look(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      try {
        await clock.sleep(LOOK_MS, signal);
      } catch {
        return; // aborted
      }
      const nowMs = clock.monotonicMs();
      if (this.#isBusy || nowMs - this.#lastMs < CALM_MS || nowMs < this.#heldUntilMs) continue;
      await this.#exclusive(() => this.#lookNow(nowMs >= this.#resyncMs));
    }
  }

  async #lookNow(isResync: boolean): Promise<void> {
    const { tables, clock } = this.#options;
    const startMs = clock.monotonicMs();
    const foreign = await this.#foreignNow();
    const own = this.#own();
    if (isResync || (foreign !== this.#foreign && startMs >= this.#nextCompareMs)) {
      for (const table of tables) {
        await table.compare();
        await table.sync();
      }
      // The number from before: what happens during the comparison is for the next one.
      this.#foreign = foreign;
      const endMs = clock.monotonicMs();
      // Somebody whose changes are none of our business, again and again, is looked at less often.
      if (this.#own() === own) this.#nextCompareMs = endMs + (endMs - startMs) / COMPARE_SHARE;
      if (isResync) this.#resyncMs = startMs + RESYNC_MS;
    }
    const isUndisturbed = async (): Promise<boolean> => (await this.#foreignNow()) === this.#foreign;
    for (const table of tables) await table.digest(isUndisturbed);
  }

  async #foreignNow(): Promise<number> {
    const own = this.#own();
    return ((((await this.#options.channel.generation()) - own) % WRAP) + WRAP) % WRAP;
  }

  /** Transactions of ours. */
  #own(): number {
    return this.#options.channel.commits() + this.#options.loads();
  }
}

const isDue = (table: FamilyTable, clock: Clock): boolean =>
  table.isPending || (table.removalDueMs ?? Number.POSITIVE_INFINITY) <= clock.monotonicMs();

/** Without rights, nft or a usable kernel no further try ends otherwise. */
const isHopeless = (error: unknown): boolean =>
  isProviderError(error) && (error.kind === 'invalid' || error.kind === 'denied');
