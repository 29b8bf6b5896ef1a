import { Readable } from 'node:stream';

/** What stands between a process and the world: shut while it is stopped, shut for ever once it is killed. */
export interface Gate {
  /** Resolves when the process runs; never after `destroy`. */
  whenOpen(): Promise<void>;
  shut(): void;
  open(): void;
  /** The process is gone: nothing comes through any more, and its connections break. */
  destroy(): void;
  /** Lets what was left hanging by `destroy` come to its end. */
  release(): void;
  /** The same stream, as the process gets to see it. */
  through(body: Readable): Readable;
}

export function createGate(): Gate {
  let closed: PromiseWithResolvers<void> | undefined;
  let isDestroyed = false;
  const bodies = new Set<Readable>();
  // A promise also when it is open: what comes after must not depend on whether there was a pause.
  const whenOpen = async (): Promise<void> => {
    while (closed !== undefined) await closed.promise;
  };
  const open = (): void => {
    closed?.resolve();
    closed = undefined;
  };
  return {
    whenOpen,
    shut() {
      closed ??= Promise.withResolvers<void>();
    },
    open() {
      if (!isDestroyed) open();
    },
    release: open,
    destroy() {
      isDestroyed = true;
      closed ??= Promise.withResolvers<void>();
      for (const body of bodies) body.destroy();
    },
    through(body) {
      bodies.add(body);
      body.once('close', () => bodies.delete(body));
      const out = Readable.from(
        (async function* () {
          for await (const chunk of body) {
            await whenOpen();
            yield chunk;
          }
        })(),
        { objectMode: true },
      );
      out.once('close', () => body.destroy());
      return out;
    },
  };
}
