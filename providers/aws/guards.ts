import type { Shortfall } from '../../src/core/provider.ts';
import { PREFIX } from './annotation-table.ts';
import type { Desired, Stack } from './model.ts';
import { preservesClientIp } from './resolve.ts';

/** Combinations that AWS accepts and that do not work. */
export interface Guards {
  /** It serves, but not all that was asked. */
  readonly shortfalls: readonly Shortfall[];
  readonly warnings: Desired['warnings'];
}

export function guardsOf({ trafficPolicy, targetType }: Desired, { loadBalancer, ports }: Stack): Guards {
  const blind = ports.filter(
    ({ group }) =>
      group.attributes['proxy_protocol_v2.enabled'] === 'true' &&
      group.health.protocol !== 'TCP' &&
      group.health.port !== 'traffic-port' &&
      group.health.port !== String(group.port),
  );
  const hairpins = loadBalancer.scheme === 'internal' && targetType === 'instance' && ports.some(preservesClientIp);
  return {
    shortfalls: blind.map(({ port, group: { health } }) => ({
      reason: 'ProxyProtocolHealthCheck',
      field: `${PREFIX}proxy-protocol`,
      message: `port ${port}: the ${health.protocol} health check of port ${health.port} gets a proxy protocol header, too, and fails where that is not understood${
        trafficPolicy === 'local' ? ' (kube-proxy does not)' : ''
      }; set ${PREFIX}healthcheck-protocol: tcp`,
    })),
    warnings: hairpins
      ? [
          {
            reason: 'HairpinTraffic',
            message: `pods cannot reach this internal load balancer through their own node: the client's address is kept; set ${PREFIX}target-group-attributes: preserve_client_ip.enabled=false if they must`,
          },
        ]
      : [],
  };
}
