/** The memory provider against a cloud that fails: classification, and random histories that end as a fresh start. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { CloudErrorCode } from '../../../providers/memory/cloud-error.ts';
import { memoryParts } from '../../../providers/memory/index.ts';
import { nameOf } from '../../../providers/memory/names.ts';
import { defineLoadBalancers } from '../../../src/core/define.ts';
import type { LoadBalancerSpec } from '../../../src/core/provider.ts';
import { foreignBalancers, memoryHarness } from './harness.ts';
import { callOf, specOf } from './spec.ts';

const kinds: readonly (readonly [CloudErrorCode, string, string])[] = [
  ['AddressInUse', 'quota', 'FL_MEMORY_QUOTA'],
  ['AlreadyExists', 'conflict', 'FL_MEMORY_FOREIGN'],
  ['Denied', 'denied', 'FL_MEMORY_DENIED'],
  ['NotFound', 'transient', 'FL_MEMORY_UNAVAILABLE'],
  ['QuotaExceeded', 'quota', 'FL_MEMORY_QUOTA'],
  ['Throttled', 'throttled', 'FL_MEMORY_THROTTLED'],
  ['Unavailable', 'transient', 'FL_MEMORY_UNAVAILABLE'],
];
for (const [cloudCode, kind, code] of kinds) {
  test(`the cloud's ${cloudCode} is ${kind}`, async () => {
    const { cloud, parts } = memoryHarness({
      fault: ({ write }) => (write ? { code: cloudCode, retryAfterMs: 700 } : undefined),
    });
    const ensured = defineLoadBalancers(parts).ensure(specOf('a', [80]), callOf());
    // AlreadyExists with a time would be a wait: "still in use"; here it is asked for with one to see that it is kept.
    if (kind === 'conflict') {
      const progress = await ensured;
      assert.ok(progress.state === 'pending');
      assert.equal(progress.retryAfterMs, 700);
    } else {
      await assert.rejects(ensured, { name: 'ProviderError', kind, code, retryAfterMs: 700 });
    }
    assert.deepEqual(cloud.snapshot(), []);
  });
}

test('what the cloud still uses is a wait, with its time', async () => {
  const { cloud, parts, clock } = memoryHarness({ deleteMs: 5000 });
  const loadBalancers = defineLoadBalancers(parts);
  const spec = specOf('a', [80]);
  await loadBalancers.ensure(spec, callOf());
  const removal = await loadBalancers.remove(spec, callOf());
  assert.deepEqual(removal, {
    done: false,
    reason: `balancer ${nameOf('contract', spec.uid)} is deleting`,
    retryAfterMs: 1000,
  });
  await clock.advance(5000);
  assert.deepEqual(await loadBalancers.remove(spec, callOf()), { done: true });
  assert.deepEqual(cloud.snapshot(), []);
});

for (const { owner, tags } of [
  { owner: 'somebody', tags: {} },
  { owner: 'another cluster', tags: { cluster: 'elsewhere', uid: 'uid-a', service: 'default/a' } },
  { owner: 'another Service', tags: { cluster: 'contract', uid: 'uid-b', service: 'default/b' } },
]) {
  test(`a balancer of ${owner} under our name is neither changed nor deleted`, async () => {
    const { cloud, parts } = memoryHarness();
    const loadBalancers = defineLoadBalancers(parts);
    const spec = specOf('a', [80]);
    const [theirs] = foreignBalancers();
    assert.ok(theirs);
    cloud.put({ ...theirs, name: nameOf('contract', spec.uid), tags });
    const before = cloud.snapshot();
    await assert.rejects(loadBalancers.ensure(spec, callOf()), { code: 'FL_MEMORY_FOREIGN' });
    assert.deepEqual(await loadBalancers.remove(spec, callOf()), { done: true });
    // It came between the look and the write.
    const [create] = parts.diff(parts.plan(spec), { state: 'absent' }).flat();
    assert.equal(create?.kind, 'createBalancer');
    await assert.rejects(parts.apply(create, callOf()), { code: 'FL_MEMORY_FOREIGN' });
    assert.deepEqual(cloud.snapshot(), before);
  });
}

test('a creation whose answer was lost is found again', async () => {
  let lost = false;
  const { cloud, parts } = memoryHarness({
    fault({ operation }) {
      if (operation !== 'create' || lost) return undefined;
      lost = true;
      return { code: 'Unavailable', effect: true };
    },
  });
  const loadBalancers = defineLoadBalancers(parts);
  await assert.rejects(loadBalancers.ensure(specOf('a', [80]), callOf()));
  // As if the look before had been older than the write: the action comes again, and its effect is there already.
  const [create] = parts.diff(parts.plan(specOf('a', [80])), { state: 'absent' }).flat();
  assert.equal(create?.kind, 'createBalancer');
  await parts.apply(create, callOf());
  await loadBalancers.ensure(specOf('a', [80]), callOf());
  assert.equal(cloud.snapshot().length, 1);
});

test('every request takes its place in the limiter, reads and writes by class', async () => {
  const { parts } = memoryHarness();
  const classes: unknown[] = [];
  const call = {
    ...callOf(),
    limit: <T>(fn: () => Promise<T>, how?: { readonly class?: string }): Promise<T> => {
      classes.push(how?.class);
      return fn();
    },
  };
  await defineLoadBalancers(parts).ensure(specOf('a', [80]), call);
  assert.deepEqual(classes, ['read', 'write', 'write', 'read']);
});

const services = ['a', 'b', 'c'] as const;
const step = fc.record({
  service: fc.constantFrom(...services),
  ports: fc.uniqueArray(fc.constantFrom(80, 443, 8080), { maxLength: 3 }),
});
const fault = fc.record({
  at: fc.nat(60),
  code: fc.constantFrom<CloudErrorCode>('Unavailable', 'Throttled', 'Denied', 'Busy'),
  effect: fc.boolean(),
});

test('property: any history of Services and faults ends as a fresh start on the last specs, and leaves others alone', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), fc.array(fault, { maxLength: 12 }), async (steps, faults) => {
      const harness = memoryHarness({
        deleteMs: 50,
        fault({ number }) {
          const hit = faults.find(({ at }) => at === number);
          return hit && { code: hit.code, ...(hit.effect ? { effect: true as const } : {}) };
        },
      });
      await harness.foreign();
      const last = new Map<string, LoadBalancerSpec>();
      for (const { service, ports } of steps) {
        const spec = specOf(service, ports);
        if (ports.length === 0) last.delete(service);
        else last.set(service, spec);
        // One try of a process that ends afterwards; whether it worked is not looked at.
        const loadBalancers = defineLoadBalancers(memoryParts(harness.cloud, 'contract'));
        const run = ports.length === 0 ? loadBalancers.remove(spec, callOf()) : loadBalancers.ensure(spec, callOf());
        await run.catch(() => {});
        await harness.advance(20);
      }
      harness.cloud.configure({ fault: () => undefined });
      await converge(harness, last);
      const fresh = memoryHarness();
      await fresh.foreign();
      await converge(fresh, last);
      assert.deepEqual(withoutAddresses(harness.snapshot()), withoutAddresses(fresh.snapshot()));
    }),
    { numRuns: 300 },
  );
});

async function converge(
  { cloud, advance }: ReturnType<typeof memoryHarness>,
  wanted: ReadonlyMap<string, LoadBalancerSpec>,
): Promise<void> {
  const loadBalancers = defineLoadBalancers(memoryParts(cloud, 'contract'));
  for (const service of services) {
    const spec = wanted.get(service);
    for (let run = 0; ; run += 1) {
      assert.ok(run < 10, `${service} does not converge`);
      if (spec === undefined) {
        if ((await loadBalancers.remove(specOf(service, [80]), callOf())).done) break;
      } else if ((await loadBalancers.ensure(spec, callOf())).state === 'ready') {
        break;
      }
      await advance(1000);
    }
  }
}

/** Which address a Service got depends on who came first. */
function withoutAddresses(snapshot: unknown): unknown {
  return (snapshot as { name: string; address: string }[]).map(({ address, ...rest }) => ({
    ...rest,
    ...(rest.name.startsWith('fl-') ? {} : { address }),
  }));
}
