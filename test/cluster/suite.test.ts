/** The part of Kubernetes' own tests that runs at each change; the whole is `npm run conformance`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runSuite } from '../kube/suite.ts';
import { CI_FOCUS, SKIP } from './cases.ts';
import { clusterFor, whose } from './world.ts';

test("Kubernetes' conformance tests of Services, Networking and EndpointSlice pass", async (t) => {
  const cluster = await clusterFor(t);
  if (cluster === undefined) return;
  const cases = await runSuite(cluster, { focus: CI_FOCUS, skip: SKIP, timeoutMs: 15 * 60_000 });
  for (const { name, state, seconds, message } of cases) {
    await t.test(`${name} (${seconds.toFixed(0)} s)`, () => assert.equal(state, 'passed', message));
  }
  // A focus that meets nothing would pass, too.
  assert.ok(cases.length >= 20, `${cases.length} cases with ${JSON.stringify(whose)}`);
});
