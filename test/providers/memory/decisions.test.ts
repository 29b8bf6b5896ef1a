/** plan, diff and progress as tables: they are pure, so a row says all. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diff, type Observed } from '../../../providers/memory/diff.ts';
import { nameOf } from '../../../providers/memory/names.ts';
import { type Desired, plan } from '../../../providers/memory/plan.ts';
import { progress } from '../../../providers/memory/progress.ts';
import type { Cidr, LoadBalancerSpec } from '../../../src/core/provider.ts';
import { specOf } from './spec.ts';

const range = '192.0.2.0/24' as Cidr;
const node = (id: string, address: string, more: object = {}): LoadBalancerSpec['targets'][number] => ({
  id,
  node: id,
  address,
  ...more,
});

test('a plan holds all that the balancer should be, sorted', () => {
  const spec = specOf('a', [], {
    addresses: ['192.0.2.9'],
    families: ['ipv4', 'ipv6'],
    affinitySeconds: 10_800,
    sources: ['10.0.0.0/8' as Cidr],
    targets: [
      node('n3', '10.0.0.3'),
      node('n1', '10.0.0.1'),
      node('n2', '10.0.0.1'),
      node('n4', '10.0.0.4', { draining: true }),
    ],
    listeners: [
      { name: 'dns', protocol: 'UDP', port: 53, targetPort: 30_053 },
      { name: 'https', protocol: 'TCP', port: 443, targetPort: 30_443 },
      { name: 'tcp', protocol: 'TCP', port: 53, targetPort: 30_054 },
    ],
  });
  assert.deepEqual(plan(spec, range), {
    name: nameOf('contract', 'uid-a'),
    tags: { cluster: 'contract', uid: 'uid-a', service: 'default/a' },
    address: '192.0.2.9',
    ports: [
      { protocol: 'TCP', port: 53, targetPort: 30_054 },
      { protocol: 'TCP', port: 443, targetPort: 30_443 },
      { protocol: 'UDP', port: 53, targetPort: 30_053 },
    ],
    settings: {
      sources: ['10.0.0.0/8'],
      targets: ['10.0.0.1', '10.0.0.3'],
      health: { protocol: 'HTTP', port: 10_256, path: '/healthz' },
    },
    shortfalls: [
      { reason: 'IPFamiliesNotSupported', message: 'this cloud has IPv4 only', field: 'spec.ipFamilies' },
      {
        reason: 'SessionAffinityNotSupported',
        message: 'this cloud spreads connections without affinity',
        field: 'spec.sessionAffinity',
      },
    ],
  });
});

const refused: readonly {
  readonly name: string;
  readonly more: Partial<LoadBalancerSpec>;
  readonly message: string;
  readonly field: string;
}[] = [
  {
    name: 'no port',
    more: { listeners: [] },
    field: 'spec.ports',
    message: 'spec.ports is empty; a load balancer needs at least one port',
  },
  {
    name: 'IPv6 alone',
    more: { families: ['ipv6'] },
    field: 'spec.ipFamilies',
    message: 'spec.ipFamilies lacks IPv4, the only family of this cloud',
  },
  {
    name: 'an address of another range',
    more: { addresses: ['198.51.100.1'] },
    field: 'spec.loadBalancerIP',
    message: 'spec.loadBalancerIP "198.51.100.1" is not an address of 192.0.2.0/24',
  },
  {
    name: 'an address that is none',
    more: { addresses: ['192.0.2.01'] },
    field: 'spec.loadBalancerIP',
    message: 'spec.loadBalancerIP "192.0.2.01" is not an address of 192.0.2.0/24',
  },
];
for (const { name, more, field, message } of refused) {
  test(`a plan refuses ${name}`, () => {
    const spec = { ...specOf('a', [80]), ...more };
    assert.throws(() => plan(spec, range), {
      name: 'ProviderError',
      kind: 'invalid',
      code: 'FL_MEMORY_SPEC',
      field,
      message,
    });
  });
}

test('names differ by cluster and UID, and fit into 32 characters', () => {
  const names = [nameOf('a', 'b'), nameOf('a', 'c'), nameOf('c', 'b')];
  assert.equal(new Set(names).size, 3);
  for (const name of names) assert.match(name, /^fl-[0-9a-f]{20}$/);
  assert.equal(nameOf('a', 'b'), names[0]);
});

const wanted: Desired = plan(specOf('a', [80, 443], { sources: ['10.0.0.0/8' as Cidr] }), range);
const { name, settings } = wanted;
const there: Extract<Observed, { address: string }> = {
  state: 'active',
  name,
  address: '192.0.2.1',
  ports: wanted.ports,
  settings,
};

interface DiffCase {
  readonly name: string;
  readonly desired: Desired | undefined;
  readonly observed: Observed;
  /** kind and reason, by stage */
  readonly expected: readonly (readonly (readonly [string, string])[])[];
}
const diffs: readonly DiffCase[] = [
  { name: 'all as it should be', desired: wanted, observed: there, expected: [[], []] },
  {
    name: 'nothing there',
    desired: wanted,
    observed: { state: 'absent' },
    expected: [
      [['createBalancer', 'Service default/a has none']],
      [
        ['openPort', 'TCP/80 is wanted'],
        ['openPort', 'TCP/443 is wanted'],
      ],
    ],
  },
  { name: 'an old one is on its way out', desired: wanted, observed: { ...there, state: 'deleting' }, expected: [] },
  {
    name: 'ports are opened before others are closed',
    desired: { ...wanted, ports: [{ protocol: 'TCP', port: 8080, targetPort: 1 }, ...wanted.ports.slice(1)] },
    observed: there,
    expected: [[['openPort', 'TCP/8080 is wanted']], [['closePort', 'TCP/80: is not wanted any more']]],
  },
  {
    name: 'a port with another target is opened again, not closed',
    desired: {
      ...wanted,
      ports: wanted.ports.map((port) => ({ ...port, targetPort: port.port === 80 ? 1 : port.targetPort })),
    },
    observed: there,
    expected: [[['openPort', 'TCP/80 goes to 1 now']], []],
  },
  {
    name: 'other targets are one write about targets alone',
    desired: { ...wanted, settings: { ...settings, targets: ['10.0.0.7'] } },
    observed: there,
    expected: [[['setTargets', 'targets changed']], []],
  },
  {
    name: 'source ranges, health and address have a write each',
    desired: {
      ...wanted,
      address: '192.0.2.5',
      settings: { ...settings, sources: [], health: { protocol: 'TCP', port: 80 } },
    },
    observed: there,
    expected: [
      [
        ['setAddress', '192.0.2.5 is asked for, not 192.0.2.1'],
        ['setSources', 'source ranges changed'],
        ['setHealth', 'the health check changed'],
      ],
      [],
    ],
  },
  {
    name: 'a removal closes ports before it deletes',
    desired: undefined,
    observed: there,
    expected: [
      [
        ['closePort', 'TCP/80: its balancer goes'],
        ['closePort', 'TCP/443: its balancer goes'],
      ],
      [['deleteBalancer', 'no Service wants it']],
    ],
  },
  { name: 'a removal of nothing', desired: undefined, observed: { state: 'absent' }, expected: [] },
  { name: 'a removal that goes on', desired: undefined, observed: { ...there, state: 'deleting' }, expected: [] },
  { name: "a removal of somebody else's", desired: undefined, observed: { state: 'foreign', name }, expected: [] },
];
for (const { name: title, desired, observed, expected } of diffs) {
  test(`diff: ${title}`, () => {
    const stages = diff(desired, observed);
    assert.deepEqual(
      stages.map((stage) => stage.map(({ kind, reason }) => [kind, reason])),
      expected,
    );
    for (const { target } of stages.flat()) assert.equal(target, name);
  });
}

test("diff: a name that somebody else's balancer has is a conflict that says so", () => {
  assert.throws(() => diff(wanted, { state: 'foreign', name }), {
    code: 'FL_MEMORY_FOREIGN',
    kind: 'conflict',
    message: `balancer ${name} exists and is not tagged as ours`,
  });
});

const ports = [
  { port: 80, protocol: 'TCP' },
  { port: 443, protocol: 'TCP' },
] as const;
const shortfall = { reason: 'IPFamiliesNotSupported', message: 'x' };
const pending = (reason: string) => ({ state: 'pending', reason, retryAfterMs: 1000 });
const progresses: readonly {
  readonly name: string;
  readonly desired: Desired | undefined;
  readonly observed: Observed;
  readonly expected: unknown;
}[] = [
  {
    name: 'active serves at its address',
    desired: wanted,
    observed: there,
    expected: { state: 'ready', ingress: [{ ip: '192.0.2.1', ipMode: 'VIP', ports }] },
  },
  {
    name: 'what the cloud lacks is told',
    desired: { ...wanted, shortfalls: [shortfall] },
    observed: there,
    expected: { state: 'ready', ingress: [{ ip: '192.0.2.1', ipMode: 'VIP', ports }], shortfalls: [shortfall] },
  },
  {
    name: 'creating is no serving',
    desired: wanted,
    observed: { ...there, state: 'creating' },
    expected: pending(`balancer ${name} is creating`),
  },
  {
    name: 'nothing there',
    desired: wanted,
    observed: { state: 'absent' },
    expected: pending('the balancer is not there'),
  },
  {
    name: 'gone is done',
    desired: undefined,
    observed: { state: 'absent' },
    expected: { state: 'ready', ingress: [] },
  },
  {
    name: "somebody else's is nothing of ours",
    desired: undefined,
    observed: { state: 'foreign', name },
    expected: { state: 'ready', ingress: [] },
  },
  {
    name: 'an empty diff is not the end of a removal',
    desired: undefined,
    observed: { ...there, state: 'deleting' },
    expected: pending(`balancer ${name} is deleting`),
  },
];
for (const { name: title, desired, observed, expected } of progresses) {
  test(`progress: ${title}`, () => assert.deepEqual(progress(desired, observed), expected));
}
