import type { Call, Clock } from '../../src/core/provider.ts';

/** One run at a time, shared by all who ask meanwhile. */
export interface Flight<T> {
  /** Joins the run under way, or starts one with this call. Who joins a run whose own caller gave up starts another. */
  join(call: Call): Promise<T>;
}

export function createFlight<T>(run: (call: Call) => Promise<T>): Flight<T> {
  let running: { readonly call: Call; readonly end: Promise<T> } | undefined;
  return {
    async join(call) {
      for (;;) {
        call.signal.throwIfAborted();
        if (running === undefined) {
          const end = run(call).finally(() => {
            running = undefined;
          });
          running = { call, end };
          return await end;
        }
        const joined = running;
        try {
          return await unlessAborted(joined.end, call.signal);
        } catch (error) {
          if (!joined.call.signal.aborted) throw error; // it failed for everybody
        }
      }
    },
  };
}

/** Gathers what several callers ask for into few requests. */
export interface Batch<Key, Value> {
  /** Resolves to the value of each key; a key that the answer does not have is missing. */
  load(keys: readonly Key[], call: Call): Promise<ReadonlyMap<Key, Value>>;
}

/**
 * @param size keys per request
 * @param waitMs how long the first caller waits for others
 */
export function createBatch<Key, Value>(options: {
  readonly size: number;
  readonly waitMs: number;
  readonly clock: Clock;
  readonly send: (keys: readonly Key[], call: Call) => Promise<ReadonlyMap<Key, Value>>;
}): Batch<Key, Value> {
  const { size, waitMs, clock, send } = options;
  let asked = new Set<Key>();
  const flight = createFlight(async (call) => {
    if (waitMs > 0) await clock.sleep(waitMs, call.signal);
    const keys = [...asked];
    asked = new Set();
    const chunks = Array.from({ length: Math.ceil(keys.length / size) }, (_, at) =>
      keys.slice(at * size, (at + 1) * size),
    );
    const answers = await Promise.all(chunks.map((chunk) => send(chunk, call)));
    return { keys: new Set(keys), answer: new Map(answers.flatMap((answer) => [...answer])) };
  });
  return {
    async load(keys, call) {
      const found = new Map<Key, Value>();
      let missing = [...new Set(keys)];
      while (missing.length > 0) {
        for (const key of missing) asked.add(key);
        const { keys: done, answer } = await flight.join(call);
        for (const key of missing) {
          const value = answer.get(key);
          if (value !== undefined) found.set(key, value);
        }
        missing = missing.filter((key) => !done.has(key)); // asked for after that run had begun to send
      }
      return found;
    },
  };
}

async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return await new Promise<T>((resolve, reject) => {
    const onAbort = () => reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
