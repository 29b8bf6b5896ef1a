import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isProviderError } from '../../../src/core/errors.ts';
import { isSelected, parseQuota, poolProblems, poolsOf } from '../../../src/core/ipam/pools.ts';
import { formatBlock } from '../../../src/core/net/cidr.ts';
import { namespaceObject, type PoolText, poolObject, pools } from './fixtures.ts';

const one = (text: Partial<PoolText>, namespaces: Parameters<typeof pools>[1] = []) => {
  const [pool] = pools([{ name: 'p', addresses: ['10.0.0.0/24'], ...text }], namespaces);
  assert.ok(pool);
  return pool;
};

test('an object without options is a pool that gives to everybody, lowest first', () => {
  const { blocks, ...rest } = one({});
  assert.deepEqual(blocks.map(formatBlock), ['10.0.0.0/24']);
  assert.deepEqual(rest, {
    name: 'p',
    autoAssign: true,
    avoidBuggyIPs: false,
    priority: 0,
    disabled: false,
    order: 'lowest',
    retainMs: 0,
    quota: {},
    allowShrink: false,
  });
});

test('all options', () => {
  const pool = one({
    addresses: ['10.0.1.5-10.0.1.7', '10.0.0.9/24', 'fd00::/64'],
    autoAssign: false,
    avoidBuggyIPs: true,
    serviceAllocation: { priority: 7, namespaces: ['b', 'a'], serviceSelectors: [{ matchLabels: { app: 'x' } }] },
    annotations: {
      'fairlead.dev/disabled': 'true',
      'fairlead.dev/order': 'random',
      'fairlead.dev/retain': '1h30m',
      'fairlead.dev/quota': 'web=5, *=2',
      'fairlead.dev/allow-shrink': 'true',
      'example.com/other': 'whatever',
    },
  });
  const { blocks, ...rest } = pool;
  assert.deepEqual(blocks.map(formatBlock), ['10.0.1.5/32', '10.0.1.6/31', '10.0.0.0/24', 'fd00::/64']);
  assert.deepEqual(rest, {
    name: 'p',
    autoAssign: false,
    avoidBuggyIPs: true,
    priority: 7,
    selection: { namespaces: ['a', 'b'], serviceSelectors: [{ matchLabels: { app: 'x' } }] },
    disabled: true,
    order: 'random',
    retainMs: 5_400_000,
    quota: { '*': 2, web: 5 },
    allowShrink: true,
  });
});

test('pools are tried by priority with 0 last, then by name in code units', () => {
  const texts: readonly PoolText[] = [
    { name: 'b', addresses: ['10.0.0.0/32'] },
    { name: 'a10', addresses: ['10.0.0.1/32'] },
    { name: 'a2', addresses: ['10.0.0.2/32'], serviceAllocation: { priority: 0 } },
    { name: 'z', addresses: ['10.0.0.3/32'], serviceAllocation: { priority: 1 } },
    { name: 'y', addresses: ['10.0.0.4/32'], serviceAllocation: { priority: -1 } },
    { name: 'B', addresses: ['10.0.0.5/32'] },
  ];
  assert.deepEqual(
    pools(texts).map(({ name }) => name),
    ['y', 'z', 'B', 'a10', 'a2', 'b'],
  );
});

test('namespaces are those named and those that a selector finds, sorted, each once', () => {
  const found = [{ name: 'red', labels: { tier: 'x' } }, { name: 'blue', labels: { tier: 'x' } }, { name: 'grey' }];
  const allocation = { namespaces: ['red', 'absent'], namespaceSelectors: [{ matchLabels: { tier: 'x' } }] };
  assert.deepEqual(one({ serviceAllocation: allocation }, found).selection, {
    namespaces: ['absent', 'blue', 'red'],
    serviceSelectors: [],
  });
});

test('selectors that match no namespace select nobody; no selectors select everybody', () => {
  const nobody = one({ serviceAllocation: { namespaceSelectors: [{ matchLabels: { tier: 'x' } }] } }, [
    { name: 'red' },
  ]);
  assert.deepEqual(nobody.selection, { namespaces: [], serviceSelectors: [] });
  assert.equal(isSelected(nobody, 'red', {}), false);
  const everybody = one({ serviceAllocation: { priority: 3, namespaces: [], namespaceSelectors: [] } });
  assert.equal(isSelected(everybody, 'red', {}), true);
  assert.equal(
    isSelected(one({ serviceAllocation: { namespaceSelectors: [{}] } }, [{ name: 'red' }]), 'red', {}),
    true,
  );
});

test('namespace and any selector together', () => {
  const pool = one({
    serviceAllocation: {
      namespaces: ['red'],
      serviceSelectors: [{ matchLabels: { app: 'x' } }, { matchLabels: { app: 'y' } }],
    },
  });
  assert.equal(isSelected(pool, 'red', { app: 'y' }), true);
  assert.equal(isSelected(pool, 'red', { app: 'z' }), false);
  assert.equal(isSelected(pool, 'blue', { app: 'y' }), false);
});

for (const { name, text, messages } of [
  {
    name: 'no addresses',
    text: { addresses: [] },
    messages: ['spec.addresses: is empty; give at least one CIDR or range, such as 192.0.2.0/24'],
  },
  {
    name: 'every bad entry by its place',
    text: {
      addresses: ['10.0.0.1', '10.0.0.0/24', 'x', '10.0.0.9-10.0.0.1', '10.0.0.1-fd00::', '1.2.3.4-5', 'fd00::1'],
    },
    messages: [
      'spec.addresses[0]: "10.0.0.1" has no length; a single address is written 10.0.0.1/32',
      'spec.addresses[2]: "x" is not a CIDR such as 192.0.2.0/24 or a range such as 192.0.2.10-192.0.2.20',
      'spec.addresses[3]: "10.0.0.9-10.0.0.1" ends before it begins; swap the two addresses',
      'spec.addresses[4]: "10.0.0.1-fd00::" begins and ends in different families',
      'spec.addresses[5]: "1.2.3.4-5" is not a range of two addresses such as 192.0.2.10-192.0.2.20',
      'spec.addresses[6]: "fd00::1" has no length; a single address is written fd00::1/128',
    ],
  },
  {
    name: 'every bad annotation',
    text: {
      addresses: ['10.0.0.0/24'],
      annotations: {
        'fairlead.dev/disabled': 'yes',
        'fairlead.dev/order': 'highest',
        'fairlead.dev/retain': '-1h',
        'fairlead.dev/quota': 'web',
        'fairlead.dev/conflict-probe': '1',
        'fairlead.dev/allow-shrink': '',
      },
    },
    messages: [
      'metadata.annotations["fairlead.dev/disabled"]: "yes" must be "true" or "false"',
      'metadata.annotations["fairlead.dev/order"]: "highest" must be one of lowest, random, least-recently-used',
      'metadata.annotations["fairlead.dev/retain"]: "-1h" must be a duration such as 30m or 24h',
      'metadata.annotations["fairlead.dev/quota"]: "web" must be a list such as web=5,*=2',
      'metadata.annotations["fairlead.dev/conflict-probe"]: "1" must be "true" or "false"',
      'metadata.annotations["fairlead.dev/allow-shrink"]: "" must be "true" or "false"',
    ],
  },
])
  test(`problems: ${name}`, () => {
    const object = poolObject({ name: 'p', ...text });
    assert.deepEqual(
      poolProblems(object).map(({ message }) => message),
      messages,
    );
    assert.ok(
      poolProblems(object).every(({ pool, field, message }) => pool === 'p' && message.startsWith(`${field}: `)),
    );
    assert.throws(
      () =>
        poolsOf([object, poolObject({ name: 'fine', addresses: ['10.1.0.0/24'] })], [namespaceObject({ name: 'x' })]),
      (error) =>
        isProviderError(error) &&
        error.code === 'FL_POOL_INVALID' &&
        messages.every((each) => error.message.includes(each)),
    );
  });

for (const [text, quota] of [
  ['web=5,*=2', { '*': 2, web: 5 }],
  [' a=0 , b-1=10', { a: 0, 'b-1': 10 }],
  ['*=1', { '*': 1 }],
  ['', undefined],
  ['web', undefined],
  ['web=', undefined],
  ['web=-1', undefined],
  ['web=1.5', undefined],
  ['web=1,web=2', undefined],
  ['WEB=1', undefined],
  ['__proto__=1', undefined],
  ['web=1,', undefined],
  ['web=9999999999', undefined],
] as const)
  test(`quota ${JSON.stringify(text)}`, () => assert.deepEqual(parseQuota(text), quota));
