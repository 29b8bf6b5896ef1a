import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMetrics } from '../../src/obs/metrics.ts';
import { watchPools } from '../../src/obs/pools.ts';

const shown = async (metrics: ReturnType<typeof createMetrics>): Promise<readonly string[]> =>
  (await metrics.text())
    .split('\n')
    .filter((line) => line.startsWith('metallb_'))
    .sort();

const pool = (name: string, ipv4: readonly [number, number], ipv6: readonly [number, number], services: number) => ({
  pool: name,
  ipv4: { total: BigInt(ipv4[0]), assigned: BigInt(ipv4[1]) },
  ipv6: { total: BigInt(ipv6[0]), assigned: BigInt(ipv6[1]) },
  services,
});

test("pools appear under MetalLB's names, as they are at the scrape", async () => {
  const metrics = createMetrics();
  let pools = [pool('a', [256, 3], [0, 0], 4), pool('b', [0, 0], [16, 2], 2)];
  const end = watchPools(metrics, {
    stats: () => pools,
    configuration: () => ({ updates: 5, errors: 1, loaded: true, stale: true }),
  });
  pools = pools.slice(0, 1);
  assert.deepEqual(await shown(metrics), [
    'metallb_allocator_addresses_in_use_total{pool="a"} 3',
    'metallb_allocator_addresses_total{pool="a"} 256',
    'metallb_allocator_ipv4_addresses_in_use_total{pool="a"} 3',
    'metallb_allocator_ipv4_addresses_total{pool="a"} 256',
    'metallb_allocator_ipv6_addresses_in_use_total{pool="a"} 0',
    'metallb_allocator_ipv6_addresses_total{pool="a"} 0',
    'metallb_allocator_services_allocated_total{pool="a"} 4',
    'metallb_k8s_client_config_loaded_bool 1',
    'metallb_k8s_client_config_stale_bool 1',
    'metallb_k8s_client_update_errors_total 1',
    'metallb_k8s_client_updates_total 5',
  ]);
  // Asked again, a counter has not grown by itself.
  assert.ok((await shown(metrics)).includes('metallb_k8s_client_updates_total 5'));
  end();
  assert.deepEqual(
    (await shown(metrics)).filter((line) => line.startsWith('metallb_allocator')),
    [],
  );
});

test('a pool of 2^63 addresses and more is a number all the same', async () => {
  const metrics = createMetrics();
  const huge = {
    pool: 'v6',
    ipv4: { total: 0n, assigned: 0n },
    ipv6: { total: 2n ** 63n - 1n, assigned: 1n },
    services: 1,
  };
  watchPools(metrics, { stats: () => [huge] });
  assert.ok((await shown(metrics)).includes('metallb_allocator_ipv6_addresses_total{pool="v6"} 9223372036854776000'));
});

test('a provider without pools shows none', async () => {
  const metrics = createMetrics();
  watchPools(metrics, { name: 'memory' });
  assert.deepEqual(
    (await shown(metrics)).filter((line) => line.startsWith('metallb_allocator')),
    [],
  );
});
