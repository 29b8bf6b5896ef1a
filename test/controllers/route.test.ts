import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SOON_MS } from './rig.ts';
import { createRouteRig } from './route/rig.ts';

test('a node with a pod CIDR gets its route, and NetworkUnavailable says so', async (t) => {
  const rig = createRouteRig(t);
  await rig.lead();
  await rig.join('a', ['10.120.0.0/24', 'a00:100::/24']);
  await rig.clock.advance(SOON_MS);
  assert.deepEqual(rig.routes(), ['main 10.120.0.0/24 memory://a', 'main a00:100::/24 memory://a']);
  assert.equal(rig.available('a'), 'False/RouteCreated');
});
