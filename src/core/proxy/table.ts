/** One table as we know it: turns wishes into the fewest changes, whatever the table holds already. */
import type { Element, ElementChange, Registers } from '../net/element.ts';
import type { Removal } from './model.ts';
import { isSetName, RANGE_SETS, type SetName } from './schema.ts';

/** Data of a map's element; the key's end of a range of `allowed`; '' of a plain set's. */
type Data = Registers;

interface FoundSet {
  readonly at: Map<Registers, number>; // key -> index in data
  /** `undefined` once somebody has asked for it: cheaper than to delete it from a map of 100,000. */
  readonly data: (Data | undefined)[];
}

/** The changes that are being gathered for one transaction. */
export interface Draft {
  /** Slots before what leads to them, so that a reader of the text follows it. */
  readonly slots: ElementChange[];
  readonly front: ElementChange[];
  readonly later: Element[];
}

export interface Table {
  /** The table has this element from now on. @param had its data so far, as the caller knows it. */
  write(draft: Draft, element: Element, had?: Data): void;
  /** The element goes with this transaction. */
  erase(draft: Draft, element: Element): void;
  /** The element goes when no packet can be on its way to it any more. */
  retire(draft: Draft, element: Element): void;
  /** Seals what `retire` gathered. */
  seal(draft: Draft): Removal | undefined;
  release(removal: Removal): readonly ElementChange[];
  refused(change: ElementChange): void;
  /** What the table was found to hold and nobody asked for yet; `undefined` once `sweep` ran. */
  found(set: SetName, key: Registers): Data | undefined;
  /** As `found`, and from now on somebody has asked for it. */
  take(set: SetName, key: Registers): Data | undefined;
  /** Keys of found elements of `allowed` that belong to a frontend. */
  foundUnder(frontend: Registers): readonly Registers[];
  readonly isAdopting: boolean;
  adopt(elements: Iterable<Element>): void;
  /** Elements of range sets as they were found; empty when nothing was. */
  foundRanges(set: SetName): readonly Element[];
  sweep(draft: Draft): void;
}

/** Sets that a lookup reaches through a value that it has read before. */
const isLookedUp = (set: string): boolean => set === 'endpoints' || set === 'ep-id' || set === 'ep-by-id';
const RANGES: ReadonlySet<SetName> = new Set(RANGE_SETS);

export function createTable(): Table {
  const waiting = new Map<string, { readonly list: readonly unknown[]; readonly data: Data }>(); // set . key -> the removal it is in
  const absent = new Set<string>(); // set . key of what the kernel refused
  let found: Map<SetName, FoundSet> | undefined; // set -> what it was found to hold
  let allowed = new Map<Registers, Registers[]>(); // frontend -> keys of found elements of `allowed`
  let ranges = new Map<SetName, Element[]>();

  const push = (draft: Draft, op: ElementChange['op'], element: Element): void => {
    (isLookedUp(element.set) ? draft.slots : draft.front).push({ op, element });
  };
  const remove = (draft: Draft, element: Element, data: Data): void => {
    if (absent.size > 0 && absent.delete(`${element.set}.${element.key}`)) return;
    push(draft, 'delete', bare(element, data));
  };
  /** The data that the element has in the table now. */
  const known = ({ set, key }: Element, had: Data | undefined): Data | undefined => {
    const ofSet = found?.get(set as SetName);
    const at = ofSet?.at.get(key);
    const was = at === undefined ? undefined : ofSet?.data[at];
    if (ofSet !== undefined && at !== undefined && was !== undefined) {
      ofSet.data[at] = undefined;
      return was;
    }
    if (waiting.size === 0 || !isLookedUp(set)) return had;
    const name = `${set}.${key}`;
    const left = waiting.get(name);
    if (left === undefined) return had;
    waiting.delete(name);
    return left.data;
  };

  return {
    write(draft, element, had) {
      const was = known(element, had);
      if (was !== undefined) {
        if (was === dataOf(element) && !(absent.size > 0 && absent.has(`${element.set}.${element.key}`))) return;
        remove(draft, element, was);
      }
      if (absent.size > 0) absent.delete(`${element.set}.${element.key}`);
      push(draft, 'add', element);
    },
    erase(draft, element) {
      const was = known(element, dataOf(element));
      if (was !== undefined) remove(draft, element, was);
    },
    retire(draft, element) {
      waiting.set(`${element.set}.${element.key}`, { list: draft.later, data: dataOf(element) });
      draft.later.push(element);
    },
    seal: ({ later }) => (later.length === 0 ? undefined : { elements: later }),
    release(sealed) {
      const changes: ElementChange[] = [];
      for (const { set, key } of sealed.elements) {
        const name = `${set}.${key}`;
        // Needed again in between, or in a later removal.
        if (waiting.get(name)?.list !== sealed.elements) continue;
        waiting.delete(name);
        if (absent.delete(name)) continue;
        changes.push({ op: 'delete', element: { set, key } });
      }
      return changes;
    },
    refused({ op, element: { set, key } }) {
      if (op === 'add') absent.add(`${set}.${key}`);
    },
    found: (set, key) => {
      const ofSet = found?.get(set);
      const at = ofSet?.at.get(key);
      return at === undefined ? undefined : ofSet?.data[at];
    },
    take: (set, key) => known({ set, key }, undefined),
    foundUnder: (frontend) => allowed.get(frontend) ?? [],
    get isAdopting() {
      return found !== undefined;
    },
    adopt(elements) {
      if (found === undefined) {
        found = new Map();
        ranges = new Map();
        allowed = new Map();
        waiting.clear();
        absent.clear();
      }
      for (const element of elements) {
        if (!isSetName(element.set) || element.set === 'aff') continue;
        if (RANGES.has(element.set)) {
          ranges.set(element.set, [...(ranges.get(element.set) ?? []), element]);
          continue;
        }
        let ofSet = found.get(element.set);
        if (ofSet === undefined) {
          ofSet = { at: new Map(), data: [] };
          found.set(element.set, ofSet);
        }
        ofSet.at.set(element.key, ofSet.data.push(dataOf(element)) - 1);
        if (element.set === 'allowed') index(allowed, element.key);
      }
    },
    foundRanges: (set) => ranges.get(set) ?? [],
    sweep(draft) {
      const left = found ?? new Map<SetName, FoundSet>();
      found = undefined;
      ranges = new Map();
      allowed = new Map();
      for (const [set, { at, data: all }] of left)
        for (const [key, index] of at) {
          const data = all[index];
          if (data === undefined) continue;
          const element =
            set === 'allowed' ? { set, key, keyEnd: data } : data === '' ? { set, key } : { set, key, data };
          if (isLookedUp(set)) this.retire(draft, element);
          else push(draft, 'delete', bare(element, data));
        }
    },
  };
}

/** The frontend is the key without the client's address, which is as long as the frontend's own. */
function index(allowed: Map<Registers, Registers[]>, key: Registers): void {
  const frontend = key.slice(0, key.length === IPV4_KEY_BYTES ? IPV4_KEY_BYTES - 4 : key.length - 16);
  const keys = allowed.get(frontend);
  if (keys === undefined) allowed.set(frontend, [key]);
  else keys.push(key);
}

/** Address, protocol, port and client. */
const IPV4_KEY_BYTES = 16;

export const newDraft = (): Draft => ({ slots: [], front: [], later: [] });

/** What a delete names: never the data. */
const bare = ({ set, key }: Element, data: Data): Element =>
  set === 'allowed' ? { set, key, keyEnd: data } : { set, key };

const dataOf = ({ set, key, keyEnd, data }: Element): Data => data ?? (set === 'allowed' ? (keyEnd ?? key) : '');
