/** What one frontend has in the table, and the changes that give it another face. */
import type { Element, Registers, TableFamily } from '../net/element.ts';
import { type Choice, chainKind, type Face, FLAG_SETS, isDefaultTimeout, NO_SOURCES } from './face.ts';
import { NO_TARGETS } from './lists.ts';
import { maglev } from './maglev.ts';
import type { AddressRange } from './model.ts';
import { classidAt, classidRegisters } from './registers.ts';
import type { SetName } from './schema.ts';
import { arrange, isSame } from './slots.ts';
import type { Draft, Table } from './table.ts';
import { decodeValue, encodeValue, isLocal, LOCAL_OFFSET } from './value.ts';

type List = 'cluster' | 'local';
const LISTS = ['cluster', 'local'] as const satisfies readonly List[];

/** target -> endpoint id, of one list of one frontend: a remembered client must not follow an endpoint into another list. */
type Ids = ReadonlyMap<Registers, Registers>;
const NO_IDS: Ids = new Map();

/** The frontend's own state; shared addresses (`cluster-ips`, `hairpin`) are counted by the planner. */
export interface Placed {
  /** Key of the model that has it, while no other wants it (claims.ts). */
  holder: string | undefined;
  choice: Choice;
  /** Targets by slot. Frontends of one port mostly share the array. */
  cluster: readonly Registers[];
  local: readonly Registers[];
  clusterIds: Ids;
  localIds: Ids;
  /** `kind:count`, 0 for none. */
  services: number;
  near: number;
  flags: number;
  isClusterIp: boolean;
  sources: readonly AddressRange[];
  serving: readonly Registers[];
  scope: Face['scope'];
  /** Nothing above is known to be in the table: slots and ids are what should be kept where the table has them. */
  isHint: boolean;
}

/** What frontends share while one transaction is planned. */
export interface Placer {
  readonly family: TableFamily;
  readonly table: Table;
  /** Of the transaction that is being planned. */
  draft: Draft;
  /** A new endpoint id. */
  readonly allocate: () => Registers;
  readonly free: (id: Registers) => void;
  /** An id that the table was found to have. */
  readonly claim: (id: Registers) => void;
  /** Index of a timeout that is not the default. */
  readonly timeoutIndex: (seconds: number) => number;
  /** The value's chain will be needed. */
  readonly need: (value: number) => void;
  /** Ports have several frontends with the same lists: the last arrangement is likely the next one's too. */
  memo: {
    old?: readonly Registers[];
    wanted?: readonly Registers[];
    choice?: Choice;
    slots?: readonly Registers[];
  };
}

export const newPlaced = (isHint: boolean): Placed => ({
  holder: undefined,
  choice: 'drawn',
  cluster: NO_TARGETS,
  local: NO_TARGETS,
  clusterIds: NO_IDS,
  localIds: NO_IDS,
  services: 0,
  near: 0,
  flags: 0,
  isClusterIp: false,
  sources: NO_SOURCES,
  serving: NO_TARGETS,
  scope: 'Cluster',
  isHint,
});

/** Writes into the draft what differs, and leaves `placed` as the face says. */
export function place(key: Registers, placed: Placed, face: Face, placer: Placer): void {
  const isRead = placed.isHint && placer.table.isAdopting;
  // Nothing found may lead to slots that go before `sweep`, so what leads to them is taken first.
  const hadNear = isRead ? foundValue('services-near', key, placer) : placed.isHint ? 0 : placed.near;
  const had = isRead ? foundValue('services', key, placer) : placed.isHint ? 0 : placed.services;
  for (const list of LISTS)
    if (placed[list].length > 0 || face[list].length > 0)
      placeList(key, list, { placed, face, placer, promised: isRead ? promisedBy(list, had, hadNear) : 0 });
  const services = chainValue(face, face.services, placed, placer);
  const near = chainValue(face, face.near, placed, placer);
  placeFlags(key, placed.isHint ? 0 : placed.flags, face.flags, placer);
  if (placed.sources.length > 0 || face.sources.length > 0 || placer.table.isAdopting)
    placeSources(key, placed.isHint ? [] : placed.sources, face.sources, placer);
  if (hadNear !== near) placeValue({ set: 'services-near', key, value: near, had: hadNear }, placer);
  if (had !== services) placeValue({ set: 'services', key, value: services, had }, placer);
  placed.choice = face.choice;
  placed.services = services;
  placed.near = near;
  placed.flags = face.flags;
  placed.isClusterIp = face.isClusterIp;
  placed.sources = face.sources;
  placed.serving = face.serving;
  placed.scope = face.scope;
  placed.isHint = false;
}

/** Everything that `placed` has, as the table holds it. */
export function* placedElements(key: Registers, placed: Placed): Generator<Element> {
  const set = slotSet(placed.choice);
  for (const list of LISTS) {
    const ids = idsOf(placed, list);
    for (const [target, id] of ids) yield { set: 'ep-by-id', key: id, data: target };
    for (const [index, target] of placed[list].entries())
      yield { set, key: slotKey(key, list, index), data: set === 'ep-id' ? (ids.get(target) as Registers) : target };
  }
  for (const [bit, name] of FLAG_SETS.entries()) if ((placed.flags & (1 << bit)) !== 0) yield { set: name, key };
  for (const { first, last } of placed.sources)
    yield { set: 'allowed', key: `${key}${first}`, keyEnd: `${key}${last}` };
  if (placed.near !== 0) yield { set: 'services-near', key, data: classidRegisters(placed.near) };
  if (placed.services !== 0) yield { set: 'services', key, data: classidRegisters(placed.services) };
}

interface Step {
  readonly placed: Placed;
  readonly face: Face;
  readonly placer: Placer;
  /** Slots of the list that the values of a found table lead to. */
  readonly promised: number;
}

function placeList(key: Registers, list: List, { placed, face, placer, promised }: Step): void {
  const { table, draft } = placer;
  const set = slotSet(face.choice);
  const isRead = placed.isHint && table.isAdopting && set === 'endpoints';
  if (isRead) takeSlots(key, list, { placed, face, placer, promised });
  else if (placed.isHint && table.isAdopting) readHint(key, list, { placed, face, placer, promised });
  const isHint = placed.isHint && !isRead;
  const before = placed[list];
  const wasSet = isRead ? set : slotSet(placed.choice);
  const slots = slotsOf(before, face[list], { face, placer });
  // Clients that remember an endpoint of the cluster list must not be led out of the node when the policy turns Local.
  const renews = list === 'cluster' && placed.scope === 'Cluster' && face.scope === 'Local';
  if (slots === before && set === wasSet && !isHint && !(renews && set === 'ep-id')) return;

  const oldIds = idsOf(placed, list);
  const ids = set === 'ep-id' ? idsFor(slots, renews ? NO_IDS : oldIds, placer) : NO_IDS;
  for (const [target, id] of ids) {
    const had = !isHint && oldIds.get(target) === id ? target : undefined;
    table.write(draft, { set: 'ep-by-id', key: id, data: target }, had);
  }
  const dataOf = (of: Ids, name: SetName, target: Registers) =>
    name === 'ep-id' ? (of.get(target) as Registers) : target;
  const oldData = (index: number): Registers | undefined => {
    if (isHint || set !== wasSet || index >= before.length) return undefined;
    return dataOf(oldIds, wasSet, before[index] as Registers);
  };
  for (let index = 0; index < slots.length; index += 1) {
    const data = dataOf(ids, set, slots[index] as Registers);
    const had = oldData(index);
    if (had !== data) table.write(draft, { set, key: slotKey(key, list, index), data }, had);
  }
  if (!isHint) retireSlots(key, list, { placed, slots, ids, set, wasSet, placer });
  placed[list] = slots;
  setIds(placed, list, ids);
}

interface Leftover {
  readonly placed: Placed;
  readonly slots: readonly Registers[];
  readonly ids: Ids;
  readonly set: SetName;
  readonly wasSet: SetName;
  readonly placer: Placer;
}

/** Slots behind the end, and endpoint ids that nobody has any more. */
function retireSlots(key: Registers, list: List, { placed, slots, ids, set, wasSet, placer }: Leftover): void {
  const { table, draft } = placer;
  const before = placed[list];
  const oldIds = idsOf(placed, list);
  const isSame = set === wasSet;
  const gone = new Set<Registers>();
  for (const [target, id] of oldIds) {
    if (ids.get(target) === id) continue;
    gone.add(id);
    placer.free(id);
    const element = { set: 'ep-by-id', key: id, data: target } as const;
    // At once, so that its clients choose again; but a list that goes as a whole may still be on its way to be read.
    if (isSame && slots.length > 0) table.erase(draft, element);
    else table.retire(draft, element);
  }
  for (let index = isSame ? slots.length : 0; index < before.length; index += 1) {
    const target = before[index] as Registers;
    const had = wasSet === 'ep-id' ? (oldIds.get(target) as Registers) : target;
    const slot = slotKey(key, list, index);
    let data = had;
    if (isSame && slots.length > 0 && gone.has(had)) {
      // A packet that read the old count may still come here.
      data = ids.get(slots[0] as Registers) as Registers;
      table.write(draft, { set: wasSet, key: slot, data }, had);
    }
    table.retire(draft, { set: wasSet, key: slot, data });
  }
}

function slotsOf(
  before: readonly Registers[],
  wanted: readonly Registers[],
  { face, placer }: Pick<Step, 'face' | 'placer'>,
) {
  const { memo } = placer;
  if (memo.old === before && memo.wanted === wanted && memo.choice === face.choice && memo.slots !== undefined)
    return memo.slots;
  if (wanted.length === 0) return before.length === 0 ? before : NO_TARGETS;
  const slots = face.choice === 'hashed' ? hashed(before, wanted) : arrange(before, wanted);
  memo.old = before;
  memo.wanted = wanted;
  memo.choice = face.choice;
  memo.slots = slots;
  return slots;
}

function hashed(before: readonly Registers[], wanted: readonly Registers[]): readonly Registers[] {
  const slots = maglev(wanted);
  return slots.length === before.length && slots.every((target, index) => target === before[index]) ? before : slots;
}

/** An id for each target; those that have one keep it. */
function idsFor(slots: readonly Registers[], known: Ids, { allocate }: Placer): Ids {
  const ids = new Map<Registers, Registers>();
  for (const target of slots) if (!ids.has(target)) ids.set(target, known.get(target) ?? allocate());
  return ids;
}

/** What the found table has in the slots is what they hold: the rest is as with any other change. */
function takeSlots(key: Registers, list: List, { placed, face, placer, promised }: Step): void {
  const targets: Registers[] = [];
  while (targets.length < promised) {
    const target = placer.table.take('endpoints', slotKey(key, list, targets.length));
    if (target === undefined) break;
    targets.push(target);
  }
  placed[list] = targets.length === 0 ? NO_TARGETS : isSame(targets, face[list]) ? face[list] : targets;
  setIds(placed, list, NO_IDS);
}

/** Slots behind these are nobody's, and go with `sweep`. */
function promisedBy(list: List, ...values: readonly number[]): number {
  const counts = values.flatMap((value) => {
    const chain = value === 0 ? undefined : decodeValue(value);
    return chain !== undefined && isLocal(chain.kind) === (list === 'local') ? [chain.slots] : [];
  });
  return Math.max(0, ...counts);
}

/** Takes ids from the table that was found, where nothing better is known, so that clients keep their endpoints. */
function readHint(key: Registers, list: List, { placed, face, placer }: Step): void {
  if (placed[list].length > 0 || face[list].length === 0) return;
  const { table, claim } = placer;
  const targets: Registers[] = [];
  const ids = new Map<Registers, Registers>();
  for (;;) {
    const id = table.found('ep-id', slotKey(key, list, targets.length));
    if (id === undefined) break;
    const target = table.found('ep-by-id', id);
    // A slot whose endpoint is gone is free for anybody.
    targets.push(target ?? '');
    if (target === undefined || ids.has(target)) continue;
    ids.set(target, id);
    claim(id);
  }
  placed.choice = face.choice;
  placed.scope = face.scope;
  placed[list] = isSame(targets, face[list]) ? face[list] : targets;
  setIds(placed, list, ids);
}

function chainValue(face: Face, list: List | undefined, placed: Placed, { timeoutIndex, need }: Placer): number {
  if (list === undefined) return 0;
  const value = encodeValue({
    kind: chainKind(face.choice, list),
    slots: placed[list].length,
    timeout:
      face.choice === 'remembered' && !isDefaultTimeout(face.timeoutSeconds)
        ? timeoutIndex(face.timeoutSeconds)
        : undefined,
  });
  need(value);
  return value;
}

/** The value that the found table has, from now on known; 0 for none. */
function foundValue(set: 'services' | 'services-near', key: Registers, { table }: Placer): number {
  const data = table.take(set, key);
  return data === undefined ? 0 : classidAt(data, 0);
}

interface ValueChange {
  readonly set: 'services' | 'services-near';
  readonly key: Registers;
  readonly value: number;
  readonly had: number;
}

function placeValue({ set, key, value, had }: ValueChange, { table, draft }: Placer): void {
  const old = had === 0 ? undefined : classidRegisters(had);
  if (value !== 0) table.write(draft, { set, key, data: classidRegisters(value) }, old);
  else if (old !== undefined) table.erase(draft, { set, key, data: old });
}

function placeFlags(key: Registers, had: number, flags: number, { table, draft }: Placer): void {
  // The same while a table is adopted: `had` is 0 then.
  if (had === flags) return;
  for (const [bit, set] of FLAG_SETS.entries()) {
    const mask = 1 << bit;
    if ((had & mask) === (flags & mask)) continue;
    if ((flags & mask) === 0) table.erase(draft, { set, key });
    else table.write(draft, { set, key });
  }
}

/** Deletes first: a range must not meet the one that it replaces. */
function placeSources(
  key: Registers,
  had: readonly AddressRange[],
  sources: readonly AddressRange[],
  { table, draft }: Placer,
): void {
  const nameOf = ({ first, last }: AddressRange) => `${first}${last}`;
  if (table.isAdopting) clearRanges(key, sources, { table, draft });
  if (had === sources || (had.length === 0 && sources.length === 0)) return;
  const old = new Set(had.map(nameOf));
  const now = new Set(sources.map(nameOf));
  for (const range of had)
    if (!now.has(nameOf(range)))
      table.erase(draft, { set: 'allowed', key: `${key}${range.first}`, keyEnd: `${key}${range.last}` });
  for (const range of sources)
    if (!old.has(nameOf(range)))
      table.write(draft, { set: 'allowed', key: `${key}${range.first}`, keyEnd: `${key}${range.last}` });
}

/** Ranges that the table was found to have and that are not wanted: one could overlap a wanted one. */
function clearRanges(
  key: Registers,
  sources: readonly AddressRange[],
  { table, draft }: Pick<Placer, 'table' | 'draft'>,
): void {
  for (const found of table.foundUnder(key)) {
    const first = found.slice(key.length);
    const data = table.found('allowed', found);
    if (data === undefined || sources.some((range) => range.first === first && `${key}${range.last}` === data))
      continue;
    table.erase(draft, { set: 'allowed', key: found, keyEnd: data });
  }
}

const slotSet = (choice: Choice): 'endpoints' | 'ep-id' => (choice === 'remembered' ? 'ep-id' : 'endpoints');

const slotKey = (key: Registers, list: List, index: number): Registers =>
  `${key}${(list === 'cluster' ? FIRST_SLOTS[index] : undefined) ?? classidRegisters(list === 'cluster' ? index : LOCAL_OFFSET + index)}`;

/** Most Services have few endpoints. */
const FIRST_SLOTS: readonly Registers[] = Array.from({ length: 64 }, (_, index) => classidRegisters(index));

function setIds(placed: Placed, list: List, ids: Ids): void {
  if (list === 'cluster') placed.clusterIds = ids;
  else placed.localIds = ids;
}

const idsOf = (placed: Placed, list: List): Ids => (list === 'cluster' ? placed.clusterIds : placed.localIds);
