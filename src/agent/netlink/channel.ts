import type { ConntrackEntry, ConntrackFilter } from '../../core/net/conntrack.ts';
import type { ElementChange, TableFamily } from '../../core/net/element.ts';
import type { KernelElement } from '../../core/net/netlink-elements.ts';
import type {
  Ack,
  AddressRecord,
  LinkRecord,
  RouteEvent,
  RouteMessage,
  RouteRecord,
} from '../../core/net/rtnetlink.ts';

/**
 * The ways to the kernel, one behaviour: `socket` is a netlink socket in this process (koffi), `helper` one in the
 * program `fairlead-netlink` on a pipe, `text` spawns `nft` and `ip`. After the same calls each leaves the same state.
 */
export type ChannelKind = 'socket' | 'helper' | 'text';

/** One error of a transaction. */
export interface Refusal {
  /** Positive: 17 = EEXIST. */
  readonly errno: number;
  /** The kernel's own words, where it has some. */
  readonly message?: string;
  /** Index in `changes` of the guilty one. Absent: the transaction as a whole; only cutting it in two tells more. */
  readonly element?: number;
  /** ENOENT because of the table or the set, not of the element: the rules must be loaded again. */
  readonly missing?: 'table' | 'set';
}

/**
 * What became of a transaction. Nothing of a refused one is applied; `refused` has at least one entry, in the order of
 * `changes`, and need not have all. Lost: applied or not, only a dump tells.
 */
export type Commit =
  | { readonly ok: true }
  | { readonly ok: false; readonly lost: false; readonly refused: readonly Refusal[] }
  | { readonly ok: false; readonly lost: true; readonly why: string };

/** Elements of the tables `ip fairlead` and `ip6 fairlead` in the network namespace that the channel was opened in. */
export interface NftChannel {
  readonly kind: ChannelKind;
  /**
   * One atomic transaction, the changes in their order; without changes nothing is sent. At most 25,000 changes.
   * Throws FL_NET_ADMIN when the kernel does not let us.
   */
  commit(family: TableFamily, changes: readonly ElementChange[]): Promise<Commit>;
  /**
   * All elements of a set or map, in no order; the data of verdict maps is left out. Yields to the event loop. Undefined:
   * no such set.
   */
  dump(family: TableFamily, set: string): Promise<readonly KernelElement[] | undefined>;
  /** Names of the chains in our table; undefined: no such table. */
  chains(family: TableFamily): Promise<readonly string[] | undefined>;
  /**
   * A digest of what is constant in our table: its chains, rules and sets without their elements, handles and counters,
   * and without chains whose name starts with `sum-`. Undefined: no such table.
   */
  fingerprint(family: TableFamily): Promise<string | undefined>;
  /** Of the ruleset; grows by one with each transaction of whoever. 32 bits. */
  generation(): Promise<number>;
  /** Transactions that this channel has committed, to be compared with `generation`. */
  commits(): number;
  /** Idempotent. */
  close(): Promise<void>;
}

/** Links, addresses and routes of the namespace that the channel was opened in. */
export interface RouteChannel {
  readonly kind: ChannelKind;
  /**
   * One answer per message. Not a transaction: the kernel goes on after an error. But a `newLink` is sent alone, and when
   * it fails nothing after it is sent (`sent: false`): its index may belong to another's interface.
   */
  send(messages: readonly RouteMessage[]): Promise<readonly Ack[]>;
  links(): Promise<readonly LinkRecord[]>;
  addresses(): Promise<readonly AddressRecord[]>;
  /** Of all tables, both families; no cached or cloned ones. */
  routes(): Promise<readonly RouteRecord[]>;
  /**
   * Calls `on` for each change by whomever, until the returned function is called. Undefined: this channel has no
   * events, resync instead. After `{ kind: 'lost' }` (too many at once, or the helper died) only dumps tell.
   */
  events(on: (event: RouteEvent) => void): (() => void) | undefined;
  close(): Promise<void>;
}

/** The connection tracking table of the namespace that the channel was opened in. */
export interface ConntrackChannel {
  readonly kind: ChannelKind;
  dump(filter: ConntrackFilter): Promise<readonly ConntrackEntry[]>;
  /** Number of entries that were still there. */
  delete(entries: readonly ConntrackEntry[]): Promise<number>;
  close(): Promise<void>;
}

export interface Channels {
  readonly nft: NftChannel;
  readonly route: RouteChannel;
  readonly conntrack: ConntrackChannel;
  /** All of them. Idempotent. */
  close(): Promise<void>;
}
