/** What pools say, and what becomes of Services when pools change: status, guard, drain, quota, retain, order, several addresses. */
import assert from 'node:assert/strict';
import { eventually, METALLB, type World } from '../world.ts';
import { type Cases, served, waiting } from './cases.ts';

const POOL_WISH = 'metallb.io/address-pool';
const SHRINK = 'fairlead.dev/allow-shrink';

/** The status as the server has it, as text: int64 has no number here. */
async function statusOf(w: World, pool: string): Promise<Readonly<Record<string, string>>> {
  const path = `/apis/metallb.io/v1beta1/namespaces/${METALLB}/ipaddresspools/${pool}`;
  const { text } = await w.request('GET', path);
  const status = /"status":\{([^}]*)\}/.exec(text.replaceAll(/\s/g, ''))?.[1] ?? '';
  return Object.fromEntries([...status.matchAll(/"(\w+)":(\d+)/g)].map(([, key = '', count = '']) => [key, count]));
}

const count = (assignedIPv4: number, availableIPv4: number, assignedIPv6 = 0, availableIPv6: number | bigint = 0) => ({
  assignedIPv4: `${assignedIPv4}`,
  assignedIPv6: `${assignedIPv6}`,
  availableIPv4: `${availableIPv4}`,
  availableIPv6: `${availableIPv6}`,
});

export const cases: Cases = {
  // Status.

  async 'the status counts what is assigned and what is left, a shared address once'(w) {
    await w.pool('default', ['10.77.0.0/28', 'fd00:77::/124']);
    await w.start();
    await eventually(async () => assert.deepEqual(await statusOf(w, 'default'), count(0, 16, 0, 16)));
    const shared = { annotations: { 'metallb.io/allow-shared-ip': 'k' } };
    await w.create('a', { ...shared, ports: [{ port: 1, protocol: 'TCP' }] });
    await w.create('b', { ...shared, ports: [{ port: 2, protocol: 'TCP' }] });
    await w.create('c', { ipFamilyPolicy: 'RequireDualStack' });
    await eventually(async () => assert.deepEqual(await statusOf(w, 'default'), count(2, 14, 1, 15)));
    await w.remove('a');
    await w.remove('c');
    await eventually(async () => assert.deepEqual(await statusOf(w, 'default'), count(1, 15, 0, 16)));
    await w.editPool('default', { spec: { addresses: ['10.77.0.0/24'] } });
    await eventually(async () => assert.deepEqual(await statusOf(w, 'default'), count(1, 255, 0, 0)));
  },

  async 'a pool of 2^64 addresses counts as MetalLB counts it, to the last digit, and is not written for ever'(w) {
    await w.pool('huge', ['fd00:77::/64', '10.77.0.0/24'], { avoidBuggyIPs: true });
    const controller = await w.start();
    await eventually(async () => assert.deepEqual(await statusOf(w, 'huge'), count(0, 254, 0, 9223372036854775807n)));
    await w.create('a');
    await w.gets('a', ['10.77.0.1']);
    await eventually(async () => assert.deepEqual(await statusOf(w, 'huge'), count(1, 253, 0, 9223372036854775807n)));
    const writes = () => controller.writes.filter((write) => write.includes('/huge/status')).length;
    const before = writes();
    await w.editPool('huge', { metadata: { labels: { a: 'b' } } });
    await w.create('b');
    await eventually(async () => assert.deepEqual(await statusOf(w, 'huge'), count(2, 252, 0, 9223372036854775807n)));
    assert.equal(writes(), before + 1);
  },

  async 'pools have metrics under MetalLB’s names'(w) {
    await w.pool('default', ['10.77.0.0/24']);
    const controller = await w.start();
    await w.create('a');
    await w.gets('a', ['10.77.0.0']);
    const text = await controller.metrics.text();
    assert.match(text, /metallb_allocator_addresses_total\{pool="default"\} 256/);
    assert.match(text, /metallb_allocator_addresses_in_use_total\{pool="default"\} 1/);
    assert.match(text, /metallb_allocator_services_allocated_total\{pool="default"\} 1/);
    assert.match(text, /fairlead_services\{state="serving"\} 1/);
  },

  // The guard.

  async 'an edit that takes an address in use away is not taken: address, event on the pool, and a restart'(w) {
    await w.pool('default', ['10.77.0.0/24']);
    const first = await w.start({ name: 'one' });
    await w.create('a');
    await w.gets('a', ['10.77.0.0']);
    await w.editPool('default', { spec: { addresses: ['10.78.0.0/24'] } });
    await eventually(async () => {
      const [event = ''] = await w.poolEvents('default');
      assert.match(
        event,
        new RegExp(`^Warning PoolNotTaken: .*spec\\.addresses.*10\\.77\\.0\\.0.*${w.namespace}/a.*allow-shrink`),
      );
    });
    await w.create('b');
    await w.gets('b', ['10.77.0.1']); // the last good pools give on
    await first.stop();
    const second = await w.start({ name: 'two' });
    await w.create('c');
    await w.gets('c', ['10.77.0.2']);
    assert.deepEqual([await w.shown('a'), await w.shown('b')], [['10.77.0.0'], ['10.77.0.1']]);
    assert.deepEqual(
      second.writes.filter((write) => write.includes('services/a')),
      [],
    );
    await w.editPool('default', { metadata: { annotations: { [SHRINK]: 'true' } } });
    for (const [index, name] of ['a', 'b', 'c'].entries()) await w.gets(name, [`10.78.0.${index}`]);
    await eventually(async () => {
      const events = await w.events('a');
      assert.ok(
        events.some((event) => event.includes('ClearAssignment') && event.includes('10.77.0.0')),
        events.join(),
      );
      assert.ok(
        events.some((event) => event.includes('IPAllocated') && event.includes('10.78.0.0')),
        events.join(),
      );
    });
    await eventually(async () =>
      assert.deepEqual(Object.keys(await w.reserved()), ['10.78.0.0', '10.78.0.1', '10.78.0.2']),
    );
  },

  async 'a pool that is deleted in use goes on, until nobody uses it'(w) {
    await w.pool('default', ['10.77.0.0/24']);
    await w.pool('other', ['10.78.0.0/24']);
    await w.start();
    await w.create('a');
    await w.gets('a', ['10.77.0.0']);
    await w.removePool('default');
    await eventually(async () =>
      assert.match((await w.poolEvents('default')).join(), /PoolNotTaken: .*deleted.*10\.77\.0\.0/),
    );
    assert.deepEqual(await w.shown('a'), ['10.77.0.0']);
    assert.match(await w.lastGood(), /"default"/);
    await w.remove('a');
    await eventually(async () => assert.doesNotMatch(await w.lastGood(), /"default"/));
    await w.create('b');
    await w.gets('b', ['10.78.0.0']);
  },

  async 'a pool that nobody uses goes at once, and those who come then say that there is none'(w) {
    await w.pool('default', ['10.77.0.0/24']);
    await w.start();
    await w.create('a');
    await w.gets('a', ['10.77.0.0']);
    await w.remove('a');
    await eventually(async () => assert.deepEqual(await w.reserved(), {}));
    await w.removePool('default');
    await eventually(async () => assert.doesNotMatch(await w.lastGood(), /"default"/));
    await w.create('b');
    await eventually(async () => assert.match(await w.message('b', 'Serving'), /FL_POOL_MISSING/));
    assert.deepEqual(await w.poolEvents('default'), []);
  },

  async 'a pool that is renamed or split keeps the addresses, and the annotation follows'(w) {
    await w.pool('default', ['10.77.0.0/30']);
    const first = await w.start({ name: 'one' });
    await w.create('a');
    await w.create('b', { annotations: { 'metallb.io/loadBalancerIPs': '10.77.0.3' } });
    await w.gets('a', ['10.77.0.0']);
    await w.gets('b', ['10.77.0.3']);
    await first.stop(); // both at once, as a tool would apply it
    await w.removePool('default');
    await w.pool('low', ['10.77.0.0/31']);
    await w.pool('high', ['10.77.0.2/31']);
    await w.start({ name: 'two' });
    const pool = async (name: string) =>
      (await w.get(name)).metadata.annotations?.['metallb.io/ip-allocated-from-pool'];
    await eventually(async () => assert.deepEqual([await pool('a'), await pool('b')], ['low', 'high']));
    assert.deepEqual([await w.shown('a'), await w.shown('b')], [['10.77.0.0'], ['10.77.0.3']]);
  },

  // What is ours on pools.

  async 'a drained pool gives nothing new, and what it gave stays'(w) {
    await w.pool('default', ['10.77.0.0/24']);
    await w.start();
    await w.create('a');
    await w.gets('a', ['10.77.0.0']);
    await w.editPool('default', { metadata: { annotations: { 'fairlead.dev/disabled': 'true' } } });
    await eventually(async () => assert.match(await w.lastGood(), /fairlead\.dev\/disabled/));
    await w.create('probe');
    await eventually(async () => assert.deepEqual(await w.conditions('probe'), waiting));
    assert.deepEqual([await w.shown('a'), await w.conditions('a')], [['10.77.0.0'], served]);
    await w.pool('other', ['10.78.0.0/24']);
    await w.gets('probe', ['10.78.0.0']);
  },

  async 'a namespace gets no more of a pool than its quota, and what it gives back it may have again'(w) {
    const other = `${w.namespace}-other`;
    await w.makeNamespace(other);
    await w.pool('default', ['10.77.0.0/24'], { annotations: { 'fairlead.dev/quota': `${w.namespace}=2,*=1` } });
    await w.start();
    for (const name of ['a', 'b']) await w.create(name);
    for (const name of ['a', 'b']) await eventually(async () => assert.equal((await w.shown(name)).length, 1));
    await w.create('c');
    await eventually(async () => assert.deepEqual(await w.conditions('c'), waiting));
    assert.match(await w.message('c', 'Serving'), new RegExp(`FL_QUOTA_NAMESPACE: .*${w.namespace}.*2`));
    await w.create(`${other}/d`);
    await eventually(async () => assert.equal((await w.shown(`${other}/d`)).length, 1));
    await w.remove('a');
    await eventually(async () => assert.equal((await w.shown('c')).length, 1));
    await w.create('e');
    await eventually(async () => assert.deepEqual(await w.conditions('e'), waiting));
    await w.editPool('default', { metadata: { annotations: { 'fairlead.dev/quota': '*=5' } } });
    await eventually(async () => assert.equal((await w.shown('e')).length, 1));
  },

  async 'a retained address waits for the Service of that name, and for nobody else'(w) {
    await w.pool('default', ['10.77.0.0/31'], { annotations: { 'fairlead.dev/retain': '1h' } });
    await w.start();
    await w.create('a');
    await w.gets('a', ['10.77.0.0']);
    await w.remove('a');
    await eventually(async () => assert.deepEqual(await w.reserved(), {}));
    await w.create('b');
    await w.gets('b', ['10.77.0.1']);
    await w.create('c');
    await eventually(async () => assert.deepEqual(await w.conditions('c'), waiting));
    await w.create('a');
    await w.gets('a', ['10.77.0.0']);
  },

  async 'a retained address survives a restart, and ends by its time'(w) {
    await w.pool('default', ['10.77.0.0/32']);
    const first = await w.start({ name: 'one' });
    await w.create('a', { annotations: { 'fairlead.dev/retain': '3s' } });
    await w.gets('a', ['10.77.0.0']);
    await w.remove('a');
    await eventually(async () => assert.deepEqual(await w.reserved(), {}));
    await first.stop();
    await w.create('b');
    await w.start({ name: 'two' });
    await eventually(async () => assert.deepEqual(await w.conditions('b'), waiting));
    await w.gets('b', ['10.77.0.0']);
  },

  async 'random and least-recently-used pools give from their range, and one after the other'(w) {
    await w.pool('random', ['10.77.0.0/24'], { annotations: { 'fairlead.dev/order': 'random' } });
    await w.pool('lru', ['10.78.0.0/30'], {
      annotations: { 'fairlead.dev/order': 'least-recently-used' },
      autoAssign: false,
    });
    await w.start();
    await w.create('a');
    await eventually(async () => assert.match((await w.shown('a')).join(), /^10\.77\.0\.\d+$/));
    const given = [];
    for (let turn = 0; turn < 4; turn += 1) {
      await w.create('b', { annotations: { [POOL_WISH]: 'lru' } });
      await eventually(async () => assert.equal((await w.shown('b')).length, 1));
      given.push(...(await w.shown('b')));
      await w.remove('b');
      await eventually(async () => assert.equal(await w.find('b'), undefined));
    }
    assert.deepEqual(given, ['10.78.0.0', '10.78.0.1', '10.78.0.2', '10.78.0.3']);
  },

  async 'several addresses of one pool, more and fewer'(w) {
    await w.pool('default', ['10.77.0.0/29', 'fd00:77::/125']);
    await w.start();
    await w.create('a', { annotations: { 'fairlead.dev/address-count': '3' } });
    await w.gets('a', ['10.77.0.0', '10.77.0.1', '10.77.0.2']);
    await w.annotate('a', { 'fairlead.dev/address-count': '4' });
    await w.gets('a', ['10.77.0.0', '10.77.0.1', '10.77.0.2', '10.77.0.3']);
    await w.annotate('a', { 'fairlead.dev/address-count': '1' });
    await eventually(async () => assert.equal((await w.shown('a')).length, 1));
    await eventually(async () => assert.equal(Object.keys(await w.reserved()).length, 1));
    await w.create('b', { ipFamilyPolicy: 'RequireDualStack', annotations: { 'fairlead.dev/address-count': '2' } });
    await eventually(async () => {
      const shown = await w.shown('b');
      assert.deepEqual([shown.length, shown.filter((address) => address.includes(':')).length], [4, 2]);
    });
  },

  async 'one address from each pool that is named'(w) {
    await w.pool('left', ['10.77.0.0/24'], { autoAssign: false });
    await w.pool('right', ['10.78.0.0/24'], { autoAssign: false });
    await w.start();
    await w.create('a', { annotations: { 'fairlead.dev/address-pools': 'right,left' } });
    await w.gets('a', ['10.77.0.0', '10.78.0.0']);
    assert.deepEqual(
      (await w.get('a')).metadata.annotations?.['metallb.io/ip-allocated-from-pool']?.split(',').toSorted(),
      ['left', 'right'],
    );
    await w.remove('a');
    await eventually(async () => assert.deepEqual(await w.reserved(), {}));
  },
};
