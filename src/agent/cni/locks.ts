/** One holder per key at a time, in the order in which they asked. */
export interface Locks {
  with<T>(key: string, work: () => Promise<T>): Promise<T>;
  /** Somebody holds it or waits for it. */
  isHeld(key: string): boolean;
}

export function createLocks(): Locks {
  const tails = new Map<string, Promise<void>>(); // key -> settles when the last in line is done

  return {
    async with(key, work) {
      const before = tails.get(key);
      const { promise, resolve } = Promise.withResolvers<void>();
      tails.set(key, promise);
      await before;
      try {
        return await work();
      } finally {
        if (tails.get(key) === promise) tails.delete(key);
        resolve();
      }
    },
    isHeld: (key) => tails.has(key),
  };
}
