/** Which pool a Service may have: serviceAllocation, priorities, and pools that are asked for. */
import assert from 'node:assert/strict';
import { eventually, type World } from '../world.ts';
import { type Cases, refused, served, waiting } from './cases.ts';

const POOL_WISH = 'metallb.io/address-pool';

async function poolOf(w: World, name: string): Promise<string> {
  await eventually(async () => assert.equal((await w.shown(name)).length, 1, await w.message(name, 'Serving')));
  return (await w.get(name)).metadata.annotations?.['metallb.io/ip-allocated-from-pool'] ?? '';
}

export const cases: Cases = {
  async 'by namespace: those who are named get it, others the pool that is open to all'(w) {
    const other = `${w.namespace}-other`;
    await w.makeNamespace(other);
    await w.pool('pinned', ['10.77.0.0/24'], { serviceAllocation: { namespaces: [w.namespace] } });
    await w.pool('open', ['10.78.0.0/24']);
    await w.start();
    await w.create('a');
    await w.create(`${other}/b`);
    assert.equal(await poolOf(w, 'a'), 'pinned');
    assert.equal(await poolOf(w, `${other}/b`), 'open');
  },

  async 'by the labels of the namespace, also when they change'(w) {
    const labelled = `${w.namespace}-labelled`;
    await w.makeNamespace(labelled, { tier: 'gold' });
    await w.pool('gold', ['10.77.0.0/24'], {
      serviceAllocation: { namespaceSelectors: [{ matchLabels: { tier: 'gold' } }] },
    });
    await w.start();
    await w.create(`${labelled}/a`);
    assert.equal(await poolOf(w, `${labelled}/a`), 'gold');
    await w.create('b');
    await eventually(async () => assert.deepEqual(await w.conditions('b'), waiting));
    await w.request('PATCH', `/api/v1/namespaces/${w.namespace}`, { metadata: { labels: { tier: 'gold' } } });
    assert.equal(await poolOf(w, 'b'), 'gold');
    await w.request('PATCH', `/api/v1/namespaces/${w.namespace}`, { metadata: { labels: { tier: null } } });
    await eventually(async () => assert.ok((await w.conditions('b')).includes('Degraded True/StaleSpec')));
    assert.equal((await w.shown('b')).length, 1, 'a reserved address stays');
  },

  async 'by the labels of the Service, also when they change'(w) {
    await w.pool('team', ['10.77.0.0/24'], {
      serviceAllocation: {
        serviceSelectors: [{ matchExpressions: [{ key: 'team', operator: 'In', values: ['x', 'y'] }] }],
      },
    });
    await w.start();
    await w.create('a', { labels: { team: 'x' } });
    await w.create('b');
    assert.equal(await poolOf(w, 'a'), 'team');
    await eventually(async () => assert.deepEqual(await w.conditions('b'), waiting));
    await w.edit('b', { metadata: { labels: { team: 'y' } } });
    assert.equal(await poolOf(w, 'b'), 'team');
  },

  async 'namespace and Service selector must both fit'(w) {
    await w.pool('both', ['10.77.0.0/24'], {
      serviceAllocation: { namespaces: [w.namespace], serviceSelectors: [{ matchLabels: { team: 'x' } }] },
    });
    const other = `${w.namespace}-other`;
    await w.makeNamespace(other);
    await w.start();
    await w.create('right', { labels: { team: 'x' } });
    await w.create('wrong-label');
    await w.create(`${other}/wrong-namespace`, { labels: { team: 'x' } });
    assert.equal(await poolOf(w, 'right'), 'both');
    for (const name of ['wrong-label', `${other}/wrong-namespace`])
      await eventually(async () => assert.deepEqual(await w.conditions(name), waiting));
  },

  async 'of several that fit the lowest priority number wins, 0 is the last, and a full one is passed over'(w) {
    const allocation = (priority: number) => ({ serviceAllocation: { priority, namespaces: [w.namespace] } });
    await w.pool('zero', ['10.76.0.0/32'], allocation(0));
    await w.pool('twenty', ['10.77.0.0/32'], allocation(20));
    await w.pool('ten', ['10.78.0.0/32'], allocation(10));
    await w.pool('open', ['10.79.0.0/32']);
    await w.start();
    const pools = [];
    for (const name of ['a', 'b', 'c', 'd']) {
      await w.create(name);
      pools.push(await poolOf(w, name));
    }
    assert.deepEqual(pools, ['ten', 'twenty', 'zero', 'open']);
  },

  async 'a pool that is asked for wins over all priorities, but not over its own serviceAllocation'(w) {
    await w.pool('pinned', ['10.77.0.0/24'], { serviceAllocation: { priority: 1, namespaces: [w.namespace] } });
    await w.pool('open', ['10.78.0.0/24']);
    await w.pool('closed', ['10.79.0.0/24'], { serviceAllocation: { namespaces: ['somewhere-else'] } });
    await w.start();
    await w.create('a', { annotations: { [POOL_WISH]: 'open' } });
    assert.equal(await poolOf(w, 'a'), 'open');
    await w.create('b', { annotations: { [POOL_WISH]: 'closed' } });
    await eventually(async () => assert.deepEqual(await w.conditions('b'), refused));
    await w.create('c', { annotations: { 'metallb.io/loadBalancerIPs': '10.79.0.1' } });
    await eventually(async () => assert.match(await w.message('c', 'Serving'), /FL_POOL_INCOMPATIBLE/));
  },

  async 'a selector that matches no namespace lets nobody in'(w) {
    await w.pool('nobody', ['10.77.0.0/24'], {
      serviceAllocation: {
        namespaceSelectors: [{ matchLabels: { no: 'where' } }],
        serviceSelectors: [{ matchLabels: { team: 'x' } }],
      },
    });
    await w.start();
    await w.create('a', { labels: { team: 'x' } });
    await eventually(async () => assert.deepEqual(await w.conditions('a'), waiting));
    await w.create('b', { annotations: { [POOL_WISH]: 'nobody' } });
    await eventually(async () => assert.deepEqual(await w.conditions('b'), refused));
  },

  async 'a wish for another pool moves the Service'(w) {
    await w.pool('one', ['10.77.0.0/24']);
    await w.pool('two', ['10.78.0.0/24']);
    await w.start();
    await w.create('a');
    assert.equal(await poolOf(w, 'a'), 'one');
    await w.annotate('a', { [POOL_WISH]: 'two' });
    await w.gets('a', ['10.78.0.0']);
    assert.equal(await poolOf(w, 'a'), 'two');
    await eventually(async () => assert.deepEqual(await w.reserved(), { '10.78.0.0': [`${w.namespace}/a`] }));
    assert.deepEqual(await w.conditions('a'), served);
  },
};
