import type { Clock } from '../../src/core/provider.ts';
import { lbcs, type Mirror, ours } from './mirror.ts';
import type { ObservedTargetGroup } from './model.ts';
import type { Parts } from './parts.ts';
import type { Wanted, Wish } from './wanted.ts';

/**
 * Looks again at what lists do not show: after a restart the targets of all groups first, pods before nodes, then everything
 * of every load balancer in turn, slowly. It reads nothing itself: it has the Services run, at low priority, whose runs read
 * what is due.
 */
export interface Background {
  /** After the first audit. */
  start(): void;
  close(): void;
}

export interface BackgroundOptions {
  readonly clock: Clock;
  readonly mirror: Mirror;
  readonly wanted: Wanted;
  readonly reads: Parts;
  readonly resync: (reason: string, uids: readonly string[]) => void;
}

const TICK_MS = 1000;
/** Requests per second for what is unread after a restart; the limiter has the last word. */
const START_RATE = 50;
/** For the rounds (aws.md, Ruling 12). */
const AUDIT_RATE = 5;
/** Everything is looked at once in so long, where the rate allows. */
const ROUND_MS = 600_000;
/** A target that is not healthy yet or any more: what people look at changes soon after. */
const FOLLOW_MS = 15_000;
/** A run that was asked for and has not read anything is asked for again. */
const AGAIN_MS = 30_000;

export function createBackground({ clock, mirror, wanted, reads, resync }: BackgroundOptions): Background {
  const ended = new AbortController();
  const askedMs = new Map<string, number>(); // uid -> monotonic ms
  let budget = 0; // requests of the rounds that may be made now

  const groupsOf = ({ uid, key }: Wish): readonly ObservedTargetGroup[] => [
    ...mirror.targetGroups.of(ours(uid)),
    ...mirror.targetGroups.of(lbcs(key)),
  ];

  const mayAsk = ({ uid }: Wish, nowMs: number): boolean =>
    nowMs - (askedMs.get(uid) ?? Number.NEGATIVE_INFINITY) >= AGAIN_MS;

  function ask(wishes: readonly Wish[], reason: string, nowMs: number): void {
    if (wishes.length === 0) return;
    for (const { uid } of wishes) askedMs.set(uid, nowMs);
    resync(
      reason,
      wishes.map(({ uid }) => uid),
    );
  }

  /** Of the wishes in their order, as many as fit. */
  function upTo(rate: number, wishes: Iterable<Wish>, costOf: (wish: Wish) => number): readonly Wish[] {
    const chosen: Wish[] = [];
    let cost = 0;
    for (const wish of wishes) {
      if (cost >= rate) break;
      cost += costOf(wish);
      chosen.push(wish);
    }
    return chosen;
  }

  /** True: there is something left of the first look. */
  function readTargets(nowMs: number): boolean {
    const unread = [...wanted.values()].filter((wish) => groupsOf(wish).some(({ targets }) => targets === 'unread'));
    const podsFirst = [...unread.filter(isOfPods), ...unread.filter((wish) => !isOfPods(wish))];
    const due = podsFirst.filter((wish) => mayAsk(wish, nowMs));
    ask(
      upTo(START_RATE, due, (wish) => groupsOf(wish).length),
      'targets are not read yet',
      nowMs,
    );
    return unread.length > 0;
  }

  function follow(nowMs: number): void {
    const moving = [...wanted.values()].filter(
      (wish) =>
        wish.waitsOn === undefined &&
        nowMs - (askedMs.get(wish.uid) ?? 0) >= FOLLOW_MS &&
        groupsOf(wish).some(isStarting),
    );
    const some = upTo(AUDIT_RATE, moving, (wish) => groupsOf(wish).length);
    for (const wish of some) wish.isFollowed = true;
    ask(some, 'targets are not healthy yet', nowMs);
  }

  /** The one that was not looked at for longest is next. */
  function goRound(nowMs: number): void {
    const since = (wish: Wish): number =>
      Math.min(
        ...mirror.loadBalancers.of(ours(wish.uid)).map(({ arn }) => reads.lookedMs(arn) ?? Number.NEGATIVE_INFINITY),
      );
    const due = [...wanted.values()]
      .filter((wish) => !wish.isDue && mayAsk(wish, nowMs))
      .map((wish) => ({ wish, sinceMs: since(wish) }))
      .filter(({ sinceMs }) => sinceMs < Number.POSITIVE_INFINITY && nowMs - sinceMs >= ROUND_MS)
      .sort((a, b) => a.sinceMs - b.sinceMs);
    budget = Math.min(budget + AUDIT_RATE, 4 * AUDIT_RATE);
    const chosen: Wish[] = [];
    for (const { wish } of due) {
      if (budget <= 0) break;
      budget -= 2 + 2 * groupsOf(wish).length;
      wish.isDue = true;
      chosen.push(wish);
    }
    ask(chosen, 'its turn in the audit', nowMs);
  }

  async function run(): Promise<void> {
    while (!ended.signal.aborted) {
      const nowMs = clock.monotonicMs();
      if (!readTargets(nowMs)) {
        follow(nowMs);
        goRound(nowMs);
      }
      for (const uid of askedMs.keys()) if (wanted.get(uid) === undefined) askedMs.delete(uid);
      await clock.sleep(TICK_MS, ended.signal).catch(() => {}); // the end is the loop's condition
    }
  }

  let isRunning = false;
  return {
    start() {
      if (isRunning) return;
      isRunning = true;
      void run();
    },
    close: () => ended.abort(new Error('the provider is closing')),
  };
}

const isOfPods = ({ desired }: Wish): boolean => desired.targetType === 'ip';

const isStarting = ({ targets }: ObservedTargetGroup): boolean =>
  targets !== 'unread' && targets.some(({ state }) => state === 'initial');
