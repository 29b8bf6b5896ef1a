import type { Clock } from '../../src/core/provider.ts';
import { sleepOn, type Timers } from '../../src/work/clock.ts';

/**
 * A clock that stands still until a test moves it. Timers fire in the order of their time, equal times in the order in
 * which they were set; between two of them everything that follows from the first has happened. So the same code with
 * the same random numbers takes the same course every time.
 *
 * It governs what takes its time from `Clock` and `Timers`. Real timers, sockets, files and worker threads are not
 * waited for: keep them out of what it drives.
 */
export interface VirtualClock extends Clock, Timers {
  /** Moves time on by `ms` and runs what falls due, timers set on the way included. */
  advance(ms: number): Promise<void>;
  /** Runs everything that needs no further time: microtasks, ticks, immediates. Time stands still; a timer of 0 ms waits. */
  settle(): Promise<void>;
  /**
   * Settles and jumps from timer to timer until `until()` holds. It is asked before every jump.
   * Throws when no timer is left (nothing can change any more), or when the next one lies more than `maxMs` away from the start.
   */
  run(until: () => boolean, limit: { readonly maxMs: number }): Promise<void>;
  /** Sets wall time off by `ms`, as an operator or NTP does; monotonic time and timers do not notice. */
  shiftWall(ms: number): void;
  /** Timers that are set. */
  readonly timers: number;
  /** Monotonic time of the next timer; undefined without one. */
  readonly nextMs: number | undefined;
}

/** 2026-11-20T12:00:00Z: the date of the examples in the documents. */
const START_MS = Date.UTC(2026, 10, 20, 12);
/** Far above what any code here needs; more means that something re-arms itself for ever without time passing. */
const STEPS_WITHOUT_TIME = 100_000;
/** A promise chain that crosses a stream needs a few turns after the last visible immediate. */
const QUIET_TURNS = 2;

interface Timer {
  readonly dueMs: number;
  readonly order: number;
  run: (() => void) | undefined;
}

/** `startMs`: wall time at the start, in ms since 1970. Monotonic time starts at 0. */
export function createVirtualClock({ startMs = START_MS }: { readonly startMs?: number } = {}): VirtualClock {
  let nowMs = 0;
  let wallOffsetMs = startMs;
  let order = 0;
  const heap = createHeap();

  let moving = false;

  /** Two drivers at once would each see the other's time: a test that forgot an `await`. */
  async function move(drive: () => Promise<void>): Promise<void> {
    if (moving) throw new Error('the clock is already moving: await the call before');
    moving = true;
    try {
      await drive();
    } finally {
      moving = false;
    }
  }

  /** Fires timer after timer, each once all that follows from the one before has happened, while `wanted` says so. */
  async function fire(wanted: (next: Timer | undefined) => boolean): Promise<void> {
    for (let step = 0; ; step += 1) {
      await settle();
      const timer = heap.peek();
      if (!wanted(timer) || timer === undefined) return;
      if (timer.dueMs > nowMs) step = 0;
      if (step === STEPS_WITHOUT_TIME) throw new Error(`${step} timers fired at ${nowMs} ms: one re-arms itself`);
      nowMs = Math.max(nowMs, timer.dueMs);
      heap.pop()?.();
    }
  }

  async function advance(ms: number): Promise<void> {
    const endMs = nowMs + ms;
    await fire((next) => next !== undefined && next.dueMs <= endMs);
    nowMs = endMs;
  }

  async function run(until: () => boolean, maxMs: number): Promise<void> {
    const endMs = nowMs + maxMs;
    await fire((next) => {
      if (until()) return false;
      if (next === undefined) throw new Error(`at ${nowMs} ms: not reached, and no timer is left to wait for`);
      if (next.dueMs > endMs) throw new Error(`not reached within ${maxMs} ms; the next timer is at ${next.dueMs} ms`);
      return true;
    });
  }

  const clock: VirtualClock = {
    now: () => wallOffsetMs + nowMs,
    monotonicMs: () => nowMs,
    sleep: (ms, signal) => sleepOn(clock, ms, signal),
    after(ms, callback) {
      if (Number.isNaN(ms)) throw new TypeError('after(NaN)');
      if (ms === Number.POSITIVE_INFINITY) return () => {};
      order += 1;
      const timer: Timer = { dueMs: nowMs + Math.max(0, ms), order, run: callback };
      heap.push(timer);
      return () => heap.cancel(timer);
    },
    advance: (ms) => move(() => advance(ms)),
    settle,
    run: (until, { maxMs }) => move(() => run(until, maxMs)),
    shiftWall(ms) {
      wallOffsetMs += ms;
    },
    get timers() {
      return heap.size;
    },
    get nextMs() {
      return heap.peek()?.dueMs;
    },
  };
  return clock;
}

async function settle(): Promise<void> {
  let quiet = 0;
  for (let turns = 0; quiet < QUIET_TURNS; turns += 1) {
    if (turns === STEPS_WITHOUT_TIME) throw new Error('does not settle: something sets immediates for ever');
    await new Promise<void>((resolve) => setImmediate(resolve));
    quiet = process.getActiveResourcesInfo().includes('Immediate') ? 0 : quiet + 1;
  }
}

interface Heap {
  /** Timers that are not cancelled. */
  readonly size: number;
  peek(): Timer | undefined;
  /** Takes the top out and returns what it runs. */
  pop(): (() => void) | undefined;
  push(timer: Timer): void;
  cancel(timer: Timer): void;
}

/** Binary heap by (dueMs, order). A cancelled timer stays inside, without its `run`, until it comes to the top or too many do. */
function createHeap(): Heap {
  let items: Timer[] = [];
  let cancelled = 0;

  function up(index: number): void {
    const item = items[index] as Timer;
    let at = index;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (compare(item, items[parent] as Timer) >= 0) break;
      items[at] = items[parent] as Timer;
      at = parent;
    }
    items[at] = item;
  }

  function down(item: Timer): void {
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && compare(items[child + 1] as Timer, items[child] as Timer) < 0) child += 1;
      if (compare(items[child] as Timer, item) >= 0) break;
      items[at] = items[child] as Timer;
      at = child;
    }
    items[at] = item;
  }

  function removeTop(): void {
    const last = items.pop();
    if (last !== undefined && items.length > 0) down(last);
  }

  function peek(): Timer | undefined {
    while (items.length > 0 && items[0]?.run === undefined) {
      removeTop();
      cancelled -= 1;
    }
    return items[0];
  }

  return {
    get size() {
      return items.length - cancelled;
    },
    peek,
    pop() {
      const timer = peek();
      if (timer === undefined) return undefined;
      removeTop();
      const { run } = timer;
      // A late cancel of a timer that has fired must not count.
      timer.run = undefined;
      return run;
    },
    push(timer) {
      items.push(timer);
      up(items.length - 1);
    },
    cancel(timer) {
      if (timer.run === undefined) return;
      timer.run = undefined;
      cancelled += 1;
      if (cancelled < 1000 || cancelled * 2 < items.length) return;
      items = items.filter(({ run }) => run !== undefined).sort(compare);
      cancelled = 0;
    },
  };
}

function compare(a: Timer, b: Timer): number {
  return a.dueMs - b.dueMs || a.order - b.order;
}
