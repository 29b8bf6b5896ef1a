import { keyOf, type Service } from '../../src/core/objects.ts';
import { OWN_FINALIZER, STANDARD_FINALIZER } from '../../src/core/service/wanted.ts';
import { addressesOf, type Block, FOREIGN_CLASS, isOurs } from './ledger.ts';
import { BLOCKS, draw, POOLS, type PoolSpec, pathOf, pick, putPool, SERVICES, type World } from './world.ts';

/** What people do to Services, pools and blocks, whatever the controllers are doing meanwhile. */
export type Deed = (world: World) => Promise<void>;

const KEYS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
  .map((name) => `default/${name}`)
  .concat(['i', 'j', 'k', 'l'].map((name) => `team/${name}`));
/** Of a class that is not ours, with an address, a condition and a finalizer of its own controller. */
export const FOREIGN_KEY = 'default/foreign';
const FOREIGN_FINALIZER = 'example.com/keep';
const KEY_ANNOTATION = 'metallb.io/allow-shared-ip';

/** A deed by its weight. */
export async function somethingIsDone(world: World): Promise<void> {
  await draw(world.random, deeds)(world);
}

/** Many want and leave at once. */
export async function crowd(world: World): Promise<void> {
  const count = pick(world.random, [3, 5, 8]);
  for (let number = 0; number < count; number += 1) await draw(world.random, crowding)(world);
}

/** MetalLB, or an earlier Fairlead whose blocks are lost, has given this address; nobody has written it down. */
export async function prepublish(world: World): Promise<void> {
  const { random, ledger } = world;
  const key = KEYS.filter((each) => !ledger.services.has(each))[0];
  const reserved = ledger.reserved();
  const taken = [...ledger.services.values()].flatMap(addressesOf);
  const free = Array.from({ length: 8 }, (_, number) => `10.77.0.${number}`).filter(
    (address) => !reserved.has(address) && !taken.includes(address),
  );
  if (key === undefined || free.length === 0) return;
  const address = pick(random, free);
  await create(world, key, { what: `shows ${address}` });
  const live = ledger.services.get(key);
  if (live === undefined) return;
  await world.does(`${key} shows ${address}`, 'PATCH', pathOf(key, 'status'), {
    metadata: { annotations: { 'metallb.io/ip-allocated-from-pool': 'default' } },
    status: { loadBalancer: { ingress: [{ ip: address, ipMode: 'VIP' }] } },
  });
  ledger.claim(live.metadata.uid, [address]);
}

/** Deleted with no regard for finalizers. */
export async function forceDelete(world: World): Promise<void> {
  const service = someone(world);
  if (service === undefined) return;
  const key = keyOf(service);
  await world.does(`finalizers off ${key}`, 'PATCH', pathOf(key), { metadata: { finalizers: null } });
  await world.does(`delete ${key}`, 'DELETE', pathOf(key));
}

export async function createForeign(world: World): Promise<void> {
  const [namespace, name] = FOREIGN_KEY.split('/') as [string, string];
  await world.does('create foreign', 'POST', `${SERVICES}/${namespace}/services`, {
    metadata: { name, finalizers: [STANDARD_FINALIZER, FOREIGN_FINALIZER] },
    spec: { type: 'LoadBalancer', loadBalancerClass: FOREIGN_CLASS, selector: { app: 'x' }, ports: [{ port: 80 }] },
  });
  await world.does('publish foreign', 'PATCH', pathOf(FOREIGN_KEY, 'status'), {
    status: {
      loadBalancer: { ingress: [{ ip: '10.77.0.1', ipMode: 'VIP' }] },
      conditions: [
        {
          type: 'LoadBalancerServing',
          status: 'True',
          reason: 'Serving',
          message: '',
          lastTransitionTime: '2026-11-20T12:00:00Z',
        },
      ],
    },
  });
}

/** Room enough for all of KEYS; no wish of a pool stands in the way. */
export async function wideOpen(world: World): Promise<void> {
  await editTo(world, 'default', { addresses: ['10.77.0.0/28'] }, {});
  await editTo(world, 'wide', { addresses: ['10.78.0.0/27', '2001:db8::/123'] }, {});
}

/** Scarce: more want an address than there are. */
export async function narrow(world: World): Promise<void> {
  await editTo(world, 'default', { addresses: [pick(world.random, ['10.77.0.0/30', '10.77.0.0/29'])] }, {});
  await editTo(world, 'wide', { addresses: ['10.78.0.0/30', '2001:db8::/126'], autoAssign: world.random() < 0.5 }, {});
  const serviceAllocation = { priority: 10, namespaces: ['team'] };
  await editTo(world, 'team', { addresses: ['10.79.0.0/31'], serviceAllocation }, {});
}

/** Whoever is being deleted is let go by the others who held it. */
export async function letGo(world: World): Promise<void> {
  for (const service of [...world.ledger.services.values()])
    if (service.metadata.deletionTimestamp !== undefined && isOurs(service)) await foreignFinalizer(world, service);
}

async function createService(world: World): Promise<void> {
  const { random, ledger } = world;
  const free = KEYS.filter((key) => !ledger.services.has(key));
  if (free.length > 0) await create(world, pick(random, free), draw(random, wishes)(random));
}

interface Wish {
  readonly what: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly spec?: object;
  readonly port?: number;
}

const wishes: readonly (readonly [number, (random: () => number) => Wish])[] = [
  [8, () => ({ what: 'anything' })],
  [4, (random) => shared(random)],
  [1, (random) => ({ ...shared(random), spec: { externalTrafficPolicy: 'Local' } })],
  [3, (random) => annotated('metallb.io/loadBalancerIPs', `10.77.0.${Math.floor(random() * 5)}`)],
  [1, () => ({ what: '10.77.0.2', spec: { loadBalancerIP: '10.77.0.2' } })],
  [2, () => ({ what: 'prefers both families', spec: { ipFamilyPolicy: 'PreferDualStack' } })],
  [2, () => ({ what: 'requires both families', spec: { ipFamilyPolicy: 'RequireDualStack' } })],
  [2, (random) => annotated('metallb.io/address-pool', pick(random, ['default', 'wide', 'team', 'nowhere']))],
  [1, () => annotated('metallb.universe.tf/address-pool', 'wide')],
  [2, (random) => annotated('fairlead.dev/address-count', pick(random, ['2', '3']))],
  [1, () => annotated('fairlead.dev/address-pools', 'default,wide')],
  [2, (random) => annotated('fairlead.dev/retain', pick(random, ['20s', '60s']))],
  [
    2,
    (random) => {
      const loadBalancerClass = pick(random, ['fairlead.dev/onprem', FOREIGN_CLASS]);
      return { what: `class ${loadBalancerClass}`, spec: { loadBalancerClass } };
    },
  ],
];

function shared(random: () => number): Wish {
  // A port that another may have: then they do not fit on one address.
  const key = pick(random, ['k1', 'k1', 'k2']);
  return { ...annotated(KEY_ANNOTATION, key), ...(random() < 0.3 ? { port: 80 } : {}) };
}

const annotated = (key: string, value: string): Wish => ({ what: `${key}=${value}`, annotations: { [key]: value } });

async function create(world: World, key: string, { what, annotations = {}, spec = {}, port }: Wish): Promise<void> {
  const [namespace, name] = key.split('/') as [string, string];
  await world.does(`create ${key} (${what})`, 'POST', `${SERVICES}/${namespace}/services`, {
    metadata: { name, annotations },
    spec: { type: 'LoadBalancer', selector: { app: name }, ports: [{ port: port ?? nextPort(world) }], ...spec },
  });
}

/** A port that no other Service has. */
function nextPort({ ledger }: World): number {
  const used = [...ledger.services.values()].flatMap(({ spec }) => (spec.ports ?? []).map(({ port }) => port));
  return Math.max(1000, ...used) + 1;
}

async function deleteService(world: World): Promise<void> {
  const service = someone(world);
  if (service !== undefined) await world.does(`delete ${keyOf(service)}`, 'DELETE', pathOf(keyOf(service)));
}

/** Another one under the same name before anybody has seen that the first is gone. */
async function recreate(world: World): Promise<void> {
  const service = someone(world);
  if (service === undefined) return;
  const key = keyOf(service);
  if (world.random() < 0.5)
    await world.does(`finalizers off ${key}`, 'PATCH', pathOf(key), { metadata: { finalizers: null } });
  await world.does(`delete ${key}`, 'DELETE', pathOf(key));
  if (!world.ledger.services.has(key)) await create(world, key, draw(world.random, wishes)(world.random));
}

async function changePort(world: World): Promise<void> {
  const port = world.random() < 0.3 ? 80 : nextPort(world);
  await edit(world, `port ${port}`, { spec: { ports: [{ port }] } }, 'no reason');
}

async function changeAddress(world: World): Promise<void> {
  const value = pick(world.random, ['10.77.0.0', '10.77.0.1', '10.77.0.3', '10.78.0.1', 'no address', null]);
  await edit(world, `loadBalancerIPs=${value}`, note('metallb.io/loadBalancerIPs', value), 'reason');
}

async function changePool(world: World): Promise<void> {
  const value = pick(world.random, ['default', 'wide', 'team', 'nowhere', null]);
  await edit(world, `address-pool=${value}`, note('metallb.io/address-pool', value), 'reason');
}

async function changeCount(world: World): Promise<void> {
  const value = pick(world.random, ['1', '2', '3', null]);
  await edit(world, `address-count=${value}`, note('fairlead.dev/address-count', value), 'reason');
}

async function changeFamilies(world: World): Promise<void> {
  const ipFamilyPolicy = pick(world.random, ['SingleStack', 'PreferDualStack', 'RequireDualStack']);
  await edit(world, ipFamilyPolicy, { spec: { ipFamilyPolicy } }, 'reason');
}

/** Joining or leaving a group never costs the address. */
async function changeKey(world: World): Promise<void> {
  const value = pick(world.random, ['k1', 'k1', 'k2', null]);
  await edit(world, `allow-shared-ip=${value}`, note(KEY_ANNOTATION, value), 'no reason');
}

async function changePolicy(world: World): Promise<void> {
  const externalTrafficPolicy = pick(world.random, ['Local', 'Cluster']);
  await edit(world, externalTrafficPolicy, { spec: { externalTrafficPolicy } }, 'no reason');
}

const note = (key: string, value: string | null) => ({ metadata: { annotations: { [key]: value } } });

async function toggleType(world: World): Promise<void> {
  const service = someone(world);
  if (service === undefined) return;
  const key = keyOf(service);
  const isBalanced = service.spec.type === 'LoadBalancer';
  const type = isBalanced ? pick(world.random, ['ClusterIP', 'NodePort']) : 'LoadBalancer';
  await world.does(`${key} becomes ${type}`, 'PATCH', pathOf(key), {
    spec: { type, ...(isBalanced ? { loadBalancerClass: null, externalTrafficPolicy: null } : {}) },
  });
}

async function wipeStatus(world: World): Promise<void> {
  const service = someone(world);
  if (service === undefined) return;
  const key = keyOf(service);
  const [what, body] = pick(world.random, [
    ['addresses', { status: { loadBalancer: null } }],
    ['status', { status: { loadBalancer: null, conditions: null } }],
    ['conditions', { status: { conditions: null } }],
    ['pool annotation', note('metallb.io/ip-allocated-from-pool', null)],
    [
      'half of the addresses',
      { status: { loadBalancer: { ingress: service.status?.loadBalancer?.ingress?.slice(1) } } },
    ],
  ] as const);
  if (isOurs(service)) await world.does(`wipe ${what} of ${key}`, 'PATCH', pathOf(key, 'status'), body);
}

async function dropFinalizers(world: World): Promise<void> {
  const service = someone(world);
  if (service === undefined) return;
  const key = keyOf(service);
  const finalizers = (service.metadata.finalizers ?? []).filter(
    (name) => name !== STANDARD_FINALIZER && name !== OWN_FINALIZER,
  );
  await world.does(`our finalizer off ${key}`, 'PATCH', pathOf(key), { metadata: { finalizers } });
}

/** Takes it off when it is there, else puts it on. */
async function foreignFinalizer(world: World, service = someone(world)): Promise<void> {
  if (service === undefined) return;
  const key = keyOf(service);
  const { finalizers = [] } = service.metadata;
  const isOn = finalizers.includes(FOREIGN_FINALIZER);
  const after = isOn ? finalizers.filter((name) => name !== FOREIGN_FINALIZER) : [...finalizers, FOREIGN_FINALIZER];
  await world.does(`${FOREIGN_FINALIZER} ${isOn ? 'off' : 'on'} ${key}`, 'PATCH', pathOf(key), {
    metadata: { finalizers: after },
  });
}

async function editPool(world: World): Promise<void> {
  const [name, spec] = draw(world.random, poolEdits);
  await editTo(world, name, spec, notesFor(world.random));
}

const poolEdits: readonly (readonly [number, readonly [string, PoolSpec]])[] = [
  [3, ['default', { addresses: ['10.77.0.0/29'] }]],
  [2, ['default', { addresses: ['10.77.0.0/28'] }]],
  [2, ['default', { addresses: ['10.77.0.0/30'] }]],
  [2, ['default', { addresses: ['10.77.0.2-10.77.0.5'] }]],
  [2, ['wide', { addresses: ['10.78.0.0/29', '2001:db8::/125'] }]],
  [1, ['wide', { addresses: ['10.78.0.2/31', '2001:db8::2/127'] }]],
  [1, ['wide', { addresses: ['10.78.0.0/30'] }]],
  [1, ['team', { addresses: ['10.79.0.0/30'], serviceAllocation: { priority: 10, namespaces: ['team'] } }]],
  [1, ['team', { addresses: ['10.79.0.0/31'], serviceAllocation: { priority: 10, namespaces: ['default'] } }]],
  // Under another name: addresses move with their pool.
  [1, ['renamed', { addresses: ['10.80.0.0/30'] }]],
  // Bad ones: the last good pools stay.
  [1, ['default', { addresses: ['10.77.0.9-10.77.0.1'] }]],
  [1, ['default', { addresses: ['10.78.0.0/24'] }]],
  [1, ['wide', { addresses: ['nonsense'] }]],
];

function notesFor(random: () => number): Readonly<Record<string, string>> {
  return {
    ...(random() < 0.3 ? { 'fairlead.dev/allow-shrink': 'true' } : {}),
    ...(random() < 0.15 ? { 'fairlead.dev/disabled': 'true' } : {}),
    ...(random() < 0.2 ? { 'fairlead.dev/retain': pick(random, ['10s', '60s']) } : {}),
    ...(random() < 0.15 ? { 'fairlead.dev/quota': pick(random, ['default=2,*=1', '*=3']) } : {}),
    ...(random() < 0.15 ? { 'fairlead.dev/order': pick(random, ['random', 'least-recently-used']) } : {}),
  };
}

async function editTo(
  world: World,
  name: string,
  spec: PoolSpec,
  annotations: Readonly<Record<string, string>>,
): Promise<void> {
  allowMoves(world, 'fairlead.dev/allow-shrink' in annotations ? [name] : []);
  await putPool(world, name, spec, annotations);
}

async function deletePool(world: World): Promise<void> {
  const name = pick(world.random, ['default', 'wide', 'team']);
  allowMoves(world, []);
  await world.does(`delete pool ${name}`, 'DELETE', `${POOLS}/${name}`);
}

/** An edit is taken at once or, when another one stands in its way, later: until the end it is a reason to move. */
function allowMoves(world: World, names: readonly string[]): void {
  const { ledger, shrinking } = world;
  for (const name of names) shrinking.add(name);
  const reserved = ledger.reserved();
  for (const service of ledger.services.values()) {
    const { uid } = service.metadata;
    // What nobody has written down yet goes with its pool.
    const isBare = addressesOf(service).some((address) => reserved.get(address)?.has(uid) !== true);
    if (isBare || shrinking.size > 0) ledger.excuse(uid);
  }
}

async function deleteBlock(world: World): Promise<void> {
  const block = someBlock(world);
  if (block === undefined) return;
  // Under which keys they came to share it stands nowhere else; they may have others by now.
  for (const { users = [] } of Object.values(block.spec.addresses ?? {}))
    if (users.length > 1) for (const { uid } of users) world.ledger.excuse(uid);
  await world.does(`delete block ${block.metadata.name}`, 'DELETE', `${BLOCKS}/${block.metadata.name}`);
}

/** Whoever decided on the version before it meets a conflict. */
async function touchBlock(world: World): Promise<void> {
  const block = someBlock(world);
  if (block === undefined) return;
  const { name } = block.metadata;
  const labels = { touched: `${world.clock.monotonicMs()}` };
  await world.does(`touch block ${name}`, 'PATCH', `${BLOCKS}/${name}`, { metadata: { labels } });
}

function someBlock({ api, random }: World): Block | undefined {
  const all = api.store.list('ipblocks.fairlead.dev').map(({ object }) => object as unknown as Block);
  return all.length === 0 ? undefined : pick(random, all);
}

/** One that is there, of ours or of nobody's. */
function someone({ ledger, random }: World): Service | undefined {
  const all = [...ledger.services.values()].filter((service) => KEYS.includes(keyOf(service)));
  return all.length === 0 ? undefined : pick(random, all);
}

async function edit(world: World, what: string, body: object, how: 'reason' | 'no reason'): Promise<void> {
  const service = someone(world);
  if (service === undefined) return;
  const key = keyOf(service);
  if (how === 'reason') world.ledger.excuse(service.metadata.uid);
  await world.does(`${key}: ${what}`, 'PATCH', pathOf(key), body);
}

async function editForeign(world: World): Promise<void> {
  await world.does('edit foreign', 'PATCH', pathOf(FOREIGN_KEY), {
    metadata: { labels: { edited: `${world.clock.monotonicMs()}` } },
  });
}

const deeds: readonly (readonly [number, Deed])[] = [
  [12, createService],
  [6, deleteService],
  [4, recreate],
  [2, forceDelete],
  [3, changePort],
  [4, changeAddress],
  [3, changePool],
  [2, changeCount],
  [2, changeFamilies],
  [3, changeKey],
  [1, changePolicy],
  [4, toggleType],
  [4, wipeStatus],
  [2, dropFinalizers],
  [2, (world) => foreignFinalizer(world)],
  [6, editPool],
  [1, deletePool],
  [1, deleteBlock],
  [3, touchBlock],
  [1, editForeign],
];

/** What makes addresses go from hand to hand. */
const crowding: readonly (readonly [number, Deed])[] = [
  [8, createService],
  [5, deleteService],
  [3, recreate],
  [2, forceDelete],
  [2, toggleType],
  [2, changeAddress],
  [1, changeKey],
  [1, wipeStatus],
  [1, touchBlock],
];
