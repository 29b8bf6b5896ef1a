import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diff } from '../../../providers/aws/diff.ts';
import type { Act, Observed, ObservedListener, ObservedLoadBalancer, Settings } from '../../../providers/aws/model.ts';
import { plan } from '../../../providers/aws/plan.ts';
import { PRINT_ANNOTATION, progress } from '../../../providers/aws/progress.ts';
import { isProviderError } from '../../../src/core/errors.ts';
import type { Cidr, LoadBalancerSpec } from '../../../src/core/provider.ts';
import { Cloud } from './cloud.ts';
import { applyAll, ensure, kinds, remove, stagesOf } from './drive.ts';
import { listener, node, pod, spec } from './spec.ts';
import { facts, settings, subnet } from './world.ts';

const interfaces = new Map(
  [1, 2, 3].map((number) => [`i-${number}`, { id: `eni-${number}`, securityGroups: ['sg-1'] }]),
);

function world(more: Partial<Settings> = {}, limits: Readonly<Record<string, number>> = {}): Cloud {
  const cloud = new Cloud({ ...settings, ...more }, facts({ interfaces, limits }));
  cloud.addSecurityGroup('node');
  return cloud;
}

const todo = (cloud: Cloud, one: LoadBalancerSpec | undefined) =>
  kinds(stagesOf(cloud, 'uid', one && plan(one, cloud.settings)));
const acts = (cloud: Cloud, one: LoadBalancerSpec | undefined): readonly Act[] =>
  stagesOf(cloud, 'uid', one && plan(one, cloud.settings)).flat();
const progressOf = (cloud: Cloud, one: LoadBalancerSpec) =>
  progress(plan(one, cloud.settings), cloud.observed('uid'), cloud.settings);
/** What `apply` would be given for an operation; fails unless there is exactly one. */
function only<Kind extends Act['kind']>(all: readonly Act[], kind: Kind): Act & { kind: Kind } {
  const found = all.filter((act) => act.kind === kind);
  assert.equal(found.length, 1, `${kind}: ${all.map((act) => act.kind).join(', ')}`);
  return found[0] as Act & { kind: Kind };
}

test('a new Service of two ports costs ten calls, in four stages', () => {
  const cloud = world();
  const two = spec({ listeners: [listener(80), listener(443)] });
  assert.deepEqual(todo(cloud, two), [
    ['CreateSecurityGroup', 'CreateSecurityGroup', 'CreateTargetGroup', 'CreateTargetGroup'],
    ['AuthorizeSecurityGroupIngress', 'CreateLoadBalancer'],
    ['CreateListener', 'CreateListener', 'RegisterTargets', 'RegisterTargets', 'AuthorizeSecurityGroupIngress'],
  ]);
  ensure(cloud, two);
  const second = spec({ uid: 'second', key: 'default/second', listeners: [listener(80), listener(443)] });
  cloud.calls = [];
  ensure(cloud, { ...second, service: { ...second.service, name: 'second' } });
  assert.equal(cloud.calls.length, 9, 'the shared group and the rules of nodes are there');
});

test('what is AWS default is not sent for a new load balancer', () => {
  const cloud = world();
  const all = acts(cloud, spec({ short: { attributes: 'load_balancing.cross_zone.enabled=false' } }));
  assert.ok(!all.some(({ kind }) => kind.startsWith('Modify')));
  const { tags, sourceNat } = only(all, 'CreateLoadBalancer');
  assert.equal(sourceNat, undefined);
  assert.deepEqual(tags, {
    'fairlead.dev/cluster': 'my-cluster',
    'fairlead.dev/resource': 'LoadBalancer',
    'fairlead.dev/service-uid': 'uid',
    'kubernetes.io/cluster/my-cluster': 'owned',
  });
});

test('a removal of two ports costs six calls, in four stages, and empties nothing first', () => {
  const cloud = world();
  ensure(cloud, spec({ listeners: [listener(80), listener(443)] }));
  assert.deepEqual(todo(cloud, undefined), [
    ['DeleteLoadBalancer'],
    ['DeleteTargetGroup', 'DeleteTargetGroup', 'RevokeSecurityGroupIngress'],
    ['DeleteSecurityGroup'],
    ['DeleteSecurityGroup'],
  ]);
});

test('the shared group stays while another Service uses or wants it, or while not all are known', () => {
  const cloud = world();
  ensure(cloud, spec());
  const observed = cloud.observed('uid');
  cloud.needs.drop('uid');
  const deletions = (shared: Partial<Observed['shared']>, backend: Partial<Observed['shared']['backend']> = {}) =>
    diff(
      undefined,
      { ...observed, shared: { ...observed.shared, ...shared, backend: { ...observed.shared.backend, ...backend } } },
      settings,
    )
      .flat()
      .filter(({ kind, target }) => kind === 'DeleteSecurityGroup' && target.startsWith('k8s-fairlead-')).length;
  assert.equal(deletions({}), 1);
  assert.equal(deletions({}, { users: 1 }), 0);
  assert.equal(deletions({}, { wanted: true }), 0);
  assert.equal(deletions({ complete: false }), 0);
});

test('rules that name a managed group go with it, also while not all Services are known', () => {
  const cloud = world({ backendSecurityGroup: 'off' });
  ensure(cloud, spec());
  const known = diff(undefined, cloud.observed('uid', { complete: false }), cloud.settings);
  assert.deepEqual(kinds(known)[1], ['DeleteTargetGroup', 'RevokeSecurityGroupIngress']);
});

// ---- Scheme ----------------------------------------------------------------------------------------------------------

/** Load balancers come up; target checks are still running. */
function activate(cloud: Cloud): void {
  for (const one of cloud.loadBalancers) one.state = 'active';
}

const external = spec({ short: { scheme: 'internet-facing' } });

test('a change of scheme makes the new one first, switches when it is healthy, and keeps the old one for six minutes', () => {
  const cloud = world();
  const before = ensure(cloud, spec());
  assert.ok(before.state === 'ready');
  assert.deepEqual(todo(cloud, external), [
    ['CreateTargetGroup'],
    ['CreateLoadBalancer'],
    ['CreateListener', 'RegisterTargets'],
  ]);
  applyAll(cloud, 'uid', plan(external, cloud.settings));
  const names = cloud.groups.map(({ name }) => name);
  assert.equal(new Set(names).size, 2, 'the second group has a name of its own');

  const state = () => progressOf(cloud, external);
  assert.equal(state().state, 'pending');
  assert.match(JSON.stringify(state()), /is provisioning; the old one serves/);
  activate(cloud);
  assert.deepEqual([todo(cloud, external), state().state], [[], 'pending'], 'it waits for a healthy target');
  cloud.settle();
  const stamp = only(acts(cloud, external), 'AddTags');
  assert.equal(stamp.tags['fairlead.dev/retiring'], String(cloud.nowMs));
  assert.equal(state().state, 'ready', 'nothing stands in the way of the switch');
  cloud.apply(stamp);

  const after = state();
  assert.ok(after.state === 'ready');
  assert.notEqual(after.ingress[0]?.hostname, before.ingress[0]?.hostname);
  cloud.settle(359_000);
  assert.deepEqual(todo(cloud, external), []);
  cloud.settle(1000);
  assert.deepEqual(todo(cloud, external), [['DeleteLoadBalancer'], ['DeleteTargetGroup']]);
  ensure(cloud, external);
  assert.deepEqual([cloud.loadBalancers.length, cloud.groups.length], [1, 1]);
});

test('the hold starts anew with a process that may have written the status only now, and lasts as long as the drain', () => {
  const cloud = world();
  ensure(cloud, spec());
  applyAll(cloud, 'uid', plan(external, cloud.settings));
  cloud.settle();
  cloud.settle();
  applyAll(cloud, 'uid', plan(external, cloud.settings));
  cloud.settle(400_000);
  const observed = cloud.observed('uid');
  const desired = plan(external, cloud.settings);
  assert.notDeepEqual(diff(desired, observed, settings), []);
  assert.deepEqual(diff(desired, { ...observed, startedMs: observed.nowMs - 100_000 }, settings), []);
  const slow = observed.targetGroups.map((group) => ({
    ...group,
    attributes: { 'deregistration_delay.timeout_seconds': '3600' },
  }));
  assert.ok(
    !diff(desired, { ...observed, targetGroups: slow }, settings)
      .flat()
      .some(({ kind }) => kind === 'DeleteLoadBalancer'),
  );
});

test('while two load balancers stand side by side, targets of both follow the Service', () => {
  const cloud = world();
  ensure(cloud, spec());
  applyAll(cloud, 'uid', plan(external, cloud.settings));
  activate(cloud);
  const more = spec({ short: { scheme: 'internet-facing' }, targets: [node(1), node(2), node(3)] });
  assert.deepEqual(todo(cloud, more), [['RegisterTargets', 'RegisterTargets']]);
});

test('a name of our own is taken, also where the list of names does not show it yet', () => {
  const cloud = world();
  ensure(cloud, spec());
  const observed = cloud.observed('uid');
  const names = { ...observed.names, targetGroups: new Map<string, string>() };
  const all = diff(plan(external, cloud.settings), { ...observed, names }, cloud.settings).flat();
  assert.notEqual(only(all, 'CreateTargetGroup').target, cloud.groups[0]?.name);
});

test('going back to the old scheme takes the mark off and switches back the same way', () => {
  const cloud = world();
  const first = ensure(cloud, spec());
  applyAll(cloud, 'uid', plan(external, cloud.settings));
  cloud.settle();
  cloud.settle();
  applyAll(cloud, 'uid', plan(external, cloud.settings));
  const internal = spec({ short: { scheme: 'internal' } });
  const again = ensure(cloud, internal);
  assert.ok(first.state === 'ready' && again.state === 'ready');
  assert.equal(again.ingress[0]?.hostname, first.ingress[0]?.hostname);
  assert.deepEqual(
    cloud.loadBalancers.map(({ scheme }) => scheme),
    ['internal'],
  );
  assert.equal(cloud.loadBalancers[0]?.tags['fairlead.dev/retiring'], undefined);
});

test('groups of the old load balancer, and what they may reach, stay as long as it serves', () => {
  const cloud = new Cloud(
    { ...settings, backendSecurityGroup: 'off' },
    facts({ interfaces, securityGroups: [{ id: 'sg-own', vpcId: 'vpc-xxx', name: 'own', tags: {} }] }),
  );
  cloud.addSecurityGroup('node');
  cloud.securityGroups.push({ id: 'sg-own', name: 'own', vpcId: 'vpc-xxx', tags: {}, rules: [] });
  ensure(cloud, spec());
  const moved = spec({ short: { scheme: 'internet-facing', 'security-groups': 'sg-own' } });
  const gone = ['DeleteSecurityGroup', 'RevokeSecurityGroupIngress'];
  for (let round = 0; round < 4; round += 1) {
    assert.ok(
      !todo(cloud, moved)
        .flat()
        .some((kind) => gone.includes(kind)),
      `round ${round}`,
    );
    applyAll(cloud, 'uid', plan(moved, cloud.settings));
    cloud.settle();
  }
  assert.equal(cloud.loadBalancers.length, 2);
  ensure(cloud, moved);
  assert.deepEqual(
    cloud.securityGroups.map(({ name }) => name),
    ['node', 'own'],
  );
});

test('groups of the old one that a shared range serves are not closed before it is gone', () => {
  const cloud = world({ backendSecurityGroup: 'off' });
  ensure(cloud, spec());
  const backed = { ...cloud.settings, backendSecurityGroup: 'auto' as const };
  const inBackend = new Cloud(backed, cloud.facts);
  Object.assign(inBackend, {
    loadBalancers: cloud.loadBalancers,
    groups: cloud.groups,
    securityGroups: cloud.securityGroups,
  });
  for (let round = 0; round < 4; round += 1) {
    applyAll(inBackend, 'uid', plan(external, backed));
    inBackend.settle();
  }
  assert.equal(inBackend.loadBalancers.length, 2, 'the old one is kept');
  const sources = inBackend.securityGroups[0]?.rules.map(({ source }) => source);
  assert.equal(sources?.length, 2, 'nodes let both in');
});

test('without room for a second load balancer the old one goes first', () => {
  const cloud = world({}, { 'network-load-balancers': 1 });
  ensure(cloud, spec());
  const [first, ...rest] = todo(cloud, external);
  assert.deepEqual(first, ['CreateTargetGroup', 'DeleteLoadBalancer']);
  assert.deepEqual(rest.flat().includes('CreateLoadBalancer'), true);
  ensure(cloud, external);
  assert.deepEqual(
    cloud.loadBalancers.map(({ scheme }) => scheme),
    ['internet-facing'],
  );
});

test('a protected load balancer is not deleted: an error on removal, a shortfall when it is replaced', () => {
  const cloud = world();
  const guarded = spec({ short: { attributes: 'deletion_protection.enabled=true' } });
  ensure(cloud, guarded);
  assert.throws(
    () => todo(cloud, undefined),
    (error: unknown) => isProviderError(error) && error.code === 'FL_AWS_PROTECTED' && error.kind === 'denied',
  );
  const moved = spec({ short: { scheme: 'internet-facing' } });
  const now = ensure(cloud, moved);
  assert.ok(now.state === 'ready');
  assert.deepEqual(
    now.shortfalls?.map(({ reason }) => reason),
    ['DeletionProtected'],
  );
  assert.equal(cloud.loadBalancers.length, 2);
});

test('scheme keep: what exists stays, whatever the default', () => {
  const cloud = world({ defaultScheme: 'internet-facing' });
  ensure(cloud, spec());
  assert.deepEqual(
    diff(plan(spec(), settings), cloud.observed('uid'), { ...cloud.settings, defaultScheme: 'internal' }),
    [],
  );
});

// ---- Targets -----------------------------------------------------------------------------------------------------------

const many = (count: number, from = 0) => Array.from({ length: count }, (_, index) => node(from + index));

test('targets are registered and deregistered in batches of 200', () => {
  const cloud = world();
  ensure(cloud, spec({ targets: many(2) }));
  assert.deepEqual(todo(cloud, spec({ targets: many(403) })), [
    ['RegisterTargets', 'RegisterTargets', 'RegisterTargets'],
  ]);
  ensure(cloud, spec({ targets: many(403) }));
  assert.deepEqual(todo(cloud, spec({ targets: many(2) })), [
    ['DeregisterTargets', 'DeregisterTargets', 'DeregisterTargets'],
  ]);
});

test('a node that is replaced leaves when its successor is healthy', () => {
  const cloud = world();
  ensure(cloud, spec({ targets: [node(1), node(2)] }));
  const next = spec({ targets: [node(1), node(3)] });
  assert.deepEqual(todo(cloud, next), [['RegisterTargets']]);
  applyAll(cloud, 'uid', plan(next, cloud.settings));
  assert.deepEqual([todo(cloud, next), progressOf(cloud, next).state], [[], 'pending']);
  cloud.settle();
  assert.deepEqual(todo(cloud, next), [['DeregisterTargets']]);
});

test('a node that drains, or that fails its check, leaves at once', () => {
  const cloud = world();
  ensure(cloud, spec({ targets: [node(1), node(2)] }));
  const drains = spec({ targets: [node(1), node(2, { draining: true }), node(3)] });
  assert.deepEqual(todo(cloud, drains), [['DeregisterTargets'], ['RegisterTargets']]);
  for (const target of cloud.groups[0]?.targets ?? []) if (target.id === 'i-2') target.state = 'unhealthy';
  assert.deepEqual(todo(cloud, spec({ targets: [node(1), node(3)] })), [['DeregisterTargets'], ['RegisterTargets']]);
});

test('a pod that left its EndpointSlice goes at once; one whose port changed waits for itself', () => {
  const cloud = world();
  const pods = (more: Partial<LoadBalancerSpec>) => spec({ short: { type: 'nlb-ip' }, targetKind: 'pod', ...more });
  const first = pods({ targets: [pod(1), pod(2)] });
  ensure(cloud, first);
  assert.deepEqual(todo(cloud, pods({ targets: [pod(1), pod(3)] })), [['DeregisterTargets'], ['RegisterTargets']]);
  const moved = pods({ targets: [pod(1), pod(2)], listeners: [listener(80, { targetPort: 1234 })] });
  assert.ok(!todo(cloud, moved).flat().includes('DeregisterTargets'));
});

test('a target that drains counts as gone: it is registered again when it is wanted again', () => {
  const cloud = world();
  ensure(cloud, spec());
  for (const target of cloud.groups[0]?.targets ?? []) if (target.id === 'i-2') target.state = 'draining';
  assert.deepEqual(only(acts(cloud, spec()), 'RegisterTargets').targets, [{ id: 'i-2', port: 30080 }]);
  assert.deepEqual(todo(cloud, spec({ targets: [node(1)] })), []);
});

test('where the quota has no room for both, those who go make room first', () => {
  const cloud = world({}, { 'targets-per-target-group': 2 });
  ensure(cloud, spec({ targets: [node(1), node(2)] }));
  assert.deepEqual(todo(cloud, spec({ targets: [node(1), node(3)] })), [['DeregisterTargets'], ['RegisterTargets']]);
});

test('targets of other clusters stay in a group that clusters share', () => {
  const cloud = world();
  const shared = (more: Partial<LoadBalancerSpec> = {}) =>
    spec({ short: { 'multi-cluster-target-group': 'true' }, ...more });
  ensure(cloud, shared());
  cloud.groups[0]?.targets.push({ id: 'i-other', port: 30080, state: 'healthy' });
  assert.deepEqual(todo(cloud, shared()), []);
  assert.deepEqual(todo(cloud, shared({ targets: [node(1), node(2, { draining: true })] })), [['DeregisterTargets']]);
});

test('pods with ports of their own are registered with those, and a draining one is not', () => {
  const cloud = world();
  const one = spec({
    short: { type: 'nlb-ip' },
    targetKind: 'pod',
    listeners: [listener(80, { targetPort: 0, targetPortName: 'web' })],
    targets: [
      pod(1, { ports: { p80: 8080 } }),
      pod(2, { ports: { p80: 9090 } }),
      pod(3),
      pod(4, { draining: true, ports: { p80: 1 } }),
    ],
  });
  const register = only(acts(cloud, one), 'RegisterTargets');
  assert.deepEqual(register.targets, [
    { id: '192.168.1.1', port: 8080 },
    { id: '192.168.1.2', port: 9090 },
  ]);
});

test('a pod outside the VPC is refused, or registered with zone all where the settings say so', () => {
  const one = spec({ short: { type: 'nlb-ip' }, targetKind: 'pod', targets: [pod(1, { address: '10.9.9.9' })] });
  assert.throws(() => todo(world(), one), /nlb-target-type: pod address 10\.9\.9\.9 is outside the VPC/);
  const register = only(acts(world({ allowOutsideVpc: true }), one), 'RegisterTargets');
  assert.deepEqual(register.targets, [{ id: '10.9.9.9', port: 30080, zone: 'all' }]);
});

test('at most as many targets as the cap allows', () => {
  const register = only(acts(world({ maxTargetsPerGroup: 2 }), spec({ targets: many(5) })), 'RegisterTargets');
  assert.deepEqual(
    register.targets.map(({ id }) => id),
    ['i-0', 'i-1'],
  );
});

// ---- Listeners ---------------------------------------------------------------------------------------------------------

test('a port is opened before another is closed, unless the quota has room for one only', () => {
  const cloud = world();
  ensure(cloud, spec());
  const other = spec({ listeners: [listener(81)] });
  const flat = todo(cloud, other).flat();
  assert.ok(flat.indexOf('CreateListener') < flat.indexOf('DeleteListener'), flat.join());
  const narrow = world({}, { 'listeners-per-network-load-balancer': 1 });
  ensure(narrow, spec());
  const order = todo(narrow, other).flat();
  assert.ok(order.indexOf('DeleteListener') < order.indexOf('CreateListener'), order.join());
});

test('a listener that somebody else opened stays, and is a conflict where its port is wanted', () => {
  const cloud = world();
  ensure(cloud, spec());
  const foreign = {
    ...(cloud.loadBalancers[0]?.listeners[0] as ObservedListener),
    arn: 'arn:foreign',
    port: 443,
    forward: [{ arn: 'arn:x' }],
    tags: { owner: 'foreign' },
  };
  cloud.loadBalancers[0]?.listeners.push(foreign as never);
  assert.deepEqual(todo(cloud, spec()), []);
  assert.throws(
    () => todo(cloud, spec({ listeners: [listener(80), listener(443)] })),
    (error: unknown) =>
      isProviderError(error) && error.code === 'FL_AWS_FOREIGN' && error.message.includes('arn:foreign'),
  );
});

test('a listener whose tags were not read is not closed, and its group stays with it', () => {
  const cloud = world();
  ensure(cloud, spec({ listeners: [listener(80), listener(443)] }));
  const observed = cloud.observed('uid');
  const loadBalancers = observed.loadBalancers.map((one) => ({
    ...one,
    listeners:
      one.listeners === 'unread' ? one.listeners : one.listeners.map((each) => ({ ...each, tags: 'unread' as const })),
  }));
  const all = diff(plan(spec(), cloud.settings), { ...observed, loadBalancers }, cloud.settings).flat();
  assert.deepEqual(
    all.map(({ kind }) => kind).filter((kind) => /Listener|TargetGroup/.test(kind)),
    [],
  );
});

test('certificates: the first is the default, the others are added and removed one by one', () => {
  const cloud = world();
  const tls = (list: string) => spec({ short: { 'ssl-cert': list } });
  const created = only(acts(cloud, tls('arn:a,arn:b')), 'CreateListener');
  assert.deepEqual(
    [created.certificate, created.protocol, created.sslPolicy],
    ['arn:a', 'TLS', 'ELBSecurityPolicy-2016-08'],
  );
  ensure(cloud, tls('arn:a,arn:b'));
  assert.deepEqual(todo(cloud, tls('arn:a,arn:c')), [['AddListenerCertificates'], ['RemoveListenerCertificates']]);
  assert.deepEqual(todo(cloud, tls('arn:b,arn:a')), [['ModifyListener'], ['AddListenerCertificates']]);
  const modify = only(acts(cloud, tls('arn:b')), 'ModifyListener');
  assert.deepEqual([modify.certificate, modify.protocol, modify.forward], ['arn:b', undefined, undefined]);
});

test('under dualstack a listener that becomes UDP is closed and opened, elsewhere it is changed', () => {
  const v6 = { ipv6Cidr: '2001:db8::/64' as Cidr };
  const subnets = [subnet('subnet-1', '192.168.0.0/19', v6)];
  const dual = new Cloud(settings, facts({ interfaces, subnets }));
  dual.addSecurityGroup('node');
  const one = (protocol: 'TCP' | 'UDP', type: string) =>
    spec({ short: { 'ip-address-type': type }, listeners: [listener(80, { protocol })] });
  ensure(dual, one('TCP', 'dualstack'));
  const order = todo(dual, one('UDP', 'dualstack')).flat();
  assert.ok(order.indexOf('DeleteListener') >= 0 && order.indexOf('DeleteListener') < order.indexOf('CreateListener'));
  const plain = world();
  ensure(plain, one('TCP', 'ipv4'));
  assert.equal(only(acts(plain, one('UDP', 'ipv4')), 'ModifyListener').protocol, 'UDP');
});

test('an order of SNI certificates means nothing', () => {
  const cloud = world();
  ensure(cloud, spec({ short: { 'ssl-cert': 'arn:a,arn:b,arn:c' } }));
  assert.deepEqual(todo(cloud, spec({ short: { 'ssl-cert': 'arn:a,arn:c,arn:b' } })), []);
});

test('a target group of another type or protocol is made anew before the listener moves, and the old one goes last', () => {
  const cloud = world();
  ensure(cloud, spec());
  const pods = spec({ short: { type: 'nlb-ip' }, targetKind: 'pod', targets: [pod(1)] });
  const flat = todo(cloud, pods).flat();
  assert.deepEqual(flat, ['CreateTargetGroup', 'RegisterTargets', 'ModifyListener', 'DeleteTargetGroup']);
});

test('foreign groups of a weighted forward are named by ARN, and equal weights need no call', () => {
  const arn = 'arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/x/1';
  const forwardConfig = { baseServiceWeight: 3, targetGroups: [{ targetGroupARN: arn, weight: 1 }] };
  const one = spec({
    short: { 'service.beta.kubernetes.io/actions.TCP-80': JSON.stringify({ type: 'forward', forwardConfig }) },
  });
  const cloud = world();
  assert.deepEqual(
    only(acts(cloud, one), 'CreateListener').forward.map(({ group, weight }) => [group.id, weight]),
    [
      [undefined, 3],
      [arn, 1],
    ],
  );
  ensure(cloud, one);
  assert.deepEqual(todo(cloud, one), []);
  const plain = only(acts(cloud, spec()), 'ModifyListener');
  assert.equal(plain.forward?.length, 1);
});

// ---- Attributes and tags -----------------------------------------------------------------------------------------------

test('an attribute whose annotation goes is reset, and the record of it follows', () => {
  const cloud = world();
  const on = spec({
    short: {
      attributes: 'load_balancing.cross_zone.enabled=true',
      'target-group-attributes': 'stickiness.enabled=true',
      'listener-attributes.TCP-80': 'tcp.idle_timeout.seconds=60',
    },
  });
  ensure(cloud, on);
  assert.equal(cloud.loadBalancers[0]?.tags['fairlead.dev/attributes'], 'load_balancing.cross_zone.enabled');
  assert.equal(cloud.groups[0]?.tags['fairlead.dev/attributes'], 'stickiness.enabled');
  const all = acts(cloud, spec());
  assert.deepEqual(only(all, 'ModifyLoadBalancerAttributes').attributes, {
    'load_balancing.cross_zone.enabled': 'false',
  });
  assert.deepEqual(only(all, 'ModifyTargetGroupAttributes').attributes, { 'stickiness.enabled': 'false' });
  assert.deepEqual(only(all, 'ModifyListenerAttributes').attributes, { 'tcp.idle_timeout.seconds': '350' });
  ensure(cloud, spec());
  assert.equal(cloud.loadBalancers[0]?.tags['fairlead.dev/attributes'], undefined);
});

test('an attribute that somebody else set is not ours to reset', () => {
  const cloud = world();
  ensure(cloud, spec());
  const [balancer] = cloud.loadBalancers;
  assert.ok(balancer !== undefined);
  balancer.attributes = { 'zonal_shift.config.enabled': 'true' };
  assert.deepEqual(todo(cloud, spec()), []);
});

test('an attribute is noted before it is set, and struck after it is reset', () => {
  const cloud = world();
  ensure(cloud, spec());
  const on = spec({ short: { attributes: 'load_balancing.cross_zone.enabled=true' } });
  assert.deepEqual(todo(cloud, on), [['AddTags'], ['ModifyLoadBalancerAttributes']]);
  ensure(cloud, on);
  assert.deepEqual(todo(cloud, spec()), [['ModifyLoadBalancerAttributes'], ['RemoveTags']]);
});

test('reserved capacity and PrivateLink checks are reset with their annotations', () => {
  const cloud = world();
  ensure(
    cloud,
    spec({
      short: {
        'minimum-load-balancer-capacity': 'CapacityUnits=100',
        'inbound-sg-rules-on-private-link-traffic': 'off',
      },
    }),
  );
  assert.deepEqual([cloud.loadBalancers[0]?.capacityUnits, cloud.loadBalancers[0]?.enforcePrivateLink], [100, 'off']);
  const all = acts(cloud, spec());
  assert.equal(only(all, 'ModifyCapacityReservation').units, 0);
  assert.equal(only(all, 'SetSecurityGroups').enforcePrivateLink, 'on');
  ensure(cloud, spec());
  assert.deepEqual(todo(cloud, spec()), []);
});

test('tags of AWS, of external tools and of other clusters stay; others go, wanted ones come', () => {
  const cloud = world({ externalManagedTags: ['cost'], defaultTags: { team: 'a', tier: '1' } });
  ensure(cloud, spec());
  const [balancer] = cloud.loadBalancers;
  assert.ok(balancer !== undefined);
  Object.assign(balancer.tags, { 'aws:x': '1', cost: '2', 'kubernetes.io/cluster/b': 'shared', stray: '3', team: 'b' });
  const all = acts(cloud, spec({ short: { 'additional-resource-tags': 'tier=2' } })).filter(
    ({ target }) => target === balancer.name,
  );
  assert.deepEqual(only(all, 'AddTags').tags, { team: 'a', tier: '2' });
  assert.deepEqual(only(all, 'RemoveTags').keys, ['stray']);
});

test('our own tags cannot be overridden by annotation', () => {
  const { tags } = only(
    acts(world(), spec({ short: { 'additional-resource-tags': 'fairlead.dev/cluster=other' } })),
    'CreateLoadBalancer',
  );
  assert.equal(tags['fairlead.dev/cluster'], 'my-cluster');
});

// ---- Subnets, addresses, groups ----------------------------------------------------------------------------------------

test('changed subnets and elastic addresses are sent, all of them; the order means nothing', () => {
  const cloud = world();
  const at = (subnets: string, eips?: string) =>
    spec({ short: { scheme: 'internet-facing', subnets, ...(eips === undefined ? {} : { 'eip-allocations': eips }) } });
  ensure(cloud, at('subnet-1'));
  assert.deepEqual(only(acts(cloud, at('subnet-1,subnet-2')), 'SetSubnets').subnets, [
    { id: 'subnet-1' },
    { id: 'subnet-2' },
  ]);
  ensure(cloud, at('subnet-1,subnet-2', 'e1,e2'));
  assert.deepEqual(todo(cloud, at('subnet-2,subnet-1', 'e2,e1')), []);
  assert.deepEqual(only(acts(cloud, at('subnet-1,subnet-2', 'e1,e3')), 'SetSubnets').subnets[1], {
    id: 'subnet-2',
    eip: 'e3',
  });
});

test('client ranges: new ones come in before old ones go, by network, and rules of others stay', () => {
  const cloud = world();
  ensure(cloud, spec({ sources: ['10.0.0.0/8' as Cidr] }));
  const managed = cloud.securityGroups.find(({ name }) => name.startsWith('k8s-default-web-'));
  managed?.rules.push({
    protocol: 'tcp',
    from: 22,
    to: 22,
    source: { cidr: '1.1.1.1/32' as Cidr },
    description: 'by hand',
  });
  assert.deepEqual(todo(cloud, spec({ sources: ['10.0.0.0/8' as Cidr] })), []);
  const all = acts(cloud, spec({ sources: ['172.16.0.0/12' as Cidr] }));
  assert.deepEqual(
    all.map(({ kind }) => kind),
    ['AuthorizeSecurityGroupIngress', 'RevokeSecurityGroupIngress'],
  );
  assert.deepEqual(
    only(all, 'RevokeSecurityGroupIngress').rules.map(({ source }) => source),
    [{ cidr: '10.0.0.0/8' }],
  );
  assert.deepEqual(
    only(all, 'AuthorizeSecurityGroupIngress').rules.map(({ description }) => description),
    ['fairlead.dev/cluster=my-cluster'],
  );
});

test('where the group has no room for both, old ranges go first', () => {
  const cloud = world({}, { 'rules-per-security-group': 1 });
  ensure(cloud, spec({ sources: ['10.0.0.0/8' as Cidr] }));
  const flat = todo(cloud, spec({ sources: ['172.16.0.0/12' as Cidr] })).flat();
  assert.deepEqual(flat, ['RevokeSecurityGroupIngress', 'AuthorizeSecurityGroupIngress']);
});

test('a load balancer without security groups never gets any, and one with some never loses them all', () => {
  const bare = world({ securityGroups: false });
  ensure(bare, spec());
  assert.deepEqual(diff(plan(spec(), settings), bare.observed('uid'), { ...bare.settings, securityGroups: true }), []);
  const own = spec({ short: { 'security-groups': 'sg-x' } });
  assert.throws(
    () => diff(plan(own, settings), bare.observed('uid'), settings),
    /security-groups: the load balancer was made without/,
  );
  const full = world();
  ensure(full, spec());
  assert.throws(
    () => todo(full, spec({ short: { 'disable-nlb-sg': 'true' } })),
    /disable-nlb-sg: the load balancer has security groups/,
  );
});

test('rules of nodes: one range grows with the Services, and goes with the last', () => {
  const cloud = world();
  const rules = () => cloud.securityGroups[0]?.rules.map(({ protocol, from, to }) => `${protocol} ${from}-${to}`);
  ensure(cloud, spec());
  assert.deepEqual(rules(), ['tcp 30080-30080']);
  ensure(cloud, spec({ listeners: [listener(80), listener(443)] }));
  assert.deepEqual(rules(), ['tcp 30080-30443']);
  remove(cloud, 'uid');
  assert.deepEqual(rules(), []);
});

test('rules of nodes from ranges of addresses are one per port, and one by one', () => {
  const cloud = world({ securityGroups: false });
  const rules = () =>
    cloud.securityGroups[0]?.rules.map(({ from, to, source }) => `${from}-${to} ${Object.values(source)[0]}`);
  ensure(cloud, spec({ listeners: [listener(80)] }));
  ensure(cloud, spec({ listeners: [listener(80), listener(443)] }));
  assert.deepEqual(rules(), ['30080-30080 192.168.0.0/16', '30443-30443 192.168.0.0/16']);
  ensure(cloud, spec({ listeners: [listener(443)] }));
  assert.deepEqual(rules(), ['30443-30443 192.168.0.0/16']);
});

test('a rule of somebody else that lets the same in is enough, and is never revoked', () => {
  const cloud = world({ backendSecurityGroup: 'sg-given' });
  cloud.securityGroups.push({ id: 'sg-given', name: 'given', vpcId: 'vpc-xxx', tags: {}, rules: [] });
  const theirs = {
    protocol: 'tcp',
    from: 0,
    to: 65_535,
    source: { group: 'sg-given' },
    description: 'foreign',
  } as const;
  cloud.securityGroups[0]?.rules.push(theirs);
  ensure(cloud, spec());
  remove(cloud, 'uid');
  assert.deepEqual(cloud.securityGroups[0]?.rules, [theirs]);
});

test('an interface with several groups needs exactly one of the cluster; without, only its targets stay closed', () => {
  const tags = { 'kubernetes.io/cluster/my-cluster': 'shared' };
  const group = (id: string, has: Record<string, string>) => ({ id, vpcId: 'vpc-xxx', name: id, tags: has });
  const two = new Map([['i-1', { id: 'eni-1', securityGroups: ['sg-1', 'sg-9'] }]]);
  const cloudOf = (nine: Record<string, string>) => {
    const cloud = new Cloud(
      settings,
      facts({ interfaces: two, securityGroups: [group('sg-1', tags), group('sg-9', nine)] }),
    );
    cloud.addSecurityGroup('node');
    return cloud;
  };
  const good = cloudOf({});
  const fine = ensure(good, spec({ targets: [node(1)] }));
  assert.ok(fine.state === 'ready' && fine.shortfalls === undefined);
  assert.equal(good.securityGroups[0]?.rules.length, 1);
  const bad = ensure(cloudOf(tags), spec({ targets: [node(1)] }));
  assert.ok(bad.state === 'ready');
  assert.match(bad.shortfalls?.[0]?.message ?? '', /eni-1 .*sg-1, sg-9 .*kubernetes\.io\/cluster\/my-cluster/);
});

// ---- Foreign things and adoption ---------------------------------------------------------------------------------------

for (const [what, take] of [
  [
    'load balancer',
    (cloud: Cloud) => ({ map: 'loadBalancers', name: only(acts(cloud, spec()), 'CreateLoadBalancer').target }),
  ],
  [
    'target group',
    (cloud: Cloud) => ({ map: 'targetGroups', name: only(acts(cloud, spec()), 'CreateTargetGroup').target }),
  ],
] as const) {
  test(`a ${what} of somebody else that has our name is a conflict, and nothing is written`, () => {
    const cloud = world();
    const { map, name } = take(cloud);
    const observed = cloud.observed('uid');
    const names = { ...observed.names, [map]: new Map([[name, 'arn:theirs']]) };
    assert.throws(
      () => diff(plan(spec(), settings), { ...observed, names }, settings),
      (error: unknown) => isProviderError(error) && error.code === 'FL_AWS_FOREIGN' && /arn:theirs/.test(error.message),
    );
  });
}

const LBC_RULE = 'elbv2.k8s.aws/targetGroupBinding=shared';

/** The same, as the AWS Load Balancer Controller would have left it. */
function lbcWorld(more: Partial<Settings> = {}): Cloud {
  const cloud = world({ ...more, backendSecurityGroup: 'off' });
  ensure(cloud, spec());
  const theirs = (tags: Record<string, string>) => ({
    'elbv2.k8s.aws/cluster': 'my-cluster',
    'service.k8s.aws/stack': 'default/web',
    'service.k8s.aws/resource': tags['fairlead.dev/resource'] ?? '',
  });
  for (const one of [
    ...cloud.loadBalancers,
    ...cloud.groups,
    ...cloud.loadBalancers.flatMap(({ listeners }) => listeners),
  ])
    one.tags = theirs(one.tags);
  const [nodes] = cloud.securityGroups;
  if (nodes !== undefined) nodes.rules = nodes.rules.map((rule) => ({ ...rule, description: LBC_RULE }));
  for (const group of cloud.securityGroups.slice(1)) {
    group.tags = theirs(group.tags);
    group.rules = group.rules.map((rule) => ({ ...rule, description: '' }));
  }
  // The model finds parts by UID; those of the reference have none.
  const observed = cloud.observed.bind(cloud);
  cloud.observed = (uid, how) => {
    const all = [...cloud.loadBalancers, ...cloud.groups, ...cloud.securityGroups.slice(1)];
    const hidden = all.filter(
      ({ tags }) => tags['fairlead.dev/service-uid'] === undefined && tags['service.k8s.aws/stack'] !== undefined,
    );
    for (const { tags } of hidden) tags['service.k8s.aws/stack'] = uid;
    const seen = observed(uid, how);
    const fix = <T extends { readonly tags: Readonly<Record<string, string>> }>(part: T): T => ({
      ...part,
      tags: {
        ...part.tags,
        ...(part.tags['service.k8s.aws/stack'] === undefined ? {} : { 'service.k8s.aws/stack': 'default/web' }),
      },
    });
    for (const { tags } of hidden) tags['service.k8s.aws/stack'] = 'default/web';
    return {
      ...seen,
      loadBalancers: seen.loadBalancers.map((one): ObservedLoadBalancer => fix(one)),
      targetGroups: seen.targetGroups.map(fix),
      securityGroups: seen.securityGroups.map(fix),
    };
  };
  return cloud;
}

test('what the AWS Load Balancer Controller made is not touched without the flag: conflict with ARN and flag', () => {
  const cloud = lbcWorld();
  assert.throws(
    () => todo(cloud, spec()),
    (error: unknown) =>
      isProviderError(error) && error.code === 'FL_AWS_FOREIGN' && /arn:lb\/.*--aws-adopt-lbc/.test(error.message),
  );
  assert.deepEqual(diff(undefined, cloud.observed('uid'), cloud.settings), []);
});

test('with the flag our tags come first, then nothing else is left to do, and its tags stay', () => {
  const cloud = lbcWorld({ adoptLbc: true });
  const [first, ...rest] = todo(cloud, spec());
  assert.deepEqual([...(first ?? [])].sort(), ['AddTags', 'AddTags', 'AddTags', 'CreateTags']);
  assert.deepEqual(rest, []);
  applyAll(cloud, 'uid', plan(spec(), cloud.settings));
  assert.deepEqual(todo(cloud, spec()), []);
  const [balancer] = cloud.loadBalancers;
  assert.equal(balancer?.tags['service.k8s.aws/stack'], 'default/web');
  assert.equal(balancer?.tags['fairlead.dev/service-uid'], 'uid');
});

test('with the flag, a Service that was never adopted is adopted first when it is deleted', () => {
  const cloud = lbcWorld({ adoptLbc: true });
  assert.deepEqual(todo(cloud, undefined), [
    ['AddTags', 'AddTags'],
    ['DeleteLoadBalancer'],
    ['DeleteTargetGroup', 'RevokeSecurityGroupIngress'],
    ['DeleteSecurityGroup'],
  ]);
  remove(cloud, 'uid');
  assert.deepEqual(
    cloud.securityGroups.map(({ name }) => name),
    ['node'],
  );
});

// ---- Unread ------------------------------------------------------------------------------------------------------------

test('of what was not read nothing is written, whatever is wanted', () => {
  const cloud = world();
  ensure(cloud, spec());
  const other = spec({
    listeners: [listener(80), listener(443)],
    targets: [node(3)],
    short: {
      attributes: 'load_balancing.cross_zone.enabled=true',
      'minimum-load-balancer-capacity': 'CapacityUnits=9',
    },
  });
  const desired = plan(other, cloud.settings);
  const unread = diff(desired, cloud.observed('uid', { unread: true }), cloud.settings)
    .flat()
    .map(({ kind }) => kind);
  assert.ok(!unread.some((kind) => /Listener|LoadBalancerAttributes|Capacity/.test(kind)), unread.join());
  assert.deepEqual(
    unread.filter((kind) => kind === 'DeregisterTargets'),
    [],
  );
});

// ---- Progress ----------------------------------------------------------------------------------------------------------

test('ready with the hostname in lower case, all ports and the print of the wishes; pending until it is active', () => {
  const cloud = world();
  const both = spec({ listeners: [listener(80), listener(80, { protocol: 'UDP' })] });
  assert.deepEqual(progressOf(cloud, both).state, 'pending');
  applyAll(cloud, 'uid', plan(both, cloud.settings));
  assert.match(JSON.stringify(progressOf(cloud, both)), /is provisioning/);
  const now = ensure(cloud, both);
  assert.ok(now.state === 'ready');
  assert.match(now.ingress[0]?.hostname ?? '', /^k8s-default-web-.*\.elb\.example$/);
  assert.deepEqual(now.ingress[0]?.ports, [
    { port: 80, protocol: 'TCP' },
    { port: 80, protocol: 'UDP' },
  ]);
  assert.match(now.annotations?.[PRINT_ANNOTATION] ?? '', /^[0-9a-f]{16}$/);
});

test('the print of the wishes does not follow the targets, and follows everything else', () => {
  const print = (more: Parameters<typeof spec>[0]) => {
    const now = ensure(world(), spec(more));
    return now.annotations?.[PRINT_ANNOTATION];
  };
  assert.equal(print({}), print({ targets: [node(3)] }));
  assert.notEqual(print({}), print({ short: { name: 'x' } }));
});

test('after a removal the print is taken off', () => {
  assert.deepEqual(remove(world(), 'uid').annotations, { [PRINT_ANNOTATION]: null });
});

test('all targets failing is said with AWS reasons, some failing or checks still running is not', () => {
  const cloud = world();
  ensure(cloud, spec());
  const states = (...all: readonly ('healthy' | 'unhealthy' | 'initial')[]) => {
    for (const [index, target] of (cloud.groups[0]?.targets ?? []).entries())
      Object.assign(target, { state: all[index], reason: 'Target.FailedHealthChecks' });
    const now = progressOf(cloud, spec());
    return now.state === 'ready' ? now.shortfalls?.map(({ reason, message }) => `${reason}: ${message}`) : now.reason;
  };
  assert.deepEqual(states('unhealthy', 'unhealthy'), [
    'NoHealthyTargets: every target fails its health check: Target.FailedHealthChecks',
  ]);
  assert.equal(states('unhealthy', 'healthy'), undefined);
  assert.equal(states('unhealthy', 'initial'), undefined);
});

test('a Service without targets is no Service whose targets fail', () => {
  const now = ensure(world(), spec({ targets: [] }));
  assert.ok(now.state === 'ready');
  assert.equal(now.shortfalls, undefined);
});

test('by option the hostname waits for a healthy target', () => {
  const cloud = world({ waitForHealthyTarget: true });
  applyAll(cloud, 'uid', plan(spec(), cloud.settings));
  cloud.settle();
  for (const target of cloud.groups[0]?.targets ?? []) target.state = 'unhealthy';
  assert.match(JSON.stringify(progressOf(cloud, spec())), /no target of .* is healthy yet/);
  Object.assign(cloud.groups[0]?.targets[0] ?? {}, { state: 'healthy' });
  assert.equal(progressOf(cloud, spec()).state, 'ready');
});

test('a load balancer that has failed is a wait with the reason of AWS, and a published hostname stays', () => {
  const cloud = world();
  ensure(cloud, spec());
  Object.assign(cloud.loadBalancers[0] ?? {}, { state: 'failed', stateReason: 'no room' });
  const now = progressOf(cloud, spec());
  assert.deepEqual(now.state === 'pending' && now.reason.endsWith('has failed: no room'), true);
  Object.assign(cloud.loadBalancers[0] ?? {}, { state: 'active_impaired' });
  assert.equal(progressOf(cloud, spec()).state, 'ready');
});

test('another name cannot be given to a load balancer that exists, and that is said', () => {
  const cloud = world();
  ensure(cloud, spec());
  const now = ensure(cloud, spec({ short: { name: 'mine' } }));
  assert.ok(now.state === 'ready');
  assert.deepEqual(
    now.shortfalls?.map(({ reason, field }) => [reason, field]),
    [['NameNotChanged', 'service.beta.kubernetes.io/aws-load-balancer-name']],
  );
});

test('guards: hairpin is warned of, a proxy protocol header on a foreign health port is a shortfall', () => {
  const events = (more: Parameters<typeof spec>[0]) => ensure(world(), spec(more)).events?.map(({ reason }) => reason);
  assert.deepEqual(events({}), ['HairpinTraffic']);
  assert.equal(events({ short: { scheme: 'internet-facing' } }), undefined);
  assert.equal(events({ short: { 'target-group-attributes': 'preserve_client_ip.enabled=false' } }), undefined);
  const reasons = (more: Parameters<typeof spec>[0]) => {
    const now = ensure(world(), spec(more));
    return now.state === 'ready' ? (now.shortfalls ?? []).map(({ reason }) => reason) : [];
  };
  const local = { trafficPolicy: 'local', health: { protocol: 'HTTP', port: 32_000, path: '/healthz' } } as const;
  assert.deepEqual(reasons({ ...local, short: { 'proxy-protocol': '*' } }), ['ProxyProtocolHealthCheck']);
  assert.deepEqual(
    reasons({ short: { 'proxy-protocol': '*', 'healthcheck-protocol': 'http', 'healthcheck-port': '8080' } }),
    ['ProxyProtocolHealthCheck'],
  );
  assert.deepEqual(reasons({ short: { 'proxy-protocol': '*' } }), []);
  assert.deepEqual(reasons({ ...local, short: { 'proxy-protocol': '*', 'healthcheck-protocol': 'tcp' } }), []);
});

test('what exceeds a quota of AWS is said before a call fails', () => {
  const cloud = world({}, { 'targets-per-network-load-balancer': 1 });
  const now = ensure(cloud, spec());
  assert.ok(now.state === 'ready');
  assert.deepEqual(now.shortfalls, [
    { reason: 'QuotaExceeded', message: 'targets-per-network-load-balancer: 2 wanted, AWS allows 1' },
  ]);
});
