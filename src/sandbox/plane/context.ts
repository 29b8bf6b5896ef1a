import type { Clock } from '../../core/provider.ts';
import type { Timers } from '../../work/clock.ts';
import type { Catalogue } from '../api/resources.ts';
import type { ApiStore } from '../api/store.ts';
import type { Writes } from '../api/write.ts';

/** What a controller of the plane works with: the API server's own store and writes, without requests or faults. */
export interface PlaneContext {
  readonly store: ApiStore;
  readonly catalogue: Catalogue;
  readonly writes: Writes;
  readonly clock: Clock & Timers;
}
