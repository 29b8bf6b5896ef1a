import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import type {
  BFDProfile,
  BGPAdvertisement,
  BGPPeer,
  Community,
  Configuration,
  L2Advertisement,
  Secret,
} from '../../../src/core/ipam/metallb.ts';
import { type IPAddressPool, poolsOf } from '../../../src/core/ipam/pools.ts';
import type { Problem } from '../../../src/core/ipam/problem.ts';
import { type ValidateOptions, validate } from '../../../src/core/ipam/validate.ts';
import type { KubeObject, ObjectMeta } from '../../../src/core/objects.ts';

interface Case {
  readonly name: string;
  readonly resources: Configuration;
  readonly how?: Partial<ValidateOptions>;
  /** 'IPAddressPool a: spec.addresses[0]', with '~' before it when transient and '?' when a warning. The words: golden. */
  readonly says: readonly string[];
}
type Spec<T extends { readonly spec?: unknown }> = NonNullable<T['spec']>;

const meta = (name: string, more: Partial<ObjectMeta> = {}): ObjectMeta => ({
  name,
  namespace: 'metallb-system',
  uid: `uid-${name}`,
  resourceVersion: '1',
  creationTimestamp: '2026-11-20T12:00:00Z',
  ...more,
});
const pool = (
  name: string,
  addresses: readonly string[],
  more: Partial<IPAddressPool['spec']> = {},
): IPAddressPool => ({
  metadata: meta(name),
  spec: { addresses, ...more },
});
const labelled = (object: IPAddressPool, labels: Readonly<Record<string, string>>): IPAddressPool => ({
  ...object,
  metadata: { ...object.metadata, labels },
});
const annotated = (annotations: Readonly<Record<string, string>>): Configuration => ({
  ipaddresspools: [{ ...pool('a', ['10.0.0.0/24']), metadata: meta('a', { annotations }) }],
});
const l2 = (name: string, spec: Spec<L2Advertisement>): L2Advertisement => ({ metadata: meta(name), spec });
const bgp = (name: string, spec: Spec<BGPAdvertisement>): BGPAdvertisement => ({ metadata: meta(name), spec });
const good = { myASN: 64512, peerASN: 64513, peerAddress: '10.0.0.1' };
const peer = (name: string, spec: Spec<BGPPeer>): BGPPeer => ({ metadata: meta(name), spec: { ...good, ...spec } });
/** A peer with exactly these fields. */
const bare = (spec: Spec<BGPPeer>): Configuration => ({ bgppeers: [{ metadata: meta('p'), spec }] });
const onePeer = (spec: Spec<BGPPeer>): Configuration => ({ bgppeers: [peer('p', spec)] });
const bfd = (name: string, spec: Spec<BFDProfile>): BFDProfile => ({ metadata: meta(name), spec });
const oneBfd = (spec: Spec<BFDProfile>): Configuration => ({ bfdprofiles: [bfd('b', spec)] });
const community = (name: string, ...communities: readonly { name?: string; value?: string }[]): Community => ({
  metadata: meta(name),
  spec: { communities },
});
const secret = (name: string, type: string, data: Readonly<Record<string, string>>): Secret => ({
  metadata: meta(name),
  type,
  data,
});
const node = (name: string, labels: Readonly<Record<string, string>> = {}): KubeObject => ({
  metadata: { ...meta(name), labels },
});
const select = (...matchLabels: readonly Readonly<Record<string, string>>[]) =>
  matchLabels.map((labels) => ({ matchLabels: labels }));
const hosts = [node('n1', { host: 'n1' }), node('n2', { host: 'n2' })];
const [n1, n2] = [select({ host: 'n1' }), select({ host: 'n2' })];

const v4 = pool('v4', ['10.20.0.0/16']);
const v6 = pool('v6', ['2001:db8::/64']);
const dual = pool('dual', ['10.20.0.0/16', '2001:db8::/64']);
const advertised = (...specs: readonly Spec<BGPAdvertisement>[]) =>
  specs.map((spec, index) => bgp(`adv${index}`, spec));
const oneAdv = (spec: Spec<BGPAdvertisement>): Configuration => ({
  ipaddresspools: [v4],
  bgpadvertisements: [bgp('adv', spec)],
});
const expression = (key: string, operator: string, values?: readonly string[]) =>
  ({ matchExpressions: [{ key, operator, ...(values === undefined ? {} : { values }) }] }) as never;

const everything: Configuration = {
  ipaddresspools: [
    labelled(pool('one', ['10.20.0.0/16', '10.50.0.0/24'], { avoidBuggyIPs: true, autoAssign: false }), {
      tier: 'gold',
    }),
    pool('two', ['30.0.0.0/8', '2001:db8:1::/64'], {
      serviceAllocation: {
        priority: 5,
        namespaces: ['web'],
        namespaceSelectors: select({ team: 'shop' }),
        serviceSelectors: [...select({ app: 'x' }), expression('tier', 'In', ['a', 'b'])],
      },
    }),
    pool('three', ['40.0.0.10 - 40.0.0.20', '2001:db8:2::1-2001:db8:2::f']),
  ],
  l2advertisements: [
    l2('all', {}),
    l2('some', {
      ipAddressPools: ['one', 'two'],
      ipAddressPoolSelectors: select({ tier: 'gold' }),
      nodeSelectors: n1,
      interfaces: ['eth0', 'eth1'],
      serviceSelectors: select({ app: 'x' }),
      preferredNodeSelectors: [{ weight: 100, preference: { matchLabels: { zone: 'a' } } }],
    }),
  ],
  bgpadvertisements: [
    bgp('plain', { ipAddressPools: ['one'], communities: ['65535:65282', 'large:1:2:3', 'no-export'], localPref: 100 }),
    bgp('wide', {
      ipAddressPools: ['two'],
      aggregationLength: 24,
      aggregationLengthV6: 64,
      peers: ['router'],
      nodeSelectors: n2,
    }),
  ],
  bgppeers: [
    peer('router', {
      sourceAddress: '10.0.0.2',
      routerID: '10.0.0.3',
      peerPort: 1179,
      holdTime: '90s',
      keepaliveTime: '30s',
      connectTime: '5s',
      localASN: 64999,
      ebgpMultiHop: true,
      passwordSecret: { name: 'router', namespace: 'metallb-system' },
      bfdProfile: 'fast',
      enableGracefulRestart: true,
      dualStackAddressFamily: true,
      nodeSelectors: n1,
    }),
    {
      metadata: meta('same-as'),
      spec: { myASN: 64512, dynamicASN: 'internal', peerAddress: '2001:db8::1', password: 'x' },
    },
  ],
  bfdprofiles: [
    bfd('fast', {
      receiveInterval: 50,
      transmitInterval: 50,
      echoInterval: 50,
      detectMultiplier: 3,
      minimumTtl: 254,
      passiveMode: true,
    }),
  ],
  communities: [
    community('names', { name: 'no-export', value: '65535:65281' }, { name: 'big', value: 'large:4294967295:0:1' }),
  ],
  secrets: [secret('router', 'kubernetes.io/basic-auth', { password: 'eA==' })],
  nodes: hosts,
  namespaces: [node('web'), node('shop', { team: 'shop' })],
};

const cases: readonly Case[] = [
  { name: 'nothing', resources: {}, says: [] },
  { name: 'a configuration that uses every feature', resources: everything, says: [] },

  // Objects of any kind.
  {
    name: 'an object in another namespace is reported and not read',
    resources: { ipaddresspools: [{ ...pool('a', ['nonsense']), metadata: meta('a', { namespace: 'default' }) }] },
    says: ['IPAddressPool a: metadata.namespace'],
  },
  {
    name: 'an object in another namespace, every kind',
    resources: {
      l2advertisements: [{ metadata: meta('a', { namespace: 'x' }), spec: {} }],
      bgpadvertisements: [{ metadata: meta('a', { namespace: 'x' }), spec: {} }],
      bgppeers: [{ metadata: meta('a', { namespace: 'x' }), spec: {} }],
      bfdprofiles: [{ metadata: meta('a', { namespace: 'x' }), spec: {} }],
      communities: [{ metadata: meta('a', { namespace: 'x' }), spec: {} }],
    },
    says: [
      'L2Advertisement a: metadata.namespace',
      'BGPAdvertisement a: metadata.namespace',
      'BGPPeer a: metadata.namespace',
      'BFDProfile a: metadata.namespace',
      'Community a: metadata.namespace',
    ],
  },
  {
    name: 'another namespace by --metallb-namespace',
    resources: { ipaddresspools: [{ ...pool('a', ['10.0.0.0/24']), metadata: meta('a', { namespace: 'lb' }) }] },
    how: { namespace: 'lb' },
    says: [],
  },
  {
    name: 'a pool without a name',
    resources: { ipaddresspools: [pool('', ['10.0.0.0/24'])] },
    says: ['IPAddressPool (no name): metadata.name'],
  },
  {
    name: 'a pool defined twice',
    resources: { ipaddresspools: [pool('a', ['10.0.0.0/24']), pool('a', ['10.0.1.0/24'])] },
    says: ['IPAddressPool a: metadata.name'],
  },
  {
    name: 'a BFD profile defined twice',
    resources: { bfdprofiles: [bfd('a', {}), bfd('a', { passiveMode: true })] },
    says: ['BFDProfile a: metadata.name'],
  },
  {
    name: 'a peer defined twice',
    resources: { bgppeers: [peer('a', {}), peer('a', {})] },
    says: ['BGPPeer a: metadata.name'],
  },
  {
    name: 'an advertisement defined twice',
    resources: { ipaddresspools: [v4], bgpadvertisements: [bgp('a', {}), bgp('a', {})] },
    says: ['BGPAdvertisement a: metadata.name'],
  },

  // Our annotations.
  {
    name: 'all of our annotations with good values',
    resources: annotated({
      'fairlead.dev/disabled': 'false',
      'fairlead.dev/order': 'least-recently-used',
      'fairlead.dev/retain': '24h',
      'fairlead.dev/quota': 'web=5,*=2',
      'fairlead.dev/conflict-probe': 'true',
      'fairlead.dev/allow-shrink': 'true',
      'example.com/other': 'is not ours',
    }),
    says: [],
  },
  ...(
    [
      ['disabled', ['yes', '', 'TRUE', '1']],
      ['order', ['highest', '', 'Random']],
      ['retain', ['1', '5 minutes', '-5m', '']],
      ['quota', ['web', 'web=', 'web=-1', 'web=1,web=2', 'Web=1', 'web=1.5']],
      ['conflict-probe', ['on']],
      ['allow-shrink', ['maybe']],
    ] as const
  ).flatMap(([key, values]) =>
    values.map((value) => ({
      name: `annotation fairlead.dev/${key} with ${JSON.stringify(value)}`,
      resources: annotated({ [`fairlead.dev/${key}`]: value }),
      says: [`IPAddressPool a: metadata.annotations["fairlead.dev/${key}"]`],
    })),
  ),
  {
    name: 'annotations under our prefix that nobody knows',
    resources: annotated({ 'fairlead.dev/ordre': 'random', 'fairlead.dev/address-count': '2' }),
    says: [
      '?IPAddressPool a: metadata.annotations["fairlead.dev/address-count"]',
      '?IPAddressPool a: metadata.annotations["fairlead.dev/ordre"]',
    ],
  },
  {
    name: 'an annotation of pools on another kind',
    resources: {
      l2advertisements: [{ metadata: meta('a', { annotations: { 'fairlead.dev/order': 'random' } }), spec: {} }],
    },
    says: ['?L2Advertisement a: metadata.annotations["fairlead.dev/order"]'],
  },

  // Addresses of pools.
  {
    name: 'a pool without spec',
    resources: { ipaddresspools: [{ metadata: meta('a') } as never] },
    says: ['IPAddressPool a: spec'],
  },
  {
    name: 'a pool without addresses',
    resources: { ipaddresspools: [pool('a', [])] },
    says: ['IPAddressPool a: spec.addresses'],
  },
  { name: 'a pool that nobody advertises', resources: { ipaddresspools: [v4] }, says: [] },
  { name: 'host bits in a CIDR are masked', resources: { ipaddresspools: [pool('a', ['10.20.30.40/24'])] }, says: [] },
  ...[
    '100.200.300.400/24',
    '10.0.0.0/33',
    '2001:db8::/129',
    '10.0.0.0/-1',
    '10.0.0.0/024',
    '10.0.0.1',
    '2001:db8::1',
    '',
    '10.0.0/24',
    '010.0.0.0/24',
    'fe80::%eth0/64',
    '10.0.0.20-10.0.0.10',
    '10.0.0.1-',
    '-10.0.0.1',
    '10.0.0.1-10.0.0.2-10.0.0.3',
    '10.0.0.1-banana',
    '10.0.0.0/24-10.0.1.0/24',
    '1.2.3.4-1000::',
    '010.0.0.1-10.0.0.9',
  ].map((text) => ({
    name: `addresses ${JSON.stringify(text)}`,
    resources: { ipaddresspools: [pool('a', [text])] },
    says: ['IPAddressPool a: spec.addresses[0]'],
  })),
  {
    name: 'every bad entry of every pool is reported',
    resources: { ipaddresspools: [pool('b', ['x', '10.0.0.0/24', 'y']), pool('a', ['z'])] },
    says: [
      'IPAddressPool a: spec.addresses[0]',
      'IPAddressPool b: spec.addresses[0]',
      'IPAddressPool b: spec.addresses[2]',
    ],
  },
  {
    name: 'IPv4-mapped addresses are used as IPv4, with a warning',
    resources: { ipaddresspools: [pool('a', ['::ffff:10.0.0.0/120', '::ffff:10.0.1.1-::ffff:10.0.1.9'])] },
    says: ['?IPAddressPool a: spec.addresses[0]', '?IPAddressPool a: spec.addresses[1]'],
  },
  {
    name: 'the same CIDR twice in one pool',
    resources: { ipaddresspools: [pool('a', ['10.0.0.0/24', '10.0.0.0/24'])] },
    says: ['IPAddressPool a: spec.addresses[1]'],
  },
  {
    name: 'the same CIDR in two pools',
    resources: { ipaddresspools: [pool('b', ['10.0.0.0/24']), pool('a', ['10.0.0.0/24'])] },
    says: ['IPAddressPool b: spec.addresses[0]'],
  },
  {
    name: 'one CIDR inside another, the smaller first',
    resources: { ipaddresspools: [pool('a', ['10.0.0.128/25']), pool('b', ['10.0.0.0/16'])] },
    says: ['IPAddressPool b: spec.addresses[0]'],
  },
  {
    name: 'a range that reaches into a CIDR',
    resources: { ipaddresspools: [pool('a', ['10.0.0.250-10.0.1.5', '10.0.1.0/24'])] },
    says: ['IPAddressPool a: spec.addresses[1]'],
  },
  {
    name: 'three entries on one address are two problems',
    resources: { ipaddresspools: [pool('a', ['10.0.0.1/32', '10.0.0.0/24', '10.0.0.0-10.0.0.9'])] },
    says: ['IPAddressPool a: spec.addresses[1]', 'IPAddressPool a: spec.addresses[2]'],
  },
  {
    name: 'an overlap with an entry far before in the order of addresses',
    resources: { ipaddresspools: [pool('a', ['10.0.0.0/8', '10.1.0.0/16']), pool('b', ['10.200.0.0/24'])] },
    says: ['IPAddressPool a: spec.addresses[1]', 'IPAddressPool b: spec.addresses[0]'],
  },
  {
    name: 'an overlap of IPv6',
    resources: { ipaddresspools: [v6, pool('z', ['2001:db8::5-2001:db8::9'])] },
    says: ['IPAddressPool z: spec.addresses[0]'],
  },
  {
    name: 'an IPv4-mapped range and the same in IPv4',
    resources: { ipaddresspools: [pool('a', ['10.0.0.0/24', '::ffff:10.0.0.5/128'])] },
    says: ['?IPAddressPool a: spec.addresses[1]', 'IPAddressPool a: spec.addresses[1]'],
  },
  {
    name: 'neighbours do not overlap',
    resources: { ipaddresspools: [pool('a', ['10.0.0.0/25', '10.0.0.128/25', '10.0.1.0-10.0.1.9'])] },
    says: [],
  },
  {
    name: 'equal numbers in two families do not overlap',
    resources: { ipaddresspools: [pool('a', ['0.0.0.0/8', '::/104'])] },
    says: [],
  },

  // Who may use a pool.
  {
    name: 'serviceAllocation with a priority alone',
    resources: { ipaddresspools: [pool('a', ['10.0.0.0/24'], { serviceAllocation: { priority: 3 } })] },
    says: [],
  },
  {
    name: 'a namespace twice',
    resources: { ipaddresspools: [pool('a', ['10.0.0.0/24'], { serviceAllocation: { namespaces: ['x', 'y', 'x'] } })] },
    says: ['IPAddressPool a: spec.serviceAllocation.namespaces[2]'],
  },
  {
    name: 'a namespace selector twice',
    resources: {
      ipaddresspools: [
        pool('a', ['10.0.0.0/24'], {
          serviceAllocation: { namespaceSelectors: select({ a: '1', b: '2' }, { b: '2', a: '1' }) },
        }),
      ],
    },
    says: ['IPAddressPool a: spec.serviceAllocation.namespaceSelectors[1]'],
  },
  {
    name: 'a service selector twice',
    resources: {
      ipaddresspools: [
        pool('a', ['10.0.0.0/24'], { serviceAllocation: { serviceSelectors: select({ a: '1' }, { a: '1' }) } }),
      ],
    },
    says: ['IPAddressPool a: spec.serviceAllocation.serviceSelectors[1]'],
  },
  {
    name: 'a namespace selector that matches no namespace: the fence stays, with a warning',
    resources: {
      ipaddresspools: [
        pool('a', ['10.0.0.0/24'], { serviceAllocation: { namespaceSelectors: select({ team: 'shop' }) } }),
      ],
      namespaces: [node('web')],
    },
    says: ['?~IPAddressPool a: spec.serviceAllocation.namespaceSelectors'],
  },
  {
    name: 'a namespace selector that matches no namespace beside a namespace by name',
    resources: {
      ipaddresspools: [
        pool('a', ['10.0.0.0/24'], {
          serviceAllocation: { namespaces: ['web'], namespaceSelectors: select({ team: 'shop' }) },
        }),
      ],
      namespaces: [node('web')],
    },
    says: [],
  },
  {
    name: 'a namespace selector where namespaces are not known',
    resources: {
      ipaddresspools: [
        pool('a', ['10.0.0.0/24'], { serviceAllocation: { namespaceSelectors: select({ team: 'shop' }) } }),
      ],
    },
    says: [],
  },

  // Label selectors, wherever they stand.
  ...(
    [
      ['an empty selector', {}, []],
      ['Exists and DoesNotExist without values', expression('zone', 'Exists'), []],
      ['a key with a prefix', expression('topology.kubernetes.io/zone', 'In', ['a', '']), []],
      ['an expression without a key', expression('', 'In', ['a']), ['.matchExpressions[0].key']],
      ['an expression with a key that is none', expression('a b', 'In', ['a']), ['.matchExpressions[0].key']],
      ['an expression with a prefix that is none', expression('Example.com/a', 'Exists'), ['.matchExpressions[0].key']],
      ['an expression without an operator', expression('a', '', ['a']), ['.matchExpressions[0].operator']],
      [
        'an expression with an operator that is none',
        expression('a', 'Surprise', ['a']),
        ['.matchExpressions[0].operator'],
      ],
      ['In without values', expression('a', 'In', []), ['.matchExpressions[0].values']],
      ['NotIn without values', expression('a', 'NotIn'), ['.matchExpressions[0].values']],
      ['Exists with values', expression('a', 'Exists', ['x']), ['.matchExpressions[0].values']],
      ['DoesNotExist with values', expression('a', 'DoesNotExist', ['x']), ['.matchExpressions[0].values']],
      ['a value twice', expression('a', 'In', ['x', 'y', 'x']), ['.matchExpressions[0].values[2]']],
      ['a value that is none', expression('a', 'In', ['-x']), ['.matchExpressions[0].values[0]']],
      ['a value that is too long', expression('a', 'In', ['x'.repeat(64)]), ['.matchExpressions[0].values[0]']],
      ['a label key that is none', { matchLabels: { 'a/b/c': 'x' } }, ['.matchLabels']],
      ['a label value that is none', { matchLabels: { a: 'x y' } }, ['.matchLabels["a"]']],
      [
        'an expression twice, its values in another order',
        {
          matchExpressions: [
            { key: 'a', operator: 'In', values: ['x', 'y'] },
            { key: 'a', operator: 'In', values: ['y', 'x'] },
          ],
        },
        ['.matchExpressions[1]'],
      ],
    ] as const
  ).map(([name, selector, fields]) => ({
    name: `selector: ${name}`,
    resources: onePeer({ nodeSelectors: [selector] }),
    says: fields.map((field) => `BGPPeer p: spec.nodeSelectors[0]${field}`),
  })),
  {
    name: 'selector: two that differ only in the order of values',
    resources: onePeer({ nodeSelectors: [expression('a', 'In', ['x', 'y']), expression('a', 'In', ['y', 'x'])] }),
    says: ['BGPPeer p: spec.nodeSelectors[1]'],
  },
  {
    name: 'selector: two that differ in the order of expressions are two, as for MetalLB',
    resources: onePeer({
      nodeSelectors: [
        {
          matchExpressions: [
            { key: 'a', operator: 'Exists' },
            { key: 'b', operator: 'Exists' },
          ],
        },
        {
          matchExpressions: [
            { key: 'b', operator: 'Exists' },
            { key: 'a', operator: 'Exists' },
          ],
        },
      ],
    }),
    says: [],
  },

  // L2Advertisement.
  { name: 'L2: all pools', resources: { ipaddresspools: [v4], l2advertisements: [l2('a', {})] }, says: [] },
  {
    name: 'L2: without a spec',
    resources: { ipaddresspools: [v4], l2advertisements: [{ metadata: meta('a') }] },
    says: [],
  },
  {
    name: 'L2: a pool twice',
    resources: { ipaddresspools: [v4], l2advertisements: [l2('a', { ipAddressPools: ['v4', 'v4'] })] },
    says: ['L2Advertisement a: spec.ipAddressPools[1]'],
  },
  {
    name: 'L2: a pool that is not there may come',
    resources: { ipaddresspools: [v4], l2advertisements: [l2('a', { ipAddressPools: ['v5'] })] },
    says: ['?~L2Advertisement a: spec.ipAddressPools[0]'],
  },
  {
    name: 'L2: a pool selector twice',
    resources: { l2advertisements: [l2('a', { ipAddressPoolSelectors: select({ a: '1' }, { a: '1' }) })] },
    says: ['L2Advertisement a: spec.ipAddressPoolSelectors[1]'],
  },
  {
    name: 'L2: a node selector twice',
    resources: { l2advertisements: [l2('a', { nodeSelectors: [...n1, ...n2, ...n1] })] },
    says: ['L2Advertisement a: spec.nodeSelectors[2]'],
  },
  {
    name: 'L2: a service selector twice',
    resources: { l2advertisements: [l2('a', { serviceSelectors: select({ a: '1' }, { a: '1' }) })] },
    says: ['L2Advertisement a: spec.serviceSelectors[1]'],
  },
  {
    name: 'L2: a selector that matches no pool',
    resources: { ipaddresspools: [v4], l2advertisements: [l2('a', { ipAddressPoolSelectors: select({ no: 'one' }) })] },
    says: [],
  },
  {
    name: 'L2: an interface twice does no harm',
    resources: { l2advertisements: [l2('a', { interfaces: ['eth0', 'eth0'] })] },
    says: ['?L2Advertisement a: spec.interfaces[1]'],
  },
  {
    name: 'L2: weights outside 1 to 100, a preference that is none',
    resources: {
      l2advertisements: [
        l2('a', {
          preferredNodeSelectors: [
            { weight: 0, preference: {} },
            { weight: 101, preference: {} },
            { weight: 1.5, preference: {} },
            { weight: 1, preference: expression('a', 'Surprise') },
            { weight: 100, preference: {} },
          ],
        }),
      ],
    },
    says: [
      'L2Advertisement a: spec.preferredNodeSelectors[0].weight',
      'L2Advertisement a: spec.preferredNodeSelectors[1].weight',
      'L2Advertisement a: spec.preferredNodeSelectors[2].weight',
      'L2Advertisement a: spec.preferredNodeSelectors[3].preference.matchExpressions[0].operator',
    ],
  },

  // BGPAdvertisement: lists.
  { name: 'BGP: defaults', resources: oneAdv({}), says: [] },
  {
    name: 'BGP: a pool twice',
    resources: oneAdv({ ipAddressPools: ['v4', 'v4'] }),
    says: ['BGPAdvertisement adv: spec.ipAddressPools[1]'],
  },
  {
    name: 'BGP: a pool that is not there',
    resources: oneAdv({ ipAddressPools: ['v5'] }),
    says: ['?~BGPAdvertisement adv: spec.ipAddressPools[0]'],
  },
  {
    name: 'BGP: a peer twice',
    resources: {
      ...oneAdv({ peers: ['p', 'q', 'p'] }),
      bgppeers: [peer('p', {}), peer('q', { peerAddress: '10.0.0.2' })],
    },
    says: ['BGPAdvertisement adv: spec.peers[2]'],
  },
  {
    name: 'BGP: a peer that is not there',
    resources: oneAdv({ peers: ['p'] }),
    says: ['?~BGPAdvertisement adv: spec.peers[0]'],
  },
  {
    name: 'BGP: the same selector twice, in each list',
    resources: oneAdv({
      ipAddressPoolSelectors: select({ a: '1' }, { a: '1' }),
      nodeSelectors: [...n1, ...n1],
      serviceSelectors: select({ a: '1' }, { a: '1' }),
    }),
    says: [
      'BGPAdvertisement adv: spec.ipAddressPoolSelectors[1]',
      'BGPAdvertisement adv: spec.nodeSelectors[1]',
      'BGPAdvertisement adv: spec.serviceSelectors[1]',
    ],
  },
  {
    name: 'BGP: a value twice in a node selector',
    resources: oneAdv({ nodeSelectors: [expression('host', 'In', ['n1', 'n1'])] }),
    says: ['BGPAdvertisement adv: spec.nodeSelectors[0].matchExpressions[0].values[1]'],
  },

  // Communities.
  ...(
    [
      ['65535:65282', true],
      ['0:0', true],
      ['large:4294967295:0:1', true],
      ['65536:1', false],
      ['1:65536', false],
      ['1:', false],
      [':1', false],
      ['-1:1', false],
      ['1:2:3', false],
      ['1:2:3:4', false],
      ['large:1:2', false],
      ['large:1:2:4294967296', false],
      ['huge:1:2:3', false],
      ['a:b', false],
    ] as const
  ).flatMap(([text, good]) => [
    {
      name: `community ${text} in an advertisement`,
      resources: oneAdv({ communities: [text] }),
      says: good ? [] : ['BGPAdvertisement adv: spec.communities[0]'],
    },
    {
      name: `community ${text} in a Community`,
      resources: { communities: [community('c', { name: 'x', value: text })] },
      says: good ? [] : ['Community c: spec.communities[0].value'],
    },
  ]),
  {
    name: 'community: a name that is not there may come',
    resources: oneAdv({ communities: ['no-export'] }),
    says: ['~BGPAdvertisement adv: spec.communities[0]'],
  },
  {
    name: 'community: digits without a colon',
    resources: oneAdv({ communities: ['1234'] }),
    says: ['~BGPAdvertisement adv: spec.communities[0]'],
  },
  {
    name: 'community: a name, also one with colons',
    resources: {
      ...oneAdv({ communities: ['no-export', 'our:own:name'] }),
      communities: [
        community('c', { name: 'no-export', value: '65535:65281' }, { name: 'our:own:name', value: '1:1' }),
      ],
    },
    says: [],
  },
  {
    name: 'community: twice in an advertisement',
    resources: oneAdv({ communities: ['1:1', '1:1'] }),
    says: ['BGPAdvertisement adv: spec.communities[1]'],
  },
  {
    name: 'community: a name twice in one object',
    resources: { communities: [community('c', { name: 'x', value: '1:1' }, { name: 'x', value: '1:2' })] },
    says: ['Community c: spec.communities[1].name'],
  },
  {
    name: 'community: a name in two objects',
    resources: {
      communities: [community('d', { name: 'x', value: '1:2' }), community('c', { name: 'x', value: '1:1' })],
    },
    says: ['Community d: spec.communities[0].name'],
  },
  {
    name: 'community: without name or value, and a name in place of a value',
    resources: { communities: [community('c', {}, { name: 'x', value: 'y' })] },
    says: [
      'Community c: spec.communities[0].name',
      'Community c: spec.communities[0].value',
      'Community c: spec.communities[1].value',
    ],
  },

  // Aggregation.
  {
    name: 'aggregation: too long',
    resources: oneAdv({ aggregationLength: 33 }),
    says: ['BGPAdvertisement adv: spec.aggregationLength'],
  },
  {
    name: 'aggregation: 0',
    resources: { bgpadvertisements: [bgp('adv', { aggregationLength: 0 })] },
    says: ['BGPAdvertisement adv: spec.aggregationLength'],
  },
  {
    name: 'aggregation of IPv6: too long',
    resources: { bgpadvertisements: [bgp('adv', { aggregationLengthV6: 129 })] },
    says: ['BGPAdvertisement adv: spec.aggregationLengthV6'],
  },
  {
    name: 'aggregation of IPv6: negative',
    resources: { ipaddresspools: [v6], bgpadvertisements: [bgp('adv', { aggregationLengthV6: -1 })] },
    says: ['BGPAdvertisement adv: spec.aggregationLengthV6'],
  },
  {
    name: 'aggregation: shorter than one of two entries (G19)',
    resources: {
      ipaddresspools: [pool('a', ['10.20.30.40/24', '1.2.3.0/28'])],
      bgpadvertisements: [bgp('adv', { aggregationLength: 26 })],
    },
    says: ['BGPAdvertisement adv: spec.aggregationLength'],
  },
  { name: 'aggregation: exactly as long as the CIDR', resources: oneAdv({ aggregationLength: 16 }), says: [] },
  {
    name: 'aggregation: one bit shorter than the CIDR',
    resources: oneAdv({ aggregationLength: 15 }),
    says: ['BGPAdvertisement adv: spec.aggregationLength'],
  },
  {
    name: 'aggregation of IPv6: shorter than the CIDR',
    resources: { ipaddresspools: [v6], bgpadvertisements: [bgp('adv', { aggregationLengthV6: 48 })] },
    says: ['BGPAdvertisement adv: spec.aggregationLengthV6'],
  },
  {
    name: 'aggregation of IPv4 says nothing about a pool of IPv6',
    resources: { ipaddresspools: [v6], bgpadvertisements: [bgp('adv', { aggregationLength: 8 })] },
    says: [],
  },
  {
    name: 'aggregation: a range with one CIDR long enough is let pass, with a warning about the rest',
    resources: {
      ipaddresspools: [pool('a', ['3.3.3.2-3.3.3.254'])],
      bgpadvertisements: [bgp('adv', { aggregationLength: 26 })],
    },
    says: ['?BGPAdvertisement adv: spec.aggregationLength'],
  },
  {
    name: 'aggregation: a range without any CIDR that is long enough',
    resources: {
      ipaddresspools: [pool('a', ['3.3.3.2-3.3.3.254'])],
      bgpadvertisements: [bgp('adv', { aggregationLength: 24 })],
    },
    says: ['BGPAdvertisement adv: spec.aggregationLength'],
  },
  {
    name: 'aggregation: a range that is whole CIDRs of that length',
    resources: {
      ipaddresspools: [pool('a', ['3.3.3.0-3.3.3.255'])],
      bgpadvertisements: [bgp('adv', { aggregationLength: 24 })],
    },
    says: [],
  },
  {
    name: 'aggregation: a range whose edges another entry of the pool fills',
    resources: {
      ipaddresspools: [pool('a', ['3.3.3.64-3.3.3.190', '3.3.3.191-3.3.3.255'])],
      bgpadvertisements: [bgp('adv', { aggregationLength: 26 })],
    },
    says: [],
  },
  {
    name: 'aggregation: only the pools that are selected count',
    resources: {
      ipaddresspools: [v4, labelled(pool('small', ['1.2.3.0/28']), { size: 'small' }), pool('tiny', ['1.2.4.0/30'])],
      bgpadvertisements: [
        bgp('name', { ipAddressPools: ['v4'], aggregationLength: 24 }),
        bgp('selector', { ipAddressPoolSelectors: select({ size: 'small' }), aggregationLength: 24 }),
      ],
    },
    says: ['BGPAdvertisement selector: spec.aggregationLength'],
  },
  {
    name: 'aggregation with serviceSelectors',
    resources: oneAdv({ aggregationLength: 24, serviceSelectors: select({ a: '1' }) }),
    says: ['BGPAdvertisement adv: spec.aggregationLength'],
  },
  {
    name: 'aggregation of IPv6 with serviceSelectors',
    resources: oneAdv({ aggregationLengthV6: 64, serviceSelectors: select({ a: '1' }) }),
    says: ['BGPAdvertisement adv: spec.aggregationLengthV6'],
  },
  {
    name: 'the lengths of single addresses with serviceSelectors',
    resources: oneAdv({
      aggregationLength: 32,
      aggregationLengthV6: 128,
      serviceSelectors: select({ a: '1' }, { b: '2' }),
    }),
    says: [],
  },

  // localPref and asPathPrepend.
  ...(['localPref', 'asPathPrepend'] as const).flatMap((field) => {
    const [low, high] = [{ [field]: 1 }, { [field]: 2 }];
    const conflict = [`BGPAdvertisement adv1: spec.${field}`];
    const both: Configuration['bgppeers'] = [peer('p', {}), peer('q', { peerAddress: '10.0.0.2' })];
    const [p, q] = [{ peers: ['p'] }, { peers: ['q'] }];
    const row = (
      name: string,
      pools: readonly IPAddressPool[],
      specs: readonly Spec<BGPAdvertisement>[],
      says: readonly string[],
      more: Configuration = {},
    ) => ({
      name: `${field}: ${name}`,
      resources: {
        ipaddresspools: pools,
        bgpadvertisements: advertised(...specs),
        nodes: hosts,
        bgppeers: both,
        ...more,
      },
      says,
    });
    return [
      row('different for the same peers and nodes', [v4], [low, high], conflict),
      row('different from the default', [v4], [{}, high], conflict),
      row('equal', [v4], [high, high], []),
      row('different prefix lengths', [v4], [{ ...low, aggregationLength: 24 }, high], []),
      row(
        'different lengths of the family that the pool has not',
        [v4],
        [{ ...low, aggregationLengthV6: 64 }, high],
        conflict,
      ),
      row('different lengths in one of two families', [dual], [{ ...low, aggregationLength: 24 }, high], conflict),
      row(
        'different lengths in both families',
        [dual],
        [{ ...low, aggregationLength: 24, aggregationLengthV6: 64 }, high],
        [],
      ),
      row('different lengths of IPv6', [v6], [{ ...low, aggregationLengthV6: 64 }, high], []),
      row(
        'different peers',
        [v4],
        [
          { ...low, ...p },
          { ...high, ...q },
        ],
        [],
      ),
      row('one peer of all', [v4], [{ ...low, ...p }, high], conflict),
      row(
        'one peer in common',
        [v4],
        [
          { ...low, peers: ['p', 'q'] },
          { ...high, ...q },
        ],
        conflict,
      ),
      row(
        'different nodes',
        [v4],
        [
          { ...low, nodeSelectors: n1 },
          { ...high, nodeSelectors: n2 },
        ],
        [],
      ),
      row('one node of all', [v4], [{ ...low, nodeSelectors: n1 }, high], conflict),
      row(
        'different nodes, nodes not known',
        [v4],
        [
          { ...low, nodeSelectors: n1 },
          { ...high, nodeSelectors: n2 },
        ],
        [],
        { nodes: undefined } as never,
      ),
      row(
        'the same node selector, nodes not known',
        [v4],
        [
          { ...low, nodeSelectors: n1 },
          { ...high, nodeSelectors: n1 },
        ],
        conflict,
        { nodes: undefined } as never,
      ),
      row('no nodes at all', [v4], [low, high], [], { nodes: [] }),
      row(
        'different pools',
        [v4, v6],
        [
          { ...low, ipAddressPools: ['v4'] },
          { ...high, ipAddressPools: ['v6'] },
        ],
        [],
      ),
      row(
        'with serviceSelectors it is looked at per Service',
        [v4],
        [{ ...low, serviceSelectors: select({ a: '1' }) }, high],
        [],
      ),
    ];
  }),
  {
    name: 'localPref and asPathPrepend out of range',
    resources: oneAdv({ localPref: -1, asPathPrepend: 11 }),
    says: ['BGPAdvertisement adv: spec.localPref', 'BGPAdvertisement adv: spec.asPathPrepend'],
  },

  // BGPPeer.
  { name: 'peer: the least', resources: onePeer({}), says: [] },
  {
    name: 'peer: nothing',
    resources: bare({}),
    says: ['BGPPeer p: spec.myASN', 'BGPPeer p: spec.peerASN', 'BGPPeer p: spec.peerAddress'],
  },
  {
    name: 'peer: without a spec',
    resources: { bgppeers: [{ metadata: meta('p') }] },
    says: ['BGPPeer p: spec.myASN', 'BGPPeer p: spec.peerASN', 'BGPPeer p: spec.peerAddress'],
  },
  { name: 'peer: myASN 0', resources: onePeer({ myASN: 0 }), says: ['BGPPeer p: spec.myASN'] },
  {
    name: 'peer: numbers of 33 bits',
    resources: onePeer({ myASN: 2 ** 32, peerASN: 2 ** 32 + 1, localASN: 2 ** 32 }),
    says: ['BGPPeer p: spec.myASN', 'BGPPeer p: spec.peerASN', 'BGPPeer p: spec.localASN'],
  },
  {
    name: 'peer: neither peerASN nor dynamicASN',
    resources: bare({ myASN: 1, peerAddress: '10.0.0.1' }),
    says: ['BGPPeer p: spec.peerASN'],
  },
  {
    name: 'peer: both peerASN and dynamicASN',
    resources: onePeer({ dynamicASN: 'external' }),
    says: ['BGPPeer p: spec.dynamicASN'],
  },
  {
    name: 'peer: dynamicASN',
    resources: bare({ myASN: 1, dynamicASN: 'external', peerAddress: '10.0.0.1' }),
    says: [],
  },
  {
    name: 'peer: dynamicASN that is none',
    resources: bare({ myASN: 1, dynamicASN: 'any', peerAddress: '10.0.0.1' }),
    says: ['BGPPeer p: spec.dynamicASN'],
  },
  { name: 'peer: localASN', resources: onePeer({ localASN: 4_294_967_295 }), says: [] },
  { name: 'peer: localASN 0', resources: onePeer({ localASN: 0 }), says: ['BGPPeer p: spec.localASN'] },
  { name: 'peer: multi-hop in another AS', resources: onePeer({ ebgpMultiHop: true }), says: [] },
  {
    name: 'peer: multi-hop in our AS',
    resources: onePeer({ peerASN: 64512, ebgpMultiHop: true }),
    says: ['BGPPeer p: spec.ebgpMultiHop'],
  },
  {
    name: 'peer: multi-hop, internal',
    resources: bare({ myASN: 1, dynamicASN: 'internal', peerAddress: '10.0.0.1', ebgpMultiHop: true }),
    says: ['BGPPeer p: spec.ebgpMultiHop'],
  },
  {
    name: 'peer: neither address nor interface',
    resources: bare({ myASN: 1, peerASN: 2 }),
    says: ['BGPPeer p: spec.peerAddress'],
  },
  {
    name: 'peer: both address and interface',
    resources: onePeer({ interface: 'eth0' }),
    says: ['BGPPeer p: spec.interface'],
  },
  { name: 'peer: interface', resources: bare({ myASN: 1, peerASN: 2, interface: 'eth0' }), says: [] },
  ...['1.2.3.400', '10.0.0.1/32', 'router', '010.0.0.1', 'fe80::1%eth0'].map((text) => ({
    name: `peer: address ${text}`,
    resources: onePeer({ peerAddress: text }),
    says: ['BGPPeer p: spec.peerAddress'],
  })),
  {
    name: 'peer: source address that is none',
    resources: onePeer({ sourceAddress: '1.2.3' }),
    says: ['BGPPeer p: spec.sourceAddress'],
  },
  {
    name: 'peer: source address of another family',
    resources: onePeer({ sourceAddress: '2001:db8::1' }),
    says: ['BGPPeer p: spec.sourceAddress'],
  },
  {
    name: 'peer: router ID that is none',
    resources: onePeer({ routerID: '10.0.0' }),
    says: ['BGPPeer p: spec.routerID'],
  },
  {
    name: 'peer: router ID of IPv6',
    resources: onePeer({ routerID: '2001:db8::1' }),
    says: ['BGPPeer p: spec.routerID'],
  },
  { name: 'peer: port above 16384', resources: onePeer({ peerPort: 16_385 }), says: ['BGPPeer p: spec.peerPort'] },
  { name: 'peer: port 0 means not set', resources: onePeer({ peerPort: 0 }), says: [] },
  ...(
    [
      [{ holdTime: '0s', keepaliveTime: '0s' }, []],
      [{ holdTime: '0s' }, []],
      [{ holdTime: '3s' }, []],
      [{ holdTime: '180s' }, []],
      [{ holdTime: '1m30s', keepaliveTime: '30s' }, []],
      [{ holdTime: '90s', keepaliveTime: '90s' }, []],
      [{ keepaliveTime: '1s' }, []],
      [{ holdTime: '1s' }, ['holdTime']],
      [{ holdTime: '2999ms' }, ['holdTime']],
      [{ holdTime: '18h13m' }, ['holdTime']],
      [{ holdTime: '65535s' }, []],
      [{ keepaliveTime: '900ms' }, ['keepaliveTime']],
      [{ holdTime: '30s', keepaliveTime: '31s' }, ['keepaliveTime']],
      [{ holdTime: '0s', keepaliveTime: '1s' }, ['keepaliveTime']],
      [{ holdTime: 'ninety' }, ['holdTime']],
      [{ holdTime: '90' }, ['holdTime']],
      [{ keepaliveTime: '-1s' }, ['keepaliveTime']],
      [{ connectTime: '1s' }, []],
      [{ connectTime: '65535s' }, []],
      [{ connectTime: '0s' }, ['connectTime']],
      [{ connectTime: '1500ms' }, ['connectTime']],
      [{ connectTime: '65536s' }, ['connectTime']],
      [{ connectTime: 'x' }, ['connectTime']],
    ] as const
  ).map(([timers, fields]) => ({
    name: `peer: timers ${JSON.stringify(timers)}`,
    resources: onePeer(timers),
    says: fields.map((field) => `BGPPeer p: spec.${field}`),
  })),
  {
    name: 'peer: zero in the old version means not set',
    resources: {
      bgppeers: [{ apiVersion: 'metallb.io/v1beta1', ...peer('p', { holdTime: '0s', keepaliveTime: '10s' }) }],
    },
    says: [],
  },
  {
    name: 'peer: password and secret',
    resources: {
      ...onePeer({ password: 'x', passwordSecret: { name: 's' } }),
      secrets: [secret('s', 'kubernetes.io/basic-auth', { password: 'eA==' })],
    },
    says: ['BGPPeer p: spec.password'],
  },
  {
    name: 'peer: secret, where secrets are not known',
    resources: onePeer({ passwordSecret: { name: 's' } }),
    says: [],
  },
  {
    name: 'peer: secret without a name',
    resources: { ...onePeer({ passwordSecret: { namespace: 'metallb-system' } }), secrets: [] },
    says: [],
  },
  {
    name: 'peer: secret that is not there may come',
    resources: { ...onePeer({ passwordSecret: { name: 's' } }), secrets: [] },
    says: ['~BGPPeer p: spec.passwordSecret.name'],
  },
  {
    name: 'peer: secret of another namespace does not count',
    resources: {
      ...onePeer({ passwordSecret: { name: 's', namespace: 'other' } }),
      secrets: [
        {
          ...secret('s', 'kubernetes.io/basic-auth', { password: 'eA==' }),
          metadata: meta('s', { namespace: 'other' }),
        },
      ],
    },
    says: ['?BGPPeer p: spec.passwordSecret.namespace', '~BGPPeer p: spec.passwordSecret.name'],
  },
  {
    name: 'peer: secret of another type',
    resources: {
      ...onePeer({ passwordSecret: { name: 's' } }),
      secrets: [secret('s', 'Opaque', { password: 'eA==' })],
    },
    says: ['BGPPeer p: spec.passwordSecret.name'],
  },
  {
    name: 'peer: secret without the key',
    resources: {
      ...onePeer({ passwordSecret: { name: 's' } }),
      secrets: [secret('s', 'kubernetes.io/basic-auth', { username: 'eA==' })],
    },
    says: ['BGPPeer p: spec.passwordSecret.name'],
  },
  {
    name: 'peer: BFD profile that is not there, or was deleted while in use, may come',
    resources: onePeer({ bfdProfile: 'fast' }),
    says: ['~BGPPeer p: spec.bfdProfile'],
  },

  // BFDProfile.
  { name: 'BFD: nothing', resources: oneBfd({}), says: [] },
  {
    name: 'BFD: the least',
    resources: oneBfd({
      receiveInterval: 10,
      transmitInterval: 10,
      echoInterval: 10,
      detectMultiplier: 2,
      minimumTtl: 1,
    }),
    says: [],
  },
  {
    name: 'BFD: the most',
    resources: oneBfd({
      receiveInterval: 60_000,
      transmitInterval: 60_000,
      echoInterval: 60_000,
      detectMultiplier: 255,
      minimumTtl: 254,
    }),
    says: [],
  },
  {
    name: 'BFD: one below the least',
    resources: oneBfd({ receiveInterval: 9, transmitInterval: 9, echoInterval: 9, detectMultiplier: 1, minimumTtl: 0 }),
    says: ['receiveInterval', 'transmitInterval', 'echoInterval', 'detectMultiplier', 'minimumTtl'].map(
      (field) => `BFDProfile b: spec.${field}`,
    ),
  },
  {
    name: 'BFD: one above the most, and a fraction',
    resources: oneBfd({
      receiveInterval: 60_001,
      transmitInterval: 60_001,
      echoInterval: 10.5,
      detectMultiplier: 256,
      minimumTtl: 255,
    }),
    says: ['receiveInterval', 'transmitInterval', 'echoInterval', 'detectMultiplier', 'minimumTtl'].map(
      (field) => `BFDProfile b: spec.${field}`,
    ),
  },
  ...(
    [
      ['IPv6', v6, {}, ['BGPAdvertisement adv: spec.peers']],
      ['both families', dual, { peers: ['p'] }, ['BGPAdvertisement adv: spec.peers']],
      ['IPv4', v4, {}, []],
      ['IPv6, by another peer', v6, { peers: ['q'] }, []],
    ] as const
  ).map(([name, addresses, spec, says]) => ({
    name: `BFD: echo and a pool of ${name}`,
    resources: {
      ipaddresspools: [addresses],
      bgpadvertisements: [bgp('adv', spec)],
      bgppeers: [peer('p', { bfdProfile: 'echo' }), peer('q', { peerAddress: '10.0.0.2' })],
      bfdprofiles: [bfd('echo', { echoMode: true })],
    },
    says,
  })),

  // What the speaker of BGP can do.
  ...(['own', 'frr', undefined] as const).map((driver) => ({
    name: `driver ${driver ?? 'not known'}: vrf, interface, echo mode and bgpextras`,
    resources: {
      bgppeers: [{ metadata: meta('p'), spec: { myASN: 1, peerASN: 2, interface: 'eth0', vrf: 'red' } }],
      bfdprofiles: [bfd('b', { echoMode: true })],
      configmaps: [
        { metadata: meta('bgpextras'), data: { extras: 'router bgp 1' } },
        { metadata: meta('other'), data: { extras: 'x' } },
      ],
    },
    how: driver === undefined ? {} : { driver },
    says:
      driver === 'own'
        ? [
            'BGPPeer p: spec.vrf',
            'BGPPeer p: spec.interface',
            'BFDProfile b: spec.echoMode',
            'ConfigMap bgpextras: data.extras',
          ]
        : [],
  })),
  {
    name: 'driver own: everything else that MetalLB wants FRR for',
    resources: everything,
    how: { driver: 'own' },
    says: [],
  },
  ...(
    [
      [
        'different router IDs',
        [{ routerID: '1.1.1.1' }, { routerID: '1.1.1.2', peerAddress: '10.0.0.2' }],
        ['routerID'],
      ],
      ['one router ID of two', [{ routerID: '1.1.1.1' }, { peerAddress: '10.0.0.2' }], ['routerID']],
      ['the same router ID', [{ routerID: '1.1.1.1' }, { routerID: '1.1.1.1', peerAddress: '10.0.0.2' }], []],
      ['different AS numbers of ours', [{}, { myASN: 3, peerAddress: '10.0.0.2' }], ['myASN']],
      ['different AS numbers of ours, different VRFs', [{ vrf: 'red' }, { myASN: 3, peerAddress: '10.0.0.2' }], []],
      ['the same address', [{}, {}], ['peerAddress']],
      [
        'the same address in other words',
        [{ peerAddress: '2001:db8::1' }, { peerAddress: '2001:DB8:0::1' }],
        ['peerAddress'],
      ],
      ['the same address, different VRFs', [{ vrf: 'red' }, { vrf: 'blue' }], []],
      ['the same address, the same VRF', [{ vrf: 'red' }, { vrf: 'red' }], ['peerAddress']],
      ['the same address on different nodes', [{ nodeSelectors: n1 }, { nodeSelectors: n2 }], []],
      ['the same address on the same node', [{ nodeSelectors: n1 }, { nodeSelectors: n1 }], ['peerAddress']],
      ['the same address, one of them on all nodes', [{ nodeSelectors: n1 }, {}], ['peerAddress']],
      [
        'the same address, met by a second selector',
        [{ nodeSelectors: n1 }, { nodeSelectors: [...n2, ...n1] }],
        ['peerAddress'],
      ],
      [
        'a router ID that differs on different nodes',
        [
          { routerID: '1.1.1.1', nodeSelectors: n1 },
          { routerID: '1.1.1.2', nodeSelectors: n2 },
        ],
        [],
      ],
    ] as const
  ).map(([name, specs, fields]) => ({
    name: `driver frr: ${name}`,
    resources: { bgppeers: specs.map((spec, index) => peer(`p${index}`, spec)), nodes: hosts },
    how: { driver: 'frr' as const },
    says: fields.map((field) => `BGPPeer p1: spec.${field}`),
  })),
  ...[undefined, []].map((nodes) => ({
    name: `driver frr: the same address on different nodes while ${nodes === undefined ? 'nodes are not known' : 'there is no node'}`,
    resources: {
      bgppeers: [peer('p0', { nodeSelectors: n1 }), peer('p1', { nodeSelectors: n2 })],
      ...(nodes === undefined ? {} : { nodes }),
    },
    how: { driver: 'frr' as const },
    says: ['BGPPeer p1: spec.peerAddress'],
  })),
  {
    name: 'driver frr: the same interface twice',
    resources: {
      bgppeers: ['p0', 'p1', 'p2'].map((name, index) => ({
        metadata: meta(name),
        spec: { myASN: 1, peerASN: 2, interface: index === 1 ? 'eth1' : 'eth0' },
      })),
    },
    how: { driver: 'frr' },
    says: ['BGPPeer p2: spec.interface'],
  },
];

const options = (how: Partial<ValidateOptions> = {}): ValidateOptions => ({ namespace: 'metallb-system', ...how });
const short = ({ severity, transient, kind, name, field }: Problem): string =>
  `${severity === 'warning' ? '?' : ''}${transient ? '~' : ''}${kind} ${name}: ${field}`;

for (const { name, resources, how, says } of cases) {
  test(`validation: ${name}`, () => {
    assert.deepEqual(validate(resources, options(how)).map(short), says);
  });
}

test('there are more cases than the 125 of MetalLB, each with a name of its own', () => {
  assert.ok(cases.length > 125, String(cases.length));
  assert.equal(new Set(cases.map(({ name }) => name)).size, cases.length);
});

test('the words of every message', () => {
  const golden = join(import.meta.dirname, 'golden', 'validate.txt');
  const text = cases
    .map(({ name, resources, how }) => ({
      name,
      messages: validate(resources, options(how)).map(({ message }) => message),
    }))
    .filter(({ messages }) => messages.length > 0)
    .map(({ name, messages }) => `${name}\n${messages.map((message) => `  ${message}\n`).join('')}`)
    .join('');
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(golden, text);
  assert.equal(text, readFileSync(golden, 'utf8'));
});

/** Few addresses, so that overlaps and mistakes are common. */
const someText = fc.oneof(
  fc
    .tuple(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 26, max: 32 }))
    .map(([host, bits]) => `10.0.0.${host}/${bits}`),
  fc.tuple(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 40 })).map(([a, b]) => `10.0.0.${a}-10.0.0.${b}`),
  fc
    .tuple(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 122, max: 128 }))
    .map(([host, bits]) => `fd00::${host}/${bits}`),
  fc.constantFrom('::ffff:10.0.0.4/126', '10.0.0.1', 'x'),
);
const somePools = fc
  .array(fc.array(someText, { minLength: 1, maxLength: 3 }), { maxLength: 5 })
  .map((all) => all.map((addresses, index) => pool(`pool${index}`, addresses)));

test('pools without an error are taken by the allocator, and no address is in two of their entries', () => {
  fc.assert(
    fc.property(somePools, (ipaddresspools) => {
      const errors = validate({ ipaddresspools }, options()).filter(({ severity }) => severity === 'error');
      assert.equal(
        errors.length === 0,
        isSound(ipaddresspools),
        JSON.stringify(ipaddresspools.map(({ spec }) => spec.addresses)),
      );
    }),
    { numRuns: 2_000 },
  );
});

test('the order in which objects come means nothing', () => {
  const shuffled = <T>(list: readonly T[] | undefined) =>
    fc.shuffledSubarray([...(list ?? [])], { minLength: list?.length ?? 0 });
  const shuffledConfiguration = (configuration: Configuration) =>
    fc.record({
      ipaddresspools: shuffled(configuration.ipaddresspools),
      l2advertisements: shuffled(configuration.l2advertisements),
      bgpadvertisements: shuffled(configuration.bgpadvertisements),
      bgppeers: shuffled(configuration.bgppeers),
      bfdprofiles: shuffled(configuration.bfdprofiles),
      communities: shuffled(configuration.communities),
    });
  for (const { resources, how } of cases.filter(({ name }) => !name.includes('defined twice'))) {
    const expected = validate(resources, options(how));
    fc.assert(
      fc.property(shuffledConfiguration(resources), (mixed) => {
        assert.deepEqual(validate({ ...resources, ...mixed }, options(how)), expected);
      }),
      { numRuns: 5 },
    );
  }
});

test('whatever stands in the fields, the answer is a list of problems', () => {
  const text = fc.oneof(fc.string(), someText, fc.constantFrom('1:1', 'large:1:1:1', '90s', 'internal', 'pool0', 'p'));
  const texts = fc.array(text, { maxLength: 3 });
  const number = fc.oneof(fc.integer({ min: -1, max: 300 }), fc.double());
  const selectors = fc.array(
    fc.record(
      {
        matchLabels: fc.dictionary(text, text, { maxKeys: 2 }),
        matchExpressions: fc.array(fc.record({ key: text, operator: text, values: texts }, { requiredKeys: [] }), {
          maxLength: 2,
        }),
      },
      { requiredKeys: [] },
    ),
    { maxLength: 2 },
  );
  const spec = fc.record(
    {
      addresses: texts,
      ipAddressPools: texts,
      ipAddressPoolSelectors: selectors,
      nodeSelectors: selectors,
      serviceSelectors: selectors,
      peers: texts,
      communities: texts,
      aggregationLength: number,
      aggregationLengthV6: number,
      localPref: number,
      myASN: number,
      peerASN: number,
      peerAddress: text,
      interface: text,
      holdTime: text,
      keepaliveTime: text,
      connectTime: text,
      bfdProfile: text,
      echoMode: fc.boolean(),
      receiveInterval: number,
    },
    { requiredKeys: [] },
  );
  const objects = fc
    .array(spec, { maxLength: 3 })
    .map((all) => all.map((one, index) => ({ metadata: meta(`pool${index}`), spec: one }) as never));
  const configuration = fc.record({
    ipaddresspools: somePools,
    l2advertisements: objects,
    bgpadvertisements: objects,
    bgppeers: objects,
    bfdprofiles: objects,
    nodes: fc.constantFrom(undefined, hosts),
  });
  fc.assert(
    fc.property(configuration, fc.constantFrom('own' as const, 'frr' as const), (resources, driver) => {
      for (const problem of validate(resources as Configuration, options({ driver }))) {
        assert.ok(problem.message.startsWith(`${problem.kind} ${problem.name}: ${problem.field}: `), problem.message);
      }
    }),
    { numRuns: 1_000 },
  );
});

/** The same question, asked the slow way. */
function isSound(objects: readonly IPAddressPool[]): boolean {
  try {
    for (const object of objects) poolsOf([object], []);
  } catch {
    return false;
  }
  const seen = new Set<string>();
  for (const { blocks } of poolsOf(objects, [])) {
    for (const { family, first, last } of blocks) {
      for (let value = first; value <= last; value += 1n) {
        const address = `${family} ${value}`;
        if (seen.has(address)) return false;
        seen.add(address);
      }
    }
  }
  return true;
}
