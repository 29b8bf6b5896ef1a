import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Node } from '../../../src/core/objects.ts';
import {
  AUTOSCALER_TAINT,
  EXCLUDE_LABEL,
  exclusionOf,
  isMember,
  leavingCause,
  type NodePass,
  nodePass,
  readyOf,
  SHUTDOWN_TAINT,
  shouldSyncUpdatedNode,
  taintsOf,
  zoneOf,
} from '../../../src/core/service/nodes.ts';
import { node } from './fixture.ts';

const taint = (key: string, value?: string) =>
  ({ key, effect: 'NoSchedule', ...(value === undefined ? {} : { value }) }) as const;
const deletionTimestamp = '2026-03-02T00:00:00Z';

// Membership (KEP-3458).
for (const value of ['0', 'f', 'F', 'false', 'False', 'FALSE']) {
  test(`membership: exclude label ${value} keeps the node in`, () => {
    assert.equal(isMember(node('n1', { labels: { [EXCLUDE_LABEL]: value } })), true);
  });
}
for (const value of ['', '1', 't', 'T', 'true', 'True', 'TRUE', 'yes', 'no', 'fALSE', ' false']) {
  test(`membership: exclude label ${JSON.stringify(value)} keeps the node out`, () => {
    const excluded = node('n1', { labels: { [EXCLUDE_LABEL]: value } });
    assert.equal(isMember(excluded), false);
    assert.equal(exclusionOf(excluded), `label ${EXCLUDE_LABEL}=${value}`);
  });
}
const memberships: readonly {
  readonly name: string;
  readonly of: Node;
  readonly why: string | undefined;
  readonly leaves?: string;
}[] = [
  { name: 'a plain node', of: node('n1'), why: undefined },
  { name: 'a node being deleted', of: node('n1', { deletionTimestamp }), why: 'it is being deleted' },
  {
    name: 'the autoscaler taint',
    of: node('n1', { taints: [taint(AUTOSCALER_TAINT, '1767139200')] }),
    why: `taint ${AUTOSCALER_TAINT}`,
  },
  {
    name: 'the autoscaler taint beside others',
    of: node('n1', { taints: [taint('a'), taint(AUTOSCALER_TAINT), taint('z')] }),
    why: `taint ${AUTOSCALER_TAINT}`,
  },
  {
    name: 'the autoscaler’s soft taint',
    of: node('n1', { taints: [taint('DeletionCandidateOfClusterAutoscaler')] }),
    why: undefined,
  },
  {
    name: 'the shutdown taint counts only for draining',
    of: node('n1', { taints: [taint(SHUTDOWN_TAINT)] }),
    why: undefined,
    leaves: `taint ${SHUTDOWN_TAINT}`,
  },
  {
    name: 'the uninitialized taint',
    of: node('n1', { taints: [taint('node.cloudprovider.kubernetes.io/uninitialized', 'true')] }),
    why: undefined,
  },
  { name: 'a cordon', of: node('n1', { taints: [taint('node.kubernetes.io/unschedulable')] }), why: undefined },
  {
    name: 'not ready',
    of: node('n1', { ready: 'False', taints: [taint('node.kubernetes.io/not-ready')] }),
    why: undefined,
  },
  {
    name: 'readiness unknown',
    of: node('n1', { ready: 'Unknown', taints: [taint('node.kubernetes.io/unreachable')] }),
    why: undefined,
  },
  { name: 'no readiness at all', of: node('n1', { ready: '' }), why: undefined },
  { name: 'no providerID', of: node('n1', { providerID: '' }), why: undefined },
  {
    name: 'a control plane taint',
    of: node('n1', { taints: [taint('node-role.kubernetes.io/control-plane')] }),
    why: undefined,
  },
  {
    name: 'the label of another name',
    of: node('n1', { labels: { 'alpha.service-controller.kubernetes.io/exclude-balancer': 'true' } }),
    why: undefined,
  },
];
for (const { name, of, why, leaves = why } of memberships) {
  test(`membership: ${name}`, () => {
    assert.equal(isMember(of), why === undefined);
    assert.equal(exclusionOf(of), why);
    assert.equal(leavingCause(of), leaves);
  });
}

// shouldSyncUpdatedNode: 4 label transitions x 2 providerIDs x 6 things that do not matter = the 48 rows.
type Options = NonNullable<Parameters<typeof node>[1]>;
const noise: readonly { readonly name: string; readonly old: Options; readonly now: Options }[] = [
  { name: 'nothing else', old: {}, now: {} },
  { name: 'a taint added', old: {}, now: { taints: [taint('foo', 'bar')] } },
  { name: 'ready to not ready', old: { ready: 'True' }, now: { ready: 'False' } },
  { name: 'not ready to ready', old: { ready: 'False' }, now: { ready: 'True' } },
  { name: 'readiness unset to unknown', old: { ready: '' }, now: { ready: 'Unknown' } },
  { name: 'another label', old: {}, now: { labels: { foo: 'bar' } } },
];
for (const [from, to] of [
  [false, false],
  [false, true],
  [true, false],
  [true, true],
] as const) {
  for (const providerID of ['test://n1', 'test://other']) {
    for (const { name, old, now } of noise) {
      const expected = from !== to || providerID !== 'test://n1';
      test(`node update: excluded ${from} to ${to}, providerID ${providerID}, ${name}: ${expected}`, () => {
        const before = node('n1', { ...old, labels: excluded(from, old.labels) });
        const after = node('n1', { ...now, providerID, labels: excluded(to, now.labels) });
        assert.equal(shouldSyncUpdatedNode(before, after), expected);
      });
    }
  }
}
function excluded(is: boolean, labels: Record<string, string> = {}): Record<string, string> {
  return is ? { ...labels, [EXCLUDE_LABEL]: '' } : labels;
}

const triggers: readonly {
  readonly name: string;
  readonly old?: Options;
  readonly now?: Options;
  readonly filtered?: true;
  readonly expected: boolean;
}[] = [
  { name: 'autoscaler taint added', now: { taints: [taint(AUTOSCALER_TAINT)] }, expected: true },
  { name: 'autoscaler taint removed', old: { taints: [taint(AUTOSCALER_TAINT)] }, expected: true },
  { name: 'shutdown taint added', now: { taints: [taint(SHUTDOWN_TAINT)] }, expected: true },
  { name: 'shutdown taint removed', old: { taints: [taint(SHUTDOWN_TAINT)] }, expected: true },
  { name: 'deletionTimestamp', now: { deletionTimestamp }, expected: true },
  {
    name: 'exclude label changed from true to garbage',
    old: { labels: { [EXCLUDE_LABEL]: 'true' } },
    now: { labels: { [EXCLUDE_LABEL]: 'x' } },
    expected: false,
  },
  { name: 'exclude label false added', now: { labels: { [EXCLUDE_LABEL]: 'false' } }, expected: false },
  { name: 'address changed', now: { addresses: [{ type: 'InternalIP', address: '10.9.9.9' }] }, expected: true },
  {
    name: 'addresses in another order',
    old: {
      addresses: [
        { type: 'InternalIP', address: '10.0.0.1' },
        { type: 'InternalIP', address: 'fd00::1' },
      ],
    },
    now: {
      addresses: [
        { type: 'InternalIP', address: 'fd00::1' },
        { type: 'InternalIP', address: '10.0.0.1' },
      ],
    },
    expected: false,
  },
  { name: 'zone changed', now: { labels: { 'topology.kubernetes.io/zone': 'b' } }, expected: true },
  { name: 'providerID set', old: { providerID: '' }, expected: true },
  { name: 'another label, with a filtering provider', now: { labels: { pool: 'a' } }, filtered: true, expected: true },
  {
    name: 'another taint, with a filtering provider',
    now: { taints: [taint('karpenter.sh/disrupted')] },
    filtered: true,
    expected: true,
  },
  { name: 'readiness, with a filtering provider', now: { ready: 'False' }, filtered: true, expected: true },
  { name: 'nothing, with a filtering provider', filtered: true, expected: false },
];
for (const { name, old, now, filtered, expected } of triggers) {
  test(`node update: ${name}: ${expected}`, () => {
    const options = filtered === undefined ? {} : { filtered };
    assert.equal(shouldSyncUpdatedNode(node('n1', old), node('n1', now), options), expected);
  });
}

// Passes over the nodes.
const drainMs = 30_000;
const ids = ({ members }: NodePass) => members.map(({ id, draining }) => `${id}${draining ? ' draining' : ''}`);
const first = (...nodes: Node[]) => nodePass(nodes, { nowMs: 0, drainMs });

test('the first pass has the members alone, sorted by providerID', () => {
  const pass = first(
    node('n3'),
    node('n1'),
    node('n2', { deletionTimestamp }),
    node('n4', { taints: [taint(SHUTDOWN_TAINT)] }),
  );
  assert.deepEqual(ids(pass), ['test://n1', 'test://n3']);
  assert.equal(pass.nextMs, undefined);
});

for (const [name, options] of [
  ['deletionTimestamp', { deletionTimestamp }],
  ['the exclude label', { labels: { [EXCLUDE_LABEL]: '' } }],
  ['the autoscaler taint', { taints: [taint(AUTOSCALER_TAINT)] }],
  ['the shutdown taint', { taints: [taint(SHUTDOWN_TAINT)] }],
] as const) {
  test(`a node that leaves by ${name} drains, then goes`, () => {
    const start = first(node('n1'), node('n2'));
    const nodes = [node('n1', { ...options, taints: [...('taints' in options ? options.taints : [])] }), node('n2')];
    const drains = nodePass(nodes, { previous: start, nowMs: 1000, drainMs });
    assert.deepEqual(ids(drains), ['test://n1 draining', 'test://n2']);
    assert.equal(drains.nextMs, 31_000);
    const still = nodePass(nodes, { previous: drains, nowMs: 30_999, drainMs });
    assert.deepEqual(ids(still), ['test://n1 draining', 'test://n2']);
    const over = nodePass(nodes, { previous: still, nowMs: 31_000, drainMs });
    assert.deepEqual(ids(over), ['test://n2']);
    const later = nodePass(nodes, { previous: over, nowMs: 40_000, drainMs });
    assert.deepEqual([ids(later), later.nextMs], [['test://n2'], undefined]);
  });
}

test('a taint that goes brings the node back at once, and a later one starts a new drain', () => {
  const tainted = node('n1', { taints: [taint(AUTOSCALER_TAINT)] });
  const drains = nodePass([tainted], { previous: first(node('n1')), nowMs: 1000, drainMs });
  const back = nodePass([node('n1')], { previous: drains, nowMs: 2000, drainMs });
  assert.deepEqual([ids(back), back.nextMs], [['test://n1'], undefined]);
  assert.equal(nodePass([tainted], { previous: back, nowMs: 60_000, drainMs }).nextMs, 90_000);
});

test('a node object that is gone is gone without draining', () => {
  const drains = nodePass([node('n1', { deletionTimestamp }), node('n2')], {
    previous: first(node('n1'), node('n2')),
    nowMs: 1,
    drainMs,
  });
  assert.deepEqual(ids(nodePass([node('n2')], { previous: drains, nowMs: 2, drainMs })), ['test://n2']);
});

test('a node that comes back under its name with another providerID is another target', () => {
  const again = nodePass([node('n1', { providerID: 'test://new' })], {
    previous: first(node('n1')),
    nowMs: 1,
    drainMs,
  });
  assert.deepEqual(ids(again), ['test://new']);
});

test('a node without providerID goes by its name', () => {
  assert.deepEqual(ids(first(node('n1', { providerID: '' }))), ['n1']);
});

test('two nodes with one providerID are one target, and the one that takes traffic counts', () => {
  const start = first(node('n1'), node('n2', { providerID: 'test://n1' }));
  assert.deepEqual(
    start.members.map((member) => member.node.metadata.name),
    ['n1'],
  );
  for (const nodes of [
    [node('n1', { deletionTimestamp }), node('n2', { providerID: 'test://n1' })],
    [node('n1'), node('n2', { providerID: 'test://n1', deletionTimestamp })],
  ]) {
    const pass = nodePass(nodes, { previous: start, nowMs: 1, drainMs });
    assert.deepEqual([ids(pass), pass.nextMs], [['test://n1'], undefined]);
  }
});

test('a drain of no time takes nodes away at once', () => {
  const pass = nodePass([node('n1', { deletionTimestamp })], { previous: first(node('n1')), nowMs: 0, drainMs: 0 });
  assert.deepEqual([ids(pass), pass.nextMs], [[], undefined]);
});

test('taints are told as kubectl tells them, sorted', () => {
  const taints = [taint('z', 'v'), { key: 'a', effect: 'NoExecute' as const }, taint('m', '')];
  assert.deepEqual(taintsOf(node('n1', { taints })), ['a:NoExecute', 'm:NoSchedule', 'z=v:NoSchedule']);
});

test('the zone is the GA label’s, else the beta one’s; an empty one is none', () => {
  const beta = { 'failure-domain.beta.kubernetes.io/zone': 'b' };
  assert.equal(zoneOf(node('n1', { labels: { ...beta, 'topology.kubernetes.io/zone': 'a' } })), 'a');
  assert.equal(zoneOf(node('n1', { labels: beta })), 'b');
  assert.equal(zoneOf(node('n1', { labels: { 'topology.kubernetes.io/zone': '' } })), undefined);
});

test('readiness is the condition’s status, or nothing', () => {
  assert.deepEqual(
    ['True', 'False', 'Unknown', ''].map((ready) => readyOf(node('n1', { ready: ready as 'True' }))),
    ['True', 'False', 'Unknown', ''],
  );
});
