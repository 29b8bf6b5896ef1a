import type {
  Endpoint,
  EndpointSlice,
  Node,
  ObjectMeta,
  Service,
  ServiceSpec,
  ServiceStatus,
} from '../../../src/core/objects.ts';

/** The reference's fixture: default/<name>, type LoadBalancer, TCP 80. Frozen, as objects from a store are shared. */
export function service(
  spec: Partial<ServiceSpec> = {},
  metadata: Partial<ObjectMeta> = {},
  status?: ServiceStatus,
): Service {
  return freeze({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: 'basic-service1',
      namespace: 'default',
      uid: 'a0000000-0000-4000-8000-000000000001',
      resourceVersion: '7',
      creationTimestamp: '2026-03-01T08:00:00Z',
      ...metadata,
    },
    spec: {
      type: 'LoadBalancer',
      clusterIPs: ['10.96.0.7'],
      ipFamilies: ['IPv4'],
      ipFamilyPolicy: 'SingleStack',
      ports: [{ port: 80, protocol: 'TCP', targetPort: 8080, nodePort: 30080 }],
      ...spec,
    },
    ...(status === undefined ? {} : { status }),
  });
}

export function node(
  name: string,
  {
    labels = {},
    taints = [],
    providerID = `test://${name}`,
    ready = 'True',
    addresses = [{ type: 'InternalIP', address: `10.0.0.${name.replace(/\D/g, '') || '99'}` }],
    ...metadata
  }: {
    readonly labels?: Record<string, string>;
    readonly taints?: NonNullable<Node['spec']['taints']>;
    readonly providerID?: string;
    readonly ready?: 'True' | 'False' | 'Unknown' | '';
    readonly addresses?: NonNullable<NonNullable<Node['status']>['addresses']>;
    readonly deletionTimestamp?: string;
  } = {},
): Node {
  return freeze({
    metadata: {
      name,
      uid: `uid-${name}`,
      resourceVersion: '1',
      creationTimestamp: '2026-03-01T08:00:00Z',
      labels,
      ...metadata,
    },
    spec: { ...(providerID === '' ? {} : { providerID }), ...(taints.length === 0 ? {} : { taints }) },
    status: { addresses, ...(ready === '' ? {} : { conditions: [{ type: 'Ready', status: ready }] }) },
  });
}

export function slice(
  name: string,
  endpoints: readonly Endpoint[],
  ports: EndpointSlice['ports'] = [{ name: '', port: 8080, protocol: 'TCP' }],
  addressType: EndpointSlice['addressType'] = 'IPv4',
): EndpointSlice {
  return freeze({
    metadata: {
      name,
      namespace: 'default',
      uid: `uid-${name}`,
      resourceVersion: '1',
      creationTimestamp: '2026-03-01T08:00:00Z',
      labels: { 'kubernetes.io/service-name': 'basic-service1' },
    },
    addressType,
    endpoints,
    ports,
  });
}

export function pod(
  name: string,
  conditions: NonNullable<Endpoint['conditions']> = {},
  { address = `10.244.0.${name.replace(/\D/g, '')}`, nodeName = 'node1', zone = 'a' } = {},
): Endpoint {
  return { addresses: [address], conditions, nodeName, zone, targetRef: { kind: 'Pod', name, uid: `uid-${name}` } };
}

export function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const member of Object.values(value)) freeze(member);
  }
  return value;
}
