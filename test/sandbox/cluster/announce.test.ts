import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EndpointSlice, Node, Service } from '../../../src/core/objects.ts';
import { announcements } from '../../../src/sandbox/cluster/announce.ts';

const node = (name: string): Node => ({
  metadata: { name, uid: name, resourceVersion: '1', creationTimestamp: '' },
  spec: {},
});
const service = (name: string, ip: string, spec: Service['spec'] = {}, ipMode?: 'VIP' | 'Proxy'): Service => ({
  metadata: { name, namespace: 'default', uid: name, resourceVersion: '1', creationTimestamp: '' },
  spec,
  status: { loadBalancer: { ingress: [{ ip, ...(ipMode === undefined ? {} : { ipMode }) }] } },
});
const slice = (of: string, ...endpoints: readonly (readonly [node: string, ready: boolean])[]): EndpointSlice => ({
  metadata: {
    name: of,
    namespace: 'default',
    uid: of,
    resourceVersion: '1',
    creationTimestamp: '',
    labels: { 'kubernetes.io/service-name': of },
  },
  addressType: 'IPv4',
  endpoints: endpoints.map(([nodeName, ready]) => ({ addresses: ['10.0.0.1'], nodeName, conditions: { ready } })),
});
const nodes = ['n1', 'n2', 'n3'].map(node);
const local = { externalTrafficPolicy: 'Local' } as const;

test('every address goes to some node, several spread, and stays where it is', () => {
  const services = Array.from({ length: 30 }, (_, index) => service(`s${index}`, `192.0.2.${index}`));
  const chosen = announcements(services, [], nodes);
  assert.equal(chosen.size, 30);
  assert.deepEqual([...new Set(chosen.values())].sort(), ['n1', 'n2', 'n3']);
  const fewer = announcements(services, [], nodes.slice(0, 2), chosen);
  for (const [address, before] of chosen) if (before !== 'n3') assert.equal(fewer.get(address), before);
  assert.ok(![...fewer.values()].includes('n3'));
});

test('with policy Local only a node with a ready endpoint, and none without one', () => {
  const services = [service('a', '192.0.2.1', local), service('b', '192.0.2.2', local)];
  const slices = [slice('a', ['n1', false], ['n2', true]), slice('b', ['n3', false])];
  assert.deepEqual([...announcements(services, slices, nodes)], [['192.0.2.1', 'n2']]);
});

test('a shared address goes where every Service on it is served', () => {
  const services = [service('a', '192.0.2.1', local), service('b', '192.0.2.1', local), service('c', '192.0.2.1')];
  const slices = [slice('a', ['n1', true], ['n2', true]), slice('b', ['n2', true], ['n3', true])];
  assert.deepEqual([...announcements(services, slices, nodes)], [['192.0.2.1', 'n2']]);
});

test('no nodes, no address, or an address of a proxy: nothing is announced', () => {
  assert.deepEqual([...announcements([service('a', '192.0.2.1')], [], [])], []);
  assert.deepEqual([...announcements([service('a', '192.0.2.1', {}, 'Proxy')], [], nodes)], []);
});
