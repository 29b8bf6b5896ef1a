import { parseDuration } from '../duration.ts';
import { failure } from '../errors.ts';
import { type Block, type Interval, parseBlock, split } from '../net/cidr.ts';
import { BITS, type Ip, parseIp, unmapped } from '../net/ip.ts';
import type { KubeObject, LabelSelector } from '../objects.ts';
import { matches } from './selectors.ts';

/** MetalLB's pool, as the API server sends it (metallb.io/v1beta1). */
export interface IPAddressPool extends KubeObject {
  readonly spec: {
    readonly addresses: readonly string[];
    readonly autoAssign?: boolean;
    readonly avoidBuggyIPs?: boolean;
    readonly serviceAllocation?: ServiceAllocation;
  };
}
export interface ServiceAllocation {
  readonly priority?: number;
  readonly namespaces?: readonly string[];
  readonly namespaceSelectors?: readonly LabelSelector[];
  readonly serviceSelectors?: readonly LabelSelector[];
}

export const orders = ['lowest', 'random', 'least-recently-used'] as const;
export type Order = (typeof orders)[number];

/** What the allocator reads of a pool. Equal objects and namespaces give deep-equal pools. */
export interface Pool {
  readonly name: string;
  /** The entries of `spec.addresses` in order, a range split into its fewest CIDRs, ascending. */
  readonly blocks: readonly Block[];
  /** False: gives only when it, or an address in it, is asked for by name. */
  readonly autoAssign: boolean;
  /** IPv4 addresses that end in .0 or .255 are not given. */
  readonly avoidBuggyIPs: boolean;
  /** Lower is tried first; 0, also when absent in the object, comes last. */
  readonly priority: number;
  /** Who may take from it; absent: everybody. Present, even if it restricts nobody: tried before pools without. */
  readonly selection?: Selection;
  /** Gives nothing new; held addresses stay. */
  readonly disabled: boolean;
  readonly order: Order;
  /** How long an address is kept for the same namespace and name after deletion. */
  readonly retainMs: number;
  /** Namespace, or '*' for every other one, to the number of addresses that it may hold here. */
  readonly quota: Readonly<Record<string, number>>;
  /** The annotation allow-shrink: an edit may strand addresses in use. */
  readonly allowShrink: boolean;
}
export interface Selection {
  /** Names, sorted, selectors resolved; absent: any namespace. Empty: none (MetalLB drops the fence instead). */
  readonly namespaces?: readonly string[];
  /** Any of them; empty: any Service. */
  readonly serviceSelectors: readonly LabelSelector[];
}

/** Something wrong with one pool. */
export interface PoolProblem {
  readonly pool: string;
  /** 'spec.addresses[0]', 'metadata.annotations["fairlead.dev/order"]'. */
  readonly field: string;
  /** The whole sentence, field and quoted value included. */
  readonly message: string;
}

/** Our annotations on an IPAddressPool: key -> what a value must look like. */
export const poolAnnotations = {
  'fairlead.dev/disabled': '"true" or "false"',
  'fairlead.dev/order': `one of ${orders.join(', ')}`,
  'fairlead.dev/retain': 'a duration such as 30m or 24h',
  'fairlead.dev/quota': 'a list such as web=5,*=2',
  'fairlead.dev/conflict-probe': '"true" or "false"',
  'fairlead.dev/allow-shrink': '"true" or "false"',
} as const;
type PoolAnnotation = keyof typeof poolAnnotations;

/**
 * The pools in the order in which they are tried: by priority with 0 last, then by name in code units.
 * @throws ProviderError FL_POOL_INVALID with every problem of every pool. Overlaps are `validate`'s business.
 */
export function poolsOf(objects: readonly IPAddressPool[], namespaces: readonly KubeObject[]): readonly Pool[] {
  const problems = objects.flatMap(poolProblems);
  if (problems.length > 0) {
    const message = problems.map(({ pool, message }) => `IPAddressPool ${pool}: ${message}`).join('\n');
    throw failure('FL_POOL_INVALID', message, { field: problems[0]?.field as string });
  }
  return objects.map((object) => poolOf(object, namespaces)).sort(comparePools);
}

/** Everything wrong with the pool itself, in the order of its fields; empty when `poolsOf` takes it. */
export function poolProblems(object: IPAddressPool): readonly PoolProblem[] {
  const pool = object.metadata.name;
  const { addresses } = object.spec;
  const empty = 'spec.addresses: is empty; give at least one CIDR or range, such as 192.0.2.0/24';
  return [
    ...((addresses ?? []).length === 0 ? [{ pool, field: 'spec.addresses', message: empty }] : []),
    ...(addresses ?? []).flatMap((text, index) => {
      const parsed = parseAddresses(text);
      const field = `spec.addresses[${index}]`;
      return 'problem' in parsed ? [{ pool, field, message: `${field}: ${parsed.problem}` }] : [];
    }),
    ...(Object.keys(poolAnnotations) as PoolAnnotation[]).flatMap((key) => {
      const value = object.metadata.annotations?.[key];
      if (value === undefined || isValid(key, value)) return [];
      const field = `metadata.annotations["${key}"]`;
      return [{ pool, field, message: `${field}: ${JSON.stringify(value)} must be ${poolAnnotations[key]}` }];
    }),
  ];
}

/**
 * One entry of `spec.addresses`: a CIDR (host bits are masked) or a range `a-b`, blanks around its ends allowed; the
 * blocks ascend. IPv4-mapped IPv6 is read as the IPv4 that it stands for, as MetalLB does. A range over two families is
 * refused (MetalLB makes an empty pool of it).
 */
export function parseAddresses(text: string): { readonly blocks: readonly Block[] } | { readonly problem: string } {
  const quoted = JSON.stringify(text);
  if (text.includes('-')) return parseRange(text, quoted);
  const block = parseBlock(text);
  if (block !== undefined) return { blocks: [mappedBlock(block)] };
  const ip = parseIp(text);
  if (ip !== undefined)
    return { problem: `${quoted} has no length; a single address is written ${text}/${BITS[ip.family]}` };
  return { problem: `${quoted} is not a CIDR such as 192.0.2.0/24 or a range such as 192.0.2.10-192.0.2.20` };
}

/** 'web=5,*=2': namespace, or '*' for every other one, to its limit; `undefined` when it is no such list. */
export function parseQuota(text: string): Readonly<Record<string, number>> | undefined {
  const entries = text.split(',').map((part) => /^\s*([a-z0-9]([-a-z0-9]*[a-z0-9])?|\*)=(\d{1,9})\s*$/.exec(part));
  const quota = new Map<string, number>();
  for (const entry of entries) {
    if (entry === null || quota.has(entry[1] as string)) return undefined;
    quota.set(entry[1] as string, Number(entry[3]));
  }
  return Object.fromEntries([...quota].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Namespace AND any of the selectors. (MetalLB: `serviceAllocation`) */
export function isSelected(pool: Pool, namespace: string, labels: Readonly<Record<string, string>>): boolean {
  if (pool.selection === undefined) return true;
  const { namespaces, serviceSelectors } = pool.selection;
  if (namespaces !== undefined && !namespaces.includes(namespace)) return false;
  return serviceSelectors.length === 0 || serviceSelectors.some((selector) => matches(selector, labels));
}

/** IPv4 ending in .0 or .255, which some old firmware drops as smurf attacks. */
export const isBuggy = ({ family, value }: Ip): boolean =>
  family === 'ipv4' && ((value & 255n) === 0n || (value & 255n) === 255n);

function poolOf(object: IPAddressPool, namespaces: readonly KubeObject[]): Pool {
  const { addresses, autoAssign = true, avoidBuggyIPs = false, serviceAllocation } = object.spec;
  const annotation = (key: PoolAnnotation) => object.metadata.annotations?.[key];
  return {
    name: object.metadata.name,
    blocks: addresses.flatMap((text) => {
      const parsed = parseAddresses(text);
      return 'blocks' in parsed ? parsed.blocks : [];
    }),
    autoAssign,
    avoidBuggyIPs,
    priority: serviceAllocation?.priority ?? 0,
    ...(serviceAllocation === undefined ? {} : { selection: selectionOf(serviceAllocation, namespaces) }),
    disabled: annotation('fairlead.dev/disabled') === 'true',
    order: (annotation('fairlead.dev/order') as Order | undefined) ?? 'lowest',
    retainMs: parseDuration(annotation('fairlead.dev/retain') ?? '0') ?? 0,
    quota: parseQuota(annotation('fairlead.dev/quota') ?? '') ?? {},
    allowShrink: annotation('fairlead.dev/allow-shrink') === 'true',
  };
}

function selectionOf(allocation: ServiceAllocation, all: readonly KubeObject[]): Selection {
  const { namespaces = [], namespaceSelectors = [], serviceSelectors = [] } = allocation;
  if (namespaces.length === 0 && namespaceSelectors.length === 0) return { serviceSelectors };
  const selected = all
    .filter(({ metadata }) => namespaceSelectors.some((selector) => matches(selector, metadata.labels ?? {})))
    .map(({ metadata }) => metadata.name);
  return { namespaces: [...new Set([...namespaces, ...selected])].sort(), serviceSelectors };
}

function comparePools(a: Pool, b: Pool): number {
  const rank = ({ priority }: Pool) => (priority === 0 ? Number.POSITIVE_INFINITY : priority);
  if (rank(a) !== rank(b)) return rank(a) < rank(b) ? -1 : 1;
  return a.name < b.name ? -1 : 1;
}

function isValid(key: PoolAnnotation, value: string): boolean {
  switch (key) {
    case 'fairlead.dev/disabled':
    case 'fairlead.dev/conflict-probe':
    case 'fairlead.dev/allow-shrink':
      return value === 'true' || value === 'false';
    case 'fairlead.dev/order':
      return (orders as readonly string[]).includes(value);
    case 'fairlead.dev/retain':
      return parseDuration(value) !== undefined;
    case 'fairlead.dev/quota':
      return parseQuota(value) !== undefined;
    default:
      return key satisfies never;
  }
}

function parseRange(text: string, quoted: string): ReturnType<typeof parseAddresses> {
  const [from, to, more] = text.split('-').map((end) => parseIp(end.trim()));
  if (from === undefined || to === undefined || more !== undefined || text.split('-').length > 2)
    return { problem: `${quoted} is not a range of two addresses such as 192.0.2.10-192.0.2.20` };
  const [first, last] = [unmapped(from), unmapped(to)];
  if (first.family !== last.family) return { problem: `${quoted} begins and ends in different families` };
  if (first.value > last.value) return { problem: `${quoted} ends before it begins; swap the two addresses` };
  return { blocks: split({ family: first.family, first: first.value, last: last.value }) };
}

function mappedBlock(block: Block): Block {
  const first = unmapped({ family: block.family, value: block.first });
  if (block.family === first.family || block.prefixLength < 96) return block;
  const size: Pick<Interval, 'first' | 'last'> = { first: first.value, last: first.value + (block.last - block.first) };
  return { family: 'ipv4', ...size, prefixLength: block.prefixLength - 96 };
}
