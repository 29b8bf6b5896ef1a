/**
 * A long list in parts of `size`, with a turn of the event loop between them: timers, sockets and the lease do not wait
 * for the whole of it.
 */
export async function* inTurns<T>(items: readonly T[], size = 200): AsyncGenerator<readonly T[], void> {
  for (let at = 0; at < items.length; at += size) {
    if (at > 0) await turn();
    yield items.slice(at, at + size);
  }
}

/** One turn of the event loop. */
export const turn = async (): Promise<void> => await new Promise((resolve) => setImmediate(resolve));
