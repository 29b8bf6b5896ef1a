import assert from 'node:assert/strict';
import { isProviderError } from '../../../src/core/errors.ts';
import { type Allocator, createAllocator } from '../../../src/core/ipam/allocator.ts';
import type { Decision } from '../../../src/core/ipam/decide.ts';
import { parseAddresses } from '../../../src/core/ipam/pools.ts';
import { type AddressRequest, requestOf } from '../../../src/core/ipam/request.ts';
import { formatBlock } from '../../../src/core/net/cidr.ts';
import { parseIp } from '../../../src/core/net/ip.ts';
import type { Service } from '../../../src/core/objects.ts';
import { type NamespaceText, type PoolText, pools, request, sourceOf } from './fixtures.ts';

/** One file: pools and what is done with them. Absent members of a step are not compared. */
export interface Golden {
  readonly namespaces?: readonly NamespaceText[];
  readonly pools: readonly PoolText[];
  readonly steps: readonly Step[];
}
interface Wish {
  readonly key: string;
  readonly ips?: readonly string[];
  readonly ports?: readonly string[];
  readonly sharingKey?: string;
  readonly backendKey?: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly count?: number;
  readonly retainMs?: number;
  readonly pool?: string;
  readonly families?: AddressRequest['families'];
  readonly policy?: AddressRequest['policy'];
  /** Not met, or held though it no longer fits. */
  readonly error?: boolean;
  /** Held though it no longer fits; the addresses are compared all the same. */
  readonly stale?: boolean;
}
export type Step = { readonly name?: string } & (
  | ({ readonly do: 'assign' | 'allocate' } & Wish)
  | { readonly do: 'release'; readonly key: string; readonly atMs?: number }
  | { readonly do: 'purge'; readonly nowMs: number; readonly freed?: readonly string[] }
  | { readonly do: 'setPools'; readonly pools: readonly PoolText[]; readonly stranded?: readonly string[] }
  | { readonly do: 'namespaces'; readonly namespaces: readonly NamespaceText[] }
  | { readonly do: 'poolOf'; readonly key: string; readonly is: string | null }
  | { readonly do: 'holds'; readonly key: string; readonly ips: readonly string[] }
  | { readonly do: 'split'; readonly addresses: string; readonly cidrs: readonly string[] | null }
  | ({ readonly do: 'count'; readonly pool: string } & Readonly<
      Partial<
        Record<'ipv4' | 'ipv6' | 'total' | 'assigned4' | 'assigned6' | 'available4' | 'available6', string> & {
          services: number;
        }
      >
    >)
  | {
      readonly do: 'converge';
      readonly service: Pick<Service, 'spec' | 'status'> & { readonly metadata?: Partial<Service['metadata']> };
      readonly ingress: readonly string[];
      readonly pool?: string;
      readonly warning: boolean;
      readonly deprecated?: boolean;
    }
);

/** Plays a file's steps on one allocator; `play` throws an AssertionError that names what differs. */
export function player(golden: Pick<Golden, 'pools' | 'namespaces'>): { readonly play: (step: Step) => void } {
  const allocator = createAllocator({ seed: 'golden' });
  const generations = new Map<string, number>(); // key -> how many Services of that name there were
  let texts = golden.pools;
  let namespaces = golden.namespaces ?? [];
  allocator.setPools(pools(texts, namespaces));
  const uidOf = (key: string) => `${key}-${generations.get(key) ?? 0}`;
  const next = (key: string) => generations.set(key, (generations.get(key) ?? 0) + 1);

  const play = (step: Step): void => {
    switch (step.do) {
      case 'converge': {
        allocator.release(uidOf('converge'));
        next('converge');
        converge(allocator, uidOf('converge'), step);
        break;
      }
      case 'assign':
      case 'allocate':
        allocate(allocator, uidOf(step.key), step);
        break;
      case 'release': {
        const uid = uidOf(step.key);
        allocator.release(uid, step.atMs === undefined ? {} : { retainAtMs: step.atMs });
        assert.deepEqual(allocator.holdings(uid), []);
        next(step.key);
        break;
      }
      case 'purge': {
        const freed = allocator.purge(step.nowMs);
        if (step.freed !== undefined)
          assert.deepEqual(
            freed.map(({ address }) => address),
            step.freed,
          );
        break;
      }
      case 'setPools': {
        texts = step.pools;
        const preview = allocator.preview(pools(texts, namespaces));
        const change = allocator.setPools(pools(texts, namespaces));
        assert.deepEqual(change, preview);
        if (step.stranded !== undefined)
          assert.deepEqual(
            change.stranded.map(({ address }) => address),
            step.stranded,
          );
        break;
      }
      case 'namespaces':
        namespaces = step.namespaces;
        allocator.setPools(pools(texts, namespaces));
        break;
      case 'poolOf':
        assert.equal(poolOf(allocator, uidOf(step.key)), step.is);
        break;
      case 'holds':
        assert.deepEqual(
          allocator.holdings(uidOf(step.key)).map(({ address }) => address),
          step.ips,
        );
        break;
      case 'split': {
        const parsed = parseAddresses(step.addresses);
        assert.deepEqual('blocks' in parsed ? parsed.blocks.map(formatBlock) : null, step.cidrs);
        break;
      }
      case 'count':
        count(allocator, step);
        break;
      default:
        step satisfies never;
    }
  };
  return { play };
}

/** What the provider does with a Service: adopt what it shows, allocate the rest; anything but LoadBalancer gives up. */
function converge(allocator: Allocator, uid: string, step: Extract<Step, { do: 'converge' }>): void {
  const { metadata, spec, status } = step.service;
  const named = { resourceVersion: '1', creationTimestamp: '2026-01-01T00:00:00Z', name: 'converge', ...metadata, uid };
  const published = (status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => ip ?? []);
  let warning = false;
  let addresses: readonly string[] = [];
  if (spec.type === 'LoadBalancer') {
    try {
      const wanted = requestOf(sourceOf({ metadata: named, spec }));
      const { notes, adopted } = allocator.adopt(wanted, published);
      const decision = allocator.allocate(wanted);
      warning = decision.failure !== undefined || [...notes, ...decision.notes].some(({ type }) => type === 'Warning');
      addresses = decision.addresses.map(({ address }) => address);
      assertSettled(allocator, wanted, decision);
      for (const { address } of adopted)
        assert.ok(addresses.includes(address), `${address} was adopted, then given up`);
      if (step.deprecated !== undefined) assert.equal(wanted.deprecated.length > 0, step.deprecated);
    } catch (error) {
      if (!isProviderError(error)) throw error;
      assert.equal(error.kind, 'invalid');
      assert.ok(error.field !== undefined && error.message.includes(error.field), error.message);
      warning = true;
    }
  }
  assert.deepEqual({ ingress: addresses, warning }, { ingress: step.ingress, warning: step.warning });
  assert.deepEqual(
    allocator.holdings(uid).map(({ address }) => address),
    step.ingress,
  );
  if (step.pool !== undefined) assert.equal(poolOf(allocator, uid), step.pool);
}

function allocate(allocator: Allocator, uid: string, step: Extract<Step, { do: 'assign' | 'allocate' }>): void {
  const { ips, error = false, families, ports = [], key, do: verb, stale, name: _, ...wish } = step;
  const addresses = verb === 'assign' ? (ips ?? []) : [];
  const wanted = request(uid, {
    ...wish,
    name: key,
    addresses,
    families: families ?? [...new Set(addresses.map((address) => parseIp(address)?.family ?? 'ipv4'))],
    ports: ports.map((port) => port.toUpperCase()),
  });
  const before = allocator.holdings(uid);
  const decision = allocator.allocate(wanted);
  const failed = decision.failure !== undefined || decision.shortfalls.length > 0;
  const got = allocator.holdings(uid).map(({ address }) => address);
  if (decision.failure !== undefined) {
    assert.ok(['invalid', 'quota'].includes(decision.failure.kind));
    assert.deepEqual(
      allocator.holdings(uid),
      before.filter(({ address }) => allocator.poolOf(address) !== undefined),
    );
  }
  assert.equal(
    failed,
    error || stale === true,
    decision.failure?.message ?? decision.shortfalls[0]?.message ?? 'no error',
  );
  if (!error && ips !== undefined) assert.deepEqual(got, ips);
  assertSettled(allocator, wanted, decision);
}

/** The same question again has the same answer and nothing to do. */
function assertSettled(allocator: Allocator, wanted: AddressRequest, done: Decision): void {
  const again = allocator.decide(wanted);
  assert.deepEqual(
    { take: again.take, release: again.release, update: again.update },
    { take: [], release: [], update: [] },
  );
  assert.deepEqual(again.addresses, done.addresses);
  assert.equal(again.failure?.code, done.failure?.code);
  assert.deepEqual(again.shortfalls, done.shortfalls);
}

function count(allocator: Allocator, step: Extract<Step, { do: 'count' }>): void {
  const counts = allocator.counts(step.pool);
  assert.ok(counts, `no pool ${step.pool}`);
  const texts = {
    ipv4: String(counts.ipv4.total),
    ipv6: String(counts.ipv6.total),
    total: String(counts.total),
    assigned4: String(counts.ipv4.assigned),
    assigned6: String(counts.ipv6.assigned),
    available4: String(counts.ipv4.available),
    available6: String(counts.ipv6.available),
    services: counts.services,
  };
  const { do: _do, pool: _pool, name: _name, ...expected } = step;
  for (const [key, value] of Object.entries(expected)) assert.equal(texts[key as keyof typeof texts], value, key);
}

/** The pool of the first address; null when it holds none, or one that left its pool. */
function poolOf(allocator: Allocator, uid: string): string | null {
  const [first] = allocator.holdings(uid);
  return first === undefined ? null : (allocator.poolOf(first.address, first.pool) ?? null);
}
