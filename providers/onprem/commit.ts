import type { Allocator } from '../../src/core/ipam/allocator.ts';
import { compareUsers, type Entry, type Freed, type User } from '../../src/core/ipam/entry.ts';
import type { Call, Clock, Log, ProviderContext } from '../../src/core/provider.ts';
import {
  afterWrite,
  type Changes,
  creation,
  type IPBlock,
  isNewer,
  patchOf,
  type Stored,
  sameEntry,
  storedOf,
} from './blocks.ts';
import { type BlockName, blockOf } from './names.ts';
import { isCode, outcomeOf } from './outcome.ts';
import { resources } from './resources.ts';

/** A change of the addresses in memory, and what of it must be in the blocks before it counts. */
export interface Change {
  /**
   * Changes the allocator, synchronously. Called at once, and again whenever a block turned out to hold something else
   * than was thought: then it decides anew. Throws ProviderError when it cannot be done (any more).
   */
  readonly make: () => Made;
  /** True: a refused write gives nothing back and is tried again. For what is published already, and for tidying up. */
  readonly insist?: true;
}
export interface Made {
  /** Addresses whose records changed. */
  readonly changed: readonly string[];
  /** Addresses that must be in their blocks as well, although this change left them alone. */
  readonly needed?: readonly string[];
}

/**
 * Brings the allocator's memory and the IPBlocks together: group commit. Every change happens in memory first; each block
 * has one write in flight and takes along everything that came meanwhile. Every write is guarded by the version that it
 * was decided on, so the API server itself refuses a double allocation, also by a process that was paused.
 *
 * Deleting an empty block is guarded by uid alone, and that suffices: the same guarded patch that empties a block marks it
 * closed; a closed block is never written again, by nobody, only deleted and created anew under another uid. So when a
 * delete arrives, however late, the block of that uid is empty.
 *
 * A write of unknown outcome is settled by a read. Should it take effect even later, its guard makes it fail, or the watch
 * tells of it: memory then follows the block.
 */
export interface Commit {
  /** Resolves when all of it is in the blocks. Rejects with what `make` threw, or with the failure of a write. */
  commit(change: Change): Promise<void>;
  /** What memory says of the address is also in its block, and no write of it is under way. */
  isDurable(address: string): boolean;
  /** What the blocks say that this Service holds, sorted. */
  recorded(uid: string): readonly string[];
  /** Uids in the blocks, in no order. */
  recordedUids(): readonly string[];
  /** From the watch, and once for each block at the start (`old` absent). */
  onBlock(old: unknown, now: unknown): void;
  /** From now on this process writes: deletes empty blocks too. Before, it only follows. */
  activate(): void;
}
export interface CommitOptions {
  readonly allocator: Allocator;
  readonly kube: ProviderContext['kube'];
  readonly clock: Clock;
  readonly log: Log;
  /** Ends everything; changes that are still open are rejected with its reason. */
  readonly signal: AbortSignal;
  /** How long the first request of a write waits for others, in ms. */
  readonly windowMs: number;
  /** Somebody else's write changed what these Services hold; called before open changes are decided anew. */
  readonly onForeign: (users: readonly User[], freed: readonly Freed[]) => void;
  /** Addresses whose records were written, by whomever. */
  readonly onWritten: (addresses: readonly string[]) => void;
}

/** Writes of one block in a row that may lose against others before a change fails. */
const CONFLICTS = 8;
/** Writes in a row of unknown outcome that a read found not done. */
const UNKNOWN = 2;
/**
 * Under load the next write gathers for as long as the last one took: a full block costs the API server as much as five
 * Services, and back to back such writes would leave it no time for anything else.
 */
const GATHER_CAP_MS = 50;
const RETRY_BASE_MS = 1000;
const RETRY_CAP_MS = 30_000;

interface Pending {
  readonly change: Change;
  /** Of arrival. */
  readonly order: number;
  /** Addresses that are not yet in their blocks. */
  readonly open: Set<string>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

class Block {
  readonly id: BlockName;
  /** The newest that is known for certain; undefined: there is no such block. */
  stored: Stored | undefined;
  /** Addresses whose record in memory may differ from `stored`. */
  readonly dirty = new Set<string>();
  /** Addresses in the write that is under way. */
  batch: ReadonlySet<string> = new Set();
  /** Uids of earlier blocks of this name: what the watch still tells of them is history. */
  readonly history = new Set<string>();
  state: 'idle' | 'waiting' | 'writing' = 'idle';
  /** `stored` may be outdated: read before the next write. */
  unsure = false;
  /** What the watch brought during a write. */
  seen: IPBlock | undefined;
  /** Failed runs in a row. */
  failures = 0;
  /** Set while a run is put off. */
  cancel: (() => void) | undefined;

  constructor(id: BlockName) {
    this.id = id;
  }

  isNews({ metadata: { uid, resourceVersion } }: IPBlock): boolean {
    if (this.history.has(uid)) return false;
    return this.stored === undefined || isNewer(resourceVersion, this.stored.resourceVersion);
  }
}

export function createCommit(options: CommitOptions): Commit {
  return new GroupCommit(options);
}

class GroupCommit implements Commit {
  readonly #options: CommitOptions;
  readonly #allocator: Allocator;
  readonly #call: Call;
  readonly #blocks = new Map<string, Block>(); // name -> block
  readonly #pending = new Map<string, Set<Pending>>(); // address -> changes that wait for it
  readonly #recorded = new Map<string, Set<string>>(); // uid -> addresses, by `stored` of all blocks
  #order = 0;
  #active = false;

  constructor(options: CommitOptions) {
    this.#options = options;
    this.#allocator = options.allocator;
    const { signal, log } = options;
    this.#call = { signal, log, limit: async (fn) => await fn() };
    signal.addEventListener('abort', () => this.#rejectAll(signal.reason), { once: true });
  }

  async commit(change: Change): Promise<void> {
    this.#options.signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#order += 1;
    this.#make({ change, order: this.#order, open: new Set(), resolve, reject }, 'new');
    return await promise;
  }

  isDurable(address: string): boolean {
    const block = this.#blocks.get(blockOf(address).name);
    return block === undefined || !(block.dirty.has(address) || block.batch.has(address));
  }

  recorded(uid: string): readonly string[] {
    return [...(this.#recorded.get(uid) ?? [])].sort();
  }

  recordedUids(): readonly string[] {
    return [...this.#recorded.keys()];
  }

  onBlock(old: unknown, now: unknown): void {
    const { metadata, spec } = (now ?? old) as IPBlock;
    const block = this.#block({ name: metadata.name, cidr: spec.cidr as BlockName['cidr'] });
    if (now !== undefined) {
      if (!block.isNews(now as IPBlock)) return;
      if (block.state === 'writing') block.seen = now as IPBlock;
      else this.#follow(block, storedOf(now));
    } else if (block.history.delete(metadata.uid) || block.stored?.uid !== metadata.uid) {
      return;
    } else if (block.state === 'writing') {
      block.unsure = true;
    } else {
      this.#follow(block, undefined);
    }
  }

  activate(): void {
    this.#active = true;
    for (const block of this.#blocks.values()) if (block.stored?.entries.size === 0) this.#schedule(block);
  }

  /** Makes the change in memory and waits for its addresses, or ends it when it cannot be made. */
  #make(pending: Pending, how: 'new' | 'again'): void {
    let made: Made;
    try {
      made = pending.change.make();
    } catch (error) {
      this.#fail(pending, error);
      return;
    }
    for (const address of made.changed) this.#block(blockOf(address)).dirty.add(address);
    for (const address of new Set([...made.changed, ...(made.needed ?? []), ...pending.open])) {
      if (this.isDurable(address)) this.#done(pending, address);
      else this.#await(pending, address, how);
    }
    if (pending.open.size === 0) pending.resolve();
  }

  #await(pending: Pending, address: string, how: 'new' | 'again'): void {
    pending.open.add(address);
    add(this.#pending, address, pending);
    const block = this.#block(blockOf(address));
    // One block's failure must not end the pause of another: two that wait for each other would never rest.
    if (how === 'new' || block.cancel === undefined) this.#schedule(block);
  }

  #done(pending: Pending, address: string): void {
    pending.open.delete(address);
    remove(this.#pending, address, pending);
  }

  #fail(pending: Pending, error: unknown): void {
    for (const address of [...pending.open]) this.#done(pending, address);
    pending.reject(error);
  }

  /** Now, unless a run is on its way; one that was put off is brought forward, for a person may be waiting. */
  #schedule(block: Block): void {
    block.cancel?.();
    block.cancel = undefined;
    if (block.state !== 'idle') return;
    block.state = 'waiting';
    void this.#run(block);
  }

  #putOff(block: Block, atLeastMs = 0): void {
    const { clock, signal } = this.#options;
    if (block.cancel !== undefined || signal.aborted) return;
    const delayMs = Math.max(atLeastMs, Math.min(RETRY_CAP_MS, RETRY_BASE_MS * 2 ** block.failures));
    block.failures += 1;
    const timer = new AbortController();
    block.cancel = () => timer.abort();
    void clock.sleep(delayMs, AbortSignal.any([timer.signal, signal])).then(
      () => {
        block.cancel = undefined;
        this.#schedule(block);
      },
      () => {}, // brought forward, or the provider was closed
    );
  }

  async #run(block: Block): Promise<void> {
    const { clock, windowMs, signal, log } = this.#options;
    try {
      await clock.sleep(windowMs, signal);
      block.state = 'writing';
      await this.#drain(block);
    } catch (error) {
      if (signal.aborted) return;
      log.error({ block: block.id.name, err: error }, 'writing an address block failed');
      for (const pending of this.#waitingFor(block)) this.#fail(pending, error);
      this.#putOff(block);
    } finally {
      block.state = 'idle';
    }
    this.#absorb(block);
    const isOpen = block.dirty.size > 0 || block.unsure;
    if (isOpen && block.cancel === undefined) this.#schedule(block);
  }

  /** Writes until memory and block agree, or until something stands in the way for longer than a moment. */
  async #drain(block: Block): Promise<void> {
    const { clock, windowMs, signal } = this.#options;
    let conflicts = 0;
    let unknown = 0;
    for (;;) {
      signal.throwIfAborted();
      this.#absorb(block);
      if (block.unsure && !(await this.#reread(block))) return;
      const changes = this.#changesOf(block);
      if (changes.size === 0 && !this.#isLeftover(block)) break;
      const newest = this.#order;
      const startMs = clock.monotonicMs();
      const failed = await this.#write(block, changes);
      if (failed === undefined) {
        conflicts = 0;
        unknown = 0;
        const tookMs = clock.monotonicMs() - startMs;
        if (block.dirty.size > 0) await clock.sleep(Math.min(GATHER_CAP_MS, Math.max(windowMs, tookMs)), signal);
        continue;
      }
      const { error, outcome } = failed;
      if (outcome === 'conflict') conflicts += 1;
      if (outcome === 'unknown') unknown += 1;
      block.unsure = outcome !== 'refused';
      if (block.unsure && conflicts <= CONFLICTS && unknown <= UNKNOWN) continue;
      // Whether the last write took effect must be known before anything is given back.
      if (block.unsure && !(await this.#reread(block))) return;
      if (!this.#giveBack(block, error, newest)) return;
      conflicts = 0;
      unknown = 0;
    }
    block.failures = 0;
  }

  /** Nobody has anything in it any more: to be closed and deleted. */
  #isLeftover({ stored }: Block): boolean {
    return this.#active && stored?.entries.size === 0;
  }

  /** One write: creation, patch or deletion. Returns what went wrong, if anything did. */
  async #write(
    block: Block,
    changes: Changes,
  ): Promise<{ error: unknown; outcome: ReturnType<typeof outcomeOf> } | undefined> {
    const { kube, onWritten } = this.#options;
    const { id, stored } = block;
    block.batch = new Set(changes.keys());
    try {
      if (stored?.closed === true) {
        await kube.remove(resources.ipblocks, { name: id.name, uid: stored.uid }, this.#call);
        // What a hand wrote into it after it was closed is in memory, and goes into the next block of this name.
        for (const address of stored.entries.keys()) block.dirty.add(address);
        this.#setStored(block, undefined);
        return undefined;
      }
      const answer =
        stored === undefined
          ? await kube.create(resources.ipblocks, creation(id, changes), this.#call)
          : await kube.patch(resources.ipblocks, { name: id.name }, patchOf(stored, changes), this.#call);
      this.#setStored(block, afterWrite(stored, changes, answer));
    } catch (error) {
      // No such kind: reading again would not help.
      const isMissing = stored === undefined && isCode(error, 'FL_KUBE_NOT_FOUND');
      return { error, outcome: isMissing ? 'refused' : outcomeOf(error) };
    } finally {
      block.batch = new Set();
    }
    for (const [address, entry] of changes)
      if (sameEntry(entry, this.#allocator.entry(address))) this.#clean(block, address);
    onWritten([...changes.keys()]);
    return undefined;
  }

  /** False when not even a read gets through: then memory stays as it is, and the run is put off. */
  async #reread(block: Block): Promise<boolean> {
    let stored: Stored | undefined;
    try {
      stored = storedOf(await this.#options.kube.get(resources.ipblocks, { name: block.id.name }, this.#call));
    } catch (error) {
      if (!isCode(error, 'FL_KUBE_NOT_FOUND')) {
        for (const pending of this.#waitingFor(block)) if (pending.change.insist !== true) this.#fail(pending, error);
        this.#putOff(block);
        return false;
      }
    }
    block.unsure = false;
    this.#follow(block, stored);
    return true;
  }

  /** Takes in what the watch brought during a write, if it is newer than what the write left. */
  #absorb(block: Block): void {
    const { seen } = block;
    block.seen = undefined;
    if (seen !== undefined && block.isNews(seen)) this.#follow(block, storedOf(seen));
  }

  /**
   * The block is `next`, by whosever hand: memory follows, and changes that are not in it yet are made again, in their
   * order. Whose address is taken by now decides anew here.
   */
  #follow(block: Block, next: Stored | undefined): void {
    const before = block.stored?.entries;
    const again = this.#waitingFor(block);
    const foreign = new Map<string, User>(); // uid -> user
    const freed: Freed[] = [];
    const changed: string[] = [];
    for (const address of new Set([...(before?.keys() ?? []), ...(next?.entries.keys() ?? []), ...block.dirty])) {
      const [old, now] = [before?.get(address), next?.entries.get(address)];
      const isForeign = !sameEntry(old, now);
      const left = sameEntry(this.#allocator.entry(address), now) ? [] : this.#allocator.restore(address, now);
      if (!isForeign) continue;
      changed.push(address);
      freed.push(...left);
      for (const user of [...usersOf(old), ...usersOf(now)]) foreign.set(user.uid, user);
    }
    this.#setStored(block, next);
    block.dirty.clear();
    if (changed.length > 0) this.#options.onWritten(changed); // also by us, with an answer that was lost
    if (foreign.size > 0) this.#options.onForeign([...foreign.values()].sort(compareUsers), freed);
    for (const pending of again) this.#make(pending, 'again');
    if (this.#isLeftover(block)) this.#schedule(block);
  }

  /**
   * The writes were refused for good: the addresses are what the block says, and those who waited are told. What insists
   * stays, and what came during the last write gets one of its own: true when there is such a thing.
   */
  #giveBack(block: Block, error: unknown, newest: number): boolean {
    const waiting = this.#waitingFor(block);
    for (const address of block.dirty) this.#allocator.restore(address, block.stored?.entries.get(address));
    block.dirty.clear();
    for (const pending of waiting)
      if (pending.order <= newest && pending.change.insist !== true) this.#fail(pending, error);
    const left = waiting.filter(({ order, change }) => order > newest || change.insist === true);
    for (const pending of left) this.#make(pending, 'again');
    if (left.some(({ order }) => order > newest)) return true;
    if (left.length > 0) this.#options.log.warn({ block: block.id.name, err: error }, 'address block not written');
    if (left.length > 0 || this.#isLeftover(block)) this.#putOff(block);
    return false;
  }

  #changesOf(block: Block): Changes {
    const changes = new Map<string, Entry | undefined>();
    for (const address of [...block.dirty]) {
      const entry = this.#allocator.entry(address);
      if (sameEntry(entry, block.stored?.entries.get(address))) this.#clean(block, address);
      else changes.set(address, entry);
    }
    return changes;
  }

  /** Memory and block agree: who waited for this address and no other is served. */
  #clean(block: Block, address: string): void {
    block.dirty.delete(address);
    for (const pending of [...(this.#pending.get(address) ?? [])]) {
      this.#done(pending, address);
      if (pending.open.size === 0) pending.resolve();
    }
  }

  /** Changes that are not yet in this block, in the order in which they came. */
  #waitingFor({ dirty }: Block): readonly Pending[] {
    const waiting = new Set([...dirty].flatMap((address) => [...(this.#pending.get(address) ?? [])]));
    return [...waiting].sort((a, b) => a.order - b.order);
  }

  #setStored(block: Block, next: Stored | undefined): void {
    const { stored } = block;
    const [before, after] = [stored?.entries, next?.entries];
    for (const [address, entry] of before ?? [])
      if (after?.get(address) !== entry) for (const { uid } of entry.users) remove(this.#recorded, uid, address);
    for (const [address, entry] of after ?? [])
      if (before?.get(address) !== entry) for (const { uid } of entry.users) add(this.#recorded, uid, address);
    if (stored !== undefined && stored.uid !== next?.uid) block.history.add(stored.uid);
    block.stored = next;
  }

  #block(id: BlockName): Block {
    let block = this.#blocks.get(id.name);
    if (block === undefined) {
      block = new Block(id);
      this.#blocks.set(id.name, block);
    }
    return block;
  }

  #rejectAll(reason: unknown): void {
    for (const waiting of [...this.#pending.values()]) for (const pending of [...waiting]) this.#fail(pending, reason);
  }
}

const usersOf = (entry: Entry | undefined): Entry['users'] => entry?.users ?? [];

function add<T>(map: Map<string, Set<T>>, key: string, value: T): void {
  const values = map.get(key);
  if (values === undefined) map.set(key, new Set([value]));
  else values.add(value);
}

function remove<T>(map: Map<string, Set<T>>, key: string, value: T): void {
  const values = map.get(key);
  values?.delete(value);
  if (values?.size === 0) map.delete(key);
}
