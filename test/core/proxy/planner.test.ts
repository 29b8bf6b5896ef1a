import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ElementChange, TableFamily } from '../../../src/core/net/element.ts';
import type { EndpointSlice } from '../../../src/core/objects.ts';
import type { Cidr } from '../../../src/core/provider.ts';
import type { Plan, Planner } from '../../../src/core/proxy/model.ts';
import { keyText } from '../../../src/core/proxy/schema.ts';
import {
  commit,
  describe,
  type EndpointText,
  fakeTable,
  lines,
  model,
  planner,
  type ServiceText,
  slice,
  targetText,
} from './fixture.ts';

/** `+services 172.30.0.1 . tcp . 80 : 0:2`, in the order of the transaction. */
const text = (changes: readonly ElementChange[], family: TableFamily = 'ip'): readonly string[] =>
  changes.map(({ op, element }) =>
    op === 'add' || element.set === 'allowed' || element.set === 'no-masq' || element.set === 'pod-cidrs'
      ? `${op === 'add' ? '+' : '-'}${element.set} ${describe(element, family)}`
      : `-${element.set} ${keyText(element.set as 'services', element.key, family)}`,
  );

const laterText = (from: Planner, plan: Plan, family: TableFamily = 'ip'): readonly string[] =>
  plan.later === undefined ? [] : text(from.release(plan.later), family);

const pods = (...last: readonly (number | EndpointText)[]): EndpointSlice =>
  slice(last.map((entry) => (typeof entry === 'number' ? { ip: `10.64.1.${entry}`, nodeName: 'n2' } : entry)));

const set = (from: Planner, slices: EndpointSlice, service: ServiceText = {}): Plan => {
  const made = model(service, [slices]);
  return from.plan([[made.key, made]]);
};

const KEY = '172.30.0.1 . tcp . 80';

test('a new Service: slots and sets before what leads to them, its chain before all', () => {
  const from = planner();
  const plan = set(from, pods(1, 2));
  assert.deepEqual(plan.chains, [2]);
  assert.deepEqual(text(plan.now), [
    `+endpoints ${KEY} . 0:0 : 10.64.1.1 . 8080`,
    `+endpoints ${KEY} . 0:1 : 10.64.1.2 . 8080`,
    `+services ${KEY} : 0:2`,
    '+cluster-ips 172.30.0.1',
  ]);
  assert.equal(plan.later, undefined);
});

test('replacing an endpoint: its slot, nothing else', () => {
  const from = planner();
  set(from, pods(1, 2, 3));
  const plan = set(from, pods(1, 9, 3));
  assert.deepEqual(text(plan.now), [`-endpoints ${KEY} . 0:1`, `+endpoints ${KEY} . 0:1 : 10.64.1.9 . 8080`]);
  assert.deepEqual([plan.later, plan.chains], [undefined, []]);
});

test('adding an endpoint: one slot and the count', () => {
  const from = planner();
  set(from, pods(1, 2));
  const plan = set(from, pods(3, 1, 2));
  assert.deepEqual(text(plan.now), [
    `+endpoints ${KEY} . 0:2 : 10.64.1.3 . 8080`,
    `-services ${KEY}`,
    `+services ${KEY} : 0:3`,
  ]);
  assert.deepEqual(plan.chains, [3]);
});

test('removing an endpoint: the last slot over the hole and the count, later the last slot', () => {
  const from = planner();
  set(from, pods(1, 2, 3));
  const plan = set(from, pods(2, 3));
  assert.deepEqual(text(plan.now), [
    `-endpoints ${KEY} . 0:0`,
    `+endpoints ${KEY} . 0:0 : 10.64.1.3 . 8080`,
    `-services ${KEY}`,
    `+services ${KEY} : 0:2`,
  ]);
  assert.deepEqual(laterText(from, plan), [`-endpoints ${KEY} . 0:2`]);
  assert.deepEqual(laterText(from, plan), [], 'a removal is released once');
});

test('in a Service of 5,000 endpoints one change is a few elements', () => {
  const from = planner();
  const all = Array.from({ length: 5000 }, (_, index) => ({
    ip: `10.65.${index >> 7}.${(index & 127) + 1}`,
    nodeName: 'n2',
  }));
  set(from, slice(all));
  assert.equal(set(from, slice(all.toSpliced(2500, 1))).now.length, 4);
  assert.equal(set(from, slice(all)).now.length, 4);
  assert.equal(set(from, slice(all.toReversed())).now.length, 0);
});

test('the last endpoint leaves: refused at once, the slots later', () => {
  const from = planner();
  set(from, pods(1));
  const plan = set(from, pods());
  assert.deepEqual(text(plan.now), [`+no-ep-reject ${KEY}`, `-services ${KEY}`]);
  assert.deepEqual(laterText(from, plan), [`-endpoints ${KEY} . 0:0`]);
});

test('a slot that waits for its deletion and is needed again is replaced, or just stays', () => {
  const from = planner();
  set(from, pods(1, 2));
  const removal = set(from, pods(1));
  const back = set(from, pods(1, 9));
  assert.deepEqual(text(back.now), [
    `-endpoints ${KEY} . 0:1`,
    `+endpoints ${KEY} . 0:1 : 10.64.1.9 . 8080`,
    `-services ${KEY}`,
    `+services ${KEY} : 0:2`,
  ]);
  assert.deepEqual(laterText(from, removal), [], 'nothing is left of the removal');
  const again = set(from, pods(1));
  assert.deepEqual(text(set(from, pods(1, 9)).now), [`-services ${KEY}`, `+services ${KEY} : 0:2`]);
  assert.deepEqual(laterText(from, again), []);
});

test('an older removal does not delete what a younger one still waits for', () => {
  const from = planner();
  set(from, pods(1, 2));
  const older = set(from, pods(1));
  set(from, pods(1, 2));
  const younger = set(from, pods(1));
  assert.deepEqual(laterText(from, older), []);
  assert.deepEqual(laterText(from, younger), [`-endpoints ${KEY} . 0:1`]);
});

test('a Service that is deleted leaves nothing', () => {
  const from = planner();
  const table = fakeTable('ip');
  commit(table, set(from, pods(1, { ip: '10.64.1.2', nodeName: 'n1' }), { externalIPs: ['198.51.100.1'] }), from);
  commit(table, from.plan([['default/web', undefined]]), from);
  assert.deepEqual(lines(table.elements(), 'ip'), []);
  assert.deepEqual([[...from.elements()], [...from.keys()]], [[], []]);
});

test('the external policy turns Local, and back', () => {
  const from = planner();
  const external = { externalIPs: ['198.51.100.1'], clusterIP: '172.30.0.1' } as const;
  const endpoints = pods({ ip: '10.64.1.1', nodeName: 'n1' }, { ip: '10.64.2.1', nodeName: 'n2' });
  set(from, endpoints, external);
  const local = set(from, endpoints, { ...external, externalTrafficPolicy: 'Local' });
  const at = '198.51.100.1 . tcp . 80';
  assert.deepEqual(text(local.now), [
    `+endpoints ${at} . 0:8000 : 10.64.1.1 . 8080`,
    `-masq-vips ${at}`,
    `+local-vips ${at}`,
    `+services-near ${at} : 0:2`,
    `-services ${at}`,
    `+services ${at} : 1:1`,
  ]);
  assert.deepEqual(local.chains, [0x10001]);
  const back = set(from, endpoints, external);
  assert.deepEqual(laterText(from, back), [`-endpoints ${at} . 0:8000`]);
});

test('remembered clients: an endpoint that dies takes its id along, in the same transaction', () => {
  const from = planner();
  const affinity = { sessionAffinity: 'ClientIP' } as const;
  const first = set(from, pods(1, 2), affinity);
  assert.deepEqual(first.chains, [0x20002]);
  assert.deepEqual(text(first.now), [
    '+ep-by-id 8001:1 : 10.64.1.1 . 8080',
    '+ep-by-id 8001:2 : 10.64.1.2 . 8080',
    `+ep-id ${KEY} . 0:0 : 8001:1`,
    `+ep-id ${KEY} . 0:1 : 8001:2`,
    `+services ${KEY} : 2:2`,
    '+cluster-ips 172.30.0.1',
  ]);
  const plan = set(from, pods(2), affinity);
  assert.deepEqual(text(plan.now), [
    `-ep-id ${KEY} . 0:0`,
    `+ep-id ${KEY} . 0:0 : 8001:2`,
    '-ep-by-id 8001:1',
    `-services ${KEY}`,
    `+services ${KEY} : 2:1`,
  ]);
  assert.deepEqual(laterText(from, plan), [`-ep-id ${KEY} . 0:1`]);
  const returned = set(from, pods(2, 1), affinity);
  assert.ok(text(returned.now).includes('+ep-by-id 8001:3 : 10.64.1.1 . 8080'), 'an id is never used again');
});

test('remembered clients: a slot behind the end does not lead to an id that is gone', () => {
  const from = planner();
  const affinity = { sessionAffinity: 'ClientIP' } as const;
  set(from, pods(1, 2), affinity);
  const plan = set(from, pods(1), affinity);
  assert.deepEqual(text(plan.now), [
    '-ep-by-id 8001:2',
    `-ep-id ${KEY} . 0:1`,
    `+ep-id ${KEY} . 0:1 : 8001:1`,
    `-services ${KEY}`,
    `+services ${KEY} : 2:1`,
  ]);
});

test('remembered clients: when the external policy turns Local nobody keeps an endpoint of another node', () => {
  const from = planner();
  const table = fakeTable('ip');
  const external = { externalIPs: ['198.51.100.1'], sessionAffinity: 'ClientIP', clusterIP: '172.30.0.1' } as const;
  const endpoints = pods({ ip: '10.64.1.1', nodeName: 'n1' }, { ip: '10.64.2.1', nodeName: 'n2' });
  commit(table, set(from, endpoints, external), from);
  const idsOf = () =>
    table
      .elements()
      .flatMap(({ set: name, key, data }) =>
        name === 'ep-by-id' ? [`${describe({ set: name, key, data: data ?? '' }, 'ip')}`] : [],
      );
  const before = new Set(idsOf());
  commit(table, set(from, endpoints, { ...external, externalTrafficPolicy: 'Local' }), from);
  const kept = idsOf().filter((id) => before.has(id));
  assert.deepEqual(kept.length, 2, 'the ClusterIP keeps its clients, the external IP does not');
});

test('timeouts other than the default have kinds of their own', () => {
  const from = planner();
  const withTimeout = (timeoutSeconds: number): ServiceText => ({
    sessionAffinity: 'ClientIP',
    sessionAffinityConfig: { clientIP: { timeoutSeconds } },
  });
  assert.deepEqual(set(from, pods(1), withTimeout(10_800)).chains, [0x20001]);
  assert.deepEqual(set(from, pods(1), withTimeout(60)).chains, [0x100001]);
  assert.deepEqual(set(from, pods(1), withTimeout(30)).chains, [0x120001]);
  assert.deepEqual(set(from, pods(1), withTimeout(60)).chains, []);
  assert.deepEqual(from.timeouts(), [60, 30]);
  assert.deepEqual(from.chains(), [0x100001]);
});

test('IPv6 affinity: 251 slots by hash, and a change moves few', () => {
  const from = planner('ip6');
  const service: ServiceText = { clusterIPs: ['fd30::1'], sessionAffinity: 'ClientIP' };
  const six = (...last: readonly number[]) =>
    slice(
      last.map((number) => ({ ip: `fd64::${number}` })),
      { family: 'IPv6' },
    );
  const first = set(from, six(1, 2, 3, 4), service);
  assert.deepEqual(first.chains, [0x300fb]);
  assert.equal(first.now.filter(({ element }) => element.set === 'endpoints').length, 251);
  const plan = set(from, six(4, 2, 1), service);
  const moved = plan.now.filter(({ op }) => op === 'add').length;
  assert.ok(moved >= 50 && moved < 100, `${moved} of 251 slots moved`);
  assert.deepEqual([plan.later, plan.chains], [undefined, []]);
  assert.deepEqual(set(from, six(1, 2, 4), service).now, [], 'the order of endpoints means nothing');
});

test('affinity is switched on and off', () => {
  const from = planner();
  set(from, pods(1));
  const on = set(from, pods(1), { sessionAffinity: 'ClientIP' });
  assert.deepEqual(text(on.now), [
    '+ep-by-id 8001:1 : 10.64.1.1 . 8080',
    `+ep-id ${KEY} . 0:0 : 8001:1`,
    `-services ${KEY}`,
    `+services ${KEY} : 2:1`,
  ]);
  assert.deepEqual(laterText(from, on), [`-endpoints ${KEY} . 0:0`]);
  const off = set(from, pods(1));
  assert.deepEqual(text(off.now), [
    `+endpoints ${KEY} . 0:0 : 10.64.1.1 . 8080`,
    `-services ${KEY}`,
    `+services ${KEY} : 0:1`,
  ]);
  assert.deepEqual(laterText(from, off), ['-ep-by-id 8001:1', `-ep-id ${KEY} . 0:0`]);
});

test('source ranges: only what differs, deletes first', () => {
  const from = planner();
  const ranged = (...loadBalancerSourceRanges: string[]): ServiceText => ({
    type: 'LoadBalancer',
    clusterIP: '172.30.0.1',
    ingress: [{ ip: '203.0.113.1' }],
    loadBalancerSourceRanges,
  });
  const at = '203.0.113.1 . tcp . 80';
  const first = set(from, pods(1), ranged('192.0.2.0/25', ' 192.0.2.128/25', '198.18.0.0/24'));
  assert.deepEqual(
    text(first.now).filter((line) => /allowed|restricted/.test(line)),
    [`+restricted ${at}`, `+allowed ${at} . 192.0.2.0-192.0.2.255`, `+allowed ${at} . 198.18.0.0-198.18.0.255`],
  );
  assert.deepEqual(text(set(from, pods(1), ranged('192.0.2.0/23', '198.18.0.0/24')).now), [
    `-allowed ${at} . 192.0.2.0-192.0.2.255`,
    `+allowed ${at} . 192.0.2.0-192.0.3.255`,
  ]);
  assert.deepEqual(text(set(from, pods(1), ranged()).now), [
    `-restricted ${at}`,
    `-allowed ${at} . 192.0.2.0-192.0.3.255`,
    `-allowed ${at} . 198.18.0.0-198.18.0.255`,
  ]);
});

test('a pod of several Services is in hairpin once, until the last one lets it go', () => {
  const from = planner();
  const local = pods({ ip: '10.64.1.1', nodeName: 'n1' });
  const of = (name: string, clusterIP: string) => model({ name, clusterIP, clusterIPs: [clusterIP] }, [local]);
  const [a, b] = [of('a', '172.30.0.1'), of('b', '172.30.0.2')];
  const hairpin = (plan: Plan) => text(plan.now).filter((line) => line.includes('hairpin'));
  assert.deepEqual(
    hairpin(
      from.plan([
        [a.key, a],
        [b.key, b],
      ]),
    ),
    ['+hairpin 10.64.1.1 . 10.64.1.1'],
  );
  assert.deepEqual(hairpin(from.plan([[a.key, undefined]])), []);
  assert.deepEqual(
    hairpin(
      from.plan([
        [a.key, a],
        [b.key, undefined],
      ]),
    ),
    [],
  );
  assert.deepEqual(hairpin(from.plan([[a.key, undefined]])), ['-hairpin 10.64.1.1 . 10.64.1.1']);
});

test('two Services want one external IP and port: the older keeps it, whatever came first', () => {
  const from = planner();
  const of = (name: string, created: string, clusterIP: string) =>
    model({ name, created, clusterIP, clusterIPs: [clusterIP], externalIPs: ['198.51.100.1'] }, [
      pods(clusterIP.endsWith('1') ? 1 : 2),
    ]);
  const young = of('a', '2026-02-01T00:00:00Z', '172.30.0.1');
  const old = of('b', '2026-01-01T00:00:00Z', '172.30.0.2');
  from.plan([[young.key, young]]);
  assert.deepEqual(from.conflicts(young.key), []);
  const plan = from.plan([[old.key, old]]);
  assert.deepEqual(plan.conflicted, ['default/a']);
  assert.deepEqual(
    from.conflicts(young.key).map(({ kind, owner }) => [kind, owner]),
    [['external-ip', 'default/b']],
  );
  assert.ok(text(plan.now).includes('+endpoints 198.51.100.1 . tcp . 80 . 0:0 : 10.64.1.2 . 8080'));
  const back = from.plan([[old.key, undefined]]);
  assert.deepEqual(back.conflicted, ['default/a']);
  assert.ok(text(back.now).includes('+endpoints 198.51.100.1 . tcp . 80 . 0:0 : 10.64.1.1 . 8080'));
  assert.deepEqual(from.conflicts(young.key), []);
});

test('a ClusterIP is not taken by an older Service that wants it as an external IP', () => {
  const from = planner();
  const thief = model(
    { name: 'a', created: '2020-01-01T00:00:00Z', clusterIPs: ['172.30.0.9'], externalIPs: ['172.30.0.1'] },
    [pods(9)],
  );
  const web = model({}, [pods(1)]);
  from.plan([[thief.key, thief]]);
  from.plan([[web.key, web]]);
  assert.equal(from.ownerOf(web.ip[0]?.frontends[0]?.key ?? ''), 'default/web');
  assert.equal(from.conflicts('default/a').length, 1);
});

test('announced models: a piece of a cold start does not take what a later piece keeps', () => {
  const from = planner();
  const of = (name: string, created: string) =>
    model({ name, created, clusterIPs: [name === 'a' ? '172.30.0.1' : '172.30.0.2'], externalIPs: ['198.51.100.1'] }, [
      pods(1),
    ]);
  const [young, old] = [of('a', '2026-02-01T00:00:00Z'), of('b', '2026-01-01T00:00:00Z')];
  from.announce([young, old]);
  const first = from.plan([[young.key, young]]);
  assert.equal(first.later, undefined);
  const second = from.plan([[old.key, old]]);
  assert.deepEqual(
    second.now.filter(({ op }) => op === 'delete'),
    [],
  );
});

test('UDP: endpoints that stop serving are told per frontend, the last one too', () => {
  const from = planner();
  const dns: ServiceText = { ports: [{ name: 'dns', port: 53, protocol: 'UDP' }] };
  const at = (...endpoints: readonly EndpointText[]) =>
    slice(endpoints, { ports: [{ name: 'dns', port: 53, protocol: 'UDP' }] });
  const flows = (plan: Plan) =>
    plan.flows.map(({ frontend, left, serving }) => [
      keyText('masq-vips', frontend, 'ip'),
      left.map(targetText),
      serving.map(targetText),
    ]);
  const key = '172.30.0.1 . udp . 53';
  const [one, two] = [{ ip: '10.64.1.1' }, { ip: '10.64.1.2' }];
  assert.deepEqual(flows(set(from, at(one), dns)), [[key, [], ['10.64.1.1:53']]]);
  assert.deepEqual(flows(set(from, at(one, two), dns)), []);
  assert.deepEqual(flows(set(from, at({ ...one, state: 'terminating' }, two), dns)), [], 'it still serves');
  assert.deepEqual(flows(set(from, at(two), dns)), [[key, ['10.64.1.1:53'], ['10.64.1.2:53']]]);
  assert.deepEqual(flows(set(from, at(), dns)), [[key, ['10.64.1.2:53'], []]], 'the last one, too');
  assert.deepEqual(flows(set(from, at(one), dns)), [[key, [], ['10.64.1.1:53']]]);
  assert.deepEqual(flows(set(planner(), pods(1))), [], 'TCP has no such entries');
});

test('what the kernel refused is not deleted, and is tried again when its frontend changes', () => {
  const from = planner();
  const table = fakeTable('ip');
  const first = set(from, pods(1, 2));
  const guilty = first.now.find(({ element }) => element.set === 'endpoints');
  assert.ok(guilty);
  table.apply(first.now.filter((change) => change !== guilty));
  from.refused(guilty);
  const plan = set(from, pods(3, 2));
  assert.deepEqual(text(plan.now), [`+endpoints ${KEY} . 0:0 : 10.64.1.3 . 8080`]);
  commit(table, plan, from);
  commit(table, from.plan([['default/web', undefined]]), from);
  assert.deepEqual(table.elements(), []);
});

test('range sets: joined, only the own family, only what differs', () => {
  const from = planner();
  const cidrs = (...texts: string[]) => texts as readonly string[] as readonly Cidr[];
  const table = fakeTable('ip');
  const first = from.planRanges(
    'no-masq',
    cidrs('10.0.0.0/25', '10.0.0.128/25', 'fd00::/8', '240.0.0.0/4', '192.0.2.0/24'),
  );
  assert.deepEqual(text(first.now), [
    '+no-masq 10.0.0.0',
    '+no-masq 10.0.1.0 end',
    '+no-masq 192.0.2.0',
    '+no-masq 192.0.3.0 end',
    '+no-masq 240.0.0.0',
  ]);
  commit(table, first, from);
  const next = from.planRanges('no-masq', cidrs('10.0.0.0/24', '192.0.2.0/23'));
  assert.deepEqual(text(next.now), [
    '-no-masq 192.0.2.0',
    '-no-masq 192.0.3.0 end',
    '-no-masq 240.0.0.0',
    '+no-masq 192.0.2.0',
    '+no-masq 192.0.4.0 end',
  ]);
  commit(table, next, from);
  const restarted = planner();
  restarted.adopt([
    ...table.elements(),
    { set: 'pod-cidrs', key: '\x0a\0\0\0' },
    { set: 'pod-cidrs', key: '\x0b\0\0\0', intervalEnd: true },
  ]);
  assert.deepEqual(restarted.planRanges('no-masq', cidrs('10.0.0.0/24', '192.0.2.0/23')).now, []);
  assert.deepEqual(text(restarted.sweep().now), ['-pod-cidrs 10.0.0.0', '-pod-cidrs 11.0.0.0 end']);
});

test('a restart keeps slots and ids as the table has them', () => {
  const affinity = { sessionAffinity: 'ClientIP' } as const;
  for (const service of [{}, affinity] as const) {
    const before = planner();
    const table = fakeTable('ip');
    for (const list of [pods(1, 2, 3), pods(3, 2), pods(2, 3, 4)]) commit(table, set(before, list, service), before);
    const after = planner();
    after.adopt(table.elements());
    after.loaded(before.chains(), before.timeouts());
    const plan = set(after, pods(2, 3, 4), service);
    assert.deepEqual([plan.now, plan.chains, after.sweep().now], [[], [], []]);
    const known = new Set(lines(table.elements(), 'ip'));
    commit(table, set(after, pods(2, 3, 5), service), after);
    const fresh = lines(table.elements(), 'ip').filter((line) => !known.has(line));
    assert.equal(fresh.length, service === affinity ? 2 : 1, fresh.join('\n'));
  }
});

test('a restart closes found ranges before it opens others that overlap them', () => {
  const ranged = (...loadBalancerSourceRanges: string[]): ServiceText => ({
    type: 'LoadBalancer',
    clusterIP: '172.30.0.1',
    ingress: [{ ip: '203.0.113.1' }],
    loadBalancerSourceRanges,
  });
  const before = planner();
  const table = fakeTable('ip');
  commit(table, set(before, pods(1), ranged('192.0.2.0/24', '198.18.0.0/24')), before);
  const after = planner();
  after.adopt(table.elements());
  const plan = set(after, pods(1), ranged('192.0.2.128/25', '192.0.3.0/24', '198.18.0.0/24'));
  const at = '203.0.113.1 . tcp . 80';
  assert.deepEqual(text(plan.now), [
    `-allowed ${at} . 192.0.2.0-192.0.2.255`,
    `+allowed ${at} . 192.0.2.128-192.0.3.255`,
  ]);
  commit(table, plan, after);
  commit(table, after.sweep(), after);
  assert.deepEqual(lines(table.elements(), 'ip'), lines(after.elements(), 'ip'));
});

test('a table that was flushed is written again, with the removals of before forgotten', () => {
  const from = planner();
  const table = fakeTable('ip');
  commit(table, set(from, pods(1, 2, { ip: '10.64.1.3', nodeName: 'n1' }), { sessionAffinity: 'ClientIP' }), from);
  const plan = set(from, pods(1, 2), { sessionAffinity: 'ClientIP' });
  table.apply(plan.now);
  table.clear();
  from.adopt([]);
  from.loaded([], []);
  const again = from.replan(from.keys());
  assert.deepEqual(again.chains, [0x20002]);
  commit(table, again, from);
  commit(table, from.sweep(), from);
  assert.ok(plan.later);
  assert.deepEqual(from.release(plan.later), []);
  assert.deepEqual(lines(table.elements(), 'ip'), lines(from.elements(), 'ip'));
  assert.equal(table.elements().length, 6);
});
