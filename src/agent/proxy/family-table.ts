import { isEqual } from '../../core/equal.ts';
import type { Element, ElementChange, TableFamily } from '../../core/net/element.ts';
import type { Cidr, Clock, Log } from '../../core/provider.ts';
import type { Plan, Planner, Removal, ServiceModel, StaleFlows } from '../../core/proxy/model.ts';
import {
  chainsText,
  hashChain,
  isHashChain,
  isOwnChain,
  type RulesetOptions,
  removalText,
  rulesetText,
} from '../../core/proxy/ruleset.ts';
import { type RangeSet, setsOf, TABLE } from '../../core/proxy/schema.ts';
import { encodeValue, parseChainName } from '../../core/proxy/value.ts';
import { turn } from '../../work/turns.ts';
import type { NftChannel, Refusal } from '../netlink/channel.ts';
import type { LoadText } from '../nft/rules.ts';

/** What happens to a table and others must know. Called between commits; never throws. */
export interface TableWatcher {
  /** Everything that was asked for is in the kernel. `full`: the whole table was compared. */
  synced(family: TableFamily, seconds: number, full: boolean): void;
  transaction(family: TableFamily, outcome: 'ok' | 'refused' | 'lost'): void;
  /** The kernel does not take this one; it was left out. */
  refused(family: TableFamily, change: ElementChange, refusal: Refusal): void;
  reloaded(family: TableFamily, reason: 'start' | 'flushed' | 'rules'): void;
  /** Elements that somebody else had changed were put right. */
  repaired(family: TableFamily, elements: number): void;
  flows(family: TableFamily, flows: readonly StaleFlows[]): void;
  conflicted(family: TableFamily, keys: readonly string[]): void;
}

export interface FamilyTableOptions {
  readonly planner: Planner;
  readonly channel: NftChannel;
  readonly load: LoadText;
  readonly rules: Omit<RulesetOptions, 'family'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly watcher: TableWatcher;
  /** Models per transaction while there are many (2,000): a bound on the stall of the event loop. */
  readonly chunk?: number;
}

/** Packets between the lookup of the count and that of the slot cross a commit (node-proxy.md Rulings 3). */
const REMOVAL_MS = 50;
const CHUNK = 2000;
/** Random choice among one, two, three: loaded with the rules, because nearly every cluster needs them at once. */
const COMMON = [1, 2, 3].map((slots) => encodeValue({ kind: 'lb', slots }));
const MOST_CHANGES = 25_000;
/** Models or elements that the planner takes in before others may run. */
const AT_ONCE = 5_000;
const ENOENT = 2;
const EEXIST = 17;
/** So often in a row a table is read again because the kernel has elements that we do not know; then they are left out. */
const REREADS = 2;
/** So often in a row rules are loaded that do not fit what the table has become meanwhile; then it is made anew. */
const RELOADS = 3;

/**
 * One table as it should be, and the way there. What is asked for is kept until `sync` writes it; between two syncs nothing
 * is written. Not made for two syncs at a time.
 */
export class FamilyTable {
  readonly family: TableFamily;
  readonly #options: FamilyTableOptions;
  readonly #models = new Map<string, ServiceModel | undefined>(); // key -> what is to be planned
  readonly #ranges = new Map<RangeSet, readonly Cidr[]>(); // set -> all that it should hold; kept, for re-reads
  readonly #staleRanges = new Set<RangeSet>(); // those of #ranges that are to be planned
  #removals: { readonly removal: Removal; readonly dueMs: number }[] = [];
  /** Keys whose plans are to be compared with what was read. */
  #replan: string[] = [];
  #rules: 'unknown' | 'loaded' = 'unknown';
  #elements: 'unknown' | 'read' = 'unknown';
  /** What was found and nobody asked for is to be removed, once all who ask have asked. */
  #sweep = true;
  #complete = false;
  /** The planner knows all of #models, which are being planned in pieces. */
  #isAnnounced = false;
  /** Between the planner's `adopt` and its `sweep`. */
  #isAdopting = false;
  #ruleset: Omit<RulesetOptions, 'family'>;
  #reason: 'start' | 'flushed' | 'rules' = 'start';
  #rereads = 0;
  /** Transactions without an answer since the last sync that ended well. */
  #lost = 0;
  /** Digest of the rules as we left them; undefined: to be taken. */
  #fingerprint: string | undefined;
  #repairing = false;

  constructor(options: FamilyTableOptions) {
    this.#options = options;
    this.#ruleset = options.rules;
    this.family = options.planner.family;
  }

  /** `undefined`: it is gone. */
  queue(key: string, model: ServiceModel | undefined): void {
    this.#models.set(key, model);
  }

  queueRanges(set: RangeSet, cidrs: readonly Cidr[]): void {
    this.#ranges.set(set, cidrs);
    this.#staleRanges.add(set);
  }

  /** Other rules from now on, elements stay; equal rules change nothing. */
  setRules(rules: Omit<RulesetOptions, 'family'>): void {
    const isSame =
      hashChain({ ...this.#ruleset, family: this.family }) === hashChain({ ...rules, family: this.family });
    this.#ruleset = rules;
    if (isSame || this.#rules === 'unknown') return;
    this.#rules = 'unknown';
    this.#reason = 'rules';
    this.#fingerprint = undefined;
  }

  /** Everybody has asked for what they want: what else is in the table may go. */
  complete(): void {
    this.#complete = true;
  }

  /** Something is asked for that the kernel does not have. */
  get isPending(): boolean {
    return (
      this.#models.size > 0 ||
      this.#staleRanges.size > 0 ||
      this.#replan.length > 0 ||
      this.#rules === 'unknown' ||
      this.#elements === 'unknown' ||
      (this.#sweep && this.#complete)
    );
  }

  /** Monotonic time of the oldest removal that waits; undefined without one. */
  get removalDueMs(): number | undefined {
    return this.#removals[0]?.dueMs;
  }

  /** Loads the rules and reads the elements, before anything is asked for: then that is out of the way. */
  async prepare(): Promise<void> {
    if (this.#rules === 'unknown') await this.#loadRules();
    if (this.#elements === 'unknown') await this.#readElements();
  }

  /** The kernel has what was asked for before the call. Rejects for what no further try mends (FL_NET_ADMIN, no nft). */
  async sync(): Promise<void> {
    const { clock, watcher } = this.#options;
    const startMs = clock.monotonicMs();
    let full = false;
    while (this.isPending || this.#isRemovalDue()) {
      if (this.#rules === 'unknown' || this.#elements === 'unknown') {
        full = true;
        await this.prepare();
      }
      await this.#step();
    }
    this.#rereads = 0;
    this.#lost = 0;
    this.#repairing = false;
    watcher.synced(this.family, (clock.monotonicMs() - startMs) / 1000, full);
  }

  /** Compares rules and elements with the kernel's; `sync` then puts right what differs. */
  async compare(): Promise<void> {
    const { channel, log } = this.#options;
    const now = await channel.fingerprint(this.family);
    if (now === undefined) this.#lostRules('flushed');
    // Not noted yet which rules are ours: there is no telling them from somebody else's.
    else if (this.#fingerprint === undefined) this.#lostRules('rules');
    else if (now !== this.#fingerprint) {
      log.warn({ family: this.family }, 'somebody changed the rules of our table; loading them again');
      this.#lostRules('rules');
    } else this.#lostElements();
    this.#repairing = true;
  }

  /**
   * Takes the digest of the rules if they changed since the last time, and writes it into the table for the next start. Not
   * on the way of a change: it reads the rules and runs nft. `isUndisturbed`: nobody else has changed anything since the
   * rules were loaded; else somebody's change would pass for ours, and the next comparison loads them again.
   */
  async digest(isUndisturbed: () => Promise<boolean>): Promise<void> {
    const { channel, load } = this.#options;
    if (this.#rules !== 'loaded' || this.#fingerprint !== undefined) return;
    const fingerprint = await channel.fingerprint(this.family);
    const chains = await channel.chains(this.family);
    if (fingerprint === undefined || chains === undefined) return; // the next look finds it gone
    if (!(await isUndisturbed())) return;
    if (!chains.includes(`${DIGEST}${fingerprint}`)) {
      try {
        await load(digestText(this.family, chains, fingerprint));
      } catch (error) {
        // Another list than before: somebody removed the table or a chain meanwhile, and the next look finds out.
        if (isEqual(await channel.chains(this.family), chains)) throw error;
        return;
      }
    }
    this.#fingerprint = fingerprint;
  }

  /** One transaction of what is asked for, the removals that are due with it. */
  async #step(): Promise<void> {
    const { planner, chunk = CHUNK } = this.#options;
    if (this.#replan.length > 0) {
      await this.#write(planner.replan(this.#replan.splice(0, chunk)));
      await turn();
    } else if (this.#staleRanges.size > 0) {
      for (const set of [...this.#staleRanges]) {
        this.#staleRanges.delete(set);
        await this.#write(planner.planRanges(set, this.#ranges.get(set) ?? []));
        if (this.#elements === 'unknown') return;
      }
    } else if (this.#models.size > chunk) {
      if (!this.#isAnnounced) await this.#announce();
      this.#isAnnounced = true;
      const some: [string, ServiceModel | undefined][] = [];
      for (const entry of this.#models) {
        some.push(entry);
        this.#models.delete(entry[0]);
        if (some.length === chunk) break;
      }
      await this.#write(planner.plan(some));
      await turn();
    } else if (this.#models.size > 0) {
      this.#isAnnounced = false;
      const all = [...this.#models];
      this.#models.clear();
      await this.#write(planner.plan(all));
    } else if (this.#sweep && this.#complete) {
      this.#sweep = false;
      this.#isAdopting = false;
      await this.#write(planner.sweep());
    } else {
      await this.#commit(this.#due());
    }
  }

  /** Who keeps an address that two want is decided once, not by the order of the pieces. */
  async #announce(): Promise<void> {
    const models = [...this.#models.values()].filter((model) => model !== undefined);
    for (let at = 0; at < models.length; at += AT_ONCE) {
      this.#options.planner.announce(models.slice(at, at + AT_ONCE));
      await turn();
    }
  }

  async #write(plan: Plan): Promise<void> {
    const { planner, clock, watcher, load } = this.#options;
    if (plan.chains.length > 0) {
      this.#fingerprint = undefined;
      if (!(await this.#loadText(load, chainsText(this.family, plan.chains, planner.timeouts())))) {
        this.#lostRules('flushed');
        return;
      }
    }
    if (this.#repairing && plan.now.length > 0) watcher.repaired(this.family, plan.now.length);
    const removals = this.#due();
    await this.#commit(removals.length === 0 ? plan.now : [...plan.now, ...removals]);
    if (plan.later !== undefined) this.#removals.push({ removal: plan.later, dueMs: clock.monotonicMs() + REMOVAL_MS });
    if (plan.flows.length > 0) watcher.flows(this.family, plan.flows);
    if (plan.conflicted.length > 0) watcher.conflicted(this.family, plan.conflicted);
  }

  /** Of a plan that comes to nothing only what is not about the table is told. */
  #discard({ flows, conflicted }: Plan): void {
    const { watcher } = this.#options;
    if (flows.length > 0) watcher.flows(this.family, flows);
    if (conflicted.length > 0) watcher.conflicted(this.family, conflicted);
  }

  #isRemovalDue(): boolean {
    const dueMs = this.removalDueMs;
    return dueMs !== undefined && dueMs <= this.#options.clock.monotonicMs();
  }

  /** Deletes whose time has come; they are of this transaction then. */
  #due(): readonly ElementChange[] {
    if (!this.#isRemovalDue()) return [];
    const nowMs = this.#options.clock.monotonicMs();
    const due = this.#removals.filter(({ dueMs }) => dueMs <= nowMs);
    this.#removals = this.#removals.filter(({ dueMs }) => dueMs > nowMs);
    return due.flatMap(({ removal }) => this.#options.planner.release(removal));
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Transactions

  /** When it returns, the changes are in the kernel, left out, or the table is to be read again. */
  async #commit(changes: readonly ElementChange[]): Promise<void> {
    for (let at = 0; at < changes.length; ) {
      const end = splitAt(changes, at, Math.min(changes.length, at + MOST_CHANGES));
      await this.#transaction(at === 0 && end === changes.length ? changes : changes.slice(at, end));
      if (this.#elements === 'unknown') return;
      at = end;
    }
  }

  async #transaction(changes: readonly ElementChange[]): Promise<void> {
    const { channel, watcher, log } = this.#options;
    for (let rest = changes; rest.length > 0; ) {
      const commit = await channel.commit(this.family, rest);
      if (commit.ok) {
        watcher.transaction(this.family, 'ok');
        return;
      }
      watcher.transaction(this.family, commit.lost ? 'lost' : 'refused');
      if (commit.lost) {
        log.warn({ family: this.family, why: commit.why }, 'no answer to a transaction; reading the table');
        this.#lostElements();
        this.#lost += 1;
        if (this.#lost > REREADS) throw new Error(`no answer to ${this.#lost} transactions in a row: ${commit.why}`);
        return;
      }
      if (commit.refused.some(({ missing }) => missing !== undefined)) {
        log.warn({ family: this.family }, 'somebody removed our table; loading rules and elements again');
        this.#lostRules('flushed');
        return;
      }
      if (commit.refused.some(isDrift) && this.#rereads < REREADS) {
        this.#rereads += 1;
        log.warn({ family: this.family }, 'the kernel has other elements than we know; reading the table');
        this.#lostElements();
        return;
      }
      if (commit.refused.some(isShortage)) {
        this.#lostElements();
        throw new Error(`the kernel has no room for a transaction now: error ${commit.refused[0]?.errno}`);
      }
      const named = commit.refused.filter(({ element }) => element !== undefined);
      if (named.length === 0) {
        await this.#bisect(rest, commit.refused[0] as Refusal);
        return;
      }
      rest = this.#leaveOut(rest, named);
    }
  }

  /** The kernel did not say which: halves tell, each a transaction that is either good or smaller. */
  async #bisect(changes: readonly ElementChange[], refusal: Refusal): Promise<void> {
    const middle = splitAt(changes, 0, Math.ceil(changes.length / 2));
    if (middle === changes.length) {
      // One change, or the delete and add of one key: the last is the new one.
      this.#leaveOut(changes, [{ ...refusal, element: changes.length - 1 }]);
      return;
    }
    await this.#transaction(changes.slice(0, middle));
    if (this.#elements === 'read') await this.#transaction(changes.slice(middle));
  }

  #leaveOut(changes: readonly ElementChange[], refused: readonly Refusal[]): readonly ElementChange[] {
    const guilty = new Map(refused.map((refusal) => [refusal.element as number, refusal]));
    return changes.filter((change, at) => {
      const refusal = guilty.get(at);
      if (refusal === undefined) return true;
      this.#options.planner.refused(change);
      this.#options.watcher.refused(this.family, change, refusal);
      return false;
    });
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Rules and elements as the kernel has them

  #lostRules(reason: 'flushed' | 'rules'): void {
    this.#rules = 'unknown';
    this.#reason = reason;
    this.#fingerprint = undefined;
    this.#lostElements();
  }

  #lostElements(): void {
    this.#elements = 'unknown';
    this.#sweep = true;
    this.#removals = [];
  }

  /** Rules that are there and ours stay as they are; anything else is replaced, and elements stay where they can. */
  async #loadRules(): Promise<void> {
    const { channel, planner, log, watcher } = this.#options;
    const rules: RulesetOptions = { ...this.#ruleset, family: this.family };
    for (let tries = 1; ; tries += 1) {
      const found = await channel.chains(this.family);
      const { values, timeouts } = loadedOf(found ?? []);
      const digest = found?.find((name) => name.startsWith(DIGEST));
      const isOurs = found?.includes(hashChain(rules)) === true && digest !== undefined && this.#reason !== 'rules';
      const fingerprint = isOurs ? await channel.fingerprint(this.family) : undefined;
      if (fingerprint !== undefined && digest === `${DIGEST}${fingerprint}`) {
        log.debug({ family: this.family }, 'the rules are there already');
        this.#fingerprint = fingerprint;
      } else {
        // A listing that somebody's change interrupts may name a chain twice.
        const obsolete = [...new Set(found)].filter(
          (name) => (isHashChain(name) && name !== hashChain(rules)) || !(isOwnChain(name) || isHashChain(name)),
        );
        for (const value of COMMON) if (!values.includes(value)) values.push(value);
        const isReplaced = await this.#replaceRules({ ...rules, chains: values, timeouts, obsolete }, found, tries);
        if (!isReplaced) continue;
        watcher.reloaded(this.family, this.#reason);
      }
      planner.loaded(values, timeouts);
      this.#rules = 'loaded';
      return;
    }
  }

  /** False: the table is not as it was found, so what was to be loaded may be wrong. */
  async #replaceRules(
    rules: Parameters<typeof rulesetText>[0],
    found: readonly string[] | undefined,
    tries: number,
  ): Promise<boolean> {
    const { load, log, channel } = this.#options;
    try {
      await load(rulesetText(rules));
    } catch (error) {
      if (tries < RELOADS && !isEqual(await channel.chains(this.family), found)) return false;
      if (found === undefined) throw error;
      // Another shape of a set or base chain: an older version's table, or somebody else's.
      log.warn({ family: this.family, err: error }, 'the table cannot be changed into ours; making it anew');
      await load(removalText(this.family) + rulesetText({ ...rules, obsolete: [] }));
    }
    return true;
  }

  async #readElements(): Promise<void> {
    const { channel, planner } = this.#options;
    const found: Element[] = [];
    for (const set of setsOf(this.family)) {
      const elements = await channel.dump(this.family, set);
      if (elements === undefined) {
        this.#lostRules('flushed');
        return;
      }
      for (const element of elements) found.push(element);
    }
    // What was begun with an earlier reading is over: a planner compares with one at a time.
    if (this.#isAdopting) this.#discard(planner.sweep());
    this.#isAdopting = true;
    // Also with nothing found.
    for (let at = 0; at === 0 || at < found.length; at += AT_ONCE) {
      planner.adopt(found.slice(at, at + AT_ONCE));
      await turn();
    }
    this.#replan = [...planner.keys()];
    for (const set of this.#ranges.keys()) this.#staleRanges.add(set);
    this.#elements = 'read';
  }

  /** False: the table is not there. */
  async #loadText(load: LoadText, text: string): Promise<boolean> {
    try {
      await load(text);
      return true;
    } catch (error) {
      if ((await this.#options.channel.chains(this.family)) !== undefined) throw error;
      return false;
    }
  }
}

/** An empty chain whose name holds the digest of the rules, so that the next start knows whether they are untouched. */
const DIGEST = 'sum-';

function digestText(family: TableFamily, before: readonly string[], fingerprint: string): string {
  const name = `${DIGEST}${fingerprint}`;
  const old = before.filter((chain) => chain.startsWith(DIGEST) && chain !== name);
  return [
    ...old.map((chain) => `delete chain ${family} ${TABLE} ${chain}`),
    `add chain ${family} ${TABLE} ${name}`,
    '',
  ].join('\n');
}

/** Our view of the table is not the kernel's. */
const isDrift = ({ errno, element }: Refusal): boolean =>
  element !== undefined && (errno === ENOENT || errno === EEXIST);

/** ENOMEM, EAGAIN, EBUSY, ENOBUFS: no element is to blame, and later it may work. */
const isShortage = ({ errno, element }: Refusal): boolean => element === undefined && [12, 11, 16, 105].includes(errno);

/** The values whose chains are in a table, and the timeouts that their names tell. */
function loadedOf(chains: readonly string[]): {
  readonly values: number[];
  readonly timeouts: readonly number[];
} {
  const values: number[] = [];
  const timeouts: number[] = [];
  for (const name of chains) {
    const chain = parseChainName(name);
    if (chain === undefined) continue;
    values.push(chain.value);
    const { seconds } = chain;
    if (seconds !== undefined) timeouts[((chain.value >>> 16) - 16) >> 1] = seconds;
  }
  // Holes are timeouts that nobody uses any more; no Service has 0.
  return { values, timeouts: Array.from(timeouts, (seconds) => seconds ?? 0) };
}

/** `end`, or one less or more, so that the delete and the add of one key stay together. */
function splitAt(changes: readonly ElementChange[], start: number, end: number): number {
  const [last, next] = [changes[end - 1], changes[end]];
  if (last === undefined || next === undefined || last.op !== 'delete' || next.op !== 'add') return end;
  if (last.element.set !== next.element.set || last.element.key !== next.element.key) return end;
  return end - 1 > start ? end - 1 : end + 1;
}
