/** PreferDualStack, RequireDualStack, and IPv6 alone. */
import assert from 'node:assert/strict';
import type { ServiceSpec } from '../../../src/core/objects.ts';
import { eventually } from '../world.ts';
import { type Cases, POOL, refused, served, waiting } from './cases.ts';

const prefer: Partial<ServiceSpec> = { ipFamilyPolicy: 'PreferDualStack' };
const required: Partial<ServiceSpec> = { ipFamilyPolicy: 'RequireDualStack' };
const V4 = '10.77.0.0/30';
const V6 = 'fd00:77::/126';
const POOL_WISH = 'metallb.io/address-pool';

export const cases: Cases = {
  async 'prefer: a pool of both families gives both, IPv4 first'(w) {
    await w.pool('only-v4', ['10.70.0.0/24']);
    await w.pool('zz-both', [V4, V6]);
    await w.start();
    await w.create('a', prefer);
    await w.gets('a', ['10.77.0.0', 'fd00:77::']);
    assert.deepEqual(await w.conditions('a'), served);
    assert.equal((await w.get('a')).metadata.annotations?.[POOL], 'zz-both');
    await w.create('b', { ...prefer, ipFamilies: ['IPv6', 'IPv4'] });
    await w.gets('b', ['10.77.0.1', 'fd00:77::1']);
  },

  async 'prefer: only IPv4 there, IPv4 it is'(w) {
    await w.pool('v4', [V4]);
    await w.start();
    await w.create('a', prefer);
    await w.gets('a', ['10.77.0.0']);
    assert.ok((await w.conditions('a')).includes('Serving True/Serving'));
  },

  async 'prefer: only IPv6 there, IPv6 it is'(w) {
    await w.pool('v6', [V6]);
    await w.start();
    await w.create('a', prefer);
    await w.gets('a', ['fd00:77::']);
  },

  async 'prefer: one pool of each family, the primary one wins'(w) {
    await w.pool('a-v6', [V6]);
    await w.pool('b-v4', [V4]);
    await w.start();
    await w.create('a', prefer);
    await w.gets('a', ['10.77.0.0']);
    await w.create('b', { ...prefer, ipFamilies: ['IPv6', 'IPv4'] });
    await w.gets('b', ['fd00:77::']);
  },

  async 'prefer: a family that its pool gets later is added, and the address that was there stays'(w) {
    await w.pool('growing', [V4]);
    await w.start();
    await w.create('a', prefer);
    await w.gets('a', ['10.77.0.0']);
    await w.editPool('growing', { spec: { addresses: [V4, V6] } });
    await w.gets('a', ['10.77.0.0', 'fd00:77::']);
    await eventually(async () => {
      const events = await w.events('a');
      assert.ok(events.includes('Normal IPAllocated: Assigned additional IP ["fd00:77::"]'), events.join('\n'));
    });
  },

  async 'prefer: another pool never adds the missing family'(w) {
    await w.pool('v4', [V4]);
    await w.start();
    await w.create('a', prefer);
    await w.gets('a', ['10.77.0.0']);
    await w.pool('v6', [V6]);
    await w.create('probe', { ipFamilyPolicy: 'SingleStack', ipFamilies: ['IPv6'] });
    await w.gets('probe', ['fd00:77::']);
    assert.deepEqual(await w.shown('a'), ['10.77.0.0']);
  },

  async 'prefer: a pool that is asked for decides alone'(w) {
    await w.pool('both', [V4, V6]);
    await w.pool('v4', ['10.78.0.0/30']);
    await w.start();
    await w.create('a', { ...prefer, annotations: { [POOL_WISH]: 'v4' } });
    await w.gets('a', ['10.78.0.0']);
    await w.annotate('a', { [POOL_WISH]: 'both' });
    await w.gets('a', ['10.77.0.0', 'fd00:77::']);
  },

  async 'prefer to single: the second address is given back'(w) {
    await w.pool('both', [V4, V6]);
    await w.start();
    await w.create('a', prefer);
    await w.gets('a', ['10.77.0.0', 'fd00:77::']);
    await w.edit('a', {
      spec: {
        ipFamilyPolicy: 'SingleStack',
        ipFamilies: ['IPv4'],
        clusterIPs: [(await w.get('a')).spec.clusterIPs?.[0]],
      },
    });
    await w.gets('a', ['10.77.0.0']);
    await eventually(async () => assert.deepEqual(await w.reserved(), { '10.77.0.0': [`${w.namespace}/a`] }));
  },

  async 'single to prefer: the second family is added to the first'(w) {
    await w.pool('both', [V4, V6]);
    await w.start();
    await w.create('a');
    await w.gets('a', ['10.77.0.0']);
    await w.edit('a', { spec: { ipFamilyPolicy: 'PreferDualStack' } });
    await w.gets('a', ['10.77.0.0', 'fd00:77::']);
  },

  async 'require: both from one pool, or none'(w) {
    await w.pool('v4', [V4]);
    await w.pool('v6', [V6]);
    await w.start();
    await w.create('a', required);
    await eventually(async () => assert.match((await w.conditions('a')).join(), /Serving False/));
    assert.deepEqual(await w.shown('a'), []);
    await w.pool('both', ['10.78.0.0/30', 'fd00:78::/126']);
    await w.gets('a', ['10.78.0.0', 'fd00:78::']);
    assert.deepEqual(await w.conditions('a'), served);
  },

  async 'require: a pool of one family that is asked for is refused'(w) {
    await w.pool('v4', [V4]);
    await w.start();
    await w.create('a', { ...required, annotations: { [POOL_WISH]: 'v4' } });
    await eventually(async () => assert.deepEqual(await w.conditions('a'), refused));
    assert.match(await w.message('a', 'Serving'), /FL_POOL_FAMILY/);
  },

  async 'IPv6 alone, and two requested addresses of both families'(w) {
    await w.pool('both', [V4, V6]);
    await w.start();
    await w.create('a', { ipFamilyPolicy: 'SingleStack', ipFamilies: ['IPv6'] });
    await w.gets('a', ['fd00:77::']);
    await w.create('b', { ...required, annotations: { 'metallb.io/loadBalancerIPs': 'fd00:77::3, 10.77.0.3' } });
    await w.gets('b', ['10.77.0.3', 'fd00:77::3']);
    await w.create('c', { ...required, annotations: { 'metallb.io/loadBalancerIPs': '10.77.0.2' } });
    await eventually(async () => assert.match(await w.message('c', 'Serving'), /FL_ADDRESS_FAMILY/));
    const names = (await w.request('GET', '/apis/fairlead.dev/v1alpha1/ipblocks')).json as {
      items: { metadata: { name: string } }[];
    };
    assert.deepEqual(names.items.map(({ metadata }) => metadata.name).sort(), [
      '10.77.0.0-24',
      'fd00-0077-0000-0000-0000-0000-0000-0000-120',
    ]);
  },

  async 'a dual-stack Service that runs out of one family waits, then gets both'(w) {
    await w.pool('both', ['10.77.0.0/32', V6]);
    await w.start();
    await w.create('a', required);
    await w.gets('a', ['10.77.0.0', 'fd00:77::']);
    await w.create('b', required);
    await eventually(async () => assert.deepEqual(await w.conditions('b'), waiting));
    assert.deepEqual(await w.reserved(), {
      '10.77.0.0': [`${w.namespace}/a`],
      'fd00:77::': [`${w.namespace}/a`],
    });
    await w.remove('a');
    await w.gets('b', ['10.77.0.0', 'fd00:77::']);
  },
};
