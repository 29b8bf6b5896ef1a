import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createRig, type Rig } from './rig.ts';
import { awsBuckets } from './settings.ts';
import { createTable } from './table.ts';

const namesOf = async ({ elb }: Rig) =>
  (await elb.describeLoadBalancers({})).LoadBalancers?.map(({ LoadBalancerName }) => LoadBalancerName);

test('reads lag behind writes, by name, by ARN and in lists, and never by more than is set', async () => {
  const rig = createRig({ lagMs: { reads: 2000 } });
  await rig.clock.advance(10_000);
  const LoadBalancerArn = await rig.balancer('a');
  await rig.clock.advance(1999);
  assert.deepEqual(await namesOf(rig), []);
  const missing = { name: 'LoadBalancerNotFoundException' };
  await assert.rejects(rig.elb.describeLoadBalancers({ Names: ['a'] }), missing);
  await assert.rejects(rig.elb.describeTags({ ResourceArns: [LoadBalancerArn] }), missing);
  await rig.clock.advance(1);
  assert.deepEqual(await namesOf(rig), ['a']);
  await rig.elb.deleteLoadBalancer({ LoadBalancerArn });
  assert.deepEqual(await namesOf(rig), ['a']);
  await rig.clock.advance(2000);
  assert.deepEqual(await namesOf(rig), []);
});

test('what a write refers to may be unknown for a while; the writes that need no such thing see everything', async () => {
  const rig = createRig({ lagMs: { writes: 500 } });
  await rig.clock.advance(10_000);
  const [LoadBalancerArn, group] = [await rig.balancer('a'), await rig.group('g')];
  await assert.rejects(rig.listener(LoadBalancerArn, group), { name: 'LoadBalancerNotFoundException' });
  await assert.rejects(rig.balancer('a', { Scheme: 'internet-facing' }), {
    name: 'DuplicateLoadBalancerNameException',
  });
  await rig.clock.advance(500);
  await rig.listener(LoadBalancerArn, group);
});

test('two writes of tags that both look a little back keep each other', async () => {
  const rig = createRig({ lagMs: { reads: 2000, writes: 500 } });
  await rig.clock.advance(10_000);
  const arn = await rig.balancer('a');
  await rig.clock.advance(10_000);
  const add = (Key: string) => rig.elb.addTags({ ResourceArns: [arn], Tags: [{ Key, Value: '' }] });
  await add('a');
  await add('b');
  await rig.elb.removeTags({ ResourceArns: [arn], TagKeys: ['a'] });
  await rig.clock.advance(2000);
  const { TagDescriptions } = await rig.elb.describeTags({ ResourceArns: [arn] });
  assert.deepEqual(TagDescriptions?.[0]?.Tags, [{ Key: 'b', Value: '' }]);
});

test('the tagging API lags on its own', async () => {
  const rig = createRig({ lagMs: { tagging: 5000 } });
  await rig.clock.advance(10_000);
  const TagFilters = [{ Key: 'a' }];
  await rig.balancer('a', { Tags: [{ Key: 'a', Value: '' }] });
  const count = async () => (await rig.tagging.getResources({ TagFilters })).ResourceTagMappingList?.length;
  assert.deepEqual([await count(), await namesOf(rig)], [0, ['a']]);
  await rig.clock.advance(5000);
  assert.equal(await count(), 1);
});

test('property: a table shows the state of every moment back to its horizon', () => {
  const step = fc.record({ id: fc.constantFrom('a', 'b', 'c'), put: fc.boolean(), ms: fc.nat(3) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), fc.nat(10), (steps, horizonMs) => {
      let nowMs = 0;
      const table = createTable<number>({ nowMs: () => nowMs, horizonMs: () => horizonMs });
      const states: (readonly [string, number][])[] = []; // after each ms
      const current = new Map<string, number>();
      const settle = (untilMs: number) => {
        for (; nowMs < untilMs; nowMs += 1) states[nowMs] = [...current];
      };
      for (const [number, { id, put, ms }] of steps.entries()) {
        settle(nowMs + ms);
        if (put) {
          table.put(id, number);
          current.set(id, number);
        } else {
          table.remove(id);
          current.delete(id);
        }
      }
      settle(nowMs + 1);
      for (let atMs = Math.max(0, nowMs - 1 - horizonMs); atMs < nowMs; atMs += 1) {
        const expected = new Map(states[atMs]);
        assert.deepEqual(table.values(atMs).toSorted(), [...expected.values()].toSorted());
        for (const id of ['a', 'b', 'c']) assert.equal(table.get(id, atMs), expected.get(id));
      }
    }),
  );
});

test('throttling: a bucket that is empty refuses, and fills with time; reads and writes have their own', async () => {
  const rig = createRig({ buckets: { 'elb.read': { size: 2, perSecond: 1 } } });
  await namesOf(rig);
  await namesOf(rig);
  await assert.rejects(namesOf(rig), { name: 'Throttling' });
  await rig.balancer('a');
  await rig.clock.advance(1000);
  assert.deepEqual(await namesOf(rig), ['a']);
  await assert.rejects(namesOf(rig), { name: 'Throttling' });
});

test('throttling: EC2 counts each operation apart, and has another word for it', async () => {
  const rig = createRig({ buckets: awsBuckets });
  for (let count = 0; count < 100; count += 1) await rig.ec2.describeVpcs({});
  await assert.rejects(rig.ec2.describeVpcs({}), { name: 'RequestLimitExceeded' });
  await rig.ec2.describeSubnets({});
});

test('what is recorded: every call with its input and its outcome', async () => {
  const rig = createRig();
  await assert.rejects(rig.elb.describeLoadBalancers({ Names: ['x'] }));
  await rig.group('g');
  assert.deepEqual(
    rig.aws.calls.map(({ number, service, operation, write, outcome }) => [number, service, operation, write, outcome]),
    [
      [0, 'elb', 'DescribeLoadBalancers', false, 'LoadBalancerNotFound'],
      [1, 'elb', 'CreateTargetGroup', true, 'ok'],
    ],
  );
  assert.deepEqual(rig.aws.calls[0]?.input, { Names: ['x'] });
  rig.aws.forget();
  assert.deepEqual(rig.aws.calls, []);
});
