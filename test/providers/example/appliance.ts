import type { Clock } from '../../../src/core/provider.ts';

/** A load balancer box of somebody's: virtual servers, each with an owner's note. */
export interface Server {
  readonly name: string;
  readonly owner: string;
  readonly label: string;
  readonly ports: readonly string[];
  readonly address: string;
  /** Deleted, and still finishing its connections. */
  readonly draining: boolean;
}
export type NewServer = Omit<Server, 'address' | 'draining'>;

export interface Appliance {
  get(name: string): Promise<Server | undefined>;
  list(): Promise<readonly Server[]>;
  /** Makes the server, or gives it these ports and this note; its address stays. Refused while it drains. */
  put(server: NewServer): Promise<void>;
  /** Drains the server, then it is gone. */
  drop(name: string): Promise<void>;
}

const DRAIN_MS = 2500;

/** The box in memory. `all` is what is there now; `failing.reads` makes every read fail. */
export function createAppliance(clock: Pick<Clock, 'monotonicMs'>) {
  const servers = new Map<string, { readonly server: Server; readonly goneMs?: number }>();
  const failing = { reads: false };

  function all(): readonly Server[] {
    const nowMs = clock.monotonicMs();
    return [...servers.values()]
      .filter(({ goneMs = Number.POSITIVE_INFINITY }) => goneMs > nowMs)
      .map(({ server, goneMs }) => ({ ...server, draining: goneMs !== undefined }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  function read(): readonly Server[] {
    if (failing.reads) throw new Error('the appliance does not answer');
    return all();
  }

  function freeAddress(): string {
    const taken = new Set(all().map(({ address }) => address));
    for (let host = 1; host < 255; host += 1) if (!taken.has(`198.51.100.${host}`)) return `198.51.100.${host}`;
    throw new Error('no address is free');
  }

  const appliance: Appliance = {
    get: async (name) => read().find((server) => server.name === name),
    list: async () => read(),
    async put(server) {
      const old = all().find(({ name }) => name === server.name);
      if (old?.draining === true) throw new Error(`server ${server.name} drains`);
      servers.set(server.name, { server: { draining: false, address: old?.address ?? freeAddress(), ...server } });
    },
    async drop(name) {
      const there = servers.get(name);
      if (there === undefined || there.goneMs !== undefined) return;
      servers.set(name, { ...there, goneMs: clock.monotonicMs() + DRAIN_MS });
    },
  };
  return { appliance, all, failing };
}
