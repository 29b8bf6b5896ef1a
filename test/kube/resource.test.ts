import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nameOf, pathOf, resources, type Where } from '../../src/kube/resource.ts';

const pools = { group: 'metallb.io', version: 'v1beta1', plural: 'ipaddresspools' };

const cases: readonly { name: string; resource: typeof pools; where?: Where; path: string }[] = [
  { name: 'all of a core kind', resource: resources.services, path: '/api/v1/services' },
  {
    name: 'a namespace',
    resource: resources.services,
    where: { namespace: 'a' },
    path: '/api/v1/namespaces/a/services',
  },
  { name: 'an object of the cluster', resource: resources.nodes, where: { name: 'n1' }, path: '/api/v1/nodes/n1' },
  {
    name: 'a subresource of a custom kind, with a query in its order',
    resource: pools,
    where: {
      namespace: 'm',
      name: 'p',
      subresource: 'status',
      query: { fieldManager: 'fairlead', force: undefined, dryRun: 'All' },
    },
    path: '/apis/metallb.io/v1beta1/namespaces/m/ipaddresspools/p/status?fieldManager=fairlead&dryRun=All',
  },
  {
    name: 'text that must be escaped',
    resource: resources.pods,
    where: { query: { labelSelector: 'app in (a, b)', continue: 'a+b=/', watch: true, limit: 5 } },
    path: '/api/v1/pods?labelSelector=app%20in%20(a%2C%20b)&continue=a%2Bb%3D%2F&watch=true&limit=5',
  },
];
for (const { name, resource, where, path } of cases) {
  test(`path of ${name}`, () => assert.equal(pathOf(resource, where), path));
}

for (const where of [{ name: '' }, { namespace: '' }, { subresource: 'status' }, { namespace: 'a', name: '' }]) {
  test(`no path for ${JSON.stringify(where)}: it would mean the whole collection`, () => {
    assert.throws(() => pathOf(resources.services, where), TypeError);
  });
}

test('a name for people has the group behind it, where there is one', () => {
  assert.equal(nameOf(resources.nodes), 'nodes');
  assert.equal(nameOf(pools), 'ipaddresspools.metallb.io');
});
