/**
 * On-prem from a user's side, on the sandbox and on a real kube-apiserver: MetalLB's end-to-end inventory (onprem-ipam.md,
 * "Numbers to reach") and what is ours beyond it. Each case has its namespace, its pools and its controller.
 */
import { test } from 'node:test';
import { apis } from '../kube/cluster.ts';
import { cases as allocation } from './onprem/allocation.ts';
import { cases as assignment } from './onprem/assignment.ts';
import type { Cases } from './onprem/cases.ts';
import { cases as dualStack } from './onprem/dual-stack.ts';
import { cases as neighbours } from './onprem/neighbours.ts';
import { cases as pools } from './onprem/pools.ts';
import { cases as refusals } from './onprem/refusals.ts';
import { cases as state } from './onprem/state.ts';
import { createWorld, installKinds } from './world.ts';

const subjects: Readonly<Record<string, Cases>> = {
  assignment,
  allocation,
  'dual stack': dualStack,
  pools,
  'configuration state': state,
  refusals,
  neighbours,
};

for (const { name: server, start } of apis) {
  test(`${server}: on-prem`, async (t) => {
    const api = await start(t, { serviceClusterIpRange: '10.96.0.0/16,fd00:10:96::/112' });
    if (api === undefined) return;
    await installKinds(api);
    let count = 0;
    for (const [subject, cases] of Object.entries(subjects)) {
      for (const [name, run] of Object.entries(cases)) {
        count += 1;
        const namespace = `case-${count}`;
        await t.test(`${subject}: ${name}`, async () => {
          const world = await createWorld(api, namespace);
          try {
            await run(world);
          } finally {
            await world.clean();
          }
        });
      }
    }
  });
}
