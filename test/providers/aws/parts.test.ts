import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { attributeChange, recordedKeys, recordTags, targetGroupDefault } from '../../../providers/aws/attributes.ts';
import { backendName, nameOf } from '../../../providers/aws/names.ts';
import { createNeeds } from '../../../providers/aws/needs.ts';
import { preflight } from '../../../providers/aws/quotas.ts';
import { keyOf } from '../../../providers/aws/rules.ts';
import { instanceIdOf } from '../../../providers/aws/targets.ts';

test('names are those of the reference, at most 32 characters, and have further ones in reserve', () => {
  const part = { namespace: 'kube-system-long', name: 'ingress_nginx.controller', input: 'x' };
  const names = [0, 1, 2].map((turn) => nameOf(part, turn));
  assert.equal(new Set(names).size, 3);
  for (const name of names) assert.match(name, /^k8s-kubesyst-ingressn-[0-9a-f]{10}$/);
  const fixed = { fixed: 'x'.repeat(32) };
  assert.deepEqual([nameOf(fixed), nameOf(fixed, 1).length], [fixed.fixed, 32]);
  assert.ok(backendName('c'.repeat(400)).length <= 255);
  assert.match(backendName('c'), /^k8s-fairlead-c-[0-9a-f]{10}$/);
});

test('a record of attribute keys comes back whole, in tag values of at most 256 characters', () => {
  const key = fc.stringMatching(/^[a-z0-9._]{1,80}$/);
  fc.assert(
    fc.property(fc.uniqueArray(key, { maxLength: 20 }), (keys) => {
      const tags = recordTags(keys);
      for (const value of Object.values(tags)) assert.ok(value.length <= 256);
      assert.deepEqual(recordedKeys({ ...tags, other: 'tag' }), [...keys].sort());
    }),
  );
});

test('applying a change of attributes leaves no change', () => {
  const attributes = fc.dictionary(
    fc.constantFrom('stickiness.enabled', 'proxy_protocol_v2.enabled', 'x'),
    fc.constantFrom('true', 'false'),
  );
  const defaultOf = targetGroupDefault({ protocol: 'TCP', targetType: 'ip' });
  fc.assert(
    fc.property(attributes, attributes, fc.subarray(['stickiness.enabled', 'x']), (wanted, observed, recorded) => {
      const { set } = attributeChange(wanted, observed, { recorded, defaultOf });
      const after = { ...observed, ...set };
      assert.deepEqual(attributeChange(wanted, after, { recorded, defaultOf }).set, {});
      for (const name of Object.keys(set)) assert.ok(Object.hasOwn(wanted, name) || recorded.includes(name));
    }),
  );
});

test('defaults of a target group depend on what it is', () => {
  const preserved = (protocol: 'TCP' | 'UDP' | 'TLS', targetType: 'ip' | 'instance') =>
    targetGroupDefault({ protocol, targetType })('preserve_client_ip.enabled');
  assert.deepEqual(
    [preserved('TCP', 'instance'), preserved('TCP', 'ip'), preserved('TLS', 'ip'), preserved('UDP', 'ip')],
    ['true', 'false', 'false', 'true'],
  );
});

test('needs: from a group one range, from addresses each port; mine do not count as others, and dropped ones are gone', () => {
  const needs = createNeeds();
  const need = (port: number, source: 'sg-b' | '10.0.0.0/8') => ({
    group: 'sg-n',
    protocol: 'tcp' as const,
    port,
    source: source as never,
  });
  needs.put('a', [need(1, 'sg-b'), need(9, 'sg-b'), need(5, '10.0.0.0/8')]);
  needs.put('b', [need(20, 'sg-b')]);
  assert.deepEqual(needs.others('c', need(3, 'sg-b')), { from: 1, to: 20 });
  assert.deepEqual(needs.others('a', need(3, 'sg-b')), { from: 20, to: 20 });
  assert.deepEqual(needs.others('b', need(5, '10.0.0.0/8')), { from: 5, to: 5 });
  assert.equal(needs.others('b', need(6, '10.0.0.0/8')), undefined);
  needs.put('a', [need(2, 'sg-b')]);
  assert.deepEqual(needs.others('b', need(3, 'sg-b')), { from: 2, to: 2 });
  needs.drop('a');
  assert.equal(needs.others('b', need(3, 'sg-b')), undefined);
  needs.put('d', [{ group: 'sg-n', protocol: 'tcp', source: 'sg-b' }]);
  assert.deepEqual(needs.others('b', need(3, 'sg-b')), { from: 0, to: 65_535 });
});

test('rules are equal by network, whatever their text and description', () => {
  const rule = (cidr: string) => keyOf({ protocol: 'tcp', from: 1, to: 1, source: { cidr } });
  assert.equal(rule('10.1.2.3/8'), rule('10.0.0.0/8'));
  assert.equal(rule('2001:DB8::1/32'), rule('2001:db8::/32'));
  assert.notEqual(rule('10.0.0.0/8'), rule('10.0.0.0/9'));
});

test('a providerID gives its instance id, that of another cloud none', () => {
  const ids = ['aws:///eu-west-1a/i-1', 'aws:////i-2', 'i-3', 'gce://p/z/n', 'eks-hybrid:///eu/c/mi-1', ''].map(
    instanceIdOf,
  );
  assert.deepEqual(ids, ['i-1', 'i-2', 'i-3', undefined, undefined, undefined]);
});

test('quotas are those of the account, else of AWS, and cross-zone lowers one', () => {
  const none = {
    newLoadBalancers: 0,
    newTargetGroups: 0,
    listeners: 1,
    certificates: 0,
    targetsInGroup: 1,
    targets: 600,
    crossZone: true,
    ingressRules: 1,
  };
  const facts = { limits: {}, counts: { loadBalancers: 50, targetGroups: 1 } };
  assert.deepEqual(preflight(none, facts), [
    { limit: 'targets-per-network-load-balancer-cross-zone', used: 600, allowed: 500 },
  ]);
  assert.deepEqual(preflight({ ...none, crossZone: false }, facts), []);
  assert.deepEqual(preflight({ ...none, crossZone: false, newLoadBalancers: 1 }, facts), [
    { limit: 'network-load-balancers', used: 51, allowed: 50 },
  ]);
  assert.deepEqual(
    preflight(
      { ...none, crossZone: false, newLoadBalancers: 1 },
      { ...facts, limits: { 'network-load-balancers': 100 } },
    ),
    [],
  );
});
