import type { TableFamily } from '../../core/net/element.ts';
import type { Node } from '../../core/objects.ts';
import type { Clock } from '../../core/provider.ts';
import type { Answer } from '../../obs/checks.ts';

export interface ProxyHealthOptions {
  readonly clock: Clock;
  /** A change that is not in the kernel for longer than this is a failure: twice the sync period, as kube-proxy. */
  readonly timeoutMs: number;
  /** Of this node; `undefined` while it is not known, `null` when there is none. */
  readonly node: () => Node | undefined | null;
  /** An answer was given. */
  readonly answered: (path: 'healthz' | 'livez', code: number) => void;
}

/** Whether what the API server says arrives in the kernel in time. */
export interface ProxyHealth {
  /** A change has come that the family's table does not hold yet. */
  queued(family: TableFamily): void;
  /** The family's table holds all changes. */
  updated(family: TableFamily): void;
  isHealthy(): boolean;
  /** kube-proxy's `/healthz` and `/livez` (pkg/proxy/healthcheck/proxy_health.go); `undefined` for any other path. */
  answer(path: string): Answer | undefined;
}

/** Set by the cluster autoscaler before it deletes a node. */
const TO_BE_DELETED = 'ToBeDeletedByClusterAutoscaler';
const familyNames = { ip: 'IPv4', ip6: 'IPv6' } as const satisfies Record<TableFamily, string>;

export function createProxyHealth({ clock, timeoutMs, node, answered }: ProxyHealthOptions): ProxyHealth {
  const updatedMs = new Map<TableFamily, number>(); // family -> wall time of its last update
  const queuedMs = new Map<TableFamily, number>(); // family -> monotonic time of the oldest change that waits

  const isLate = (family: TableFamily): boolean => {
    const sinceMs = queuedMs.get(family);
    return sinceMs !== undefined && clock.monotonicMs() - sinceMs >= timeoutMs;
  };
  const isHealthy = (): boolean => ![...updatedMs.keys()].some(isLate);

  function page(path: 'healthz' | 'livez'): Answer {
    const nodeEligible = isEligible(node());
    const healthy = isHealthy();
    const status = healthy && (path === 'livez' || nodeEligible) ? 200 : 503;
    const nowMs = clock.now();
    answered(path, status);
    // Of a healthy proxy lastUpdated is now, or readers that know older kube-proxies would think it stuck.
    const lastMs = status === 200 ? nowMs : Math.max(0, ...updatedMs.values());
    const body = {
      lastUpdated: timeOf(lastMs),
      currentTime: timeOf(nowMs),
      ...(path === 'healthz' ? { nodeEligible } : {}),
      healthy,
      status: Object.fromEntries(
        [...updatedMs].map(([family, ms]) => [
          familyNames[family],
          { lastUpdated: timeOf(ms), healthy: !isLate(family) },
        ]),
      ),
    };
    return { status, contentType: 'application/json', body: JSON.stringify(body) };
  }

  return {
    queued(family) {
      if (!queuedMs.has(family)) queuedMs.set(family, clock.monotonicMs());
    },
    updated(family) {
      queuedMs.delete(family);
      updatedMs.set(family, clock.now());
    },
    isHealthy,
    answer(path) {
      if (path === '/healthz') return page('healthz');
      return path === '/livez' ? page('livez') : undefined;
    },
  };
}

/** Load balancers stop sending here when it is not. A node that is not known yet is: the proxy is starting. */
function isEligible(node: Node | undefined | null): boolean {
  if (node === undefined) return true;
  if (node === null || node.metadata.deletionTimestamp !== undefined) return false;
  return node.spec.taints?.some(({ key }) => key === TO_BE_DELETED) !== true;
}

const timeOf = (ms: number): string => new Date(ms).toISOString();
