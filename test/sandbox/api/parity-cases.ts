/** What clients of ours and kubectl ask, and what users get wrong: each answered once by kube-apiserver 1.37.2 (golden/). */
import { del, get, patch, post, put, type Scenario, type Seen, watch } from './parity-steps.ts';

const core = '/api/v1/namespaces/parity';
const services = `${core}/services`;
const configMaps = `${core}/configmaps`;
const leases = '/apis/coordination.k8s.io/v1/namespaces/parity/leases';
const slices = '/apis/discovery.k8s.io/v1/namespaces/parity/endpointslices';
const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const widgets = '/apis/parity.example.com/v1/namespaces/parity/widgets';

const service = (name: string, spec: object = {}, metadata: object = {}): object => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, ...metadata },
  spec: { ports: [{ port: 80 }], ...spec },
});
const lb = (name: string, spec: object = {}, metadata: object = {}): object =>
  service(name, { type: 'LoadBalancer', ...spec }, metadata);
const dry = `${services}?dryRun=All`;
const last = (seen: Seen): Seen[number]['body'] => seen.at(-1)?.body;
const at = (index: number, seen: Seen): Seen[number]['body'] => seen[index]?.body;

/** One try each of a Service that is refused, as dry run. */
const refused = (name: string, bodies: readonly object[]): Scenario => ({
  name,
  steps: bodies.map((body) => post(dry, body)),
});

export const widgetDefinition = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'widgets.parity.example.com' },
  spec: {
    group: 'parity.example.com',
    scope: 'Namespaced',
    names: { plural: 'widgets', kind: 'Widget', shortNames: ['wd'], categories: ['all'] },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        subresources: {
          status: {},
          scale: { specReplicasPath: '.spec.replicas', statusReplicasPath: '.status.replicas' },
        },
        additionalPrinterColumns: [{ name: 'Size', type: 'integer', jsonPath: '.spec.size' }],
        selectableFields: [{ jsonPath: '.spec.color' }],
        schema: {
          openAPIV3Schema: {
            type: 'object',
            required: ['spec'],
            properties: {
              spec: {
                type: 'object',
                properties: {
                  size: { type: 'integer', minimum: 1, default: 3 },
                  color: { type: 'string', enum: ['red', 'blue'] },
                  replicas: { type: 'integer' },
                  addresses: { type: 'array', items: { type: 'string' } },
                },
                'x-kubernetes-validations': [{ rule: '!has(self.size) || self.size < 100', message: 'too big' }],
              },
              status: { type: 'object', properties: { ready: { type: 'boolean' }, replicas: { type: 'integer' } } },
            },
          },
        },
      },
    ],
  },
};
const widget = (name: string, spec: object, more: object = {}): object => ({
  apiVersion: 'parity.example.com/v1',
  kind: 'Widget',
  metadata: { name },
  spec,
  ...more,
});

export const scenarios: readonly Scenario[] = [
  {
    name: 'paths and methods that do not exist',
    steps: [
      get('/api/v1/nothing'),
      get('/apis/nothing.example.com/v1/things'),
      get('/nothing'),
      get('/api/v1/namespaces/parity/services/nothing'),
      get('/api/v1/namespaces/parity/services/a/nothing'),
      get('/apis/apps/v1/namespaces/parity/deployments/none'),
      post('/api/v1/services', {}),
      put('/api/v1/namespaces/parity/services', {}),
      post('/api/v1/namespaces/parity/services/a', {}),
      del('/api/v1/namespaces'),
      get('/apis/apps/v1/namespaces/parity/daemonsets/a/scale'),
      patch('merge', `${services}/none`, {}),
      put(`${configMaps}/none`, { metadata: { name: 'none' } }),
      del(`${services}/none`),
    ],
  },
  {
    name: 'bodies that cannot be read',
    steps: [
      post(services, '{x'),
      post(services, ''),
      post(services, '[]'),
      post(services, '{}', 'text/plain'),
      post(services, { kind: 'Node', apiVersion: 'v1', metadata: { name: 'x' } }),
      post(services, { kind: 'Service', apiVersion: 'apps/v1', metadata: { name: 'x' } }),
      post(services, service('x', { ports: [{ port: '80' }] })),
      post(services, service('x', { ports: { port: 80 } })),
      post(services, service('x', { ports: [{ port: 8.5 }] })),
      post(services, service('x', { type: 5 })),
      post(services, { metadata: { name: 'x' }, spec: [] }),
      post(services, service('x', {}, { labels: { a: 5 } })),
      post(services, service('x', { ports: [{ port: 80, targetPort: {} }] })),
      post(`${core}/events`, { metadata: { name: 'x' }, firstTimestamp: 'yesterday' }),
      post(leases, { metadata: { name: 'x' }, spec: { renewTime: '2020-01-01T00:00:00.000Z' } }),
      post(`${services}?fieldValidation=Strict`, {
        metadata: { name: 'x', foo: 1 },
        spec: { ports: [{ port: 80, x: 1 }], y: 2 },
      }),
      post(`${services}?dryRun=All&fieldValidation=Warn`, {
        metadata: { name: 'x', foo: 1 },
        spec: { ports: [{ port: 80, x: 1 }], y: 2 },
      }),
      post(`${services}?fieldValidation=Perhaps`, service('x')),
      post(`${services}?dryRun=Some`, service('x')),
      post(services, service('x', {}, { namespace: 'other' })),
      post(services, service('x', {}, { resourceVersion: '5' })),
      post('/api/v1/namespaces/missing/services', service('x')),
    ],
  },
  {
    name: 'metadata that is refused',
    steps: [
      post(configMaps, { metadata: {} }),
      post(configMaps, { metadata: { name: 'UPPER' } }),
      post(configMaps, { metadata: { name: 'a/b' } }),
      post(configMaps, { metadata: { name: `${'a'.repeat(254)}` } }),
      post(configMaps, { metadata: { name: 'x', labels: { [`${'a'.repeat(64)}`]: 'b' } } }),
      post(configMaps, { metadata: { name: 'x', labels: { a: 'b'.repeat(64) } } }),
      post(configMaps, { metadata: { name: 'x', annotations: { a: 'b'.repeat(300_000) } } }),
      post(configMaps, { metadata: { name: 'x', labels: { 'a b': 'c' } } }),
      post(configMaps, { metadata: { name: 'x', labels: { a: 'b c' } } }),
      post(configMaps, { metadata: { name: 'x', annotations: { 'B /': 'x' } } }),
      post(configMaps, { metadata: { name: 'x', finalizers: ['foo'] } }),
      post(configMaps, { metadata: { name: 'x', finalizers: ['a/b/c'] } }),
      post(configMaps, { metadata: { name: 'x', ownerReferences: [{ apiVersion: 'v1', kind: 'Pod' }] } }),
      post(configMaps, { metadata: { name: 'x' }, data: { 'a b': 'c' } }),
      post(configMaps, { metadata: { generateName: 'Gen-' } }),
    ],
  },
  {
    name: 'ConfigMap: create, replace, patch, delete',
    steps: [
      post(configMaps, { metadata: { name: 'cm', labels: {} }, data: { a: 'b' } }),
      post(configMaps, { metadata: { name: 'cm' } }),
      put(`${configMaps}/cm`, { metadata: { name: 'cm' }, data: { c: 'd' } }),
      put(`${configMaps}/cm`, (seen: Seen) => ({
        metadata: { name: 'cm', resourceVersion: at(0, seen).metadata.resourceVersion },
        data: {},
      })),
      put(`${configMaps}/cm`, { metadata: { name: 'other' } }),
      put(`${configMaps}/cm`, { metadata: { name: 'cm', namespace: 'other' } }),
      put(`${configMaps}/cm`, { metadata: { name: 'cm', uid: 'not-this-one' } }),
      patch('strategic', `${configMaps}/cm`, { data: { e: 'f' } }),
      patch('merge', `${configMaps}/cm`, { data: { e: null }, immutable: true }),
      patch('merge', `${configMaps}/cm`, { data: { x: 'y' } }),
      patch('json', `${configMaps}/cm`, [{ op: 'add', path: '/metadata/labels', value: { a: 'b' } }]),
      patch('json', `${configMaps}/cm`, [{ op: 'test', path: '/metadata/labels/a', value: 'c' }]),
      patch('json', `${configMaps}/cm`, { op: 'test' }),
      patch('merge', `${configMaps}/cm`, '{"data":'),
      patch('merge', `${configMaps}/cm`, []),
      { method: 'PATCH', path: `${configMaps}/cm`, body: {}, type: 'application/json' },
      del(`${configMaps}/cm?dryRun=All`),
      del(`${configMaps}/cm`),
      get(`${configMaps}/cm`),
    ],
  },
  {
    name: 'generateName and dry runs',
    steps: [
      post(configMaps, { metadata: { generateName: 'gen-' } }),
      post(`${configMaps}?dryRun=All`, { metadata: { generateName: 'gen-' } }),
      post(dry, lb('dry', { externalTrafficPolicy: 'Local' })),
      post(
        dry,
        service('dry', {
          type: 'NodePort',
          ports: [
            { name: 'a', port: 1 },
            { name: 'b', port: 2 },
            { name: 'c', port: 2, protocol: 'UDP' },
          ],
        }),
      ),
      get(`${services}/dry`),
      del(configMaps),
      get(configMaps),
    ],
  },
  {
    name: 'Service: what is filled in',
    steps: [
      post(services, service('plain')),
      post(
        services,
        lb('lb', {
          ports: [
            { name: 'a', port: 80 },
            { name: 'b', port: 80, protocol: 'UDP' },
            { name: 'c', port: 443, targetPort: 'https' },
          ],
        }),
      ),
      post(services, lb('local', { externalTrafficPolicy: 'Local', allocateLoadBalancerNodePorts: false })),
      post(services, service('np', { type: 'NodePort', sessionAffinity: 'ClientIP' })),
      post(services, service('headless', { clusterIP: 'None', selector: { a: 'b' } })),
      post(services, { metadata: { name: 'bare' }, spec: { clusterIP: 'None' } }),
      post(services, { metadata: { name: 'out' }, spec: { type: 'ExternalName', externalName: 'example.com.' } }),
      post(services, service('dual', { ipFamilyPolicy: 'RequireDualStack' })),
      post(services, service('six', { ipFamilies: ['IPv6'] })),
      post(services, service('ext', { externalIPs: ['192.0.2.7'] })),
      post(
        services,
        lb('classy', {
          loadBalancerClass: 'example.com/lb',
          loadBalancerIP: '192.0.2.9',
          loadBalancerSourceRanges: ['10.0.0.0/8', ' 192.0.2.0/24 '],
        }),
      ),
      post(services, lb('dry', {}, {})),
      put(`${services}/byput`, service('byput')),
      put(`${services}/byput`, service('byput', { ports: [{ port: 81 }] })),
      del(services),
    ],
  },
  refused('Service: ports that are refused', [
    service('x', { ports: [] }),
    service('x', { ports: [{ port: 0 }] }),
    service('x', { ports: [{ port: 70_000 }] }),
    service('x', { ports: [{ port: 80 }, { port: 81, name: 'b' }] }),
    service('x', { ports: [{ port: 80, name: 'A' }] }),
    service('x', {
      ports: [
        { port: 80, name: 'a' },
        { port: 81, name: 'a' },
      ],
    }),
    service('x', {
      ports: [
        { port: 80, name: 'a' },
        { port: 80, name: 'b' },
      ],
    }),
    service('x', { ports: [{ port: 80, protocol: 'HTTP' }] }),
    service('x', { ports: [{ port: 80, targetPort: 'not--a-name' }] }),
    service('x', { ports: [{ port: 80, targetPort: 0 }] }),
    service('x', { ports: [{ port: 80, nodePort: 30_010 }] }),
    service('x', { type: 'NodePort', ports: [{ port: 80, nodePort: 80 }] }),
    service('x', {
      type: 'NodePort',
      ports: [
        { port: 80, name: 'a', nodePort: 30_010 },
        { port: 81, name: 'b', nodePort: 30_010 },
      ],
    }),
    service('x', { ports: [{ port: 80, appProtocol: 'a b' }] }),
  ]),
  refused('Service: addresses and policies that are refused', [
    service('1x'),
    service('X'),
    service('x', { clusterIP: '1.2.3.4' }),
    service('x', { clusterIP: '10.96.0.1' }),
    service('x', { clusterIP: 'x' }),
    service('x', { clusterIP: '010.96.0.9' }),
    service('x', { clusterIPs: ['10.96.0.9'] }),
    service('x', { clusterIP: '10.96.0.9', clusterIPs: ['10.96.0.10'] }),
    service('x', { clusterIP: '10.96.0.9', clusterIPs: ['10.96.0.9', '10.96.0.10'] }),
    service('x', { ipFamilies: ['IPv4', 'IPv4'] }),
    service('x', { ipFamilies: ['IPv5'] }),
    service('x', { ipFamilyPolicy: 'Both' }),
    service('x', { ipFamilyPolicy: 'SingleStack', ipFamilies: ['IPv4', 'IPv6'] }),
    service('x', { type: 'Balanced' }),
    service('x', { type: 'LoadBalancer', clusterIP: 'None' }),
    service('x', { type: 'ExternalName' }),
    service('x', { type: 'ExternalName', externalName: 'a_b', clusterIP: '10.96.0.9' }),
    service('x', { sessionAffinity: 'Cookie' }),
    service('x', { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 0 } } }),
    service('x', { externalTrafficPolicy: 'Local' }),
    lb('x', { externalTrafficPolicy: 'Near' }),
    lb('x', { internalTrafficPolicy: 'Near' }),
    lb('x', { healthCheckNodePort: 30_010 }),
    lb('x', { externalTrafficPolicy: 'Local', healthCheckNodePort: 80 }),
    lb('x', { trafficDistribution: 'Near' }),
    lb('x', { loadBalancerClass: 'a b' }),
    service('x', { loadBalancerClass: 'a' }),
    service('x', { allocateLoadBalancerNodePorts: true }),
    service('x', { loadBalancerSourceRanges: ['10.0.0.0/8'] }),
    lb('x', { loadBalancerSourceRanges: ['10.0.0.1/24'] }),
    lb('x', { loadBalancerSourceRanges: ['010.0.0.0/24'] }),
    lb('x', { loadBalancerSourceRanges: ['10.0.0.0/33'] }),
    lb('x', { loadBalancerSourceRanges: ['10.0.0.0'] }),
    lb('x', { loadBalancerSourceRanges: ['::ffff:1.2.3.0/120'] }),
    lb('x', {}, { annotations: { 'service.beta.kubernetes.io/load-balancer-source-ranges': '10.0.0.0/8,x' } }),
    service('x', { externalIPs: ['127.0.0.1'] }),
    service('x', { externalIPs: ['fe80::1'] }),
    service('x', { externalIPs: ['x'] }),
    service('x', { selector: { 'a b': 'c' } }),
  ]),
  {
    name: 'Service: numbers that are taken or outside',
    steps: [
      post(services, service('x', { type: 'NodePort', ports: [{ port: 80, nodePort: 80 }] })),
      post(services, service('x', { clusterIP: '1.2.3.4' })),
      post(services, service('x', { clusterIP: '10.96.0.1' })),
      post(services, service('x', { clusterIP: '10.96.0.0' })),
      post(services, lb('x', { externalTrafficPolicy: 'Local', healthCheckNodePort: 80 })),
      post(
        services,
        service('x', { clusterIP: '10.96.3.3', type: 'NodePort', ports: [{ port: 80, nodePort: 30_023 }] }),
      ),
      post(services, service('y', { clusterIP: '10.96.3.3' })),
      post(services, service('y', { type: 'NodePort', ports: [{ port: 80, nodePort: 30_023 }] })),
      post(dry, service('y', { type: 'NodePort', ports: [{ port: 80, nodePort: 30_023 }] })),
      patch('merge', `${services}/x`, { spec: { ports: [{ port: 80, nodePort: 40_000 }] } }),
      patch('merge', `${services}/x?dryRun=All`, { spec: { type: 'LoadBalancer', externalTrafficPolicy: 'Local' } }),
      del(`${services}/x?dryRun=All`),
      post(services, service('y', { clusterIP: '10.96.3.3' })),
      del(`${services}/x`),
      post(
        services,
        service('y', { clusterIP: '10.96.3.3', type: 'NodePort', ports: [{ port: 80, nodePort: 30_023 }] }),
      ),
      del(services),
      post(
        services,
        service('bad', {
          clusterIP: '10.96.3.4',
          type: 'NodePort',
          ports: [{ port: 80, nodePort: 30_024, protocol: 'X' }],
        }),
      ),
      post(
        services,
        service('good', { clusterIP: '10.96.3.4', type: 'NodePort', ports: [{ port: 80, nodePort: 30_024 }] }),
      ),
      patch('merge', `${services}/good`, { spec: { ports: [{ port: 80, nodePort: 30_025, protocol: 'X' }] } }),
      post(services, service('other', { type: 'NodePort', ports: [{ port: 80, nodePort: 30_025 }] })),
      del(services),
    ],
  },
  {
    name: 'Service: updates that keep, drop and refuse',
    steps: [
      post(services, lb('up', { externalTrafficPolicy: 'Local' })),
      put(`${services}/up`, lb('up', { externalTrafficPolicy: 'Local' })),
      patch('merge', `${services}/up`, { spec: { externalTrafficPolicy: 'Cluster' } }),
      patch('merge', `${services}/up`, { spec: { loadBalancerClass: 'a.b/c' } }),
      patch('merge', `${services}/up`, { spec: { clusterIP: '10.96.0.77' } }),
      patch('merge', `${services}/up`, { spec: { clusterIP: null, clusterIPs: null } }),
      patch('strategic', `${services}/up`, {
        spec: {
          ports: [
            { port: 81, name: 'b' },
            { port: 80, name: 'a' },
          ],
        },
      }),
      patch('strategic', `${services}/up`, { spec: { ports: [{ port: 81, $patch: 'delete' }] } }),
      patch('merge', `${services}/up`, { spec: { type: 'ClusterIP' } }),
      patch('merge', `${services}/up`, { spec: { type: 'ExternalName', externalName: 'example.com' } }),
      patch('merge', `${services}/up`, { spec: { type: 'ClusterIP', externalName: null } }),
      patch('merge', `${services}/up`, { spec: { ipFamilyPolicy: 'PreferDualStack' } }),
      patch('merge', `${services}/up`, { spec: { ipFamilyPolicy: 'SingleStack' } }),
      patch('merge', `${services}/up`, { metadata: { uid: 'not-this-one' } }),
      patch('merge', `${services}/up`, { metadata: { resourceVersion: '5' } }),
      patch('merge', `${services}/up`, { metadata: { name: 'down' } }),
      patch('merge', `${services}/up`, { metadata: { generation: 7, creationTimestamp: null } }),
      patch('merge', `${services}/up`, { metadata: { deletionTimestamp: '2020-01-01T00:00:00Z' } }),
      patch('merge', `${services}/up`, { spec: { type: 5 } }),
      patch('merge', `${services}/up`, {}),
      del(`${services}/up`, { preconditions: { uid: 'not-this-one' } }),
      del(`${services}/up`, { preconditions: { resourceVersion: '5' } }),
      del(`${services}/up`),
    ],
  },
  {
    name: 'Service status: metadata passes, the spec is reset',
    steps: [
      post(services, lb('st', {}, { labels: { a: 'b' } })),
      patch('strategic', `${services}/st`, {
        status: { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } },
        metadata: { annotations: { x: 'y' } },
      }),
      patch('strategic', `${services}/st/status`, {
        metadata: {
          finalizers: ['service.kubernetes.io/load-balancer-cleanup'],
          annotations: { p: 'q' },
          labels: { c: 'd' },
        },
        spec: { sessionAffinity: 'ClientIP' },
        status: { loadBalancer: { ingress: [{ ip: '192.0.2.1' }, { hostname: 'lb.example.com' }] } },
      }),
      patch('strategic', `${services}/st/status`, {
        status: {
          conditions: [
            { type: 'Serving', status: 'True', reason: 'Ok', message: '', lastTransitionTime: '2020-01-01T00:00:00Z' },
          ],
        },
      }),
      patch('strategic', `${services}/st/status`, {
        status: {
          conditions: [
            { type: 'Other', status: 'False', reason: 'No', message: 'm', lastTransitionTime: '2020-01-01T00:00:00Z' },
          ],
        },
      }),
      patch('strategic', `${services}/st/status`, { status: { conditions: [{ type: 'Serving', $patch: 'delete' }] } }),
      patch('merge', `${services}/st/status`, {
        status: {
          loadBalancer: { ingress: [{ ip: '192.0.2.2', ipMode: 'Proxy', ports: [{ port: 80, protocol: 'TCP' }] }] },
        },
      }),
      patch('merge', `${services}/st/status`, { status: { loadBalancer: { ingress: [{ ip: 'x' }] } } }),
      patch('merge', `${services}/st/status`, { status: { loadBalancer: { ingress: [{ hostname: '192.0.2.1' }] } } }),
      patch('merge', `${services}/st/status`, { status: { loadBalancer: { ingress: [{ hostname: 'a_b' }] } } }),
      patch('merge', `${services}/st/status`, { status: { loadBalancer: { ingress: [{ ipMode: 'VIP' }] } } }),
      patch('merge', `${services}/st/status`, {
        status: { loadBalancer: { ingress: [{ ip: '192.0.2.3', ipMode: 'Odd' }] } },
      }),
      patch('merge', `${services}/st/status`, { metadata: { uid: 'not-this-one' } }),
      patch('merge', `${services}/st/status`, { metadata: { resourceVersion: '5' } }),
      put(`${services}/st/status`, (seen: Seen) => ({
        ...at(6, seen),
        metadata: { name: 'st' },
        status: { loadBalancer: {} },
      })),
      del(`${services}/st`),
      post(services, lb('st')),
      patch('strategic', `${services}/st/status`, { metadata: { finalizers: ['a.b/new'] } }),
      del(`${services}/st`),
      patch('strategic', `${services}/st/status`, {
        metadata: { '$deleteFromPrimitiveList/finalizers': ['service.kubernetes.io/load-balancer-cleanup'] },
      }),
      get(`${services}/st`),
      post(services, service('nolb')),
      patch('merge', `${services}/nolb/status`, { status: { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } } }),
      get(`${services}/nolb/status`),
      del(`${services}/nolb`),
    ],
  },
  {
    name: 'lists: selectors, pages, versions',
    steps: [
      ...['a', 'b', 'c', 'd', 'e'].map((name, index) =>
        post(configMaps, { metadata: { name, labels: { n: String(index), kind: index % 2 === 0 ? 'even' : 'odd' } } }),
      ),
      get(`${configMaps}?labelSelector=kind%3Deven`),
      get(`${configMaps}?labelSelector=kind!%3Deven,n`),
      get(`${configMaps}?labelSelector=n%20in%20(1,2),!none`),
      get(`${configMaps}?labelSelector=n%20notin%20(1,2)`),
      get(`${configMaps}?labelSelector=n%3E2`),
      get(`${configMaps}?fieldSelector=metadata.name%3Dc`),
      get(`${configMaps}?fieldSelector=metadata.name!%3Dc,metadata.namespace%3Dparity`),
      get(`${configMaps}?fieldSelector=data.x%3Dc`),
      get(`${configMaps}?labelSelector=a%20b`),
      get(`${configMaps}?labelSelector=-x-`),
      get(`${configMaps}?labelSelector=a%20in%20b`),
      get(`${configMaps}?fieldSelector=abc`),
      get(`${configMaps}?limit=x`),
      get(`${configMaps}?continue=abc`),
      get(`${configMaps}?resourceVersion=x`),
      get(`${configMaps}?resourceVersionMatch=Exact`),
      get(`${configMaps}?resourceVersion=0&resourceVersionMatch=Exact`),
      get(`${configMaps}?resourceVersion=1&resourceVersionMatch=Perhaps`),
      get(`${configMaps}?limit=2`),
      get((seen) => `${configMaps}?limit=2&continue=${last(seen).metadata.continue}`),
      get((seen) => `${configMaps}?limit=2&continue=${last(seen).metadata.continue}`),
      get((seen) => `${configMaps}?limit=2&resourceVersion=5&continue=${at(24, seen).metadata.continue}`),
      get((seen) => `${configMaps}?resourceVersion=${at(2, seen).metadata.resourceVersion}&resourceVersionMatch=Exact`),
      get('/api/v1/services?fieldSelector=spec.type%3DLoadBalancer'),
      get('/api/v1/services?fieldSelector=spec.sessionAffinity%3DNone'),
      get(`${core}/pods?fieldSelector=spec.nodeName%3Dn1,status.phase!%3DFailed`),
      get(`${core}/events?fieldSelector=involvedObject.kind%3DService,reason%3Dx,type%3DNormal`),
      del(`${configMaps}?labelSelector=kind%3Dodd`),
      get(configMaps),
      del(configMaps),
    ],
  },
  {
    name: 'watches',
    steps: [
      post(configMaps, { metadata: { name: 'w', labels: { pick: 'yes' } } }),
      patch('merge', `${configMaps}/w`, { data: { a: 'b' } }),
      patch('merge', `${configMaps}/w`, { metadata: { labels: { pick: 'no' } } }),
      patch('merge', `${configMaps}/w`, { metadata: { labels: { pick: 'yes' } } }),
      del(`${configMaps}/w`),
      watch((seen) => `${configMaps}?watch=true&resourceVersion=${at(0, seen).metadata.resourceVersion}`, 4),
      watch(
        (seen) =>
          `${configMaps}?watch=true&labelSelector=pick%3Dyes&resourceVersion=${at(0, seen).metadata.resourceVersion}`,
        4,
      ),
      watch(
        (seen) =>
          `${configMaps}?watch=true&fieldSelector=metadata.name%3Dw&resourceVersion=${at(1, seen).metadata.resourceVersion}`,
        3,
      ),
      post(configMaps, { metadata: { name: 'x' } }),
      watch(`${configMaps}?watch=true`, 1),
      watch(`${configMaps}?watch=true&resourceVersion=0`, 1),
      get(`${configMaps}?watch=true&sendInitialEvents=true`),
      get(`${configMaps}?watch=true&resourceVersionMatch=NotOlderThan`),
      del(`${configMaps}/x`),
    ],
  },
  {
    name: 'server-side apply',
    steps: [
      patch('apply', `${services}/ssa`, service('ssa')),
      patch('apply', `${services}/ssa?fieldManager=one`, service('ssa', {}, { labels: { a: 'b' } })),
      patch('apply', `${services}/ssa?fieldManager=one`, service('ssa', {}, { labels: { a: 'b' } })),
      patch(
        'apply',
        `${services}/ssa?fieldManager=two`,
        service('ssa', { ports: [{ port: 80, targetPort: 90 }] }, { labels: { a: 'c' } }),
      ),
      patch(
        'apply',
        `${services}/ssa?fieldManager=two&force=true`,
        service('ssa', { ports: [{ port: 80, targetPort: 90 }] }, { labels: { a: 'c' } }),
      ),
      patch('apply', `${services}/ssa?fieldManager=one`, service('ssa')),
      patch('apply', `${services}/ssa?fieldManager=two&force=true`, {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'ssa' },
        spec: {},
      }),
      patch('apply', `${services}/ssa?fieldManager=two`, service('ssa', { foo: 1 })),
      patch('apply', `${services}/ssa?fieldManager=two`, service('other')),
      patch('apply', `${services}/none?fieldManager=two`, service('none', {}, { uid: 'x' })),
      patch('apply', `${services}/ssa?fieldManager=two`, { kind: 'Service', metadata: { name: 'ssa' } }),
      patch('apply', `${services}/ssa?fieldManager=two`, service('ssa', {}, { managedFields: [] })),
      patch(
        'apply',
        `${services}/ssa?fieldManager=two`,
        'apiVersion: v1\nkind: Service\nmetadata:\n  name: ssa\nspec:\n  ports:\n  - port: 80\n  sessionAffinity: ClientIP\n',
      ),
      patch('apply', `${services}/ssa/status?fieldManager=st`, {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'ssa' },
        status: {
          conditions: [
            { type: 'A', status: 'True', reason: 'R', message: '', lastTransitionTime: '2020-01-01T00:00:00Z' },
          ],
        },
      }),
      patch('merge', `${services}/ssa?force=true`, {}),
      patch('merge', `${services}/ssa?fieldManager=three`, { spec: { ports: [{ port: 81 }] } }),
      get(`${services}/ssa`),
      del(`${services}/ssa`),
    ],
  },
  {
    name: 'Lease: replaced only with a version',
    steps: [
      post(leases, {
        metadata: { name: 'l' },
        spec: {
          holderIdentity: 'a',
          leaseDurationSeconds: 15,
          renewTime: '2020-01-01T00:00:00.000001Z',
          leaseTransitions: 0,
        },
      }),
      put(`${leases}/l`, { metadata: { name: 'l' }, spec: { holderIdentity: 'b' } }),
      put(`${leases}/l`, (seen: Seen) => ({
        metadata: { name: 'l', resourceVersion: at(0, seen).metadata.resourceVersion },
        spec: { holderIdentity: 'b' },
      })),
      put(`${leases}/l`, (seen: Seen) => ({
        metadata: { name: 'l', resourceVersion: at(0, seen).metadata.resourceVersion },
        spec: { holderIdentity: 'c' },
      })),
      put(`${leases}/created`, { metadata: { name: 'created' }, spec: {} }),
      post(leases, { metadata: { name: 'bad' }, spec: { leaseDurationSeconds: 0, leaseTransitions: -1 } }),
      del(leases),
    ],
  },
  {
    name: 'deletion: finalizers and propagation',
    steps: [
      post(configMaps, { metadata: { name: 'f', finalizers: ['a.b/c'] } }),
      del(`${configMaps}/f`),
      del(`${configMaps}/f`),
      patch('merge', `${configMaps}/f`, { metadata: { finalizers: ['a.b/c', 'd.e/f'] } }),
      patch('merge', `${configMaps}/f`, { data: { a: 'b' } }),
      post(configMaps, { metadata: { name: 'f' } }),
      patch('merge', `${configMaps}/f`, { metadata: { finalizers: [] } }),
      post(configMaps, { metadata: { name: 'g' } }),
      del(`${configMaps}/g?propagationPolicy=Foreground`),
      patch('merge', `${configMaps}/g`, { metadata: { finalizers: null } }),
      post(configMaps, { metadata: { name: 'h' } }),
      del(`${configMaps}/h`, { propagationPolicy: 'Orphan' }),
      patch('json', `${configMaps}/h`, [{ op: 'remove', path: '/metadata/finalizers' }]),
      post(configMaps, { metadata: { name: 'i' } }),
      del(`${configMaps}/i`, { propagationPolicy: 'Sideways' }),
      del(`${configMaps}/i`, (seen: Seen) => ({
        preconditions: { uid: at(13, seen).metadata.uid, resourceVersion: at(13, seen).metadata.resourceVersion },
      })),
    ],
  },
  {
    name: 'Node: taint, status, pod CIDR',
    steps: [
      post('/api/v1/nodes', {
        metadata: { name: 'parity-node' },
        spec: { unschedulable: false, taints: [] },
        status: { capacity: { cpu: '1000m', memory: '1024Mi', pods: 110 } },
      }),
      patch('merge', '/api/v1/nodes/parity-node', {
        spec: { podCIDR: '10.1.0.0/24', providerID: 'x://1' },
        status: { conditions: [] },
      }),
      patch('merge', '/api/v1/nodes/parity-node', { spec: { podCIDR: '10.2.0.0/24', podCIDRs: ['10.2.0.0/24'] } }),
      patch('merge', '/api/v1/nodes/parity-node', { spec: { providerID: 'x://2' } }),
      patch('merge', '/api/v1/nodes/parity-node/status', {
        spec: { unschedulable: true },
        status: {
          addresses: [
            { type: 'InternalIP', address: '192.0.2.1' },
            { type: 'InternalIP', address: '192.0.2.2' },
          ],
        },
      }),
      patch('strategic', '/api/v1/nodes/parity-node/status', {
        status: { conditions: [{ type: 'Ready', status: 'True', reason: 'R', message: 'm' }] },
      }),
      patch('merge', '/api/v1/nodes/parity-node', { spec: { taints: [{ key: 'a', effect: 'Never' }] } }),
      patch('merge', '/api/v1/nodes/parity-node', {
        spec: {
          taints: [
            { key: 'a', effect: 'NoSchedule' },
            { key: 'a', effect: 'NoSchedule', value: 'b' },
          ],
        },
      }),
      get('/api/v1/nodes?fieldSelector=spec.unschedulable%3Dfalse'),
      del('/api/v1/nodes/parity-node'),
    ],
  },
  {
    name: 'EndpointSlice',
    steps: [
      post(slices, {
        metadata: { name: 's' },
        addressType: 'IPv4',
        endpoints: [{ addresses: ['192.0.2.1'], conditions: { ready: true } }],
        ports: [{ port: 80 }],
      }),
      patch('merge', `${slices}/s`, { endpoints: null }),
      patch('merge', `${slices}/s`, { metadata: { annotations: { a: 'b' } } }),
      patch('merge', `${slices}/s`, { metadata: { labels: { a: 'b' } } }),
      patch('merge', `${slices}/s`, { addressType: 'IPv6' }),
      post(slices, { metadata: { name: 't' } }),
      post(slices, { metadata: { name: 't' }, addressType: 'IPv4', endpoints: [{ addresses: [] }] }),
      post(slices, { metadata: { name: 't' }, addressType: 'IPv4', endpoints: [{ addresses: ['2001:db8::1'] }] }),
      post(slices, {
        metadata: { name: 't' },
        addressType: 'IPv4',
        endpoints: [{ addresses: ['127.0.0.1'], nodeName: 'A_B' }],
      }),
      post(slices, {
        metadata: { name: 't' },
        addressType: 'IPv4',
        endpoints: [],
        ports: [{ port: 80 }, { port: 81 }],
      }),
      post(slices, { metadata: { name: 't' }, addressType: 'IPv5', endpoints: [] }),
      del(`${slices}/s`),
    ],
  },
  {
    name: 'Events of both APIs',
    steps: [
      post(`${core}/events`, {
        metadata: { name: 'e' },
        involvedObject: { kind: 'Service', namespace: 'parity', name: 'x' },
        reason: 'R',
        message: 'M',
        type: 'Normal',
        count: 1,
        source: { component: 'c' },
      }),
      get('/apis/events.k8s.io/v1/namespaces/parity/events/e'),
      patch('merge', `${core}/events/e`, { count: 2 }),
      patch('strategic', `${core}/events/e`, { count: 3, lastTimestamp: '2020-01-01T00:00:00Z' }),
      post(`${core}/events`, {
        metadata: { name: 'wrong' },
        involvedObject: { kind: 'Service', namespace: 'default', name: 'x' },
      }),
      post('/apis/events.k8s.io/v1/namespaces/parity/events', {
        metadata: { name: 'n' },
        regarding: { kind: 'Service', namespace: 'parity', name: 'x' },
        reason: 'R',
        note: 'N',
        type: 'Normal',
        action: 'A',
        eventTime: '2020-01-01T00:00:00.000001Z',
        reportingController: 'c.d/e',
        reportingInstance: 'i',
      }),
      get(`${core}/events/n`),
      post('/apis/events.k8s.io/v1/namespaces/parity/events', {
        metadata: { name: 'o' },
        regarding: { namespace: 'parity' },
      }),
      get(`${core}/events?fieldSelector=involvedObject.name%3Dx,reason%3DR`),
      del(`${core}/events/e`),
      del('/apis/events.k8s.io/v1/namespaces/parity/events/n'),
    ],
  },
  {
    name: 'Namespaces',
    steps: [
      post('/api/v1/namespaces', { metadata: { name: 'parity-two', labels: { a: 'b' } } }),
      patch('merge', '/api/v1/namespaces/parity-two', {
        metadata: { labels: { 'kubernetes.io/metadata.name': 'x' } },
        spec: { finalizers: [] },
      }),
      post('/api/v1/namespaces', { metadata: { name: 'a.b' } }),
      del('/api/v1/namespaces/default'),
      del('/api/v1/namespaces/parity-two'),
      del('/api/v1/namespaces/parity-two'),
      post('/api/v1/namespaces/parity-two/configmaps', { metadata: { name: 'late' } }),
      patch('merge', '/api/v1/namespaces/parity-two', { metadata: { annotations: { c: 'd' } } }),
      put('/api/v1/namespaces/parity-two/finalize', { metadata: { name: 'parity-two' }, spec: { finalizers: [] } }),
      get('/api/v1/namespaces/parity-two'),
    ],
  },
  {
    name: 'Pods and workloads',
    steps: [
      post(`${core}/pods`, {
        metadata: { name: 'p' },
        spec: {
          containers: [
            {
              name: 'c',
              image: 'nginx',
              ports: [{ containerPort: 80 }],
              readinessProbe: { httpGet: { port: 80 } },
              resources: { limits: { cpu: '0.5', memory: '1Gi' } },
            },
          ],
        },
      }),
      patch('merge', `${core}/pods/p`, { spec: { hostNetwork: true } }),
      patch('strategic', `${core}/pods/p`, { spec: { containers: [{ name: 'c', image: 'nginx:2' }] } }),
      post(`${core}/pods/p/binding`, { metadata: { name: 'p' }, target: { kind: 'Node', name: 'n1' } }),
      get(`${core}/pods?fieldSelector=spec.nodeName%3Dn1`),
      patch('strategic', `${core}/pods/p/status`, {
        status: { phase: 'Running', podIP: '192.0.2.5', podIPs: [{ ip: '192.0.2.5' }] },
      }),
      del(`${core}/pods/p`),
      del(`${core}/pods/p`, { gracePeriodSeconds: 0 }),
      post(`${core}/pods`, { metadata: { name: 'q' }, spec: { containers: [{ name: 'c', image: 'nginx' }] } }),
      del(`${core}/pods/q`),
      post(`${core}/pods`, { metadata: { name: 'q' }, spec: { containers: [] } }),
      post('/apis/apps/v1/namespaces/parity/deployments', {
        metadata: { name: 'd' },
        spec: {
          selector: { matchLabels: { a: 'b' } },
          template: { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'nginx:1' }] } },
        },
      }),
      get('/apis/apps/v1/namespaces/parity/deployments/d/scale'),
      patch('merge', '/apis/apps/v1/namespaces/parity/deployments/d/scale', { spec: { replicas: 4 } }),
      put('/apis/apps/v1/namespaces/parity/deployments/d/scale', {
        metadata: { name: 'd', namespace: 'parity' },
        spec: { replicas: 2 },
      }),
      get('/apis/apps/v1/namespaces/parity/deployments/d'),
      patch('merge', '/apis/apps/v1/namespaces/parity/deployments/d', {
        spec: { selector: { matchLabels: { a: 'c' } } },
      }),
      patch('merge', '/apis/apps/v1/namespaces/parity/deployments/d', { metadata: { annotations: { x: 'y' } } }),
      del('/apis/apps/v1/namespaces/parity/deployments/d'),
      post('/apis/apps/v1/namespaces/parity/daemonsets', {
        metadata: { name: 'd' },
        spec: {
          selector: { matchLabels: { a: 'b' } },
          template: { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'nginx:1' }] } },
        },
      }),
      patch('strategic', '/apis/apps/v1/namespaces/parity/daemonsets/d', {
        spec: { template: { spec: { containers: [{ name: 'c', image: 'nginx:2' }] } } },
      }),
      del('/apis/apps/v1/namespaces/parity/daemonsets/d'),
    ],
  },
  {
    name: 'Secrets, service accounts, endpoints',
    steps: [
      post(`${core}/secrets`, { metadata: { name: 's' }, stringData: { a: 'b' }, data: { c: 'ZA==' } }),
      patch('merge', `${core}/secrets/s`, { stringData: { a: 'c' } }),
      patch('merge', `${core}/secrets/s`, { type: 'Other' }),
      post(`${core}/secrets`, { metadata: { name: 't' }, data: { c: 'not base64!' } }),
      del(`${core}/secrets/s`),
      post(`${core}/serviceaccounts`, { metadata: { name: 'sa' } }),
      del(`${core}/serviceaccounts/sa`),
      post(`${core}/endpoints`, {
        metadata: { name: 'ep' },
        subsets: [{ addresses: [{ ip: '192.0.2.1' }], ports: [{ port: 80 }] }],
      }),
      post(`${core}/endpoints`, {
        metadata: { name: 'bad' },
        subsets: [{ addresses: [{ ip: '127.0.0.1' }], ports: [{ port: 0 }] }, {}],
      }),
      del(`${core}/endpoints/ep`),
    ],
  },
  {
    name: 'custom resources',
    steps: [
      get('/apis/parity.example.com/v1'),
      post(widgets, widget('a', { color: 'red', foo: 1 }, { status: { ready: true }, extra: 1 })),
      post(widgets, widget('b', { color: 'green', size: 0 })),
      post(widgets, widget('b', { size: 'x' })),
      post(widgets, widget('b', { size: 200 })),
      post(widgets, { apiVersion: 'parity.example.com/v1', kind: 'Widget', metadata: { name: 'b' } }),
      post(widgets, { kind: 'Widget', metadata: { name: 'b' }, spec: {} }),
      post(widgets, { apiVersion: 'parity.example.com/v1', kind: 'Gadget', metadata: { name: 'b' }, spec: {} }),
      post(`${widgets}?fieldValidation=Strict`, {
        ...widget('b', { size: 1, foo: 1 }),
        metadata: { name: 'b', foo: 1 },
      }),
      patch('merge', `${widgets}/a`, { status: { ready: true }, spec: { size: 5 } }),
      patch('merge', `${widgets}/a`, { metadata: { labels: { a: 'b' } } }),
      patch('merge', `${widgets}/a/status`, {
        status: { ready: false, odd: 1 },
        spec: { size: 7 },
        metadata: { labels: { a: 'c' }, finalizers: ['a.b/c'] },
      }),
      patch('strategic', `${widgets}/a`, {}),
      put(`${widgets}/a`, widget('a', {})),
      put(`${widgets}/a`, (seen: Seen) => ({
        ...widget('a', { size: 6 }),
        metadata: { name: 'a', resourceVersion: at(11, seen).metadata.resourceVersion },
      })),
      patch('merge', `${widgets}/a`, { spec: { color: null, size: null } }),
      get(`${widgets}/a/scale`),
      patch('merge', `${widgets}/a/scale`, { spec: { replicas: 4 } }),
      get(`${widgets}/a`),
      patch('apply', `${widgets}/a?fieldManager=one`, widget('a', { addresses: ['x'] })),
      patch('apply', `${widgets}/a?fieldManager=two`, widget('a', { addresses: ['y'] })),
      patch('apply', `${widgets}/c?fieldManager=one`, widget('c', { color: 'blue' })),
      get(`${widgets}?fieldSelector=spec.color%3Dblue`),
      get(`${widgets}?fieldSelector=spec.size%3D3`),
      get(`${widgets}?limit=1`),
      watch((seen) => `${widgets}?watch=true&resourceVersion=${at(1, seen).metadata.resourceVersion}`, 3),
      get(`${widgets}/a`, 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1'),
      del(`${widgets}/a`),
      patch('merge', `${widgets}/a`, { metadata: { annotations: { a: 'b' } } }),
      del(widgets),
    ],
  },
  {
    name: 'CustomResourceDefinitions that are refused',
    steps: [
      post(definitions, { ...widgetDefinition, metadata: { name: 'gadgets.parity.example.com' } }),
      post(definitions, { ...widgetDefinition, metadata: { name: 'widgets.parity.example.com' } }),
      post(definitions, {
        ...widgetDefinition,
        metadata: { name: 'things.parity.example.com' },
        spec: {
          group: 'parity.example.com',
          scope: 'Global',
          names: { plural: 'things', kind: 'Thing' },
          versions: [{ name: 'v1', served: true, storage: true }],
        },
      }),
      post(definitions, {
        ...widgetDefinition,
        metadata: { name: 'things.parity.example.com' },
        spec: {
          group: 'parity.example.com',
          scope: 'Cluster',
          names: { plural: 'things', kind: 'Thing' },
          versions: [
            {
              name: 'v1',
              served: true,
              storage: false,
              schema: { openAPIV3Schema: { type: 'object', properties: { spec: {} } } },
            },
          ],
        },
      }),
      put(`${definitions}/widgets.parity.example.com`, {
        ...widgetDefinition,
        metadata: { name: 'widgets.parity.example.com' },
      }),
    ],
  },
  {
    name: 'tables and metadata only',
    steps: [
      post(configMaps, { metadata: { name: 'tab' }, data: { a: 'b' } }),
      get(`${configMaps}/tab`, 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json'),
      get(configMaps, 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io'),
      get(configMaps, 'application/yaml2'),
      del(`${configMaps}/tab`),
    ],
  },
  {
    name: 'reviews',
    steps: [
      post('/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', {
        spec: { resourceAttributes: { verb: 'get', resource: 'pods' } },
      }),
      get('/apis/authorization.k8s.io/v1/selfsubjectaccessreviews'),
      get('/apis/authorization.k8s.io/v1/selfsubjectaccessreviews/x'),
    ],
  },
];
