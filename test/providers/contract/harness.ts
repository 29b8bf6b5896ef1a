import type { Action, LoadBalancerParts } from '../../../src/core/provider.ts';

/** A provider on a backend that the suite may break; made anew, with an empty backend, for each try. */
export interface Harness<Desired, Observed, Act extends Action> {
  readonly parts: LoadBalancerParts<Desired, Observed, Act>;
  /** Puts objects of others into the backend, as hard to tell from ours as possible: of another cluster, without a mark. */
  foreign(): void | Promise<void>;
  /**
   * Everything that is in the backend now, ours and others', as plain data: not what a lagging read would show. Leave out
   * times, versions and ids that the backend counts, so that two ways to one state give equal snapshots.
   */
  snapshot(): unknown | Promise<unknown>;
  /** While on, every read of the backend fails. */
  failReads(on: boolean): void;
  /** Lets the backend's time pass; a minute is enough for any of its reads to show every write before. */
  advance(ms: number): void | Promise<void>;
  /** The parts as after a restart of the process, on the same backend. Absent: the provider remembers nothing. */
  restart?(): LoadBalancerParts<Desired, Observed, Act> | Promise<LoadBalancerParts<Desired, Observed, Act>>;
  /** Called at the end of each try. */
  close?(): void | Promise<void>;
}
export type MakeHarness<Desired, Observed, Act extends Action> = () =>
  | Harness<Desired, Observed, Act>
  | Promise<Harness<Desired, Observed, Act>>;
