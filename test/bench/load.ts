import type { Service } from '../../src/core/objects.ts';
import { type Client, linesOf } from '../../src/kube/request.ts';

export interface LoadOptions {
  readonly client: Client;
  readonly count: number;
  /** Side by side, each as fast as it is answered; or, with `perSecond`, at that pace. */
  readonly writers: number;
  readonly perSecond?: number;
  readonly namespace?: string;
  readonly prefix: string;
  readonly loadBalancerClass?: string;
  /** Absent: nobody is waited for. */
  readonly untilAddressed?: { readonly timeoutMs: number };
}

export interface LoadResult {
  readonly count: number;
  /** From the first create to the answer of the last. */
  readonly creationMs: number;
  /** From the first create to the watch event of the last address; undefined when nobody was waited for. */
  readonly totalMs: number | undefined;
  /** From a create's answer to the watch event with the address, sorted. */
  readonly latenciesMs: readonly number[];
  readonly addressed: number;
}

/**
 * Creates Services without node ports (their range holds 2,768) and waits until a watch has shown each with an address.
 */
export async function load(options: LoadOptions): Promise<LoadResult> {
  const { client, count, writers, perSecond, namespace = 'default', prefix } = options;
  const answered = new Map<string, number>();
  const shown = new Map<string, number>();
  const stop = new AbortController();
  const all = Promise.withResolvers<void>();
  const watching = watchAddresses(client, namespace, stop.signal, (name) => {
    if (!name.startsWith(prefix) || shown.has(name)) return;
    shown.set(name, performance.now());
    if (shown.size === count) all.resolve();
  });
  await watching.open;
  const startMs = performance.now();
  let next = 0;
  await Promise.all(
    Array.from({ length: writers }, async () => {
      for (let index = next; index < count; index = next) {
        next += 1;
        if (perSecond !== undefined) {
          const waitMs = startMs + (index * 1000) / perSecond - performance.now();
          if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
        }
        const name = `${prefix}${index}`;
        const body = service(name, options.loadBalancerClass);
        const path = `/api/v1/namespaces/${namespace}/services`;
        await client.call({ method: 'POST', path, body, signal: stop.signal });
        answered.set(name, performance.now());
      }
    }),
  );
  const creationMs = performance.now() - startMs;
  if (options.untilAddressed !== undefined && shown.size < count) {
    const timer = setTimeout(() => all.resolve(), options.untilAddressed.timeoutMs);
    await all.promise;
    clearTimeout(timer);
  }
  const lastMs = Math.max(0, ...shown.values());
  stop.abort();
  await watching.ended;
  const latenciesMs = [...shown]
    .map(([name, ms]) => Math.max(0, ms - (answered.get(name) ?? ms)))
    .sort((a, b) => a - b);
  return {
    count,
    creationMs,
    totalMs: options.untilAddressed === undefined ? undefined : lastMs - startMs,
    latenciesMs,
    addressed: shown.size,
  };
}

/** The value below which that share of the sorted list lies. */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export function service(name: string, loadBalancerClass?: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name },
    spec: {
      type: 'LoadBalancer',
      allocateLoadBalancerNodePorts: false,
      selector: { app: name },
      ports: [{ port: 80, protocol: 'TCP' }],
      ...(loadBalancerClass === undefined ? {} : { loadBalancerClass }),
    },
  };
}

function watchAddresses(
  client: Client,
  namespace: string,
  signal: AbortSignal,
  addressed: (name: string) => void,
): { readonly open: Promise<void>; readonly ended: Promise<void> } {
  const open = Promise.withResolvers<void>();
  const path = `/api/v1/namespaces/${namespace}/services?watch=true`;
  const ended = (async () => {
    const body = await client.open({ method: 'GET', path, signal, exempt: true, stream: true });
    open.resolve();
    for await (const line of linesOf(body)) {
      const { object } = JSON.parse(line) as { readonly object: Service };
      if ((object.status?.loadBalancer?.ingress ?? []).length > 0) addressed(object.metadata.name);
    }
  })().catch((error: unknown) => {
    open.reject(error as Error);
    if (!signal.aborted) throw error;
  });
  return { open: open.promise, ended };
}
