import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ServiceIngress } from '../../../src/core/objects.ts';
import { ingressOf, isPublished, sameIngress } from '../../../src/core/service/ingress.ts';

const tcp80 = { port: 80, protocol: 'TCP' } as const;
const udp53 = { port: 53, protocol: 'UDP' } as const;

const cases: readonly {
  readonly name: string;
  readonly a: readonly ServiceIngress[] | undefined;
  readonly b: readonly ServiceIngress[] | undefined;
  readonly expected: boolean;
}[] = [
  { name: 'empty and empty', a: [], b: [], expected: true },
  { name: 'absent and empty', a: undefined, b: [], expected: true },
  { name: 'same', a: [{ ip: '1.2.3.4' }], b: [{ ip: '1.2.3.4' }], expected: true },
  { name: 'address differs', a: [{ ip: '1.2.3.4' }], b: [{ ip: '1.2.3.5' }], expected: false },
  { name: 'host name differs', a: [{ hostname: 'a' }], b: [{ hostname: 'b' }], expected: false },
  { name: 'an empty host name is none', a: [{ ip: '1.2.3.4', hostname: '' }], b: [{ ip: '1.2.3.4' }], expected: true },
  { name: 'mode on one side only', a: [{ ip: '1.2.3.4', ipMode: 'VIP' }], b: [{ ip: '1.2.3.4' }], expected: false },
  {
    name: 'mode differs',
    a: [{ ip: '1.2.3.4', ipMode: 'VIP' }],
    b: [{ ip: '1.2.3.4', ipMode: 'Proxy' }],
    expected: false,
  },
  {
    name: 'mode same',
    a: [{ ip: '1.2.3.4', ipMode: 'Proxy' }],
    b: [{ ip: '1.2.3.4', ipMode: 'Proxy' }],
    expected: true,
  },
  {
    name: 'ports differ',
    a: [{ ip: '1.2.3.4', ports: [tcp80] }],
    b: [{ ip: '1.2.3.4', ports: [udp53] }],
    expected: false,
  },
  { name: 'ports on one side only', a: [{ ip: '1.2.3.4', ports: [tcp80] }], b: [{ ip: '1.2.3.4' }], expected: false },
  { name: 'an empty port list is none', a: [{ ip: '1.2.3.4', ports: [] }], b: [{ ip: '1.2.3.4' }], expected: true },
  {
    name: 'port error differs',
    a: [{ ip: '1.2.3.4', ports: [{ ...tcp80, error: 'A' }] }],
    b: [{ ip: '1.2.3.4', ports: [tcp80] }],
    expected: false,
  },
  { name: 'one more', a: [{ ip: '1.2.3.4' }], b: [{ ip: '1.2.3.4' }, { ip: '1.2.3.5' }], expected: false },
  {
    name: 'another order',
    a: [{ ip: '1.2.3.4' }, { ip: 'fd00::1' }],
    b: [{ ip: 'fd00::1' }, { ip: '1.2.3.4' }],
    expected: false,
  },
];
for (const { name, a, b, expected } of cases) {
  test(`status equality: ${name}: ${expected}`, () => {
    assert.equal(sameIngress(a, b), expected);
    assert.equal(sameIngress(b, a), expected);
  });
}

test('the mode that the API server fills in is no difference to what we want', () => {
  const vip: ServiceIngress[] = [{ ip: '1.2.3.4', ipMode: 'VIP' }];
  const bare: ServiceIngress[] = [{ ip: '1.2.3.4' }];
  assert.ok(isPublished(bare, vip) && isPublished(vip, bare));
  assert.equal(isPublished([{ ip: '1.2.3.4', ipMode: 'Proxy' }], bare), false);
  assert.equal(isPublished([], undefined), true);
  assert.equal(isPublished([], bare), false);
});

test('a published entry has its mode spelled out, but only beside an address', () => {
  assert.deepEqual(ingressOf([{ ip: '1.2.3.4' }, { ip: '1.2.3.5', ipMode: 'Proxy' }, { hostname: 'a.example' }]), [
    { ip: '1.2.3.4', ipMode: 'VIP' },
    { ip: '1.2.3.5', ipMode: 'Proxy' },
    { hostname: 'a.example' },
  ]);
});

test('a port that was not built is shown with its error beside those that were', () => {
  const listener = { name: '', protocol: 'TCP', port: 80, targetPort: 30080 } as const;
  const missing = [{ ...udp53, error: 'NodePortMissing' }];
  assert.deepEqual(ingressOf([{ hostname: 'a' }, { ip: '1.2.3.4', ports: [tcp80] }], [listener], missing), [
    { hostname: 'a', ports: [tcp80, { ...udp53, error: 'NodePortMissing' }] },
    { ip: '1.2.3.4', ipMode: 'VIP', ports: [tcp80, { ...udp53, error: 'NodePortMissing' }] },
  ]);
});
