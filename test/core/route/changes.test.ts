import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Node } from '../../../src/core/objects.ts';
import { shouldSyncRoutes } from '../../../src/core/route/changes.ts';
import { type NodeParts, node } from './fixture.ts';

const parts: NodeParts = { podCIDRs: ['10.120.0.0/24'], addresses: ['10.0.1.1'], providerID: 'cloud://a' };
const old = node('a', parts);
const now = (change: NodeParts, more: object = {}): Node => {
  const made = node('a', { ...parts, resourceVersion: '2', ...change });
  return { ...made, status: { ...made.status, ...more } };
};

// controllers.md, "Golden cases", node update filter; then what is ours.
const cases: readonly { readonly name: string; readonly now: Node; readonly expected: boolean }[] = [
  { name: 'address 10.0.1.1 to 10.0.1.2', now: now({ addresses: ['10.0.1.2'] }), expected: true },
  { name: 'pod CIDR 10.120 to 10.121', now: now({ podCIDRs: ['10.121.0.0/24'] }), expected: true },
  { name: 'equal resourceVersion, the resync of an informer', now: now({ resourceVersion: '1' }), expected: true },
  { name: 'images, with a new resourceVersion', now: now({}, { images: [{ names: ['a'] }] }), expected: false },
  { name: 'a condition', now: now({}, { conditions: [{ type: 'Ready', status: 'False' }] }), expected: false },
  { name: 'a first pod CIDR', now: now({ podCIDRs: [] }), expected: true },
  {
    name: 'providerID: the node is initialised, or another machine',
    now: now({ providerID: 'cloud://b' }),
    expected: true,
  },
  { name: 'another Node under the name', now: now({ uid: 'other' }), expected: true },
  { name: 'one more address', now: now({ addresses: ['10.0.1.1', 'fd00::1'] }), expected: true },
  {
    name: 'pod CIDRs in another order',
    now: now({ podCIDRs: ['10.120.0.0/24'] }),
    expected: false,
  },
];
for (const { name, now: updated, expected } of cases) {
  test(`node update: ${name}: ${expected ? 'routes are looked at' : 'nothing'}`, () => {
    assert.equal(shouldSyncRoutes(old, updated), expected);
  });
}

test('node update: the order of pod CIDRs does not matter', () => {
  const one = node('a', { podCIDRs: ['10.120.0.0/24', 'a00::/64'] });
  const two = node('a', { podCIDRs: ['a00::/64', '10.120.0.0/24'], resourceVersion: '2' });
  assert.equal(shouldSyncRoutes(one, two), false);
});
