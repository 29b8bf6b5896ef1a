import { type IPAddressPool, type Pool, poolsOf } from '../../../src/core/ipam/pools.ts';
import type { AddressRequest, RequestSource } from '../../../src/core/ipam/request.ts';
import type { KubeObject, Service } from '../../../src/core/objects.ts';
import type { Listener } from '../../../src/core/provider.ts';

/** A pool as the golden files write it. */
export interface PoolText extends Partial<IPAddressPool['spec']> {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly annotations?: Readonly<Record<string, string>>;
}
export interface NamespaceText {
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
}

const meta = (name: string) => ({
  name,
  uid: `uid-${name}`,
  resourceVersion: '1',
  creationTimestamp: '2026-01-01T00:00:00Z',
});

export function poolObject({ name, annotations, ...spec }: PoolText): IPAddressPool {
  return {
    apiVersion: 'metallb.io/v1beta1',
    kind: 'IPAddressPool',
    metadata: { ...meta(name), namespace: 'metallb-system', ...(annotations === undefined ? {} : { annotations }) },
    spec,
  };
}

export function namespaceObject({ name, labels = {} }: NamespaceText): KubeObject {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { ...meta(name), labels } };
}

export function pools(texts: readonly PoolText[], namespaces: readonly NamespaceText[] = []): readonly Pool[] {
  return poolsOf(texts.map(poolObject), namespaces.map(namespaceObject));
}

/** A request for one IPv4 address from any pool, but for what is given. */
export function request(uid: string, wish: Partial<AddressRequest> = {}): AddressRequest {
  return {
    uid,
    namespace: 'default',
    name: uid,
    labels: {},
    families: ['ipv4'],
    policy: 'SingleStack',
    addresses: [],
    count: 1,
    ports: ['TCP/80'],
    sharingKey: '',
    backendKey: '',
    fields: { addresses: 'spec.loadBalancerIP', pool: 'metallb.io/address-pool' },
    deprecated: [],
    ...wish,
  };
}

/** What the service controller makes of a Service, as far as requests read it. */
export function sourceOf({ metadata, spec }: Pick<Service, 'metadata' | 'spec'>): RequestSource {
  const ports = spec.ports ?? [{ port: 80 }];
  return {
    uid: metadata.uid,
    addresses: spec.loadBalancerIP === undefined || spec.loadBalancerIP === '' ? [] : [spec.loadBalancerIP],
    options: metadata.annotations ?? {},
    trafficPolicy: spec.externalTrafficPolicy === 'Local' ? 'local' : 'cluster',
    listeners: ports.map(
      ({ name = '', protocol = 'TCP', port }): Listener => ({ name, protocol, port, targetPort: port }),
    ),
    service: {
      namespace: metadata.namespace ?? 'default',
      name: metadata.name,
      labels: metadata.labels ?? {},
      selector: spec.selector ?? {},
      ipFamilyPolicy: spec.ipFamilyPolicy ?? 'SingleStack',
      clusterIPs: spec.clusterIPs ?? [],
      finalizers: [],
    },
  };
}

/** Calls with 0, 1, 2 ... and says which failed, so that a failure can be played again. */
export function shuffled<T>(items: readonly T[], seed: number): readonly T[] {
  let state = seed;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const copy = [...items];
  for (let at = copy.length - 1; at > 0; at -= 1) {
    const other = Math.floor(random() * (at + 1));
    [copy[at], copy[other]] = [copy[other] as T, copy[at] as T];
  }
  return copy;
}
