/** What is written to a Node: the reference's syncNode cases, as decisions. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isProviderError } from '../../../src/core/errors.ts';
import { initialise, repairLabels, resync } from '../../../src/core/node/initialise.ts';
import { additionalLabels, copiedFromBeta, staleLabels } from '../../../src/core/node/labels.ts';
import { isOfCloud, schemeOf } from '../../../src/core/node/provider-id.ts';
import type { NodeWrite } from '../../../src/core/node/write.ts';
import type { Taint } from '../../../src/core/objects.ts';
import type { Instance } from '../../../src/core/provider.ts';
import { addressesIn, cloudAddresses, instanceOf, type NodeParts, nodeOf, textOf, uninitialized } from './fixture.ts';

const foreign: Taint = { key: 'ImproveCoverageTaint', value: 'true', effect: 'NoSchedule' };
const IP = 'alpha.kubernetes.io/provided-node-ip';
const zoned = {
  'failure-domain.beta.kubernetes.io/region': 'us-west',
  'failure-domain.beta.kubernetes.io/zone': 'us-west-1a',
  'topology.kubernetes.io/region': 'us-west',
  'topology.kubernetes.io/zone': 'us-west-1a',
};
const typed = { 'beta.kubernetes.io/instance-type': 't1.micro', 'node.kubernetes.io/instance-type': 't1.micro' };

/** What a list of writes sets, in their order. */
interface Outcome {
  readonly id?: string;
  readonly labels?: object;
  readonly addresses?: string;
  /** The taint is removed; it is always the last write. */
  readonly initialised?: true;
}
function outcomeOf(writes: readonly NodeWrite[]): Outcome {
  const steps = writes.map((write): Outcome => {
    if (write.as === 'json') return { initialised: true };
    assert.ok(write.as === 'merge');
    const { metadata, spec, status } = write.body as {
      metadata: { uid: string; labels?: object; resourceVersion?: string };
      spec?: { providerID: string };
      status?: { addresses: Parameters<typeof textOf>[0] };
    };
    assert.deepEqual([metadata.uid, metadata.resourceVersion], ['uid-node0', undefined]);
    return {
      ...(spec === undefined ? {} : { id: spec.providerID }),
      ...(metadata.labels === undefined ? {} : { labels: metadata.labels }),
      ...(status === undefined ? {} : { addresses: textOf(status.addresses) }),
    };
  });
  assert.deepEqual(
    Object.keys(Object.assign({}, ...steps)),
    ['id', 'labels', 'addresses', 'initialised'].filter((key) => key in Object.assign({}, ...steps)),
    'in this order',
  );
  return Object.assign({}, ...steps) as Outcome;
}

const ALL = textOf(cloudAddresses);
const fresh = (parts: NodeParts = {}): NodeParts => ({ taints: [uninitialized], ...parts });

const cases: readonly { name: string; node: NodeParts; instance?: Partial<Instance>; want: Outcome }[] = [
  {
    name: 'with hostname',
    node: fresh({ addresses: addressesIn('H nodeoverriden') }),
    want: { id: 'fake://12345', addresses: ALL, initialised: true },
  },
  {
    name: "with kubelet's hostname, which the cloud does not have",
    node: fresh({ addresses: addressesIn('H nodeoverriden') }),
    instance: { addresses: addressesIn('I 10.0.0.1, E 132.143.154.163') },
    want: { id: 'fake://12345', addresses: 'I 10.0.0.1, E 132.143.154.163, H nodeoverriden', initialised: true },
  },
  {
    name: 'a providerID that is there is kept',
    node: fresh({ providerID: 'fake://777' }),
    want: { addresses: ALL, initialised: true },
  },
  {
    name: 'an empty providerID is set',
    node: fresh({ providerID: '' }),
    want: { id: 'fake://12345', addresses: ALL, initialised: true },
  },
  {
    name: 'zone and region: two labels and their two aliases',
    node: fresh({ labels: {} }),
    instance: { zone: 'us-west-1a', region: 'us-west' },
    want: { id: 'fake://12345', labels: zoned, addresses: ALL, initialised: true },
  },
  {
    name: 'the type: a label and its alias',
    node: fresh(),
    instance: { type: 't1.micro' },
    want: { id: 'fake://12345', labels: typed, addresses: ALL, initialised: true },
  },
  {
    name: 'labels that are right are not written again',
    node: fresh({ labels: { ...zoned, mine: 'x' }, providerID: 'fake://12345' }),
    instance: { zone: 'us-west-1a', region: 'us-west' },
    want: { addresses: ALL, initialised: true },
  },
  {
    name: 'a wrong zone is corrected',
    node: fresh({ labels: { ...zoned, 'topology.kubernetes.io/zone': 'us-west-1b' } }),
    instance: { zone: 'us-west-1a', region: 'us-west' },
    want: {
      id: 'fake://12345',
      labels: { 'topology.kubernetes.io/zone': 'us-west-1a' },
      addresses: ALL,
      initialised: true,
    },
  },
  {
    name: 'a foreign taint survives',
    node: { taints: [foreign, uninitialized] },
    want: { id: 'fake://12345', addresses: ALL, initialised: true },
  },
  {
    name: 'addresses that are right are not written again',
    node: fresh({ addresses: cloudAddresses }),
    want: { id: 'fake://12345', initialised: true },
  },
  {
    name: 'everything is there: only the taint goes',
    node: fresh({ addresses: cloudAddresses, providerID: 'fake://12345' }),
    want: { initialised: true },
  },
  {
    name: 'a cloud without addresses leaves those of kubelet',
    node: fresh({ addresses: addressesIn('I 10.0.0.9') }),
    instance: { addresses: [] },
    want: { id: 'fake://12345', initialised: true },
  },
  {
    name: 'a provided node IP',
    node: fresh({ annotations: { [IP]: '10.0.0.1' } }),
    instance: { addresses: addressesIn('I 10.0.0.1, E 132.143.154.163') },
    want: { id: 'fake://12345', addresses: 'I 10.0.0.1, E 132.143.154.163', initialised: true },
  },
  {
    name: 'a provided external node IP stands first',
    node: fresh({ annotations: { [IP]: '132.143.154.163' } }),
    want: { id: 'fake://12345', addresses: 'E 132.143.154.163, H node0.cloud.internal, I 10.0.0.1', initialised: true },
  },
  {
    name: 'two provided node IPs (KEP-3705)',
    node: fresh({ annotations: { [IP]: 'fd00::1,10.0.0.1' } }),
    instance: { addresses: addressesIn('I 10.0.0.1, I 10.0.0.2, I fd00::1, H a') },
    want: { id: 'fake://12345', addresses: 'I fd00::1, I 10.0.0.1, H a', initialised: true },
  },
  {
    name: 'additional labels',
    node: fresh(),
    instance: { labels: { 'topology.k8s.cp/zone-id': 'az1', 'k8s.io/region': 'no' } },
    want: { id: 'fake://12345', labels: { 'topology.k8s.cp/zone-id': 'az1' }, addresses: ALL, initialised: true },
  },
  { name: 'a node without the taint keeps it so', node: {}, want: { id: 'fake://12345', addresses: ALL } },
];
for (const { name, node, instance, want } of cases) {
  test(`node initialised: ${name}`, () => {
    const writes = initialise(nodeOf(node), instanceOf(instance));
    assert.deepEqual(outcomeOf(writes), want);
  });
}

const refused: readonly { name: string; node: NodeParts; instance?: Partial<Instance>; code: string; says: RegExp }[] =
  [
    {
      name: 'no providerID anywhere',
      node: fresh(),
      instance: { providerId: '' },
      code: 'FL_NODE_INSTANCE_MISSING',
      says: /neither/,
    },
    {
      name: 'an invalid node IP',
      node: fresh({ annotations: { [IP]: 'invalid-ip' } }),
      code: 'FL_NODE_IP_INVALID',
      says: /"invalid-ip"/,
    },
    {
      name: 'a node IP that the cloud does not have',
      node: fresh({ annotations: { [IP]: '10.0.0.7' } }),
      code: 'FL_NODE_IP_INVALID',
      says: /10\.0\.0\.7/,
    },
    {
      name: 'one of two node IPs that the cloud does not have',
      node: fresh({ annotations: { [IP]: '10.0.0.1,fd00::1' } }),
      code: 'FL_NODE_IP_INVALID',
      says: /fd00::1 is not among/,
    },
  ];
for (const { name, node, instance, code, says } of refused) {
  test(`node not initialised, nothing is written: ${name}`, () => {
    assert.throws(
      () => initialise(nodeOf(node), instanceOf(instance)),
      (error) => {
        assert.ok(isProviderError(error));
        assert.equal(error.code, code);
        assert.match(error.message, says);
        return true;
      },
    );
  });
}

test('node initialised: a crash after any write leaves the taint, and what is left leads to the same end', () => {
  const instance = instanceOf({
    zone: 'us-west-1a',
    region: 'us-west',
    type: 't1.micro',
    labels: { 'my.org/rack': '7' },
  });
  let node = nodeOf(fresh({ labels: { mine: 'x' } }));
  const ends: unknown[] = [];
  for (let crashed = 0; crashed < 3; crashed += 1) {
    const writes = initialise(node, instance);
    assert.equal(writes.at(-1)?.kind, 'RemoveNodeTaint');
    ends.push(writes.length);
    // One write takes effect, then the process is gone.
    const [write] = writes;
    if (write?.as !== 'merge') break;
    const { metadata, spec, status } = write.body as { metadata: { labels?: object }; spec?: object; status?: object };
    node = {
      ...node,
      metadata: { ...node.metadata, labels: { ...node.metadata.labels, ...metadata.labels } },
      spec: { ...node.spec, ...spec },
      status: { ...node.status, ...status },
    };
  }
  assert.deepEqual(ends, [3, 2, 1]);
});

const resyncs: readonly { name: string; node: NodeParts; instance?: Partial<Instance>; want: Outcome }[] = [
  { name: 'nothing differs', node: { addresses: cloudAddresses }, want: {} },
  {
    name: 'another ExternalIP',
    node: { addresses: addressesIn('H node0.cloud.internal, I 10.0.0.1, E 132.143.154.164') },
    want: { addresses: ALL },
  },
  { name: 'the order of addresses', node: { addresses: [...cloudAddresses].reverse() }, want: {} },
  {
    name: 'an empty answer is ignored',
    node: { addresses: addressesIn('I 10.0.0.9') },
    instance: { addresses: [] },
    want: {},
  },
  {
    name: "kubelet's hostname is kept",
    node: { addresses: addressesIn('I 10.0.0.9, H k') },
    instance: { addresses: addressesIn('I 10.0.0.1') },
    want: { addresses: 'I 10.0.0.1, H k' },
  },
  {
    name: 'the instance moved to another zone and type',
    node: { labels: { ...zoned, ...typed }, addresses: cloudAddresses },
    instance: { zone: 'us-west-1b', region: 'us-west', type: 't2.large' },
    want: {
      labels: {
        'beta.kubernetes.io/instance-type': 't2.large',
        'failure-domain.beta.kubernetes.io/zone': 'us-west-1b',
        'node.kubernetes.io/instance-type': 't2.large',
        'topology.kubernetes.io/zone': 'us-west-1b',
      },
    },
  },
  {
    name: 'additional labels belong to the first time only',
    node: { addresses: cloudAddresses },
    instance: { labels: { 'my.org/rack': '7' } },
    want: {},
  },
  { name: 'a providerID is not set any more', node: { addresses: cloudAddresses, providerID: '' }, want: {} },
];
for (const { name, node, instance, want } of resyncs) {
  test(`node resync: ${name}`, () => {
    const { writes, problem } = resync(nodeOf(node), instanceOf(instance));
    assert.deepEqual([outcomeOf(writes), problem], [want, undefined]);
  });
}

test('node resync: a node IP that the cloud lost leaves the addresses, and the labels are set all the same', () => {
  const node = nodeOf({ annotations: { [IP]: '10.0.0.7' }, addresses: addressesIn('I 10.0.0.7') });
  const { writes, problem } = resync(node, instanceOf({ zone: 'us-west-1a', region: 'us-west' }));
  assert.deepEqual(outcomeOf(writes), { labels: zoned });
  assert.equal(problem?.code, 'FL_NODE_IP_INVALID');
});

const additional: readonly { key: string; kept: boolean }[] = [
  { key: 'topology.k8s.cp/zone-id', kept: true },
  { key: 'my.custom.label/bar', kept: true },
  { key: 'app.k8snio/bar', kept: true },
  { key: 'k8snio/bar', kept: true },
  { key: 'topology.k8s.aws/zone-id', kept: true },
  { key: 'topology.kubernetes.io/region', kept: false },
  { key: 'topology.k8s.io/region', kept: false },
  { key: 'kubernetes.io/region', kept: false },
  { key: 'k8s.io/region', kept: false },
];
for (const { key, kept } of additional) {
  test(`additional label ${key} is ${kept ? 'kept' : 'dropped'}`, () => {
    const labels = additionalLabels(nodeOf(), instanceOf({ labels: { [key]: 'v' } }));
    assert.deepEqual(labels, kept ? { [key]: 'v' } : {});
  });
}

test("additional labels: the node's own value wins", () => {
  const node = nodeOf({ labels: { 'my.custom.label/foo': 'fizz' } });
  const labels = { 'my.custom.label/foo': 'bar', 'my.custom.label/bar': 'foo' };
  assert.deepEqual(additionalLabels(node, instanceOf({ labels })), { 'my.custom.label/bar': 'foo' });
});

const beta = {
  'failure-domain.beta.kubernetes.io/zone': 'foo',
  'failure-domain.beta.kubernetes.io/region': 'bar',
  'beta.kubernetes.io/instance-type': 't',
};
const copies = {
  'node.kubernetes.io/instance-type': 't',
  'topology.kubernetes.io/region': 'bar',
  'topology.kubernetes.io/zone': 'foo',
};
const copied: readonly { name: string; labels: Record<string, string> | undefined; want: object }[] = [
  { name: 'beta labels alone', labels: beta, want: copies },
  { name: 'both agree', labels: { ...beta, ...copies }, want: {} },
  {
    name: 'both differ: beta wins',
    labels: { ...beta, ...copies, 'topology.kubernetes.io/zone': 'wrongfoo' },
    want: { 'topology.kubernetes.io/zone': 'foo' },
  },
  { name: 'no beta labels', labels: copies, want: {} },
  { name: 'no labels', labels: undefined, want: {} },
];
for (const { name, labels, want } of copied) {
  test(`beta labels: ${name}`, () => {
    const node = nodeOf(labels === undefined ? {} : { labels });
    assert.deepEqual(copiedFromBeta(node), want);
    assert.deepEqual(outcomeOf(repairLabels(node)), Object.keys(want).length === 0 ? {} : { labels: want });
  });
}

test('labels: what the instance leaves empty is left alone', () => {
  assert.deepEqual(staleLabels(nodeOf({ labels: { ...zoned } }), instanceOf()), {});
});

const ids: readonly { id: string | undefined; scheme: string | undefined; isAws: boolean }[] = [
  { id: undefined, scheme: undefined, isAws: true },
  { id: '', scheme: undefined, isAws: true },
  { id: 'aws:///eu-west-1a/i-1', scheme: 'aws', isAws: true },
  { id: 'aws:////i-1', scheme: 'aws', isAws: true },
  { id: 'i-0123', scheme: undefined, isAws: true },
  { id: 'gce://project/zone/name', scheme: 'gce', isAws: false },
  { id: 'eks-hybrid:///eu-west-1/cluster/mi-1', scheme: 'eks-hybrid', isAws: false },
  { id: 'kind://docker/kind/kind-control-plane', scheme: 'kind', isAws: false },
  { id: 'awsome:///a', scheme: 'awsome', isAws: false },
];
for (const { id, scheme, isAws } of ids) {
  test(`providerID ${id}: ${isAws ? 'may be' : 'is not'} one of aws`, () => {
    assert.equal(schemeOf(id ?? ''), scheme);
    assert.equal(isOfCloud(nodeOf(id === undefined ? {} : { providerID: id }), 'aws'), isAws);
  });
}
