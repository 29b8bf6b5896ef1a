import { compareIntervals, type Interval, overlaps } from '../../net/cidr.ts';
import type { KubeObject } from '../../objects.ts';
import { type IPAddressPool, parseAddresses, poolProblems } from '../pools.ts';
import { duplicates, type Finding, type Problem, problemOf, quoted } from '../problem.ts';
import { matches } from '../selectors.ts';
import { checkSelectors } from './selectors.ts';

/** One entry of `spec.addresses` that is understood. */
export interface Range extends Interval {
  readonly field: string;
  readonly text: string;
  /** Lengths of the CIDRs that make it, ascending by address. */
  readonly blocks: readonly (Interval & { readonly prefixLength: number })[];
}

/** What is wrong in one pool, for itself. `namespaces` absent: not known. */
export function checkPool(pool: IPAddressPool, namespaces: readonly KubeObject[] | undefined): readonly Finding[] {
  const allocation = pool.spec.serviceAllocation;
  return [
    ...poolProblems(pool).map(({ field, message }) => ({ field, text: message.slice(`${field}: `.length) })),
    ...rangesOf(pool).flatMap(checkMapped),
    ...duplicates('spec.serviceAllocation.namespaces', allocation?.namespaces),
    ...checkSelectors('spec.serviceAllocation.namespaceSelectors', allocation?.namespaceSelectors),
    ...checkSelectors('spec.serviceAllocation.serviceSelectors', allocation?.serviceSelectors),
    ...checkFence(pool, namespaces),
  ];
}

/** Overlaps within and between pools. Each is reported once, at the later of the two entries. */
export function checkOverlaps(pools: readonly IPAddressPool[]): readonly Problem[] {
  const entries = pools.flatMap((pool) => rangesOf(pool).map((range) => ({ pool, range })));
  const byAddress = entries
    .map((entry, index) => ({ ...entry, index }))
    .sort((a, b) => compareIntervals(a.range, b.range));
  const found: { readonly index: number; readonly problem: Problem }[] = [];
  let reach = byAddress[0]; // of those seen in this family, the one that ends last
  for (const entry of byAddress.slice(1)) {
    if (reach !== undefined && overlaps(entry.range, reach.range)) {
      const [first, later] = entry.index < reach.index ? [entry, reach] : [reach, entry];
      found.push({ index: later.index, problem: overlap(first, later) });
    }
    if (entry.range.family !== reach?.range.family || entry.range.last > reach.range.last) reach = entry;
  }
  return found.sort((a, b) => a.index - b.index).map(({ problem }) => problem);
}

function overlap(first: Placed, later: Placed): Problem {
  const { field, text } = later.range;
  const place = first.range.field + (first.pool === later.pool ? '' : ` of IPAddressPool ${first.pool.metadata.name}`);
  const reason = `${quoted(text)} overlaps with ${quoted(first.range.text)} in ${place}; an address belongs to one entry`;
  return problemOf('IPAddressPool', later.pool, { field, text: reason });
}

interface Placed {
  readonly pool: IPAddressPool;
  readonly range: Range;
}

/** The entries that can be read, in their order. */
export function rangesOf(pool: IPAddressPool): readonly Range[] {
  return (pool.spec.addresses ?? []).flatMap((text, index) => {
    const parsed = parseAddresses(text);
    if ('problem' in parsed) return [];
    const [first, last] = [parsed.blocks[0], parsed.blocks.at(-1)];
    if (first === undefined || last === undefined) return [];
    const { family } = first;
    return [
      { field: `spec.addresses[${index}]`, text, family, first: first.first, last: last.last, blocks: parsed.blocks },
    ];
  });
}

function checkMapped({ field, text, family }: Range): readonly Finding[] {
  if (family === 'ipv6' || !text.includes(':')) return [];
  return [
    {
      field,
      severity: 'warning',
      text: `${quoted(text)} stands for IPv4 addresses and is used as such; write it as IPv4`,
    },
  ];
}

/** MetalLB drops the fence when its selectors match no namespace. Ours stays: then nobody may take from the pool. */
function checkFence(pool: IPAddressPool, namespaces: readonly KubeObject[] | undefined): readonly Finding[] {
  const { namespaces: names = [], namespaceSelectors = [] } = pool.spec.serviceAllocation ?? {};
  if (namespaces === undefined || names.length > 0 || namespaceSelectors.length === 0) return [];
  const isSelected = ({ metadata }: KubeObject) =>
    namespaceSelectors.some((selector) => matches(selector, metadata.labels ?? {}));
  if (namespaces.some(isSelected)) return [];
  const text =
    'matches no namespace, so no Service gets an address from here; label a namespace, or change the selectors';
  return [{ field: 'spec.serviceAllocation.namespaceSelectors', severity: 'warning', transient: true, text }];
}
