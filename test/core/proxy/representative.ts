/** A world with a bit of everything, for golden files and for the kernel. */

import type { ServiceModel } from '../../../src/core/proxy/model.ts';
import { createSnapshot } from '../../../src/core/proxy/snapshot.ts';
import { context, HTTP, model, type ServiceText, slice } from './fixture.ts';

const ENDPOINTS = [
  { last: 1, nodeName: 'n1' },
  { last: 2, nodeName: 'n2' },
] as const;

const both = (protocol: 'TCP' | 'UDP' | 'SCTP' = 'TCP') => [
  slice(
    ENDPOINTS.map(({ last, nodeName }) => ({ ip: `10.64.${last}.1`, nodeName })),
    {
      name: 'four',
      ports: [{ name: 'http', port: 8080, protocol }],
    },
  ),
  slice(
    ENDPOINTS.map(({ last, nodeName }) => ({ ip: `fd64:${last}::1`, nodeName })),
    {
      name: 'six',
      family: 'IPv6',
      ports: [{ name: 'http', port: 8080, protocol }],
    },
  ),
];

const remote = () =>
  both().map((entry) => ({ ...entry, endpoints: (entry.endpoints ?? []).filter(({ nodeName }) => nodeName === 'n2') }));

const ips = (last: number) => ({ clusterIPs: [`172.30.0.${last}`, `fd30::${last}`] });

const loadBalancer = (last: number): ServiceText => ({
  type: 'LoadBalancer',
  ...ips(last),
  ingress: [{ ip: `203.0.113.${last}` }, { ip: `2001:db8:1::${last}` }],
});

export function representative(): readonly ServiceModel[] {
  return [
    model({ name: 'plain', ...ips(1) }, both()),
    model({ name: 'internal-local', ...ips(2), internalTrafficPolicy: 'Local' }, both()),
    model(
      {
        name: 'external-local',
        ...loadBalancer(3),
        externalTrafficPolicy: 'Local',
        ports: [{ ...HTTP, nodePort: 30_003 }],
      },
      both(),
    ),
    model({ name: 'remote-only', ...loadBalancer(4), externalTrafficPolicy: 'Local' }, remote()),
    model({ name: 'empty', ...ips(5), externalIPs: ['198.51.100.5', '2001:db8:2::5'] }, []),
    model({ name: 'affinity', ...ips(6), sessionAffinity: 'ClientIP' }, both()),
    model(
      {
        name: 'affinity-local',
        ...loadBalancer(7),
        externalTrafficPolicy: 'Local',
        sessionAffinity: 'ClientIP',
        sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
      },
      both(),
    ),
    model(
      {
        name: 'ranges',
        ...loadBalancer(8),
        loadBalancerSourceRanges: ['203.0.114.0/25', '203.0.114.128/25', '198.18.0.0/15', '2001:db8:8::/48'],
      },
      both(),
    ),
    model({ name: 'udp', ...ips(9), ports: [{ ...HTTP, port: 53, protocol: 'UDP' }] }, both('UDP')),
    model({ name: 'sctp', ...ips(9), ports: [{ ...HTTP, port: 53, protocol: 'SCTP' }] }, both('SCTP')),
    createSnapshot(context).hostPorts({
      key: 'hostport:1',
      created: '2026-01-01T00:00:00Z',
      podIps: ['10.64.1.5', 'fd64:1::5'],
      ports: [{ protocol: 'tcp', hostPort: 8443, containerPort: 443 }],
    }),
  ];
}
