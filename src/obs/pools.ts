import type { Metrics, Sample } from './metrics.ts';

/** What a provider with address pools tells, besides the interface of provider.ts; found by shape. */
export interface PoolSource {
  stats(): readonly PoolCount[];
  /** How the pools' configuration fares; absent: those families stay 0. */
  configuration?(): Configuration;
}
export interface PoolCount {
  readonly pool: string;
  readonly ipv4: FamilyCount;
  readonly ipv6: FamilyCount;
  /** Services that hold an address of the pool. */
  readonly services: number;
}
export interface FamilyCount {
  readonly total: bigint;
  readonly assigned: bigint;
}
export interface Configuration {
  /** Looks at a changed configuration since the start, and how many of them found it invalid. */
  readonly updates: number;
  readonly errors: number;
  /** A valid one was loaded at least once. */
  readonly loaded: boolean;
  /** The newest is not the one in use. */
  readonly stale: boolean;
}

type PoolFamily = Extract<Parameters<Metrics['ask']>[0], `metallb_allocator_${string}`>;

/** MetalLB's families of pools, asked for at each scrape. No effect for a provider without pools. The returned function ends it. */
export function watchPools({ ask }: Pick<Metrics, 'ask'>, provider: object): () => void {
  if (!hasPools(provider)) return () => {};
  const perPool = (family: PoolFamily, value: (count: PoolCount) => bigint | number): (() => void) =>
    ask(family, () =>
      provider.stats().map((count): Sample<PoolFamily> => [{ pool: count.pool }, Number(value(count))]),
    );
  const ends = [
    perPool('metallb_allocator_addresses_total', ({ ipv4, ipv6 }) => ipv4.total + ipv6.total),
    perPool('metallb_allocator_ipv4_addresses_total', ({ ipv4 }) => ipv4.total),
    perPool('metallb_allocator_ipv6_addresses_total', ({ ipv6 }) => ipv6.total),
    perPool('metallb_allocator_addresses_in_use_total', ({ ipv4, ipv6 }) => ipv4.assigned + ipv6.assigned),
    perPool('metallb_allocator_ipv4_addresses_in_use_total', ({ ipv4 }) => ipv4.assigned),
    perPool('metallb_allocator_ipv6_addresses_in_use_total', ({ ipv6 }) => ipv6.assigned),
    perPool('metallb_allocator_services_allocated_total', ({ services }) => services),
  ];
  const { configuration } = provider;
  if (configuration !== undefined) {
    const read = (): Configuration => configuration.call(provider);
    ends.push(
      ask('metallb_k8s_client_updates_total', () => [[{}, read().updates]]),
      ask('metallb_k8s_client_update_errors_total', () => [[{}, read().errors]]),
      ask('metallb_k8s_client_config_loaded_bool', () => [[{}, read().loaded ? 1 : 0]]),
      ask('metallb_k8s_client_config_stale_bool', () => [[{}, read().stale ? 1 : 0]]),
    );
  }
  return () => {
    for (const end of ends) end();
  };
}

const hasPools = (provider: object): provider is PoolSource =>
  'stats' in provider && typeof provider.stats === 'function';
