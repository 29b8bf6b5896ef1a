import type { LoadBalancerSpec } from '../../../src/core/provider.ts';

/** What the tests ask for. All must fit into the backend together. */
export interface Specs {
  /** A Service. */
  readonly first: LoadBalancerSpec;
  /** The same Service with other ports, so that there is something to write; its address stays. */
  readonly changed: LoadBalancerSpec;
  /** Another Service. */
  readonly other: LoadBalancerSpec;
  /** The first Service with a mistake, and the field that the error must name. */
  readonly invalid: readonly { readonly spec: LoadBalancerSpec; readonly field: string }[];
}

/** Two TCP ports, one target, IPv4; only what every backend has. */
export function exampleSpecs(): Specs {
  const first = specOf('web', '6d2f9c1e-0000-4000-8000-000000000001', [80, 443]);
  return {
    first,
    changed: specOf('web', first.uid, [443, 8080]),
    other: specOf('api', '6d2f9c1e-0000-4000-8000-000000000002', [53]),
    invalid: [{ spec: { ...first, listeners: [] }, field: 'spec.ports' }],
  };
}

function specOf(name: string, uid: string, ports: readonly number[]): LoadBalancerSpec {
  return {
    key: `default/${name}`,
    uid,
    cluster: 'contract',
    families: ['ipv4'],
    addresses: [],
    sources: [],
    listeners: ports.map((port) => ({ name: `p${port}`, protocol: 'TCP', port, targetPort: 30_000 + port })),
    targetKind: 'node',
    targets: [{ id: 'contract://node-1', node: 'node-1', address: '10.0.0.1' }],
    trafficPolicy: 'cluster',
    health: { protocol: 'HTTP', port: 10256, path: '/healthz' },
    options: {},
    service: {
      namespace: 'default',
      name,
      labels: {},
      selector: { app: name },
      ipFamilyPolicy: 'SingleStack',
      clusterIPs: ['10.96.0.10'],
      finalizers: [],
    },
  };
}

/** Specs are shared with a store: a provider that writes to one throws. */
export function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const member of Object.values(value)) deepFreeze(member);
  }
  return value;
}
