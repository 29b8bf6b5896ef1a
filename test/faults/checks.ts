import assert from 'node:assert/strict';
import { keyOf, type Service } from '../../src/core/objects.ts';
import { addressesOf, type Block, isOurs, type Move } from './ledger.ts';
import { BLOCKS, listAll, type World } from './world.ts';

/** Less than the 5 minutes after which what a person must mend is tried again: that must not be what repairs. */
export const CALM_MS = 150_000;

/** What must hold once everything is calm. */
export async function checkCalm(world: World): Promise<void> {
  checkConduct(world);
  assert.equal(world.processes.filter((one) => one.leads()).length, 1, 'one process leads');
  const services = await listAll<Service>(world, '/api/v1/services');
  const ours = services.filter(isOurs);
  for (const service of ours) checkShown(service);
  for (const service of services.filter(({ spec }) => spec.type !== 'LoadBalancer'))
    assert.deepEqual(addressesOf(service), [], `${keyOf(service)} is no load balancer and shows no address`);
  await checkBlocks(world, ours);
  await checkWords(world);
}

/** Whoever starts now finds nothing to do. */
export async function checkFresh(world: World): Promise<void> {
  for (const one of world.alive()) await world.driven(one.terminate(), 30_000);
  const fresh = world.start();
  await world.clock.advance(30_000);
  assert.ok(fresh.leads(), 'the fresh process leads');
  const news = fresh.writes.filter((write) => !isWord(world, write));
  assert.deepEqual(news, [], 'a fresh controller on the final objects writes nothing');
  await world.driven(fresh.terminate(), 30_000);
  checkConduct(world);
}

interface StatusPatch {
  readonly metadata: object;
  readonly status?: { readonly conditions?: readonly { readonly type: string }[] };
}

/**
 * Why a Service does not have what it asks for may have become another reason meanwhile; by contract only the drift check
 * looks at that (controllers.md, "error kinds"; onprem-ipam.md, "Waiters"). Where there was one, this is no excuse.
 */
function isWord({ ledger, driftCheckPeriodMs }: World, write: string): boolean {
  const [, namespace, name] = /^PATCH \/api\/v1\/namespaces\/([^/]+)\/services\/([^/]+)\/status/.exec(write) ?? [];
  const service = ledger.services.get(`${namespace}/${name}`);
  if (driftCheckPeriodMs <= CALM_MS || service === undefined) return false;
  const { metadata, status = {} } = JSON.parse(write.slice(write.indexOf('{'))) as StatusPatch;
  const { conditions = [], ...others } = status;
  const isServed = addressesOf(service).length > 0;
  return (
    Object.keys(others).length === 0 &&
    Object.keys(metadata).every((key) => key === 'uid' || key === 'resourceVersion') &&
    conditions.every(({ type }) => type === 'LoadBalancerDegraded' || !isServed)
  );
}

/** What no process ever does, and nobody ever sees. */
function checkConduct({ ledger, processes }: World): void {
  assert.deepEqual(ledger.wrongs, [], 'what must never happen to Services and blocks');
  assert.deepEqual(
    processes.flatMap(({ wire }) => wire.wrongs),
    [],
    'what a process must never send',
  );
  assert.deepEqual(
    processes.flatMap(({ name, end }) => (end instanceof Error ? [`${name}: ${end.stack}`] : [])),
    [],
    'no process ends with an error',
  );
  assert.deepEqual(
    processes.flatMap(({ name, errors }) => errors.map((text) => `${name}: ${text}`)),
    [],
    'no process logs an error',
  );
}

function checkShown(service: Service): void {
  const key = keyOf(service);
  const { metadata, status } = service;
  const shown = addressesOf(service);
  if (metadata.deletionTimestamp !== undefined) {
    assert.ok((metadata.finalizers ?? []).length > 0, `${key} is held by somebody`);
    assert.deepEqual(
      metadata.finalizers?.filter((name) => !name.startsWith('example.com/')),
      [],
      `${key} is not held by us`,
    );
    assert.deepEqual(shown, [], `${key} is going and shows no address`);
    return;
  }
  const serving = status?.conditions?.find(({ type }) => type === 'LoadBalancerServing');
  assert.equal(serving?.status, shown.length > 0 ? 'True' : 'False', `${key} says whether it serves`);
  const wishes = Object.keys(metadata.annotations ?? {}).filter((name) => /loadBalancerIPs|address-/.test(name));
  const isModest =
    wishes.length === 0 && service.spec.loadBalancerIP === undefined && service.spec.ipFamilyPolicy === 'SingleStack';
  if (isModest) assert.ok(shown.length > 0, `${key} wants any address, and there are some`);
}

async function checkBlocks(world: World, ours: readonly Service[]): Promise<void> {
  const blocks = await listAll<Block>(world, BLOCKS);
  const entries = blocks.flatMap(({ spec }) => Object.entries(spec.addresses ?? {}));
  const reserved = entries.map(([address, { users = [] }]) => [
    address,
    users.map(({ namespace, name }) => `${namespace}/${name}`).sort(),
  ]);
  const published = new Map<string, string[]>();
  for (const service of ours)
    for (const address of addressesOf(service))
      published.set(address, [...(published.get(address) ?? []), keyOf(service)].sort());
  assert.deepEqual(
    Object.fromEntries(reserved.sort()),
    Object.fromEntries([...published].sort()),
    'blocks equal published addresses',
  );
  for (const { metadata, spec } of blocks)
    assert.ok(Object.keys(spec.addresses ?? {}).length > 0, `block ${metadata.name} has a reason to be`);
}

interface Event {
  readonly reason: string;
  readonly message: string;
  readonly involvedObject: { readonly uid: string };
}
const TOLD: ReadonlySet<string> = new Set(['IPAllocated', 'ClearAssignment', 'AllocationFailed', 'LoadBalancerFailed']);

/** Every change of a published address was told, by its address. */
async function checkWords(world: World): Promise<void> {
  const { ledger } = world;
  const items = await listAll<Event>(world, '/api/v1/events');
  const isTold = ({ uid, from, to }: Move): boolean => {
    const named = [...from.filter((each) => !to.includes(each)), ...to.filter((each) => !from.includes(each))];
    return items.some(
      ({ involvedObject, reason, message }) =>
        involvedObject.uid === uid &&
        TOLD.has(reason) &&
        (to.length === 0 || named.some((address) => message.includes(address))),
    );
  };
  const silent = ledger.moves.filter((move) => !mayBeMute(world, move) && !isTold(move));
  assert.deepEqual(silent, [], 'every move of an address was told in an event');
}

/** The word of a process that went with a bang soon after may be lost with it. */
function mayBeMute({ processes }: World, { by }: Move): boolean {
  const mover = processes.find(({ name }) => name === by);
  return mover?.state === 'ended' && mover.end !== 'stopped';
}
