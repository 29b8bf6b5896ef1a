import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ObjectMeta, ServiceIngress, ServicePort, ServiceSpec, ServiceStatus } from '../../../src/core/objects.ts';
import { type ChangeOptions, needsSync, needsUpdate } from '../../../src/core/service/changes.ts';
import { OWN_FINALIZER, STANDARD_FINALIZER, selectionOf } from '../../../src/core/service/wanted.ts';
import { service } from './fixture.ts';

const selection = selectionOf(['none', 'fairlead.dev/onprem']);
const port: ServicePort = { port: 80, protocol: 'TCP', targetPort: 20, nodePort: 30080 };
const ports = (...numbers: number[]) => ({ ports: numbers.map((number) => ({ ...port, port: number })) });
const withPort = (change: Partial<ServicePort>) => ({ ports: [{ ...port, ...change }] });
const at = (...ips: string[]): ServiceStatus => ({
  loadBalancer: { ingress: ips.map((ip): ServiceIngress => ({ ip })) },
});
const condition = (type: string, status: 'True' | 'False') => ({ type, status, reason: 'x', message: '' });

interface Side {
  readonly spec?: Partial<ServiceSpec>;
  readonly metadata?: Partial<ObjectMeta>;
  readonly status?: ServiceStatus;
}
interface Case {
  readonly name: string;
  readonly old: Side;
  readonly now: Side;
  readonly options?: ChangeOptions;
  readonly expected: boolean;
}
const make = ({ spec, metadata, status }: Side) => service(spec, metadata, status);

const annotated = (annotations: Record<string, string>) => ({ metadata: { annotations } });
const answer = 'metallb.io/ip-allocated-from-pool';
const facts = { facts: true } as const;

const golden: readonly Case[] = [
  { name: 'type to ClusterIP', old: {}, now: { spec: { type: 'ClusterIP' } }, expected: true },
  { name: 'type from ClusterIP', old: { spec: { type: 'ClusterIP' } }, now: {}, expected: true },
  {
    name: 'ports 8000,9000,10000 to 8001,9001,10001',
    old: { spec: ports(8000, 9000, 10000) },
    now: { spec: ports(8001, 9001, 10001) },
    expected: true,
  },
  {
    name: 'external IPs, count',
    old: { spec: { externalIPs: ['8.8.8.8'] } },
    now: { spec: { externalIPs: ['8.8.8.8', '8.8.4.4'] } },
    expected: true,
  },
  {
    name: 'external IPs, value',
    old: { spec: { externalIPs: ['8.8.8.8'] } },
    now: { spec: { externalIPs: ['8.8.4.4'] } },
    expected: true,
  },
  { name: 'UID', old: {}, now: { metadata: { uid: 'other' } }, expected: true },
  {
    name: 'policy to Local',
    old: { spec: { externalTrafficPolicy: 'Cluster' } },
    now: { spec: { externalTrafficPolicy: 'Local' } },
    expected: true,
  },
  {
    name: 'health check node port 0 to 30123',
    old: { spec: { healthCheckNodePort: 0 } },
    now: { spec: { healthCheckNodePort: 30123 } },
    expected: true,
  },
  {
    name: 'target port 20 to 21',
    old: { spec: withPort({}) },
    now: { spec: withPort({ targetPort: 21 }) },
    expected: true,
  },
  {
    name: 'target port 22 to dns',
    old: { spec: withPort({ targetPort: 22 }) },
    now: { spec: withPort({ targetPort: 'dns' }) },
    expected: true,
  },
  {
    name: 'appProtocol unset to http',
    old: { spec: withPort({}) },
    now: { spec: withPort({ appProtocol: 'http' }) },
    expected: true,
  },
  {
    name: 'appProtocol http to tcp',
    old: { spec: withPort({ appProtocol: 'http' }) },
    now: { spec: withPort({ appProtocol: 'tcp' }) },
    expected: true,
  },
  {
    name: 'appProtocol same',
    old: { spec: withPort({ appProtocol: 'http' }) },
    now: { spec: withPort({ appProtocol: 'http' }) },
    expected: false,
  },
  {
    name: 'families v4 to v4 and v6',
    old: { spec: { ipFamilies: ['IPv4'] } },
    now: { spec: { ipFamilies: ['IPv4', 'IPv6'] } },
    expected: true,
  },
  {
    name: 'families v4 and v6 to v4',
    old: { spec: { ipFamilies: ['IPv4', 'IPv6'] } },
    now: { spec: { ipFamilies: ['IPv4'] } },
    expected: true,
  },
  {
    name: 'families same',
    old: { spec: { ipFamilies: ['IPv4', 'IPv6'] } },
    now: { spec: { ipFamilies: ['IPv4', 'IPv6'] } },
    expected: false,
  },
];

const compared: readonly Case[] = [
  { name: 'nothing', old: {}, now: {}, expected: false },
  { name: 'source ranges', old: {}, now: { spec: { loadBalancerSourceRanges: ['10.0.0.0/8'] } }, expected: true },
  {
    name: 'source ranges, from nothing to an empty list',
    old: {},
    now: { spec: { loadBalancerSourceRanges: [] } },
    expected: false,
  },
  { name: 'ports in another order', old: { spec: ports(80, 443) }, now: { spec: ports(443, 80) }, expected: true },
  { name: 'port name', old: { spec: withPort({}) }, now: { spec: withPort({ name: 'web' }) }, expected: true },
  { name: 'port protocol', old: { spec: withPort({}) }, now: { spec: withPort({ protocol: 'UDP' }) }, expected: true },
  { name: 'node port', old: { spec: withPort({}) }, now: { spec: withPort({ nodePort: 30081 }) }, expected: true },
  {
    name: 'affinity',
    old: { spec: { sessionAffinity: 'None' } },
    now: { spec: { sessionAffinity: 'ClientIP' } },
    expected: true,
  },
  {
    name: 'affinity time',
    old: { spec: { sessionAffinityConfig: { clientIP: { timeoutSeconds: 1 } } } },
    now: { spec: { sessionAffinityConfig: { clientIP: { timeoutSeconds: 2 } } } },
    expected: true,
  },
  { name: 'loadBalancerIP', old: {}, now: { spec: { loadBalancerIP: '1.2.3.4' } }, expected: true },
  {
    name: 'loadBalancerIP to another',
    old: { spec: { loadBalancerIP: '1.2.3.4' } },
    now: { spec: { loadBalancerIP: '1.2.3.5' } },
    expected: true,
  },
  { name: 'loadBalancerIP unset to empty', old: {}, now: { spec: { loadBalancerIP: '' } }, expected: false },
  {
    name: 'external IPs in another order',
    old: { spec: { externalIPs: ['1.1.1.1', '2.2.2.2'] } },
    now: { spec: { externalIPs: ['2.2.2.2', '1.1.1.1'] } },
    expected: true,
  },
  { name: 'an annotation of anybody', old: {}, now: annotated({ 'example.com/x': '1' }), expected: true },
  {
    name: 'annotation value',
    old: annotated({ 'example.com/x': '1' }),
    now: annotated({ 'example.com/x': '2' }),
    expected: true,
  },
  { name: 'annotation gone', old: annotated({ 'example.com/x': '1' }), now: {}, expected: true },
  {
    name: 'from one of our classes to another',
    old: {},
    now: { spec: { loadBalancerClass: 'fairlead.dev/onprem' } },
    expected: true,
  },
  { name: 'to a foreign class', old: {}, now: { spec: { loadBalancerClass: 'foreign' } }, expected: true },
  { name: 'deletion', old: {}, now: { metadata: { deletionTimestamp: '2026-03-02T00:00:00Z' } }, expected: true },
  {
    name: 'deletion again',
    old: { metadata: { deletionTimestamp: '2026-03-02T00:00:00Z' } },
    now: { metadata: { deletionTimestamp: '2026-03-02T00:00:30Z' } },
    expected: false,
  },
  {
    name: 'anything of a foreign class',
    old: { spec: { loadBalancerClass: 'foreign' } },
    now: { spec: { loadBalancerClass: 'foreign', ...ports(1) }, metadata: { uid: 'x' } },
    expected: false,
  },
  {
    name: 'anything of a ClusterIP',
    old: { spec: { type: 'ClusterIP' } },
    now: { spec: { type: 'ClusterIP', ...ports(1) } },
    expected: false,
  },
];

// Not compared, as in the reference; with `facts` those that address pools select on are.
const selectedOn: readonly Omit<Case, 'expected' | 'options'>[] = [
  { name: 'selector', old: {}, now: { spec: { selector: { a: 'b' } } } },
  { name: 'labels', old: {}, now: { metadata: { labels: { a: 'b' } } } },
  { name: 'label value', old: { metadata: { labels: { a: 'b' } } }, now: { metadata: { labels: { a: 'c' } } } },
  { name: 'selector value', old: { spec: { selector: { a: 'b' } } }, now: { spec: { selector: { a: 'c' } } } },
  { name: 'ipFamilyPolicy', old: {}, now: { spec: { ipFamilyPolicy: 'PreferDualStack' } } },
  { name: 'cluster IPs', old: {}, now: { spec: { clusterIPs: ['10.96.0.8'] } } },
  { name: 'trafficDistribution', old: {}, now: { spec: { trafficDistribution: 'PreferClose' } } },
  { name: 'a foreign finalizer', old: { metadata: { finalizers: ['a/b'] } }, now: {} },
];
const ignored: readonly Case[] = [
  {
    name: 'internalTrafficPolicy',
    old: {},
    now: { spec: { internalTrafficPolicy: 'Local' } },
    options: facts,
    expected: false,
  },
  {
    name: 'allocateLoadBalancerNodePorts',
    old: {},
    now: { spec: { allocateLoadBalancerNodePorts: false } },
    options: facts,
    expected: false,
  },
  { name: 'resourceVersion', old: {}, now: { metadata: { resourceVersion: '8' } }, options: facts, expected: false },
  ...selectedOn.map((row) => ({ ...row, expected: false })),
];

const restored: readonly Case[] = [
  { name: 'status cleared', old: { status: at('1.2.3.4') }, now: {}, expected: true },
  { name: 'published address changed', old: { status: at('1.2.3.4') }, now: { status: at('1.2.3.5') }, expected: true },
  {
    name: 'published address joined by another',
    old: { status: at('1.2.3.4') },
    now: { status: at('1.2.3.4', '1.2.3.5') },
    expected: true,
  },
  { name: 'first address published (our own write)', old: {}, now: { status: at('1.2.3.4') }, expected: false },
  { name: 'our finalizer taken off', old: { metadata: { finalizers: [STANDARD_FINALIZER] } }, now: {}, expected: true },
  {
    name: 'our finalizer put on (our own write)',
    old: {},
    now: { metadata: { finalizers: [STANDARD_FINALIZER] } },
    expected: false,
  },
  {
    name: 'the finalizer of another class taken off',
    old: { metadata: { finalizers: [OWN_FINALIZER, STANDARD_FINALIZER] } },
    now: { metadata: { finalizers: [STANDARD_FINALIZER] } },
    expected: false,
  },
  { name: 'our answer taken off', old: annotated({ [answer]: 'a' }), now: {}, expected: true },
  { name: 'our answer changed', old: annotated({ [answer]: 'a' }), now: annotated({ [answer]: 'b' }), expected: true },
  { name: 'our answer written (our own write)', old: {}, now: annotated({ [answer]: 'a' }), expected: false },
  {
    name: 'an answer of GKE changed or gone',
    old: annotated({ 'cloud.google.com/neg-status': '{}' }),
    now: annotated({ 'service.kubernetes.io/backend-service': 'x' }),
    expected: false,
  },
  {
    name: 'Serving taken off',
    old: { status: { conditions: [condition('LoadBalancerServing', 'True')] } },
    now: {},
    expected: true,
  },
  {
    name: 'Provisioning taken off',
    old: { status: { conditions: [condition('LoadBalancerProvisioning', 'True')] } },
    now: {},
    expected: true,
  },
  {
    name: 'Degraded taken off (our own write)',
    old: { status: { conditions: [condition('LoadBalancerDegraded', 'True')] } },
    now: {},
    expected: false,
  },
  {
    name: 'Serving taken off beside others that stay',
    old: { status: { conditions: [condition('Ready', 'True'), condition('LoadBalancerServing', 'True')] } },
    now: { status: { conditions: [condition('Ready', 'True')] } },
    expected: true,
  },
  {
    name: 'a foreign condition taken off',
    old: { status: { conditions: [condition('Ready', 'True')] } },
    now: {},
    expected: false,
  },
  {
    name: 'conditions advanced (our own write)',
    old: { status: { conditions: [condition('LoadBalancerServing', 'False')] } },
    now: { status: { conditions: [condition('LoadBalancerServing', 'True')] } },
    expected: false,
  },
];

for (const { name, old, now, options, expected } of [
  ...golden,
  ...compared,
  ...ignored,
  ...selectedOn.map((row): Case => ({ ...row, name: `${row.name}, with facts`, options: facts, expected: true })),
  ...restored,
]) {
  test(`needs update: ${name}: ${expected}`, () => {
    assert.equal(needsUpdate(make(old), make(now), selection, options), expected);
  });
}

const clusterIP: Side = { spec: { type: 'ClusterIP' } };
const left: Side = { ...clusterIP, metadata: { finalizers: [STANDARD_FINALIZER] } };
const leaving: Side = { metadata: { finalizers: [STANDARD_FINALIZER], deletionTimestamp: '2026-03-02T00:00:00Z' } };
const syncs: readonly { name: string; old?: Side; now: Side; options?: ChangeOptions; expected: boolean }[] = [
  { name: 'a new Service of ours', now: {}, expected: true },
  { name: 'a new Service of a foreign class', now: { spec: { loadBalancerClass: 'foreign' } }, expected: false },
  { name: 'a new ClusterIP', now: clusterIP, expected: false },
  { name: 'a new ClusterIP with the standard finalizer', now: left, expected: true },
  {
    name: 'the same once more: nothing about its finalizer changed',
    old: left,
    now: { ...left, spec: { type: 'ClusterIP', ...ports(1) } },
    expected: false,
  },
  {
    name: 'its successor under the same name',
    old: left,
    now: { ...left, metadata: { ...left.metadata, uid: 'x' } },
    expected: true,
  },
  { name: 'a ClusterIP that gets the finalizer', old: clusterIP, now: left, expected: true },
  {
    name: 'a label that changes while it is deleted',
    old: leaving,
    now: { metadata: { ...leaving.metadata, labels: { a: 'b' } } },
    expected: true,
  },
  {
    name: 'a finalizer of another that goes while it is deleted',
    old: { metadata: { ...leaving.metadata, finalizers: [STANDARD_FINALIZER, 'x.dev/y'] } },
    now: leaving,
    expected: true,
  },
  {
    name: 'what is said on its conditions while it is deleted (our own write)',
    old: leaving,
    now: {
      metadata: { ...leaving.metadata, resourceVersion: '8' },
      status: { conditions: [condition('LoadBalancerProvisioning', 'True')] },
    },
    expected: false,
  },
  { name: 'a resync without a change', old: {}, now: {}, expected: false },
  { name: 'a wish changed', old: {}, now: { spec: ports(81) }, expected: true },
  {
    name: 'a Service of a foreign class being deleted',
    old: { spec: { loadBalancerClass: 'foreign' } },
    now: { ...leaving, spec: { loadBalancerClass: 'foreign' } },
    expected: false,
  },
  {
    name: 'a ClusterIP with a finalizer that is taken over',
    now: { ...clusterIP, metadata: { finalizers: ['legacy/x'] } },
    options: { legacy: ['legacy/x'] },
    expected: true,
  },
];
for (const { name, old, now, options, expected } of syncs) {
  test(`is queued: ${name}: ${expected}`, () => {
    assert.equal(needsSync(old === undefined ? undefined : make(old), make(now), selection, options), expected);
  });
}
