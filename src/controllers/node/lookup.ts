import { failure } from '../../core/errors.ts';
import type { Node } from '../../core/objects.ts';
import type { Instance, NodeRef } from '../../core/provider.ts';
import { createDeadline } from '../../kube/deadline.ts';
import { type CloudParts, callOf } from './parts.ts';

/** What the cloud says about one Node; undefined: it cannot tell. */
export type Answer = { readonly instance: Instance | undefined } | undefined;

export interface Lookup {
  /** Rejects with the error of the bulk read, or with the signal's reason when that aborts first. */
  find(node: Node, signal: AbortSignal): Promise<Answer>;
  /** Reads nothing more; whoever waits is rejected. */
  close(): void;
}

/** Nodes in one read. */
export const LOOKUP_SIZE = 500;
/** A read begins after so long without a further question, and never later than LATEST_MS (cloud-provider-aws). */
const QUIET_MS = 100;
const LATEST_MS = 1000;
const DEADLINE_MS = 60_000;

type Parts = Pick<CloudParts, 'instances' | 'clock' | 'log' | 'limiter' | 'leadership'>;

/** Questions about single Nodes as few bulk reads: a hundred Nodes that join within a second are one. */
export function createLookup(parts: Parts): Lookup {
  const { instances, clock, leadership } = parts;
  const closed = new AbortController();
  const ended = AbortSignal.any([closed.signal, leadership]);
  let waiting = new Map<string, { readonly node: Node; readonly told: PromiseWithResolvers<Answer> }>(); // name -> who asks
  let firstMs = 0; // monotonic ms of the oldest question that waits
  let cancel = () => {};

  async function read(): Promise<void> {
    cancel();
    const batch = waiting;
    waiting = new Map();
    const deadline = createDeadline(ended, clock, DEADLINE_MS, () =>
      failure('FL_RUN_DEADLINE', `the cloud did not list its instances within ${DEADLINE_MS / 1000} s`),
    );
    try {
      const found = await instances.find(
        [...batch.values()].map(({ node }) => refOf(node)),
        callOf(parts, deadline.signal),
      );
      for (const [name, { told }] of batch) told.resolve(found.has(name) ? { instance: found.get(name) } : undefined);
    } catch (error) {
      for (const { told } of batch.values()) told.reject(error);
    } finally {
      deadline.end();
    }
  }

  function ask(node: Node): Promise<Answer> {
    const { name } = node.metadata;
    const nowMs = clock.monotonicMs();
    if (waiting.size === 0) firstMs = nowMs;
    const told = waiting.get(name)?.told ?? Promise.withResolvers<Answer>();
    told.promise.catch(() => {}); // each who asks hears of it himself
    waiting.set(name, { node, told });
    cancel();
    if (waiting.size >= LOOKUP_SIZE) void read();
    else cancel = clock.after(Math.min(QUIET_MS, Math.max(0, firstMs + LATEST_MS - nowMs)), () => void read());
    return told.promise;
  }

  return {
    async find(node, signal) {
      const either = AbortSignal.any([signal, ended]);
      either.throwIfAborted();
      const { promise, reject } = Promise.withResolvers<never>();
      const abort = (): void => reject(either.reason);
      either.addEventListener('abort', abort, { once: true });
      try {
        return await Promise.race([ask(node), promise]);
      } finally {
        either.removeEventListener('abort', abort);
      }
    },
    close() {
      closed.abort(new Error('the lookup is closed'));
      cancel();
    },
  };
}

/** A Node in the words of providers. */
export function refOf({ metadata, spec, status }: Node): NodeRef {
  return {
    name: metadata.name,
    ...(spec.providerID ? { providerId: spec.providerID } : {}),
    addresses: status?.addresses ?? [],
  };
}
