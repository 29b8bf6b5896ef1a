import type { LoadText } from '../nft/rules.ts';

export interface BatchLoader {
  /** As `LoadText`; texts of one turn of the event loop go in one run of nft, which costs 16 ms whatever it loads. */
  readonly load: LoadText;
  /** Transactions so far. */
  transactions(): number;
}

/** One run at a time. When the joined text is refused each is tried alone, so that one family does not fail for the other. */
export function createBatchLoader(load: LoadText): BatchLoader {
  interface Wanted {
    readonly text: string;
    readonly done: PromiseWithResolvers<void>;
  }
  let wanted: Wanted[] = [];
  let isRunning = false;
  let transactions = 0;

  async function one({ text, done }: Wanted): Promise<void> {
    try {
      await load(text);
      transactions += 1;
      done.resolve();
    } catch (error) {
      done.reject(error);
    }
  }

  async function run(): Promise<void> {
    isRunning = true;
    await new Promise((resolve) => setImmediate(resolve));
    while (wanted.length > 0) {
      const batch = wanted;
      wanted = [];
      if (batch.length > 1) {
        try {
          await load(batch.map(({ text }) => text).join(''));
          transactions += 1;
          for (const { done } of batch) done.resolve();
          continue;
        } catch {
          // Told below, by whichever is at fault.
        }
      }
      for (const wish of batch) await one(wish);
    }
    isRunning = false;
  }

  return {
    load(text) {
      const wish = { text, done: Promise.withResolvers<void>() };
      wanted.push(wish);
      if (!isRunning) void run();
      return wish.done.promise;
    },
    transactions: () => transactions,
  };
}
