import type { PoolStats } from '../core/provider.ts';
import type { Metrics, Sample } from '../obs/metrics.ts';

/** Family name -> what it says of a pool (MetalLB's names). */
const gauges = {
  metallb_allocator_addresses_total: ({ total }: PoolStats) => Number(total),
  metallb_allocator_ipv4_addresses_total: ({ ipv4 }: PoolStats) => Number(ipv4.total),
  metallb_allocator_ipv6_addresses_total: ({ ipv6 }: PoolStats) => Number(ipv6.total),
  metallb_allocator_addresses_in_use_total: ({ ipv4, ipv6 }: PoolStats) => Number(ipv4.assigned + ipv6.assigned),
  metallb_allocator_ipv4_addresses_in_use_total: ({ ipv4 }: PoolStats) => Number(ipv4.assigned),
  metallb_allocator_ipv6_addresses_in_use_total: ({ ipv6 }: PoolStats) => Number(ipv6.assigned),
  metallb_allocator_services_allocated_total: ({ services }: PoolStats) => services,
} as const;

/** Serves the pools' gauges from a provider that has pools. The returned function ends it. */
export function servePoolMetrics(
  metrics: Pick<Metrics, 'ask'>,
  stats: (() => readonly PoolStats[]) | undefined,
): () => void {
  if (stats === undefined) return () => {};
  const ends = Object.entries(gauges).map(([name, read]) =>
    metrics.ask(name as keyof typeof gauges, function* (): Iterable<Sample<keyof typeof gauges>> {
      for (const pool of stats()) yield [{ pool: pool.pool }, read(pool)];
    }),
  );
  return () => {
    for (const end of ends) end();
  };
}
