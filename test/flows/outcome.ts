/**
 * What became of many tries of one flow, as a person writes it:
 *
 *   abef=    endpoints a, b, e and f were reached, no other, and each saw the client's address and port
 *   abef~    the same, and each saw an address of the node (masqueraded)
 *   a~bef=   a masqueraded, the others not
 *   1(abef)= one and the same of these every time
 *   x        refused      -  dropped      o  not captured by any rule (reached the sink, or the node's own listener)
 *   .        not tried
 *
 * Small letters are a pod's port 8080, capital letters its port 8081.
 */
import type { Source } from './tables.ts';
import type { Outcomes } from './traffic.ts';
import { families, LB_ON_NODE, NODE, NODE_GATEWAY, NODE_SECONDARY } from './world.ts';

export type Cell = string;

export interface Expected {
  /** Endpoints reached -> whether the server sees the client. */
  readonly endpoints: ReadonlyMap<string, '=' | '~'>;
  /** One of the endpoints, always the same. */
  readonly isSticky: boolean;
  readonly isRefused: boolean;
  readonly isDropped: boolean;
  readonly isUncaptured: boolean;
}

const NONE = {
  isSticky: false,
  isRefused: false,
  isDropped: false,
  isUncaptured: false,
  endpoints: new Map(),
} as const;

export function parseCell(cell: Cell): Expected {
  if (cell === 'x') return { ...NONE, isRefused: true };
  if (cell === '-') return { ...NONE, isDropped: true };
  if (cell === 'o') return { ...NONE, isUncaptured: true };
  const sticky = /^1\((.+)\)(.?)$/.exec(cell);
  const text = sticky === null ? cell : `${sticky[1]}${sticky[2]}`;
  if (!/^(?:[a-hA-H]+[=~])+$/.test(text)) throw new Error(`${JSON.stringify(cell)} is no outcome`);
  const endpoints = new Map<string, '=' | '~'>();
  for (const [, letters = '', mark] of text.matchAll(/([a-zA-Z]+)([=~])/g))
    for (const letter of letters) endpoints.set(letter, mark as '=' | '~');
  return { ...NONE, endpoints, isSticky: sticky !== null };
}

/** How many tries miss an endpoint that is there less than once in 10^7. */
export function triesFor({ endpoints, isSticky }: Expected): number {
  const count = endpoints.size;
  if (count === 0) return 2;
  if (isSticky) return 12;
  // Two at least: by accident masquerade may choose the client's own port, where the address is the same anyway.
  return count === 1 ? 3 : Math.ceil(Math.log(1e-7 / count) / Math.log(1 - 1 / count));
}

/** The cell that these outcomes are; equal to the expected one, in its spelling, when they agree with it. */
export function cellOf(outcomes: Outcomes, expected: Cell, source: Source): Cell {
  const seen = collect(outcomes, source === 'node');
  const want = parseCell(expected);
  const [only] = seen.endpoints.keys();
  const isOneOf =
    want.isSticky &&
    seen.other.length === 0 &&
    seen.endpoints.size === 1 &&
    only !== undefined &&
    want.endpoints.get(only) === seen.endpoints.get(only);
  const got = written(seen.endpoints, seen.other);
  const isSame = !want.isSticky && got === written(want.endpoints, symbols(want));
  return isOneOf || isSame ? expected : got;
}

function symbols({ isRefused, isDropped, isUncaptured }: Expected): readonly string[] {
  return [isDropped ? '-' : '', isUncaptured ? 'o' : '', isRefused ? 'x' : ''].filter((symbol) => symbol !== '');
}

function written(endpoints: ReadonlyMap<string, string>, other: readonly string[]): Cell {
  const byMark = Map.groupBy([...endpoints.keys()].sort(), (letter) => endpoints.get(letter) ?? '');
  const reached = [...byMark].sort(([a], [b]) => (a < b ? 1 : -1)).map(([mark, letters]) => letters.join('') + mark);
  return [reached.join(''), ...[...other].sort()].filter((part) => part !== '').join(' ');
}

interface Seen {
  readonly endpoints: ReadonlyMap<string, string>;
  readonly other: readonly string[];
}

function collect(outcomes: Outcomes, isNode: boolean): Seen {
  const marks = new Map<string, Map<string, number>>(); // endpoint -> '=', '^' (its address, another port), '~' -> how often
  const other = new Set<string>();
  for (const [text, count] of outcomes) {
    const [, name, mark, address] = /^(\w+)([=^~])(.*)$/.exec(text) ?? [];
    if (text === 'refused') other.add('x');
    else if (text === 'timeout') other.add('-');
    else if (name === undefined || mark === undefined) other.add(text);
    else if (name === 'sink' || name === 'node') other.add(mark === '~' ? `o~${address}` : 'o');
    else if (mark === '~' && !nodeAddresses.has(address ?? '')) other.add(text);
    else marks.set(name, (marks.get(name) ?? new Map<string, number>()).set(mark, count));
  }
  const endpoints = new Map([...marks].map(([name, counts]) => [name, markOf(counts, isNode)]));
  return { endpoints, other: [...other] };
}

const nodeAddresses = new Set(
  [NODE, NODE_SECONDARY, NODE_GATEWAY, LB_ON_NODE].flatMap((of) => families.map((family) => of[family])),
);

/**
 * Another port alone is no masquerade: NAT gives a connection one when another, to another Service's address, has the
 * same two ends. Only the node's own address stays the same under masquerade; there the port is another nearly always.
 */
function markOf(counts: ReadonlyMap<string, number>, isNode: boolean): string {
  if (counts.has('~')) return counts.size === 1 || isNode ? '~' : '?';
  return isNode && (counts.get('^') ?? 0) > (counts.get('=') ?? 0) ? '~' : '=';
}
