import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isProviderError } from '../../../src/core/errors.ts';
import type { Service } from '../../../src/core/objects.ts';
import type { Cidr } from '../../../src/core/provider.ts';
import {
  allowsAll,
  isAnswer,
  isReported,
  optionsOf,
  SOURCE_RANGES_ANNOTATION,
  sourceRangesOf,
  sourcesOf,
  unknownAnnotations,
} from '../../../src/core/service/annotations.ts';
import { service } from './fixture.ts';

const inSpec = (...ranges: string[]): Service => service({ loadBalancerSourceRanges: ranges });
const inAnnotation = (value: string): Service => service({}, { annotations: { [SOURCE_RANGES_ANNOTATION]: value } });

const accepted: readonly { readonly text: string; readonly expected: readonly string[] }[] = [
  { text: '192.168.0.1/32', expected: ['192.168.0.1/32'] },
  { text: '192.168.0.1/32,192.168.0.1/32', expected: ['192.168.0.1/32'] },
  { text: '  192.168.0.1/32 , 192.168.0.2/32   ', expected: ['192.168.0.1/32', '192.168.0.2/32'] },
  { text: '192.168.0.2/32,192.168.0.1/32', expected: ['192.168.0.1/32', '192.168.0.2/32'] },
  { text: '10.1.2.3/8', expected: ['10.0.0.0/8'] },
  { text: '10.1.2.3/8,10.9.9.9/8', expected: ['10.0.0.0/8'] },
  { text: '2001:DB8:0::1/32,10.0.0.0/16,10.0.0.0/8', expected: ['10.0.0.0/8', '10.0.0.0/16', '2001:db8::/32'] },
  { text: '0.0.0.0/0', expected: ['0.0.0.0/0'] },
  { text: '192.168.0.0/0', expected: ['0.0.0.0/0'] },
];
for (const { text, expected } of accepted) {
  test(`source ranges: ${JSON.stringify(text)} in spec and annotation alike`, () => {
    assert.deepEqual(sourceRangesOf(inSpec(...text.split(','))), expected);
    assert.deepEqual(sourceRangesOf(inAnnotation(text)), expected);
  });
}

for (const [name, unset] of [
  ['neither set', service()],
  ['an empty list', inSpec()],
  ['an empty annotation', inAnnotation('')],
  ['a blank annotation', inAnnotation('   ')],
] as const) {
  test(`source ranges: ${name} allows everybody`, () => {
    assert.deepEqual(sourceRangesOf(unset), []);
    assert.ok(allowsAll(sourceRangesOf(unset), 'ipv4') && allowsAll(sourceRangesOf(unset), 'ipv6'));
  });
}

test('source ranges: the spec wins over the annotation, also over a bad one', () => {
  const annotations = { [SOURCE_RANGES_ANNOTATION]: 'foo.bar' };
  assert.deepEqual(sourceRangesOf(service({ loadBalancerSourceRanges: ['10.0.0.0/8'] }, { annotations })), [
    '10.0.0.0/8',
  ]);
});

const field = `metadata.annotations["${SOURCE_RANGES_ANNOTATION}"]`;
const refused: readonly { readonly text: string; readonly index: number; readonly problem: string }[] = [
  { text: '10.0.0.1/33', index: 0, problem: '"10.0.0.1/33" is no CIDR; the prefix length goes from 0 to 32' },
  { text: '2001:db8::/129', index: 0, problem: '"2001:db8::/129" is no CIDR; the prefix length goes from 0 to 128' },
  { text: 'foo.bar', index: 0, problem: '"foo.bar" is no CIDR; write 10.0.0.0/8 or 2001:db8::/32' },
  { text: '10.0.0.1/32,*', index: 1, problem: '"*" is no CIDR; write 10.0.0.0/8 or 2001:db8::/32' },
  { text: '10.0.0.1/32,', index: 1, problem: '"" is no CIDR; write 10.0.0.0/8 or 2001:db8::/32' },
  { text: '10.0.0.1/32, ', index: 1, problem: '"" is no CIDR; write 10.0.0.0/8 or 2001:db8::/32' },
  { text: '10.0.0.1', index: 0, problem: '"10.0.0.1" is no CIDR; for this one address write 10.0.0.1/32' },
  { text: '::1', index: 0, problem: '"::1" is no CIDR; for this one address write ::1/128' },
  { text: '010.0.0.0/8', index: 0, problem: '"010.0.0.0/8" is no CIDR; write 10.0.0.0/8 or 2001:db8::/32' },
];
for (const { text, index, problem } of refused) {
  test(`source ranges: ${JSON.stringify(text)} is refused with its place, in spec and annotation alike`, () => {
    const at = `spec.loadBalancerSourceRanges[${index}]`;
    assert.deepEqual(thrownBy(inSpec(...text.split(','))), { message: `${at}: ${problem}`, field: at });
    assert.deepEqual(thrownBy(inAnnotation(text)), { message: `${field}: ${problem}`, field });
  });
}

test('source ranges: all bad entries are told at once', () => {
  const { message } = thrownBy(inSpec('a', '10.0.0.0/8', '1.2.3.4'));
  assert.match(
    message,
    /^spec\.loadBalancerSourceRanges\[0\]: "a" .*; spec\.loadBalancerSourceRanges\[2\]: "1\.2\.3\.4" /,
  );
});

function thrownBy(of: Service): { message: string; field: string | undefined } {
  try {
    sourceRangesOf(of);
  } catch (error) {
    assert.ok(isProviderError(error));
    assert.deepEqual([error.kind, error.code], ['invalid', 'FL_SOURCE_RANGE_INVALID']);
    return { message: error.message, field: error.field };
  }
  throw new assert.AssertionError({ message: 'nothing thrown' });
}

const open: readonly { readonly ranges: string; readonly ipv4: boolean; readonly ipv6: boolean }[] = [
  { ranges: '0.0.0.0/0', ipv4: true, ipv6: false },
  { ranges: '192.168.0.0/0', ipv4: true, ipv6: false },
  { ranges: '10.0.0.1/32,0.0.0.0/0', ipv4: true, ipv6: false },
  { ranges: '10.0.0.1/32', ipv4: false, ipv6: false },
  { ranges: '::/0', ipv4: false, ipv6: true },
  { ranges: '2001:db8::/0,10.0.0.0/8', ipv4: false, ipv6: true },
  { ranges: '0.0.0.0/0,::/0', ipv4: true, ipv6: true },
];
for (const { ranges, ipv4, ipv6 } of open) {
  test(`allow all: ${ranges}`, () => {
    const parsed = sourceRangesOf(inAnnotation(ranges));
    assert.deepEqual({ ipv4: allowsAll(parsed, 'ipv4'), ipv6: allowsAll(parsed, 'ipv6') }, { ipv4, ipv6 });
  });
}

const sources: readonly {
  readonly ranges: string;
  readonly families: readonly ('ipv4' | 'ipv6')[];
  readonly expected: readonly string[];
}[] = [
  { ranges: '', families: ['ipv4'], expected: [] },
  { ranges: '0.0.0.0/0', families: ['ipv4'], expected: [] },
  { ranges: '0.0.0.0/0', families: ['ipv4', 'ipv6'], expected: ['0.0.0.0/0'] },
  { ranges: '0.0.0.0/0,::/0', families: ['ipv6', 'ipv4'], expected: [] },
  {
    ranges: '10.0.0.0/8,0.0.0.0/0,2001:db8::/32',
    families: ['ipv4', 'ipv6'],
    expected: ['0.0.0.0/0', '2001:db8::/32'],
  },
  { ranges: '2001:db8::/32', families: ['ipv4'], expected: ['2001:db8::/32'] },
  { ranges: '::/0', families: ['ipv4'], expected: ['::/0'] },
];
for (const { ranges, families, expected } of sources) {
  test(`sources of a spec: ${JSON.stringify(ranges)} for ${families.join(', ')}`, () => {
    assert.deepEqual(sourcesOf(sourceRangesOf(inAnnotation(ranges)), families), expected);
  });
}

test('sources of a spec never open to all what the ranges do not', () => {
  const range = fc.constantFrom(
    '0.0.0.0/0',
    '::/0',
    '10.0.0.0/8',
    '2001:db8::/32',
    '10.0.0.1/32',
  ) as fc.Arbitrary<Cidr>;
  const families = fc.constantFrom(['ipv4'] as const, ['ipv6'] as const, ['ipv4', 'ipv6'] as const);
  fc.assert(
    fc.property(fc.array(range), families, (ranges, of) => {
      const wanted = sourcesOf(ranges, of);
      for (const family of of) assert.equal(allowsAll(wanted, family), allowsAll(ranges, family), family);
    }),
  );
});

test('options are all annotations verbatim and sorted, without our answers and the notes of tools', () => {
  const annotations = {
    'service.beta.kubernetes.io/aws-load-balancer-scheme': ' internal ',
    'metallb.io/address-pool': 'b',
    'metallb.io/ip-allocated-from-pool': 'b',
    'example.com/their-own-provider': '',
    'cloud.google.com/neg-status': '{}',
    'cloud.google.com/neg': '{}',
    'service.kubernetes.io/tcp-forwarding-rule-ipv6': 'x',
    'service.kubernetes.io/topology-mode': 'Auto',
    'fairlead.dev/observed-spec': 'abc',
    'kubectl.kubernetes.io/last-applied-configuration': '{}',
    'meta.helm.sh/release-name': 'x',
    plain: '1',
  };
  assert.deepEqual(Object.entries(optionsOf(service({}, { annotations }))), [
    ['cloud.google.com/neg', '{}'],
    ['example.com/their-own-provider', ''],
    ['metallb.io/address-pool', 'b'],
    ['plain', '1'],
    ['service.beta.kubernetes.io/aws-load-balancer-scheme', ' internal '],
    ['service.kubernetes.io/topology-mode', 'Auto'],
  ]);
  assert.deepEqual(optionsOf(service()), {});
});

test('an answer is what we take back; what Google’s controllers write is only not an option', () => {
  assert.ok(isAnswer('fairlead.dev/observed-spec') && isReported('fairlead.dev/observed-spec'));
  for (const key of ['cloud.google.com/neg-status', 'service.kubernetes.io/firewall-rule-deny-ipv6']) {
    assert.deepEqual([isAnswer(key), isReported(key)], [false, true], key);
  }
});

const unknown: readonly { readonly key: string; readonly hint: string | undefined }[] = [
  { key: 'metallb.io/loadBalancerIPs', hint: undefined },
  { key: 'metallb.universe.tf/allow-shared-ip', hint: undefined },
  { key: 'fairlead.dev/address-count', hint: undefined },
  { key: 'service.beta.kubernetes.io/aws-load-balancer-tpye', hint: undefined },
  { key: 'example.com/anything', hint: undefined },
  { key: 'fairlead.dev', hint: undefined },
  { key: 'metallb.io/loadbalancerIPs', hint: ': did you mean metallb.io/loadBalancerIPs?' },
  { key: 'metallb.universe.tf/adress-pol', hint: ': did you mean metallb.universe.tf/address-pool?' },
  { key: 'fairlead.dev/address-pool', hint: ': did you mean fairlead.dev/address-pools?' },
  { key: 'fairlead.dev/quota', hint: ': it belongs on kind IPAddressPool' },
  { key: 'fairlead.dev/constructor', hint: '' },
  { key: 'metallb.io/quota', hint: '' },
  { key: 'constructor/x', hint: undefined },
  { key: '__proto__/x', hint: undefined },
];
for (const { key, hint } of unknown) {
  test(`unknown annotation: ${key}`, () => {
    const found = unknownAnnotations(service({}, { annotations: { [key]: '1' } }));
    const message = `annotation ${key} has no meaning on a Service and is ignored${hint}`;
    assert.deepEqual(found, hint === undefined ? [] : [{ key, message }]);
  });
}

test('unknown annotations come sorted, without what the provider says it reads', () => {
  const annotations = { 'fairlead.dev/z': '', 'fairlead.dev/mine': '', 'fairlead.dev/a': '' };
  const found = unknownAnnotations(service({}, { annotations }), new Set(['fairlead.dev/mine']));
  assert.deepEqual(
    found.map(({ key }) => key),
    ['fairlead.dev/a', 'fairlead.dev/z'],
  );
});
