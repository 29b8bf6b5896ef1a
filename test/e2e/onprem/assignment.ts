/** Who gets which address, and for how long. */
import assert from 'node:assert/strict';
import { eventually, type World } from '../world.ts';
import { type Cases, POOL, served, waiting } from './cases.ts';

const STANDARD = 'service.kubernetes.io/load-balancer-cleanup';
const SHARE = 'metallb.io/allow-shared-ip';
const REQUEST = 'metallb.io/loadBalancerIPs';

async function writesOf(controller: { readonly writes: readonly string[] }, work: () => Promise<void>) {
  const before = controller.writes.length;
  await work();
  return controller.writes.slice(before);
}

/** Something is known to be over when a Service that was made afterwards has its address. */
async function settle(w: World, name: string): Promise<void> {
  await w.create(name);
  await eventually(async () => assert.equal((await w.shown(name)).length, 1));
}

export const cases: Cases = {
  async 'a Service gets the lowest address, in two writes: its block, and one patch with everything'(w) {
    await w.pool('default', ['10.77.0.0/24']);
    const controller = await w.start();
    const writes = await writesOf(controller, async () => {
      await w.create('a');
      await w.gets('a', ['10.77.0.0']);
    });
    assert.deepEqual(
      writes.filter((write) => !write.includes('metallb')),
      ['POST /apis/fairlead.dev/v1alpha1/ipblocks', `PATCH /api/v1/namespaces/${w.namespace}/services/a/status`],
    );
    const { metadata, status } = await w.get('a');
    assert.deepEqual(status?.loadBalancer, { ingress: [{ ip: '10.77.0.0', ipMode: 'VIP' }] });
    assert.deepEqual([metadata.finalizers, metadata.annotations], [[STANDARD], { [POOL]: 'default' }]);
    assert.deepEqual(await w.conditions('a'), served);
    assert.deepEqual(await w.reserved(), { '10.77.0.0': [`${w.namespace}/a`] });
    await eventually(async () =>
      assert.deepEqual(await w.events('a'), ['Normal IPAllocated: Assigned IP ["10.77.0.0"]']),
    );
    assert.deepEqual(controller.complaints, []);
  },

  async 'a deleted Service gives its address back, and the next one gets it'(w) {
    await w.pool('default', ['10.77.0.0/31']);
    await w.start();
    await w.create('a');
    await w.create('b');
    await w.gets('a', ['10.77.0.0']);
    await w.gets('b', ['10.77.0.1']);
    await w.remove('a');
    await eventually(async () => assert.equal(await w.find('a'), undefined));
    await w.create('c');
    await w.gets('c', ['10.77.0.0']);
    for (const name of ['b', 'c']) await w.remove(name);
    await eventually(async () => assert.deepEqual(await w.reserved(), {}));
    await eventually(async () => {
      const { json } = await w.request('GET', '/apis/fairlead.dev/v1alpha1/ipblocks');
      assert.deepEqual((json as { items: unknown[] }).items, [], 'a block without addresses is deleted');
    });
  },

  async 'a Service that becomes ClusterIP gives its address back and shows nothing of us any more'(w) {
    await w.pool('default', ['10.77.0.0/32']);
    await w.start();
    await w.create('a', { annotations: { 'x.dev/a': 'b' } });
    await w.gets('a', ['10.77.0.0']);
    await w.edit('a', { spec: { type: 'ClusterIP', allocateLoadBalancerNodePorts: null } });
    await eventually(async () => {
      const { metadata, status } = await w.get('a');
      assert.deepEqual([metadata.finalizers, metadata.annotations], [undefined, { 'x.dev/a': 'b' }]);
      assert.deepEqual([status?.conditions ?? [], status?.loadBalancer ?? {}], [[], {}]);
    });
    assert.deepEqual(await w.reserved(), {});
    await w.edit('a', { spec: { type: 'LoadBalancer' } });
    await w.gets('a', ['10.77.0.0']);
  },

  async 'addresses are kept over a restart of the controller, which writes nothing and says nothing'(w) {
    await w.pool('default', ['10.77.0.0/24']);
    const first = await w.start({ name: 'one' });
    for (const name of ['a', 'b', 'c']) await w.create(name);
    for (const name of ['a', 'b', 'c']) await eventually(async () => assert.equal((await w.shown(name)).length, 1));
    await eventually(async () => assert.equal((await w.getPool('default')).status?.['assignedIPv4'], 3));
    await eventually(async () => assert.equal((await w.state())?.status?.result, 'Valid'));
    await first.stop();
    const before = await Promise.all(['a', 'b', 'c'].map((name) => w.get(name)));
    const events = await Promise.all(['a', 'b', 'c'].map((name) => w.events(name)));
    const second = await w.start({ name: 'two' });
    await settle(w, 'd');
    assert.deepEqual(await Promise.all(['a', 'b', 'c'].map((name) => w.get(name))), before);
    assert.deepEqual(await Promise.all(['a', 'b', 'c'].map((name) => w.events(name))), events);
    const services = second.writes.filter((write) => write.includes('/services/'));
    assert.deepEqual(services, [`PATCH /api/v1/namespaces/${w.namespace}/services/d/status`]);
  },

  async 'addresses are kept over a killed API server, and what was asked for meanwhile is served after it'(w) {
    await w.pool('default', ['10.77.0.0/24']);
    await w.start({ name: 'one' });
    // The lease may be lost while nobody answers; then the first ends, as it should.
    await w.start({ name: 'two', standby: true });
    await w.create('a');
    await w.gets('a', ['10.77.0.0']);
    await w.api.kill();
    await w.api.start();
    await eventually(async () => void (await w.create('b')));
    await w.gets('b', ['10.77.0.1']);
    assert.deepEqual(await w.shown('a'), ['10.77.0.0']);
  },

  async 'a Service deleted while no controller ran is given back at the start'(w) {
    await w.pool('default', ['10.77.0.0/32']);
    const first = await w.start({ name: 'one' });
    await w.create('a');
    await w.gets('a', ['10.77.0.0']);
    await first.stop();
    await w.remove('a');
    await w.create('b');
    await w.start({ name: 'two' });
    await eventually(async () => assert.equal(await w.find('a'), undefined));
    await w.gets('b', ['10.77.0.0']);
  },

  async 'published addresses without a block are taken over before anything is given out (from MetalLB)'(w) {
    await w.pool('default', ['10.77.0.0/30']);
    await w.create('new');
    await w.create('old');
    await w.edit('old', { metadata: { annotations: { [POOL]: 'default' } } });
    await w.edit('old', { status: { loadBalancer: { ingress: [{ ip: '10.77.0.0' }] } } }, 'status');
    await w.start();
    await w.gets('new', ['10.77.0.1']);
    await w.gets('old', ['10.77.0.0']);
    await eventually(async () =>
      assert.deepEqual(await w.reserved(), {
        '10.77.0.0': [`${w.namespace}/old`],
        '10.77.0.1': [`${w.namespace}/new`],
      }),
    );
    assert.deepEqual(
      (await w.events('old')).filter((event) => event.includes('IPAllocated')),
      [],
    );
  },

  async 'a status wiped by hand shows the same address again, without a word'(w) {
    await w.pool('default', ['10.77.0.0/24']);
    const controller = await w.start();
    await w.create('a');
    await w.gets('a', ['10.77.0.0']);
    await eventually(async () => assert.equal((await w.events('a')).length, 1));
    const writes = await writesOf(controller, async () => {
      await w.edit('a', { status: { loadBalancer: { ingress: null }, conditions: null } }, 'status');
      await w.gets('a', ['10.77.0.0']);
    });
    assert.deepEqual(await w.conditions('a'), served);
    assert.deepEqual(
      writes.filter((write) => !write.includes('metallb')),
      [`PATCH /api/v1/namespaces/${w.namespace}/services/a/status`],
    );
    await settle(w, 'b');
    assert.equal((await w.events('a')).length, 1);
  },

  async 'ports, policies, labels and selectors change, the address does not'(w) {
    await w.pool('default', ['10.77.0.0/24']);
    await w.start();
    await w.create('a');
    await w.gets('a', ['10.77.0.0']);
    const changes = [
      { spec: { ports: [{ name: 'tls', port: 443, protocol: 'TCP' }] } },
      { spec: { externalTrafficPolicy: 'Local' } },
      { spec: { sessionAffinity: 'ClientIP' } },
      { spec: { selector: { app: 'other' } } },
      { spec: { loadBalancerSourceRanges: ['10.0.0.0/8'] } },
      { metadata: { labels: { team: 'x' } } },
    ];
    for (const change of changes) await w.edit('a', change);
    await settle(w, 'b');
    assert.deepEqual(await w.shown('a'), ['10.77.0.0']);
    assert.deepEqual(await w.conditions('a'), served);
  },

  // Running out, and waiting.

  async 'the last address is gone: the next Service says so, clearly, and shows nothing'(w) {
    await w.pool('default', ['10.77.0.0/32']);
    await w.start();
    await w.create('a');
    await w.gets('a', ['10.77.0.0']);
    await w.create('b');
    await eventually(async () => assert.deepEqual(await w.conditions('b'), waiting));
    assert.deepEqual(await w.shown('b'), []);
    assert.match(await w.message('b', 'Serving'), /FL_POOL_EXHAUSTED: no free IPv4 address: tried default/);
    await eventually(async () => {
      const [event = '', ...more] = await w.events('b');
      assert.match(event, /^Warning AllocationFailed: .*FL_POOL_EXHAUSTED/);
      assert.deepEqual(more, []);
    });
  },

  async 'those who wait get what becomes free, the oldest first'(w) {
    await w.pool('default', ['10.77.0.0/31']);
    await w.start();
    for (const name of ['a', 'b']) await w.create(name);
    for (const name of ['a', 'b']) await eventually(async () => assert.equal((await w.shown(name)).length, 1));
    const names = ['z-first', 'm-second', 'a-third'];
    for (const name of names) {
      // A second apart: creationTimestamp is all that says who is older, and names are against it.
      const before = (await w.create(name)).metadata.creationTimestamp;
      await eventually(async () => assert.deepEqual(await w.conditions(name), waiting));
      await eventually(async () => {
        const probe = await w.create('probe');
        await w.remove('probe');
        assert.notEqual(probe.metadata.creationTimestamp, before);
      });
    }
    const winners = async () => {
      const shown = await Promise.all(names.map(async (name) => [name, await w.shown(name)] as const));
      return shown.filter(([, addresses]) => addresses.length > 0).map(([name]) => name);
    };
    await w.remove('a');
    await eventually(async () => assert.deepEqual(await winners(), ['z-first']));
    await w.remove('b');
    await eventually(async () => assert.deepEqual(await winners(), ['z-first', 'm-second']));
    await w.editPool('default', { spec: { addresses: ['10.77.0.0/31', '10.78.0.0/32'] } });
    await w.gets('a-third', ['10.78.0.0']);
    for (const name of names) assert.deepEqual(await w.conditions(name), served);
  },

  // Sharing.

  async 'Services with one key share an address when their ports differ'(w) {
    await w.pool('default', ['10.77.0.0/24']);
    await w.start();
    const annotations = { [SHARE]: 'key' };
    await w.create('a', { annotations, ports: [{ port: 80, protocol: 'TCP' }] });
    await w.gets('a', ['10.77.0.0']);
    await w.create('b', { annotations, ports: [{ port: 443, protocol: 'TCP' }] });
    await w.create('c', { annotations, ports: [{ port: 80, protocol: 'UDP' }] });
    for (const name of ['b', 'c']) await w.gets(name, ['10.77.0.0']);
    await w.create('d', { annotations, ports: [{ port: 80, protocol: 'TCP' }] });
    await w.gets('d', ['10.77.0.1']);
    assert.deepEqual(
      (await w.reserved())['10.77.0.0'],
      ['a', 'b', 'c'].map((name) => `${w.namespace}/${name}`),
    );
  },

  async 'sharing is looked at anew when a key is given, changed or taken away'(w) {
    await w.pool('default', ['10.77.0.0/24']);
    await w.start();
    await w.create('a', { annotations: { [REQUEST]: '10.77.0.9' }, ports: [{ port: 80, protocol: 'TCP' }] });
    await w.gets('a', ['10.77.0.9']);
    await w.create('b', { annotations: { [REQUEST]: '10.77.0.9' }, ports: [{ port: 443, protocol: 'TCP' }] });
    await eventually(async () => assert.match(await w.message('b', 'Serving'), /10\.77\.0\.9.*FL_ADDRESS_IN_USE/));
    await w.annotate('b', { [SHARE]: 'key' });
    await w.annotate('a', { [SHARE]: 'key' });
    await w.gets('b', ['10.77.0.9']);
    // With other users the key does not change: what is reserved stays, and says that it does not fit.
    await w.annotate('b', { [SHARE]: 'another' });
    await eventually(async () => assert.ok((await w.conditions('b')).includes('Degraded True/StaleSpec')));
    assert.deepEqual(await w.shown('b'), ['10.77.0.9']);
    await w.annotate('b', { [SHARE]: 'key' });
    await eventually(async () => assert.deepEqual(await w.conditions('b'), served));
    // A sole user may change in place.
    await w.remove('a');
    await w.annotate('b', { [SHARE]: null });
    await eventually(async () => assert.deepEqual(await w.reserved(), { '10.77.0.9': [`${w.namespace}/b`] }));
    await w.create('c', {
      annotations: { [SHARE]: 'key', [REQUEST]: '10.77.0.9' },
      ports: [{ port: 8080, protocol: 'TCP' }],
    });
    await eventually(async () => assert.match(await w.message('c', 'Serving'), /FL_ADDRESS_IN_USE/));
  },

  async 'under externalTrafficPolicy Local only equal selectors share'(w) {
    await w.pool('default', ['10.77.0.0/24']);
    await w.start();
    const local = { annotations: { [SHARE]: 'key' }, externalTrafficPolicy: 'Local' as const, selector: { app: 'x' } };
    await w.create('a', { ...local, ports: [{ port: 80, protocol: 'TCP' }] });
    await w.gets('a', ['10.77.0.0']);
    await w.create('b', { ...local, ports: [{ port: 81, protocol: 'TCP' }] });
    await w.gets('b', ['10.77.0.0']);
    await w.create('c', { ...local, selector: { app: 'y' }, ports: [{ port: 82, protocol: 'TCP' }] });
    await w.gets('c', ['10.77.0.1']);
    await w.create('d', { annotations: { [SHARE]: 'key' }, ports: [{ port: 83, protocol: 'TCP' }] });
    await w.gets('d', ['10.77.0.2']);
  },

  async 'TCP and UDP in one Service, also on one port, get one address'(w) {
    await w.pool('default', ['10.77.0.0/24']);
    await w.start();
    const ports = [
      { name: 'dns', port: 53, protocol: 'UDP' as const },
      { name: 'dns-tcp', port: 53, protocol: 'TCP' as const },
      { name: 'sctp', port: 38412, protocol: 'SCTP' as const },
    ];
    await w.create('a', { ports });
    await w.gets('a', ['10.77.0.0']);
    assert.deepEqual(await w.conditions('a'), served);
  },

  // Asking for an address.

  async 'a requested address is given, by annotation and by loadBalancerIP, also where autoAssign is off'(w) {
    await w.pool('default', ['10.77.0.0/24']);
    await w.pool('manual', ['10.78.0.0/24'], { autoAssign: false });
    await w.start();
    await w.create('a', { annotations: { [REQUEST]: '10.77.0.100' } });
    await w.create('b', { loadBalancerIP: '10.77.0.101' });
    await w.create('c', { annotations: { [REQUEST]: ' 10.78.0.5 ' } });
    await w.create('d', { annotations: { 'metallb.io/address-pool': 'manual' } });
    await w.gets('a', ['10.77.0.100']);
    await w.gets('b', ['10.77.0.101']);
    await w.gets('c', ['10.78.0.5']);
    await w.gets('d', ['10.78.0.0']);
    assert.equal((await w.get('c')).metadata.annotations?.[POOL], 'manual');
  },

  async 'a requested address that is taken is waited for, and got when it is given back'(w) {
    await w.pool('default', ['10.77.0.0/24']);
    await w.start();
    await w.create('a', { annotations: { [REQUEST]: '10.77.0.9' } });
    await w.gets('a', ['10.77.0.9']);
    await w.create('b', { annotations: { [REQUEST]: '10.77.0.9' } });
    await eventually(async () => assert.deepEqual(await w.conditions('b'), waiting));
    assert.match(
      await w.message('b', 'Serving'),
      new RegExp(`10\\.77\\.0\\.9.*${w.namespace}/a`),
      'and it says by whom',
    );
    await w.remove('a');
    await w.gets('b', ['10.77.0.9']);
  },

  async 'a changed request moves the Service: the new address first, then the old one is given back'(w) {
    await w.pool('default', ['10.77.0.0/30']);
    await w.start();
    await w.create('a');
    await w.gets('a', ['10.77.0.0']);
    await w.annotate('a', { [REQUEST]: '10.77.0.3' });
    await w.gets('a', ['10.77.0.3']);
    await eventually(async () => assert.deepEqual(await w.reserved(), { '10.77.0.3': [`${w.namespace}/a`] }));
    await eventually(async () => {
      const events = await w.events('a');
      assert.ok(events.some((event) => event.startsWith('Normal IPAllocated') && event.includes('10.77.0.3')));
      assert.ok(
        events.some((event) => event.includes('ClearAssignment') && event.includes('10.77.0.0')),
        events.join(),
      );
    });
    await w.annotate('a', { [REQUEST]: null, 'metallb.io/address-pool': 'default' });
    await settle(w, 'b');
    assert.deepEqual(await w.shown('a'), ['10.77.0.3'], 'still from the pool that is asked for: it stays');
  },

  async 'a changed request that cannot be fulfilled changes nothing: the old address serves on, and says why'(w) {
    await w.pool('default', ['10.77.0.0/30']);
    await w.start();
    await w.create('holder', { annotations: { [REQUEST]: '10.77.0.3' } });
    await w.gets('holder', ['10.77.0.3']);
    await w.create('a');
    await w.gets('a', ['10.77.0.0']);
    await w.annotate('a', { [REQUEST]: '10.77.0.3' });
    await eventually(async () => assert.deepEqual(await w.conditions('a'), ['Degraded True/StaleSpec', ...served]));
    assert.match(await w.message('a', 'Degraded'), new RegExp(`10\\.77\\.0\\.3.*${w.namespace}/holder`));
    assert.deepEqual(await w.shown('a'), ['10.77.0.0']);
    await eventually(async () =>
      assert.ok((await w.events('a')).some((event) => /^Warning AllocationFailed: .*10\.77\.0\.3/.test(event))),
    );
    await w.remove('holder');
    await w.gets('a', ['10.77.0.3']);
    await eventually(async () => assert.deepEqual(await w.conditions('a'), served));
    await eventually(async () => assert.deepEqual(await w.reserved(), { '10.77.0.3': [`${w.namespace}/a`] }));
  },

  async 'an address that left its pool, with no other to be had, is not published any more'(w) {
    await w.pool('default', ['10.77.0.0/32'], { annotations: { 'fairlead.dev/allow-shrink': 'true' } });
    await w.start();
    await w.create('a');
    await w.gets('a', ['10.77.0.0']);
    await w.editPool('default', {
      spec: { addresses: ['10.77.0.1/32'] },
      metadata: { annotations: { 'fairlead.dev/disabled': 'true' } },
    });
    await eventually(async () => assert.deepEqual(await w.conditions('a'), waiting));
    assert.deepEqual(await w.shown('a'), [], 'what is published is reserved, or it is a lie');
    await eventually(async () => assert.deepEqual(await w.reserved(), {}));
    await w.editPool('default', { metadata: { annotations: { 'fairlead.dev/disabled': null } } });
    await w.gets('a', ['10.77.0.1']);
    await eventually(async () =>
      assert.ok(
        (await w.events('a')).some((event) => event.includes('10.77.0.0 is given up: it is in no pool any more')),
        (await w.events('a')).join('\n'),
      ),
    );
  },

  // Whose Service it is.

  async 'Services of another class are not touched'(w) {
    await w.pool('default', ['10.77.0.0/24']);
    await w.start();
    const before = await w.create('foreign', { loadBalancerClass: 'other.dev/lb' });
    await w.create('ours', { loadBalancerClass: 'fairlead.dev/onprem' });
    await w.create('classless');
    for (const name of ['ours', 'classless'])
      await eventually(async () => assert.equal((await w.shown(name)).length, 1));
    assert.deepEqual(await w.get('foreign'), before);
    assert.deepEqual(await w.events('foreign'), []);
    assert.deepEqual((await w.get('ours')).metadata.finalizers, ['fairlead.dev/load-balancer']);
  },

  async 'with a class list that has no none, classless Services are not touched either'(w) {
    await w.pool('default', ['10.77.0.0/24']);
    await w.start({ classes: ['fairlead.dev/onprem'] });
    const before = await w.create('classless');
    await w.create('ours', { loadBalancerClass: 'fairlead.dev/onprem' });
    await w.gets('ours', ['10.77.0.0']);
    assert.deepEqual(await w.get('classless'), before);
  },

  async 'the old prefix works, is reported where it is used, and loses against the new one'(w) {
    await w.pool('default', ['10.77.0.0/24']);
    await w.pool('other', ['10.78.0.0/24'], { autoAssign: false });
    await w.start();
    await w.create('a', { annotations: { 'metallb.universe.tf/loadBalancerIPs': '10.77.0.50' } });
    await w.gets('a', ['10.77.0.50']);
    await eventually(async () =>
      assert.ok(
        (await w.events('a')).includes(
          'Warning deprecatedAnnotation: annotation metallb.universe.tf/loadBalancerIPs is deprecated: write metallb.io/loadBalancerIPs',
        ),
      ),
    );
    await w.create('b', {
      annotations: { 'metallb.universe.tf/address-pool': 'default', 'metallb.io/address-pool': 'other' },
    });
    await w.gets('b', ['10.78.0.0']);
    await w.create('c', {
      annotations: { 'metallb.universe.tf/allow-shared-ip': 'k' },
      ports: [{ port: 1, protocol: 'TCP' }],
    });
    await w.gets('c', ['10.77.0.0']);
    await w.create('d', { annotations: { [SHARE]: 'k' }, ports: [{ port: 2, protocol: 'TCP' }] });
    await w.gets('d', ['10.77.0.0']);
    const { annotations } = (await w.get('a')).metadata;
    assert.equal(annotations?.[POOL], 'default');
  },

  async 'unknown annotations under our prefixes are reported'(w) {
    await w.pool('default', ['10.77.0.0/24']);
    await w.start();
    await w.create('a', { annotations: { 'metallb.io/loadBalancerIp': '10.77.0.9', 'fairlead.dev/quota': '1' } });
    await w.gets('a', ['10.77.0.0']);
    await eventually(async () => {
      const events = (await w.events('a')).filter((event) => event.startsWith('Warning UnknownAnnotation'));
      assert.equal(events.length, 2);
      assert.match(events.join(), /did you mean metallb\.io\/loadBalancerIPs/);
      assert.match(events.join(), /fairlead\.dev\/quota.*IPAddressPool/);
    });
  },
};
