import { createLoop, type LoopOptions } from './loop.ts';
import { createQueue, type Queue, type QueueOptions } from './queue.ts';

export interface KeyedLoopOptions extends Omit<QueueOptions, 'reconcile'>, LoopOptions {
  readonly clock: QueueOptions['clock'];
  /** Runs end with it: the loss of leadership. */
  readonly until: AbortSignal;
}

/** A queue whose reconciler is a loop: failures become waits by their kind, and runs end with the queue or with `until`. */
export function createKeyedLoop({ until, reconcile, failed, ended, ...options }: KeyedLoopOptions): Queue {
  const { clock, backoff } = options;
  const loop = createLoop({ clock, backoff, reconcile, failed, ...(ended === undefined ? {} : { ended }) });
  return createQueue({
    ...options,
    reconcile: (key, signal) => loop.run(key, AbortSignal.any([signal, until])),
  });
}
