/** One table as we know it: turns wishes into the fewest changes, whatever the table holds already. */
import type { Element, ElementChange, Registers } from '../net/element.ts';
import type { Removal } from './model.ts';
import { isSetName, RANGE_SETS, SETS, type SetName } from './schema.ts';

/** An element without its set. Data: of a map; the key's end of a range of `allowed`; '' of a plain set. */
type Data = Registers;

/** The changes that are being gathered for one transaction. */
export interface Draft {
  /** Slots before what leads to them, so that a reader of the text follows it. */
  readonly slots: ElementChange[];
  readonly front: ElementChange[];
  readonly later: { set: SetName; key: Registers; data?: Registers }[];
}

export interface Table {
  /** The element has this data from now on. @param had its data so far, as the caller knows it. */
  write(
    draft: Draft,
    element: { readonly set: SetName; readonly key: Registers; readonly data: Data },
    had?: Data,
  ): void;
  /** The element goes with this transaction. */
  erase(draft: Draft, element: { readonly set: SetName; readonly key: Registers; readonly data: Data }): void;
  /** The element goes when no packet can be on its way to it any more. */
  retire(draft: Draft, element: { readonly set: SetName; readonly key: Registers; readonly data: Data }): void;
  /** Seals what `retire` gathered. */
  seal(draft: Draft): Removal | undefined;
  release(removal: Removal): readonly ElementChange[];
  refused(change: ElementChange): void;
  /** What the table was found to hold and nobody asked for yet; `undefined` once `sweep` ran. */
  found(set: SetName, key: Registers): Data | undefined;
  /** Keys of found elements of `allowed` that belong to a frontend. */
  foundUnder(frontend: Registers): readonly Registers[];
  readonly isAdopting: boolean;
  adopt(elements: Iterable<Element>): void;
  /** Elements of range sets as they were found; empty when nothing was. */
  foundRanges(set: SetName): readonly Element[];
  sweep(draft: Draft): void;
}

/** Sets that a lookup reaches through a value that it has read before. */
const LOOKED_UP: ReadonlySet<SetName> = new Set(['endpoints', 'ep-id', 'ep-by-id']);
const RANGES: ReadonlySet<SetName> = new Set(RANGE_SETS);

export function createTable(): Table {
  const waiting = new Map<string, { readonly list: readonly unknown[]; readonly data: Data }>(); // set . key -> the removal it is in
  const absent = new Set<string>(); // set . key of what the kernel refused
  let found: Map<SetName, Map<Registers, Data>> | undefined; // set -> key -> data
  let allowed = new Map<Registers, Registers[]>(); // frontend -> keys of found elements of `allowed`
  let ranges = new Map<SetName, Element[]>();

  const push = (draft: Draft, op: ElementChange['op'], element: Element): void => {
    (LOOKED_UP.has(element.set as SetName) ? draft.slots : draft.front).push({ op, element });
  };
  const remove = (draft: Draft, set: SetName, key: Registers, data: Data): void => {
    if (absent.size > 0 && absent.delete(`${set}.${key}`)) return;
    push(draft, 'delete', bare(set, key, data));
  };
  /** The data that the element has in the table now. */
  const known = (set: SetName, key: Registers, had: Data | undefined): Data | undefined => {
    const was = found?.get(set)?.get(key);
    if (was !== undefined) {
      found?.get(set)?.delete(key);
      return was;
    }
    if (waiting.size === 0 || !LOOKED_UP.has(set)) return had;
    const name = `${set}.${key}`;
    const left = waiting.get(name);
    if (left === undefined) return had;
    waiting.delete(name);
    return left.data;
  };

  return {
    write(draft, { set, key, data }, had) {
      const was = known(set, key, had);
      if (was === data && !(absent.size > 0 && absent.has(`${set}.${key}`))) return;
      if (was !== undefined) remove(draft, set, key, was);
      if (absent.size > 0) absent.delete(`${set}.${key}`);
      push(draft, 'add', full(set, key, data));
    },
    erase(draft, { set, key, data }) {
      const was = known(set, key, data);
      if (was !== undefined) remove(draft, set, key, was);
    },
    retire(draft, { set, key, data }) {
      waiting.set(`${set}.${key}`, { list: draft.later, data });
      draft.later.push({ set, key, ...(data === '' ? {} : { data }) });
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
    found: (set, key) => found?.get(set)?.get(key),
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
          ofSet = new Map();
          found.set(element.set, ofSet);
        }
        ofSet.set(element.key, dataOf(element.set, element));
        if (element.set === 'allowed') index(allowed, element.key);
      }
    },
    foundRanges: (set) => ranges.get(set) ?? [],
    sweep(draft) {
      const left = found ?? new Map<SetName, Map<Registers, Data>>();
      found = undefined;
      ranges = new Map();
      allowed = new Map();
      for (const [set, elements] of left)
        for (const [key, data] of elements) {
          if (LOOKED_UP.has(set)) this.retire(draft, { set, key, data });
          else push(draft, 'delete', bare(set, key, data));
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

/** An element as the kernel gets it. */
export function full(set: SetName, key: Registers, data: Data): Element {
  if (set === 'allowed') return { set, key, keyEnd: data };
  return data === '' ? { set, key } : { set, key, data };
}

/** What a delete names: never the data. */
const bare = (set: SetName, key: Registers, data: Data): Element =>
  set === 'allowed' ? { set, key, keyEnd: data } : { set, key };

function dataOf(set: SetName, { key, keyEnd, data }: Element): Data {
  if (set === 'allowed') return keyEnd ?? key;
  return 'data' in SETS[set] ? (data ?? '') : '';
}
