/**
 * On-prem against the least that its work can cost: blocks in use for writes, one look per Service for a restart. The API
 * server is the fake of the tests in virtual time, so the times are this process's own.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { createWorld, during } from '../providers/onprem/world.ts';

const SERVICES = 10_000;
const BLOCKS = Math.ceil(SERVICES / 256);

const world = createWorld();
const controller = await world.controller();
const keys = Array.from({ length: SERVICES }, (_, index) => `web/s${String(index).padStart(5, '0')}`);
for (const key of keys) world.service(key);
await world.clock.advance(10);
const specs = keys.map(controller.spec);
const { loadBalancers } = controller.provider;

await timed('10,000 Services find no pool', async () => {
  await during(
    world.clock,
    Promise.allSettled(specs.map((spec) => loadBalancers.ensure(spec, controller.context.call()))),
  );
});
const delay = monitorEventLoopDelay({ resolution: 5 });
delay.enable();
world.pool('one', ['10.0.0.0/16']);
await timed('a pool comes: all decided, blocks written', async () => await world.clock.advance(500));
delay.disable();
print('longest stall of the event loop meanwhile', `${Math.round(delay.max / 1e6)} ms`, 'limit 50 ms');
await timed('their own runs', async () => await during(world.clock, Promise.all(keys.map(controller.run))));
const writes = world.cluster.requests.filter(
  ({ resource, verb }) => resource.startsWith('ipblocks') && verb !== 'list',
);
print('block writes in all', String(writes.length), `blocks in use ${BLOCKS}`);
await timed('audit of 10,000', async () => {
  await during(world.clock, loadBalancers.audit(specs, controller.context.call()));
});
await world.clock.advance(2000);
controller.context.kill();
const before = world.cluster.writes.length;
await timed('restart and audit of 10,000', async () => {
  const next = await world.controller({ identity: 'next' });
  await during(world.clock, next.provider.loadBalancers.audit(specs, next.context.call()));
});
print('writes of the restart', String(world.cluster.writes.length - before), 'limit 0');

async function timed(what: string, run: () => Promise<unknown>): Promise<void> {
  const begunMs = performance.now();
  await run();
  const ms = performance.now() - begunMs;
  print(what, `${Math.round(ms)} ms`, `${((ms * 1000) / SERVICES).toFixed(0)} us each`);
}

function print(what: string, value: string, beside: string): void {
  process.stdout.write(`${what.padEnd(48)}${value.padStart(10)}   ${beside}\n`);
}
