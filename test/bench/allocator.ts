/**
 * The allocator beside a linear scan as MetalLB's: every allocation tries each address of the pool in turn, by its text.
 * Times are CPU time of the whole process, threads that compile and collect included: on a busy machine the wall clock
 * says more about the neighbours. A single allocation is too short for that: the median by the wall clock.
 * Reach (onprem-ipam.md): 10,000 Services from one /16 in 500 ms; one allocation in a /16 that is 99 % full in 0.1 ms.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type Allocator, createAllocator } from '../../src/core/ipam/allocator.ts';
import { poolsOf } from '../../src/core/ipam/pools.ts';
import type { AddressRequest } from '../../src/core/ipam/request.ts';
import { type Waiter, wake } from '../../src/core/ipam/waiters.ts';

const SERVICES = 10_000;
const SIZE = 65_536;
const FREE = Math.ceil(SIZE / 100);

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function allocatorOf(addresses: readonly string[], annotations: Readonly<Record<string, string>> = {}): Allocator {
  const metadata = {
    name: 'p',
    uid: 'p',
    resourceVersion: '1',
    creationTimestamp: '2026-01-01T00:00:00Z',
    annotations,
  };
  const allocator = createAllocator({ seed: 'bench' });
  allocator.setPools(poolsOf([{ metadata, spec: { addresses } }], []));
  return allocator;
}

function service(index: number, wish: Partial<AddressRequest> = {}): AddressRequest {
  return {
    uid: `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`,
    namespace: `namespace-${index % 50}`,
    name: `service-${index}`,
    labels: { app: 'web' },
    families: ['ipv4'],
    policy: 'SingleStack',
    addresses: [],
    count: 1,
    ports: ['TCP/443', 'TCP/80'],
    sharingKey: '',
    backendKey: '',
    fields: { addresses: 'spec.loadBalancerIP', pool: 'metallb.io/address-pool' },
    deprecated: [],
    ...wish,
  };
}
const services = (wish: (index: number) => Partial<AddressRequest> = () => ({}), count = SERVICES) =>
  Array.from({ length: count }, (_, index) => service(index, wish(index)));

function timed(run: () => void): number {
  const start = process.cpuUsage();
  run();
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1000;
}
function clocked(run: () => void): number {
  const start = performance.now();
  run();
  return performance.now() - start;
}
const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] as number;

function allocateAll(allocator: Allocator, requests: readonly AddressRequest[]): void {
  for (const request of requests) {
    const { failure } = allocator.allocate(request);
    if (failure !== undefined) throw failure;
  }
}

/** MetalLB's way: try each address from the first, ask by its text who has it. */
class Scan {
  readonly #users = new Map<string, string>(); // address -> uid

  allocate(uid: string): string {
    for (let host = 0; host < SIZE; host += 1) {
      const address = textOf(host);
      if (this.#users.has(address)) continue;
      this.#users.set(address, uid);
      return address;
    }
    throw new Error('full');
  }
  take(host: number): void {
    this.#users.set(textOf(host), 'x');
  }
  release(address: string): void {
    this.#users.delete(address);
  }
}

const textOf = (host: number): string => `10.0.${host >> 8}.${host & 255}`;

/** Which addresses of the /16 stay free: the last ones, or every hundredth. */
const layouts = {
  'free at the end': (host: number) => host >= SIZE - FREE,
  'free all over': (host: number) => host % 100 === 99,
};

function printed(
  what: string,
  oursMs: number,
  { limitMs, peerMs }: { readonly limitMs?: number; readonly peerMs?: number } = {},
) {
  const digits = oursMs < 1 ? 4 : 1;
  const limit = limitMs === undefined ? '' : ` (limit ${limitMs} ms${oursMs > limitMs ? ': MISSED' : ''})`;
  const peer =
    peerMs === undefined
      ? ''
      : `; linear scan ${peerMs.toFixed(digits)} ms, ${(peerMs / oursMs).toFixed(0)} times ours`;
  console.log(`  ${what.padEnd(48)} ${oursMs.toFixed(digits).padStart(8)} ms${limit}${peer}`);
}

function fill(): void {
  const requests = services();
  const oursMs = median([1, 2, 3, 4, 5].map(() => timed(() => allocateAll(allocatorOf(['10.0.0.0/16']), requests))));
  const scan = new Scan();
  const peerMs = timed(() => {
    for (const { uid } of requests) scan.allocate(uid);
  });
  printed('10,000 Services from one /16', oursMs, { limitMs: 500, peerMs });
  for (const [name, addresses, annotations, wish] of [
    ['the same, order random', ['10.0.0.0/16'], { 'fairlead.dev/order': 'random' }, () => ({})],
    ['the same, least recently used', ['10.0.0.0/16'], { 'fairlead.dev/order': 'least-recently-used' }, () => ({})],
    ['the same, under a quota', ['10.0.0.0/16'], { 'fairlead.dev/quota': '*=500' }, () => ({})],
    [
      'the same, dual-stack from a /16 and a /64',
      ['10.0.0.0/16', 'fd00::/64'],
      {},
      () => ({ families: ['ipv4', 'ipv6'], policy: 'RequireDualStack' }),
    ],
    [
      'one sharing key, ports of their own: one address',
      ['10.0.0.0/16'],
      {},
      (index) => ({ sharingKey: 'k', ports: [`TCP/${index + 1}`] }),
    ],
    ['one sharing key, one port: an address each', ['10.0.0.0/16'], {}, () => ({ sharingKey: 'k' })],
  ] as readonly [string, readonly string[], Record<string, string>, (index: number) => Partial<AddressRequest>][]) {
    const wished = services(wish);
    printed(name, median([1, 2, 3].map(() => timed(() => allocateAll(allocatorOf(addresses, annotations), wished)))), {
      limitMs: 500,
    });
  }
}

function nearlyFull(): void {
  for (const [layout, isFree] of Object.entries(layouts)) {
    const allocator = allocatorOf(['10.0.0.0/16']);
    const scan = new Scan();
    allocateAll(allocator, services(undefined, SIZE));
    for (let host = 0; host < SIZE; host += 1)
      if (isFree(host)) allocator.release(service(host).uid);
      else scan.take(host);
    const one = service(SIZE + 1);
    const ours = Array.from({ length: 300 }, () => {
      const ms = clocked(() => allocator.allocate(one));
      allocator.release(one.uid);
      return ms;
    });
    // With free ones all over, the hundredth address is free: luck for a scan, and no comparison.
    const peer = Array.from({ length: 20 }, () => {
      let address = '';
      const ms = clocked(() => {
        address = scan.allocate('one');
      });
      scan.release(address);
      return ms;
    });
    printed(`one allocation, /16 99 % full, ${layout}`, median(ours), {
      limitMs: 0.1,
      ...(layout === 'free at the end' ? { peerMs: median(peer) } : {}),
    });
  }
}

function daily(): void {
  const allocator = allocatorOf(['10.0.0.0/16']);
  const requests = services();
  allocateAll(allocator, requests);
  printed(
    '10,000 decisions with nothing to do',
    timed(() => {
      for (const request of requests) allocator.decide(request);
    }),
  );
  const entries = [...allocator.entries()];
  const fresh = allocatorOf(['10.0.0.0/16']);
  printed(
    'restart: 10,000 addresses from their blocks',
    timed(() => {
      for (const [address, entry] of entries) fresh.restore(address, entry);
    }),
  );
  printed(
    'a change of pools under 10,000 addresses',
    timed(() => allocator.setPools([])),
  );
  const waiters = services().map((request): Waiter => ({ request, creationTimestamp: '2026-01-01T00:00:00Z' }));
  const full = allocatorOf(['10.0.0.0/24']);
  allocateAll(
    full,
    services((index) => ({ uid: `holder-${index}` }), 256),
  );
  const { freed } = full.release('holder-7');
  printed(
    'one release among 10,000 waiters',
    timed(() => wake(waiters, freed, full)),
  );
}

function memory(): void {
  const requests = services();
  const allocator = allocatorOf(['10.0.0.0/16']);
  collect();
  const before = process.memoryUsage().heapUsed;
  allocateAll(allocator, requests);
  collect();
  const bytes = process.memoryUsage().heapUsed - before;
  console.log(
    `  ${'memory of 10,000 addresses'.padEnd(48)} ${(bytes / 2 ** 20).toFixed(1).padStart(8)} MiB, ${(bytes / SERVICES).toFixed(0)} bytes each`,
  );
  if (allocator.holders().length !== SERVICES) throw new Error('the allocator was collected');
}

console.log('allocator');
fill();
nearlyFull();
daily();
memory();
