import type { Listener, LoadBalancerSpec, Target } from '../../../src/core/provider.ts';

export const X = 'service.beta.kubernetes.io/aws-load-balancer-';

/** Options by their short names. */
export const options = (short: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(short).map(([name, value]) => [name.includes('/') ? name : `${X}${name}`, value]));

export const listener = (port: number, more: Partial<Listener> = {}): Listener => ({
  name: `p${port}`,
  protocol: 'TCP',
  port,
  targetPort: 30_000 + port,
  ...more,
});

export const node = (number: number, more: Partial<Target> = {}): Target => ({
  id: `aws:///zone/i-${number}`,
  node: `node-${number}`,
  address: `192.168.0.${number}`,
  ...more,
});

export const pod = (number: number, more: Partial<Target> = {}): Target => ({
  id: `pod-${number}`,
  node: `node-${number}`,
  address: `192.168.1.${number}`,
  ...more,
});

/** A Service of one TCP port on instances. */
export function spec(
  more: Partial<LoadBalancerSpec> & { readonly short?: Readonly<Record<string, string>> } = {},
): LoadBalancerSpec {
  const { short = {}, ...rest } = more;
  return {
    key: 'default/web',
    uid: 'uid',
    cluster: 'my-cluster',
    families: ['ipv4'],
    addresses: [],
    sources: [],
    listeners: [listener(80)],
    targetKind: 'node',
    targets: [node(1), node(2)],
    trafficPolicy: 'cluster',
    health: { protocol: 'HTTP', port: 10_256, path: '/healthz' },
    options: options(short),
    service: {
      namespace: 'default',
      name: 'web',
      labels: {},
      selector: {},
      ipFamilyPolicy: 'SingleStack',
      clusterIPs: ['10.0.0.1'],
      finalizers: [],
    },
    ...rest,
  };
}
