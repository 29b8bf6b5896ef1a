import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { diff } from '../../../providers/aws/diff.ts';
import type { InterfaceFacts } from '../../../providers/aws/model.ts';
import { plan } from '../../../providers/aws/plan.ts';
import { progress } from '../../../providers/aws/progress.ts';
import type { Cidr, LoadBalancerSpec } from '../../../src/core/provider.ts';
import { Cloud } from './cloud.ts';
import { applyAll, converge, ensure, remove, stagesOf } from './drive.ts';
import { listener, node, pod, spec } from './spec.ts';
import { facts, settings, subnet } from './world.ts';

/** A cloud with nodes, and with things of others that must never change. */
function world(more: Partial<typeof settings> = {}): Cloud {
  const interfaces = new Map<string, InterfaceFacts>([
    ...Array.from(
      { length: 9 },
      (_, index) => [`i-${index}`, { id: `eni-${index}`, securityGroups: ['sg-1'] }] as const,
    ),
    ...Array.from(
      { length: 9 },
      (_, index) => [`192.168.1.${index}`, { id: `eni-p${index}`, securityGroups: ['sg-1'] }] as const,
    ),
  ]);
  const subnets = [1, 2, 3].map((number) =>
    subnet(`subnet-${number}`, `192.168.${number * 32}.0/19`, { ipv6Cidr: `2001:db8:${number}::/64` as Cidr }),
  );
  const cloud = new Cloud(
    { ...settings, ...more },
    facts({
      subnets,
      interfaces,
      securityGroups: [{ id: 'sg-own', vpcId: 'vpc-xxx', name: 'own', tags: { Name: 'own' } }],
    }),
  );
  cloud.addSecurityGroup('node', {}, [
    { protocol: 'tcp', from: 22, to: 22, source: { cidr: '10.0.0.0/8' as Cidr }, description: 'foreign' },
  ]);
  cloud.securityGroups.push({ id: 'sg-own', name: 'own', vpcId: 'vpc-xxx', tags: {}, rules: [] });
  return cloud;
}

/** Everything that is not of the Service 'uid'. */
function others(cloud: Cloud): unknown {
  const isTheirs = ({ tags }: { readonly tags: Readonly<Record<string, string>> }) =>
    tags['fairlead.dev/service-uid'] !== 'uid';
  return structuredClone({
    loadBalancers: cloud.loadBalancers.filter(isTheirs),
    groups: cloud.groups.filter(isTheirs),
    securityGroups: cloud.securityGroups
      .filter((group) => isTheirs(group) && group.tags['fairlead.dev/resource'] !== 'backend-sg')
      .map(({ rules, ...group }) => ({
        ...group,
        rules: rules.filter(({ description }) => description === 'foreign'),
      })),
  });
}

const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });

const shorts = fc.record(
  {
    scheme: fc.constantFrom('internal', 'internet-facing'),
    'ip-address-type': fc.constantFrom('ipv4', 'dualstack'),
    subnets: fc.constantFrom('subnet-1', 'subnet-1,subnet-2', 'subnet-3'),
    attributes: fc.constantFrom(
      'load_balancing.cross_zone.enabled=true',
      'access_logs.s3.enabled=true,access_logs.s3.bucket=b',
      'load_balancing.cross_zone.enabled=false',
    ),
    'target-group-attributes': fc.constantFrom(
      'preserve_client_ip.enabled=false',
      'deregistration_delay.timeout_seconds=10,stickiness.enabled=true',
    ),
    'healthcheck-interval': fc.constantFrom('10', '30'),
    'healthcheck-protocol': fc.constantFrom('HTTP', 'tcp'),
    'ssl-cert': fc.constantFrom('arn:a', 'arn:a,arn:b', 'arn:b,arn:c'),
    'backend-protocol': fc.constantFrom('ssl', 'tcp'),
    'alpn-policy': fc.constantFrom('None', 'HTTP2Only'),
    'proxy-protocol': fc.constant('*'),
    'additional-resource-tags': fc.constantFrom('a=b', 'a=c,d=e'),
    'security-groups': fc.constant('own'),
    'manage-backend-security-group-rules': fc.constantFrom('true', 'false'),
    'inbound-sg-rules-on-private-link-traffic': fc.constantFrom('on', 'off'),
    'minimum-load-balancer-capacity': fc.constantFrom('CapacityUnits=100', 'CapacityUnits=0'),
    'enable-icmp-for-path-mtu-discovery': fc.constant('on'),
    name: fc.constantFrom('one', 'other'),
  },
  { requiredKeys: [] },
);

const listeners = fc
  .uniqueArray(fc.constantFrom(80, 81, 443), { minLength: 1 })
  .chain((ports) =>
    fc.tuple(
      ...ports.map((port) =>
        fc.constantFrom(
          [listener(port)],
          [listener(port, { protocol: 'UDP' })],
          [listener(port), listener(port, { name: `u${port}`, protocol: 'UDP' })],
          [listener(port, { targetPort: 31_000 + port })],
        ),
      ),
    ),
  )
  .map((all) => all.flat().sort((a, b) => a.port - b.port || (a.protocol < b.protocol ? -1 : 1)));

const specs: fc.Arbitrary<LoadBalancerSpec> = fc
  .record({
    short: shorts,
    listeners,
    pods: fc.boolean(),
    numbers: fc.uniqueArray(fc.integer({ min: 0, max: 8 }), { maxLength: 6 }),
    draining: optional(fc.integer({ min: 0, max: 8 })),
    sources: fc.constantFrom<readonly Cidr[]>(
      [],
      ['10.0.0.0/8' as Cidr],
      ['10.0.0.0/8' as Cidr, '172.16.0.0/12' as Cidr],
    ),
    local: fc.boolean(),
  })
  .map(({ short, listeners: ports, pods, numbers, draining, sources, local }) => {
    const make = pods ? pod : node;
    const targets = numbers.map((number) => make(number, number === draining ? { draining: true } : {}));
    return spec({
      short: { ...short, 'nlb-target-type': pods ? 'ip' : 'instance' },
      listeners: ports,
      targetKind: pods ? 'pod' : 'node',
      targets: targets.sort((a, b) => (a.id < b.id ? -1 : 1)),
      sources,
      ...(local ? { trafficPolicy: 'local', health: { protocol: 'HTTP', port: 32_000, path: '/healthz' } } : {}),
    });
  });

/** An existing load balancer can neither lose all its groups nor get its first one; the Service must be made anew for that. */
const modes = fc.constantFrom<Partial<typeof settings>>(
  {},
  { backendSecurityGroup: 'off' },
  { backendSecurityGroup: 'auto', restrictedRules: false },
  { securityGroups: false },
);

function isPossible(one: LoadBalancerSpec, more: Partial<typeof settings>): boolean {
  const own = one.options['service.beta.kubernetes.io/aws-load-balancer-manage-backend-security-group-rules'];
  return more.backendSecurityGroup !== 'off' || own !== 'true';
}

test('whatever a Service asks for, it is built, and then nothing is left to do', () => {
  fc.assert(
    fc.property(specs, modes, (one, more) => {
      fc.pre(isPossible(one, more));
      const cloud = world(more);
      const before = others(cloud);
      const now = ensure(cloud, one);
      assert.equal(now.state, 'ready');
      assert.equal(cloud.loadBalancers.length, 1);
      assert.deepEqual(others(cloud), before);
    }),
    { numRuns: 300 },
  );
});

test('any change of a Service converges to what a fresh start builds, and a crash after any action does not matter', () => {
  fc.assert(
    fc.property(specs, specs, modes, fc.integer({ min: 0, max: 25 }), (first, second, more, crash) => {
      fc.pre(isPossible(first, more) && isPossible(second, more));
      // A successor without a target waits for one, as long as the old load balancer has some.
      fc.pre(first.targetKind === second.targetKind || second.targets.some(({ draining }) => draining !== true));
      const cloud = world(more);
      const before = others(cloud);
      applyAll(cloud, 'uid', plan(first, cloud.settings), crash);
      ensure(cloud, first);
      applyAll(cloud, 'uid', plan(second, cloud.settings), crash);
      cloud.settle(10_000);
      applyAll(cloud, 'uid', plan(second, cloud.settings), 1);
      const now = ensure(cloud, second);
      assert.equal(now.state, 'ready');
      assert.equal(cloud.loadBalancers.length, 1, 'the replaced load balancer is still there');
      assert.equal(cloud.groups.length, plan(second, cloud.settings).ports.length);
      assert.deepEqual(others(cloud), before);
      applyAll(cloud, 'uid', undefined, crash);
      assert.equal(remove(cloud, 'uid').state, 'ready');
      assert.deepEqual([cloud.loadBalancers, cloud.groups], [[], []]);
      assert.deepEqual(
        cloud.securityGroups.map(({ name }) => name),
        ['node', 'own'],
      );
      assert.deepEqual(others(cloud), before);
    }),
    { numRuns: 500 },
  );
});

test('after a restart, with nothing but lists read and others unknown, nothing is written', () => {
  fc.assert(
    fc.property(specs, modes, (one, more) => {
      fc.pre(isPossible(one, more));
      const cloud = world(more);
      ensure(cloud, {
        ...one,
        uid: 'other',
        key: 'default/other',
        service: { ...one.service, name: 'other' },
        listeners: [listener(9999)],
        options: {},
        targetKind: 'node',
        targets: [node(1)],
      });
      ensure(cloud, one);
      const desired = plan(one, cloud.settings);
      const restarted = new Cloud(cloud.settings, cloud.facts);
      Object.assign(restarted, {
        loadBalancers: cloud.loadBalancers,
        groups: cloud.groups,
        securityGroups: cloud.securityGroups,
      });
      for (const unread of [true, false]) {
        const observed = restarted.observed('uid', { unread, complete: false });
        assert.deepEqual(diff(desired, observed, cloud.settings), []);
        assert.equal(progress(desired, observed, cloud.settings).state, 'ready');
      }
    }),
    { numRuns: 150 },
  );
});

test('what somebody took away or changed is put back', () => {
  fc.assert(
    fc.property(specs, fc.integer({ min: 0, max: 6 }), (one, what) => {
      const cloud = world();
      ensure(cloud, one);
      const [balancer] = cloud.loadBalancers;
      const [group] = cloud.groups;
      if (what === 0) cloud.loadBalancers = [];
      if (what === 1 && balancer !== undefined) balancer.listeners = balancer.listeners.slice(1);
      if (what === 2 && group !== undefined) group.targets = group.targets.slice(1);
      if (what === 3 && balancer !== undefined) balancer.attributes = { 'deletion_protection.enabled': 'false' };
      if (what === 4)
        for (const each of cloud.securityGroups)
          each.rules = each.rules.filter(({ description }) => description === 'foreign');
      if (what === 5 && group !== undefined) group.attributes = { 'proxy_protocol_v2.enabled': 'maybe' };
      if (what === 6 && balancer !== undefined) balancer.tags = { ...balancer.tags, a: 'changed' };
      ensure(cloud, one);
      assert.equal(cloud.loadBalancers[0]?.listeners.length, plan(one, cloud.settings).ports.length);
    }),
    { numRuns: 150 },
  );
});

test('two Services side by side share node rules, and each leaves without harm to the other', () => {
  const cloud = world();
  const other = spec({
    uid: 'other',
    key: 'default/other',
    listeners: [listener(443)],
    service: { ...spec().service, name: 'other' },
  });
  ensure(cloud, spec());
  ensure(cloud, other);
  ensure(cloud, spec());
  assert.deepEqual(stagesOf(cloud, 'uid', plan(spec(), cloud.settings)), []);
  assert.equal(cloud.securityGroups.filter(({ name }) => name.startsWith('k8s-fairlead-')).length, 1);
  remove(cloud, 'uid');
  assert.deepEqual(stagesOf(cloud, 'other', plan(other, cloud.settings)), []);
  assert.equal(cloud.loadBalancers.length, 1);
  remove(cloud, 'other');
  assert.deepEqual(
    cloud.securityGroups.map(({ name }) => name),
    ['node', 'own'],
  );
  assert.equal(cloud.securityGroups[0]?.rules.length, 1);
});

test('removing what never was is done at once', () => {
  const cloud = world();
  assert.equal(converge(cloud, 'uid', undefined).state, 'ready');
  assert.deepEqual(cloud.calls, []);
});
