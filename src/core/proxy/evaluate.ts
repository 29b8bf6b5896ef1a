/** What the rules of ruleset.ts do with the first packet of a connection, over the elements of a table. */
import type { Element, Registers, TableFamily } from '../net/element.ts';
import {
  ADDRESS_BYTES,
  classidAt,
  classidRegisters,
  type Protocol,
  portRegisters,
  protocolRegisters,
} from './registers.ts';
import { intervalsOf, type RangeSet, type SetName } from './schema.ts';
import { decodeValue, isLocal, isRemembered, LOCAL_OFFSET } from './value.ts';

/** Reads a table: a dump, or what a planner means it to be. */
export interface TableView {
  readonly family: TableFamily;
  /** Data of a map's element, '' of a set's; `undefined` when it is not there. */
  get(set: SetName, key: Registers): Registers | undefined;
  /** `allowed` has the client for this frontend. */
  allows(frontend: Registers, client: Registers): boolean;
  inRange(set: RangeSet, address: Registers): boolean;
}

export interface Packet {
  readonly source: Registers;
  readonly destination: Registers;
  readonly protocol: Protocol;
  readonly port: number;
}

/** What the rules ask the kernel, or what is in their text. */
export interface Surroundings {
  /** An address of this node (fib type local), loopback included. */
  readonly isNodeAddress: (address: Registers) => boolean;
  /** The packet is a pod's, as detectLocal tells; `undefined` when there is no telling. */
  readonly isPod: ((address: Registers) => boolean) | undefined;
  readonly masqueradeAll: boolean;
  readonly masqueradePods: boolean;
}

/** An element that a rule looked up and found. */
export interface Found {
  readonly chain: string;
  readonly element: Element;
}

export type MasqueradeReason = 'hairpin' | 'cluster-ip' | 'external' | 'node-to-local' | 'pod-egress';

/** An endpoint that the connection may be led to. */
export interface Reached {
  readonly target: Registers;
  /** Slots of this endpoint, of `Outcome.slots`. */
  readonly slots: number;
  /** Why the endpoint sees an address of the node; absent: it sees the client's. */
  readonly masquerade?: MasqueradeReason;
}

export interface Outcome {
  /** 'untouched': no rule of ours decides; the packet goes where its destination says. */
  readonly verdict: 'translated' | 'rejected' | 'dropped' | 'untouched';
  /** Elements that decided, in the order in which they were met. */
  readonly found: readonly Found[];
  /** Of 'translated'; sorted by target. Empty otherwise. */
  readonly reached: readonly Reached[];
  /** Slots that the count promises. */
  readonly slots: number;
  /** Slots, or endpoint ids, that are promised and not there: a connection that draws one is not translated. */
  readonly holes: number;
  /** An untouched packet of a pod leaves with the node's address. */
  readonly masquerade?: MasqueradeReason;
}

export function evaluate(view: TableView, packet: Packet, surroundings: Surroundings): Outcome {
  const { protocol, destination, source } = packet;
  const key = `${destination}${protocolRegisters(protocol)}${portRegisters(packet.port)}`;
  const found: Found[] = [];
  const met = (chain: string, set: SetName, name: Registers): boolean => {
    const data = view.get(set, name);
    if (data === undefined) return false;
    found.push({ chain, element: { set, key: name, ...(data === '' ? {} : { data }) } });
    return true;
  };
  if (met('guard', 'restricted', key) && !view.allows(key, source)) return ended('dropped', found);
  const isNode = surroundings.isNodeAddress(source);
  const isNear = isNode || surroundings.isPod?.(source) === true;
  const led =
    (isNear && met('svc', 'services-near', key)) || met('svc', 'services', key)
      ? follow(view, key, packet, { found, surroundings })
      : undefined;
  if (led !== undefined && (led.reached.length > 0 || led.holes > 0)) return led;
  return untranslated(key, packet, { view, found, met, surroundings });
}

interface Journey {
  readonly found: Found[];
  readonly surroundings: Surroundings;
}

const ended = (verdict: Outcome['verdict'], found: readonly Found[]): Outcome => ({
  verdict,
  found,
  reached: [],
  slots: 0,
  holes: 0,
});

/** The chain that the value of the last lookup names. */
function follow(view: TableView, key: Registers, packet: Packet, { found, surroundings }: Journey): Outcome {
  const value = classidAt(found.at(-1)?.element.data ?? '\0\0\0\0', 0);
  const chain = decodeValue(value);
  if (chain === undefined) return { ...ended('untouched', found), holes: 1 };
  const { kind, slots } = chain;
  const name = `${kind}-${slots}`;
  const remembered = isRemembered(kind) ? view.get('aff', `${packet.source}${key}`) : undefined;
  const kept = remembered === undefined ? undefined : view.get('ep-by-id', remembered);
  if (remembered !== undefined && kept !== undefined) {
    found.push({ chain: name, element: { set: 'aff', key: `${packet.source}${key}`, data: remembered } });
    return reached(new Map([[kept, 1]]), { slots: 1, holes: 0, view, key, packet, found, surroundings });
  }
  const counts = new Map<Registers, number>();
  let holes = 0;
  for (let index = 0; index < slots; index += 1) {
    const slot = `${key}${classidRegisters((isLocal(kind) ? LOCAL_OFFSET : 0) + index)}`;
    const set = isRemembered(kind) ? 'ep-id' : 'endpoints';
    const data = view.get(set, slot);
    const target = data !== undefined && set === 'ep-id' ? view.get('ep-by-id', data) : data;
    if (data !== undefined) found.push({ chain: name, element: { set, key: slot, data } });
    if (target === undefined) holes += 1;
    else counts.set(target, (counts.get(target) ?? 0) + 1);
  }
  return reached(counts, { slots, holes, view, key, packet, found, surroundings });
}

interface Arrival extends Journey {
  readonly slots: number;
  readonly holes: number;
  readonly view: TableView;
  readonly key: Registers;
  readonly packet: Packet;
}

function reached(counts: ReadonlyMap<Registers, number>, { slots, holes, found, ...arrival }: Arrival): Outcome {
  const targets = [...counts]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([target, share]): Reached => {
      const masquerade = masqueradeOf(target, arrival);
      return { target, slots: share, ...(masquerade === undefined ? {} : { masquerade }) };
    });
  return { verdict: 'translated', found, reached: targets, slots, holes };
}

/** nat postrouting, rule by rule. */
function masqueradeOf(
  target: Registers,
  { view, key, packet, surroundings }: Omit<Arrival, 'slots' | 'holes' | 'found'>,
): MasqueradeReason | undefined {
  const { source, destination } = packet;
  const { isPod, masqueradeAll, isNodeAddress } = surroundings;
  const address = target.slice(0, ADDRESS_BYTES[view.family]);
  const has = (set: SetName, name: Registers) => view.get(set, name) !== undefined;
  if (has('hairpin', `${source}${address}`)) return 'hairpin';
  const isStranger = masqueradeAll || (isPod !== undefined && !isPod(source));
  if (has('cluster-ips', destination) && isStranger) return 'cluster-ip';
  if (has('masq-vips', key)) return 'external';
  if (has('local-vips', key) && isNodeAddress(source)) return 'node-to-local';
  return egress(view, source, address, surroundings);
}

function egress(
  view: TableView,
  source: Registers,
  destination: Registers,
  { masqueradePods, isNodeAddress }: Surroundings,
): MasqueradeReason | undefined {
  if (!masqueradePods || !view.inRange('local-pods', source)) return undefined;
  return view.inRange('no-masq', destination) || isNodeAddress(destination) ? undefined : 'pod-egress';
}

interface Stranded extends Journey {
  readonly view: TableView;
  readonly met: (chain: string, set: SetName, key: Registers) => boolean;
}

/** filter input for an address of the node, forward or output for others; what the node sends passes output either way. */
function untranslated(key: Registers, packet: Packet, { view, found, met, surroundings }: Stranded): Outcome {
  const { destination, source } = packet;
  if (met('noep', 'no-ep-reject', key)) return ended('rejected', found);
  if (met('noep', 'no-ep-drop', key)) return ended('dropped', found);
  const isForwarded = !surroundings.isNodeAddress(destination);
  if (isForwarded || surroundings.isNodeAddress(source)) {
    if (met('clus', 'cluster-ips', destination)) return ended('rejected', found);
    if (view.inRange('svc-cidrs', destination)) return ended('dropped', found);
  }
  const masquerade = egress(view, source, destination, surroundings);
  return { ...ended('untouched', found), ...(masquerade === undefined ? {} : { masquerade }) };
}

/** A view over elements. */
export function viewOf(elements: Iterable<Element>, family: TableFamily): TableView {
  const maps = new Map<string, Map<Registers, Registers>>(); // set -> key -> data
  const allowed = new Map<Registers, { first: Registers; last: Registers }[]>(); // frontend -> clients
  const ranges = new Map<string, Element[]>();
  const width = ADDRESS_BYTES[family];
  for (const element of elements) {
    const { set, key, keyEnd = key, data = '' } = element;
    if (set === 'allowed') {
      const frontend = key.slice(0, -width);
      const clients = allowed.get(frontend) ?? [];
      clients.push({ first: key.slice(-width), last: keyEnd.slice(-width) });
      allowed.set(frontend, clients);
    } else if (set === 'pod-cidrs' || set === 'svc-cidrs' || set === 'local-pods' || set === 'no-masq') {
      ranges.set(set, [...(ranges.get(set) ?? []), element]);
    } else {
      const ofSet = maps.get(set) ?? new Map<Registers, Registers>();
      ofSet.set(key, data);
      maps.set(set, ofSet);
    }
  }
  const intervals = new Map([...ranges].map(([set, list]) => [set, intervalsOf(list, family)]));
  const isIn = (list: readonly { first: Registers; last: Registers }[] | undefined, address: Registers) =>
    list?.some(({ first, last }) => first <= address && address <= last) === true;
  return {
    family,
    get: (set, key) => maps.get(set)?.get(key),
    allows: (frontend, client) => isIn(allowed.get(frontend), client),
    inRange: (set, address) => isIn(intervals.get(set), address),
  };
}
