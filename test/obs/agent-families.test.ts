import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isAgentFamily, withKubeProxyNames } from '../../src/obs/agent-families.ts';
import { createMetrics } from '../../src/obs/metrics.ts';

test("a dashboard of kube-proxy's finds the same series, with the same labels and buckets", async () => {
  const metrics = createMetrics({ only: isAgentFamily });
  metrics.observe('fairlead_proxy_sync_proxy_rules_duration_seconds', { ip_family: 'IPv4' }, 0.003);
  metrics.count('fairlead_proxy_proxy_healthz_total', { code: '200' });
  metrics.count('fairlead_proxy_commits_total', { ip_family: 'IPv4', outcome: 'ok' });
  const lines = withKubeProxyNames(await metrics.text()).split('\n');
  for (const line of [
    '# TYPE kubeproxy_sync_proxy_rules_duration_seconds histogram',
    'kubeproxy_sync_proxy_rules_duration_seconds_bucket{le="0.004",ip_family="IPv4"} 1',
    'kubeproxy_sync_proxy_rules_duration_seconds_bucket{le="0.002",ip_family="IPv4"} 0',
    'kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family="IPv4"} 1',
    'kubeproxy_proxy_healthz_total{code="200"} 1',
    'kubeproxy_sync_proxy_rules_endpoint_changes_pending 0',
  ])
    assert.ok(lines.includes(line), line);
  const ours = lines.filter((line) => line.startsWith('fairlead_proxy_sync_proxy_rules_duration'));
  assert.equal(ours.length, lines.filter((line) => line.startsWith('kubeproxy_sync_proxy_rules_duration')).length);
  assert.equal(
    lines.some((line) => line.includes('kubeproxy_commits')),
    false,
    'kube-proxy has none',
  );
});

test("every family of kube-proxy's nftables mode exists under its name", async () => {
  const text = withKubeProxyNames(await createMetrics({ only: isAgentFamily }).text());
  const names = [...text.matchAll(/^# TYPE kubeproxy_(\w+) /gm)].map(([, name]) => name).sort();
  assert.deepEqual(names, [
    'conntrack_reconciler_deleted_entries_total',
    'conntrack_reconciler_sync_duration_seconds',
    'network_programming_duration_seconds',
    'proxy_healthz_total',
    'proxy_livez_total',
    'sync_full_proxy_rules_duration_seconds',
    'sync_partial_proxy_rules_duration_seconds',
    'sync_proxy_rules_duration_seconds',
    'sync_proxy_rules_endpoint_changes_pending',
    'sync_proxy_rules_endpoint_changes_total',
    'sync_proxy_rules_last_queued_timestamp_seconds',
    'sync_proxy_rules_last_timestamp_seconds',
    'sync_proxy_rules_nftables_cleanup_failures_total',
    'sync_proxy_rules_nftables_sync_failures_total',
    'sync_proxy_rules_no_local_endpoints_total',
    'sync_proxy_rules_service_changes_pending',
    'sync_proxy_rules_service_changes_total',
  ]);
});

test('a process has only the families that it uses', async () => {
  const agent = await createMetrics({ only: isAgentFamily }).text();
  assert.match(agent, /^# TYPE fairlead_store_objects gauge$/m);
  assert.doesNotMatch(agent, /workqueue|route_controller/);
});
