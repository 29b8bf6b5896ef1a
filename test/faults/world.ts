import assert from 'node:assert/strict';
import * as onprem from '../../providers/onprem/index.ts';
import { crdFiles } from '../../src/cli/assets.ts';
import { readManifests } from '../../src/cli/manifest.ts';
import { putAll } from '../../src/cli/world.ts';
import { type IPAddressPool, type Pool, poolsOf } from '../../src/core/ipam/pools.ts';
import { hasIp } from '../../src/core/net/cidr.ts';
import { parseIp } from '../../src/core/net/ip.ts';
import type { Service } from '../../src/core/objects.ts';
import { type Client, createClient, isApiError, type Transport } from '../../src/kube/request.ts';
import { seededRandom } from '../../src/sandbox/api/random.ts';
import { createSandboxApi, type SandboxApi } from '../../src/sandbox/api/server.ts';
import { fakeTerminal } from '../cli/terminal.ts';
import { createVirtualClock, type VirtualClock } from '../fake/clock.ts';
import { createLedger, type Ledger, USER } from './ledger.ts';
import { type Process, startProcess } from './process.ts';

/** An API server, a person and any number of controllers, in one process on a virtual clock. */
export interface World {
  readonly clock: VirtualClock;
  readonly api: SandboxApi;
  readonly user: Client;
  readonly random: () => number;
  /** What happened, in words. */
  readonly story: string[];
  readonly ledger: Ledger;
  readonly processes: Process[];
  readonly driftCheckPeriodMs: number;
  /** Names of pools that ever allowed their addresses in use to go. */
  readonly shrinking: Set<string>;
  tell(line: string): void;
  /** Another controller. */
  start(): Process;
  alive(): readonly Process[];
  leader(): Process | undefined;
  /** Waits for work that needs the clock to move. */
  driven<T>(work: Promise<T>, maxMs?: number): Promise<T>;
  /** A person's request; throws ApiError. */
  ask<T = unknown>(method: Method, path: string, body?: object): Promise<T>;
  /** The same, whatever the API server thinks of it: told with its status. */
  does(what: string, method: Method, path: string, body?: object): Promise<void>;
  close(): Promise<void>;
}
export type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';

const never = new AbortController().signal;

export interface WorldOptions {
  /** Written to. */
  readonly story?: string[];
  readonly driftCheckPeriodMs?: number;
  /** A request or an answer takes one of these; empty: no time. */
  readonly latenciesMs?: readonly number[];
}

export async function createWorld(
  seed: number,
  { story = [], driftCheckPeriodMs = 600_000, latenciesMs = [] }: WorldOptions = {},
): Promise<World> {
  const clock = createVirtualClock();
  const api = createSandboxApi({ clock, seed });
  const shrinking = new Set<string>();
  const isStranded = (address: string) => shrinking.size > 0 && !livePools(api).some((pool) => has(pool, address));
  const ledger = createLedger(
    () => clock.monotonicMs(),
    (addresses) => addresses.every(isStranded),
  );
  api.store.subscribe(undefined, (change) => ledger.seen(change));
  const random = seededRandom(seed * 7919 + 1);
  const processes: Process[] = [];
  const user = createClient({ transport: as(USER, api, ledger), clock });

  const world: World = {
    clock,
    api,
    user,
    random,
    story,
    ledger,
    processes,
    driftCheckPeriodMs,
    shrinking,
    tell: (line) => void story.push(`${clock.monotonicMs()}: ${line}`),
    start() {
      const name = `p${processes.length + 1}`;
      world.tell(`start ${name}`);
      const started = startProcess({
        name,
        clock,
        handle: (request) => ledger.by(name, () => api.handle(request)),
        seed: processes.length + Math.floor(random() * 1e6),
        driftCheckPeriodMs,
        latencyMs: () => (latenciesMs.length === 0 ? 0 : pick(random, latenciesMs)),
        module: onprem,
        providerConfig: { metallbNamespace: 'metallb-system', identity: name, seed: 'test' },
      });
      processes.push(started);
      return started;
    },
    alive: () => processes.filter(({ state }) => state !== 'ended'),
    leader: () => processes.find((one) => one.leads()),
    async driven(work, maxMs = 60_000) {
      let done = false;
      const settled = work.finally(() => {
        done = true;
      });
      settled.catch(() => {}); // awaited below; here only so that nobody calls it unhandled meanwhile
      await clock.settle();
      if (!done) await clock.run(() => done, { maxMs });
      return await settled;
    },
    ask: async <T>(method: Method, path: string, body?: object) =>
      await world.driven(
        user.call<T>({
          method,
          path,
          signal: never,
          ...(body === undefined ? {} : { body }),
          ...(method === 'PATCH' ? { contentType: 'application/merge-patch+json' } : {}),
        }),
      ),
    async does(what, method, path, body) {
      const answer = await world.ask(method, path, body).then(
        () => 'ok',
        (error: unknown) => {
          if (!isApiError(error)) throw error;
          return `${error.status}`;
        },
      );
      world.tell(`${what}: ${answer}`);
    },
    async close() {
      for (const one of processes) one.bury();
      await clock.advance(60_000);
      await api.close();
    },
  };
  await world.driven(putAll(user, await manifests, never));
  await world.ask('POST', SERVICES, { metadata: { name: 'team' } });
  return world;
}

/** As far as they make sense. */
function livePools(api: SandboxApi): readonly Pool[] {
  return api.store.list('ipaddresspools.metallb.io').flatMap(({ object }) => {
    try {
      return poolsOf([object as unknown as IPAddressPool], []);
    } catch {
      return [];
    }
  });
}

function has(pool: Pool, address: string): boolean {
  const ip = parseIp(address);
  return ip !== undefined && pool.blocks.some((block) => hasIp(block, ip));
}

/** In process, as somebody. */
function as(author: string, api: SandboxApi, ledger: Ledger): Transport {
  const inner = api.transport();
  return { send: (request) => ledger.by(author, () => inner.send(request)), close() {} };
}

const terminal = fakeTerminal();
const manifests = crdFiles().then((files) => readManifests(files, terminal));

export const SERVICES = '/api/v1/namespaces';
/** Of 'default/a'. */
export function pathOf(key: string, subresource?: string): string {
  const [namespace, name] = key.split('/');
  return `${SERVICES}/${namespace}/services/${name}${subresource === undefined ? '' : `/${subresource}`}`;
}
export const POOLS = '/apis/metallb.io/v1beta1/namespaces/metallb-system/ipaddresspools';
export const BLOCKS = '/apis/fairlead.dev/v1alpha1/ipblocks';

export interface PoolSpec {
  readonly addresses: readonly string[];
  readonly serviceAllocation?: object;
  readonly autoAssign?: boolean;
}

/** The pool is exactly this. */
export async function putPool(
  world: World,
  name: string,
  spec: PoolSpec,
  annotations: Readonly<Record<string, string>> = {},
): Promise<void> {
  const notes = Object.entries(annotations).map(([key, value]) => ` ${key.replace('fairlead.dev/', '')}=${value}`);
  world.tell(`pool ${name} = ${spec.addresses.join(', ')}${notes.join('')}`);
  const live = await find<{ metadata: { annotations?: Record<string, string> } }>(world, `${POOLS}/${name}`);
  const body = { apiVersion: 'metallb.io/v1beta1', kind: 'IPAddressPool', metadata: { name, annotations }, spec };
  if (live === undefined) await world.ask('POST', POOLS, body);
  else {
    const gone = Object.fromEntries(Object.keys(live.metadata.annotations ?? {}).map((key) => [key, null]));
    await world.ask('PATCH', `${POOLS}/${name}`, { metadata: { annotations: { ...gone, ...annotations } }, spec });
  }
}

/** Undefined when there is none. */
export async function find<T = Service>(world: World, path: string): Promise<T | undefined> {
  try {
    return await world.ask<T>('GET', path);
  } catch (error) {
    if (isApiError(error) && error.status === 404) return undefined;
    throw error;
  }
}

export async function listAll<T>(world: World, path: string): Promise<readonly T[]> {
  const { items } = await world.ask<{ readonly items: readonly T[] }>('GET', path);
  return items;
}

export function pick<T>(random: () => number, of: readonly T[]): T {
  assert.ok(of.length > 0, 'nothing to pick from');
  return of[Math.floor(random() * of.length)] as T;
}

/** By weight. */
export function draw<T>(random: () => number, of: readonly (readonly [number, T])[]): T {
  let left = random() * of.reduce((sum, [weight]) => sum + weight, 0);
  const found = of.find(([weight]) => {
    left -= weight;
    return left < 0;
  });
  return (found ?? (of.at(-1) as readonly [number, T]))[1];
}
