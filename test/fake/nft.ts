import { createHash } from 'node:crypto';
import type { Commit, NftChannel, Refusal } from '../../src/agent/netlink/channel.ts';
import type { LoadText } from '../../src/agent/nft/rules.ts';
import { compareText } from '../../src/core/equal.ts';
import { failure } from '../../src/core/errors.ts';
import type { Element, ElementChange, Registers, TableFamily } from '../../src/core/net/element.ts';
import { TABLE } from '../../src/core/net/netlink-nft.ts';

/** What happens to a transaction in place of what it asks for. */
export type Fault =
  /** The answer is lost: after the kernel did it, or before. */
  | { readonly kind: 'lost'; readonly done: boolean }
  /** The kernel has no memory: nothing is done, and no element is guilty. */
  | { readonly kind: 'refused'; readonly errno: number }
  | { readonly kind: 'throws'; readonly error: Error };

/**
 * nf_tables of one network namespace, with the kernel's rules: atomic; an add of a key that is there with other data is
 * EEXIST, a delete of one that is not ENOENT, a key of another length EINVAL, an overlap EEXIST; one error for each
 * message (changes in a row of one operation and set), and later messages are tried all the same. Text is read as far as
 * core/proxy/ruleset.ts writes it.
 */
export interface FakeNft extends NftChannel {
  /** What `nft -f -` does; rejects with FL_NFT_REFUSED. */
  readonly load: LoadText;
  /** Number of texts that `load` has taken. */
  loads(): number;
  /** All elements, or one set's, as an object that compares: `set key[-keyEnd] : data` in hex, sorted. */
  text(family: TableFamily, set?: string): readonly string[];
  elements(family: TableFamily, set: string): readonly Element[];
  /** Rules of a chain; undefined: no such chain. */
  rules(family: TableFamily, chain: string): readonly string[] | undefined;
  /** Every commit that was tried, the newest last. */
  readonly tried: {
    readonly family: TableFamily;
    readonly changes: readonly ElementChange[];
    readonly commit: Commit;
  }[];
  /** Sets that were dumped, in order: 'ip services'. */
  readonly dumped: string[];
  /** The next commits, one each. */
  fault(...faults: readonly Fault[]): void;
  /** Adds of elements for which this gives an errno are refused; until it is called again. */
  refuse(guilty: (element: Element) => number | undefined): void;
  /** As kernels before 5.19 that were not patched: which element is guilty is not told. */
  hideGuilty(hide: boolean): void;
  /** Somebody else changes elements, in one transaction; throws when the kernel would refuse it. */
  edit(family: TableFamily, changes: readonly ElementChange[]): void;
  /** Somebody else runs `nft -f -`. */
  editText(text: string): void;
  /** `nft flush ruleset` */
  flush(): void;
}

const EPERM = 1;
const ENOENT = 2;
const EEXIST = 17;
const EINVAL = 22;

const LENGTHS: Readonly<Record<string, number>> = {
  ipv4_addr: 4,
  ipv6_addr: 16,
  inet_proto: 4,
  inet_service: 4,
  classid: 4,
  mark: 4,
};

interface FakeSet {
  readonly declaration: string;
  readonly key: readonly number[]; // bytes of each field
  readonly data: number | undefined; // bytes; undefined for sets and maps of verdicts
  readonly isRange: boolean; // starts and ends of one field
  readonly elements: ReadonlyMap<string, Element>;
}

interface FakeTable {
  readonly sets: ReadonlyMap<string, FakeSet>;
  readonly chains: ReadonlyMap<string, { readonly hook: string; readonly rules: readonly string[] }>;
}

type Ruleset = ReadonlyMap<TableFamily, FakeTable>;

export function createFakeNft(): FakeNft {
  let ruleset: Ruleset = new Map();
  let generation = 1;
  let commits = 0;
  let loads = 0;
  let guilty: (element: Element) => number | undefined = () => undefined;
  let hidden = false;
  const faults: Fault[] = [];
  const tried: FakeNft['tried'] = [];
  const dumped: string[] = [];

  function attempt(family: TableFamily, changes: readonly ElementChange[]): readonly Refusal[] {
    const { table, refused } = transaction(ruleset.get(family), changes, guilty);
    if (refused.length > 0 || table === undefined) return refused;
    ruleset = new Map(ruleset).set(family, table);
    generation = (generation + 1) >>> 0;
    return [];
  }

  function apply(text: string): void {
    ruleset = loaded(ruleset, text);
    generation = (generation + 1) >>> 0;
  }

  function answer(family: TableFamily, changes: readonly ElementChange[]): Commit {
    if (changes.length === 0) return { ok: true };
    const fault = faults.shift();
    switch (fault?.kind) {
      case 'throws':
        throw fault.error;
      case 'refused':
        if (fault.errno === EPERM) throw failure('FL_NET_ADMIN', 'the fake kernel says EPERM');
        return { ok: false, lost: false, refused: [{ errno: fault.errno }] };
      case 'lost':
        if (fault.done && attempt(family, changes).length === 0) commits += 1;
        return { ok: false, lost: true, why: 'receive: ENOBUFS' };
      case undefined:
        break;
      default:
        fault satisfies never;
    }
    const refused = attempt(family, changes);
    if (refused.length === 0) {
      commits += 1;
      return { ok: true };
    }
    return { ok: false, lost: false, refused: hidden ? refused.map(({ element: _, ...rest }) => rest) : refused };
  }

  const tableOf = (family: TableFamily): FakeTable | undefined => ruleset.get(family);

  return {
    kind: 'socket',
    tried,
    dumped,
    async commit(family, changes) {
      const commit = answer(family, changes);
      tried.push({ family, changes, commit });
      return commit;
    },
    async dump(family, set) {
      dumped.push(`${family} ${set}`);
      const found = tableOf(family)?.sets.get(set);
      return found === undefined ? undefined : [...found.elements.values()];
    },
    async chains(family) {
      const table = tableOf(family);
      return table === undefined || table.chains.size === 0 ? undefined : [...table.chains.keys()].sort(compareText);
    },
    async fingerprint(family) {
      const table = tableOf(family);
      if (table === undefined || table.chains.size === 0) return undefined;
      const chains = [...table.chains]
        .filter(([name]) => !name.startsWith('sum-'))
        .sort(([a], [b]) => compareText(a, b));
      const sets = [...table.sets].map(([name, { declaration }]) => [name, declaration]);
      return createHash('sha256')
        .update(JSON.stringify([chains, sets.sort()]))
        .digest('hex')
        .slice(0, 16);
    },
    generation: async () => generation,
    commits: () => commits,
    async close() {},
    async load(text) {
      apply(text);
      loads += 1;
    },
    loads: () => loads,
    text: (family, set) =>
      [...(tableOf(family)?.sets ?? [])]
        .filter(([name]) => set === undefined || name === set)
        .flatMap(([, { elements }]) => [...elements.values()].map(lineOf))
        .sort(compareText),
    elements: (family, set) => [...(tableOf(family)?.sets.get(set)?.elements.values() ?? [])],
    rules: (family, chain) => tableOf(family)?.chains.get(chain)?.rules,
    fault: (...more) => void faults.push(...more),
    refuse(how) {
      guilty = how;
    },
    hideGuilty(hide) {
      hidden = hide;
    },
    edit(family, changes) {
      const refused = attempt(family, changes);
      if (refused.length > 0) throw new Error(`the kernel refuses this: ${JSON.stringify(refused)}`);
    },
    editText: apply,
    flush() {
      ruleset = new Map();
      generation = (generation + 1) >>> 0;
    },
  };
}

// ---------------------------------------------------------------------------------------------------------------------
// Elements

const identity = ({ key, keyEnd, intervalEnd }: Element): string =>
  `${key}|${keyEnd ?? ''}|${intervalEnd === true ? 'end' : ''}`;

const hex = (registers: Registers): string => Buffer.from(registers, 'latin1').toString('hex');

const lineOf = ({ set, key, keyEnd, data, intervalEnd }: Element): string =>
  [
    `${set} ${hex(key)}`,
    keyEnd === undefined ? '' : `-${hex(keyEnd)}`,
    intervalEnd === true ? ' end' : '',
    data === undefined ? '' : ` : ${hex(data)}`,
  ].join('');

function transaction(
  before: FakeTable | undefined,
  changes: readonly ElementChange[],
  guilty: (element: Element) => number | undefined,
): { readonly table: FakeTable | undefined; readonly refused: readonly Refusal[] } {
  const refused: Refusal[] = [];
  const sets = new Map(before?.sets);
  const copied = new Map<string, Map<string, Element>>(); // sets that this transaction has written
  let failed: { readonly op: string; readonly set: string } | undefined;
  for (const [index, { op, element }] of changes.entries()) {
    if (failed !== undefined && failed.op === op && failed.set === element.set) continue; // of the same message
    failed = undefined;
    const set = sets.get(element.set);
    if (before === undefined || set === undefined) {
      refused.push({ errno: ENOENT, missing: before === undefined ? 'table' : 'set' });
      failed = { op, set: element.set };
      continue;
    }
    const elements = copied.get(element.set) ?? new Map(set.elements);
    const errno = step(set, elements, op, element, guilty);
    if (errno === 0) {
      copied.set(element.set, elements);
      sets.set(element.set, { ...set, elements });
    } else {
      refused.push({ errno, element: index });
      failed = { op, set: element.set };
    }
  }
  for (const name of copied.keys()) {
    if (refused.length === 0 && hasOverlap(sets.get(name) as FakeSet)) refused.push({ errno: EEXIST });
  }
  return { table: before && { ...before, sets }, refused };
}

/** The errno; 0: done. */
function step(
  set: FakeSet,
  elements: Map<string, Element>,
  op: ElementChange['op'],
  element: Element,
  guilty: (element: Element) => number | undefined,
): number {
  const bytes = set.key.reduce((sum, length) => sum + length, 0);
  if (element.key.length !== bytes || (element.keyEnd ?? element.key).length !== bytes) return EINVAL;
  const id = identity(element);
  const old = elements.get(id);
  if (op === 'delete') return elements.delete(id) ? 0 : ENOENT;
  if ((element.data?.length ?? undefined) !== (element.intervalEnd === true ? undefined : set.data)) return EINVAL;
  const wrong = guilty(element);
  if (wrong !== undefined) return wrong;
  if (old !== undefined) return old.data === element.data ? 0 : EEXIST;
  if (element.keyEnd !== undefined && [...elements.values()].some((other) => meets(set.key, other, element))) {
    return EEXIST;
  }
  elements.set(id, element);
  return 0;
}

/** Two ranges of concatenations have something in common. */
function meets(fields: readonly number[], a: Element, b: Element): boolean {
  let at = 0;
  return fields.every((length) => {
    const part = (registers: Registers): string => registers.slice(at, at + length);
    const isCommon = part(a.key) <= part(b.keyEnd ?? b.key) && part(b.key) <= part(a.keyEnd ?? a.key);
    at += length;
    return isCommon;
  });
}

/** Starts and ends of a set of single-field intervals do not alternate. */
function hasOverlap({ isRange, elements }: FakeSet): boolean {
  if (!isRange) return false;
  const order = (element: Element): string => `${element.key}${element.intervalEnd === true ? 0 : 1}`;
  let isOpen = false;
  for (const { intervalEnd } of [...elements.values()].sort((a, b) => compareText(order(a), order(b)))) {
    if ((intervalEnd === true) !== isOpen) return true;
    isOpen = !isOpen;
  }
  return false;
}

// ---------------------------------------------------------------------------------------------------------------------
// Text

function loaded(ruleset: Ruleset, text: string): Ruleset {
  let now = ruleset;
  const lines = text.split('\n').map((line) => line.trim());
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at] as string;
    const block = /^table (ip6?) (\S+) \{$/.exec(line);
    if (block === null) {
      now = command(now, line);
      continue;
    }
    const end = lines.indexOf(
      '}',
      lines.findIndex((other, index) => index > at && isTableEnd(lines, index, other)),
    );
    now = tableBlock(now, familyOf(block), lines.slice(at + 1, end));
    at = end;
  }
  return now;
}

/** A closing brace that no chain has open: chains are the only blocks of several lines inside. */
function isTableEnd(lines: readonly string[], index: number, line: string): boolean {
  if (line !== '}') return false;
  const before = lines.slice(0, index);
  const open = before.findLastIndex((other) => other.endsWith('{'));
  const closed = before.lastIndexOf('}');
  return closed > open || /^table /.test(lines[open] as string);
}

function familyOf(match: RegExpExecArray): TableFamily {
  if (match[2] !== TABLE) throw refusedText(match[0], 'the fake knows our table only');
  return match[1] as TableFamily;
}

function tableBlock(ruleset: Ruleset, family: TableFamily, lines: readonly string[]): Ruleset {
  let now = command(ruleset, `add table ${family} ${TABLE}`);
  let chain: string | undefined;
  for (const line of lines) {
    const opened = /^chain (\S+) \{$/.exec(line);
    const declared = /^(?:set|map) (\S+) \{ (.*) \}$/.exec(line);
    if (opened !== null) {
      chain = opened[1] as string;
      now = command(now, `add chain ${family} ${TABLE} ${chain}`);
    } else if (line === '}') chain = undefined;
    else if (declared !== null) now = declare(now, family, declared[1] as string, declared[2] as string);
    else if (chain !== undefined && line.startsWith('type ')) now = hook(now, family, chain, line);
    else if (chain !== undefined) now = command(now, `add rule ${family} ${TABLE} ${chain} ${line}`);
    else if (line !== '') throw refusedText(line, 'the fake cannot read this');
  }
  return now;
}

function declare(ruleset: Ruleset, family: TableFamily, name: string, body: string): Ruleset {
  const types = /type ([^;:]+?)(?: : ([^;]+?))? ;/.exec(body);
  if (types === null) throw refusedText(body, 'no type');
  const lengths = (text: string): readonly number[] => text.split(' . ').map((type) => LENGTHS[type.trim()] ?? 0);
  const key = lengths(types[1] as string);
  const data = types[2] === undefined || types[2] === 'verdict' ? undefined : lengths(types[2]);
  const table = existing(ruleset, family, body);
  const old = table.sets.get(name);
  if (old !== undefined && old.declaration !== body) throw refusedText(body, 'File exists');
  const fresh: FakeSet = {
    declaration: body,
    key,
    data: data?.reduce((sum, length) => sum + length, 0),
    isRange: key.length === 1 && /flags [^;]*interval/.test(body),
    elements: new Map(),
  };
  return new Map(ruleset).set(family, { ...table, sets: new Map(table.sets).set(name, old ?? fresh) });
}

function hook(ruleset: Ruleset, family: TableFamily, name: string, text: string): Ruleset {
  return chained(ruleset, family, name, text, (chain) => {
    if (chain.hook !== '' && chain.hook !== text) throw refusedText(text, 'File exists');
    return { ...chain, hook: text };
  });
}

function command(ruleset: Ruleset, line: string): Ruleset {
  if (line === '') return ruleset;
  const table = /^(add|flush|delete) table (ip6?) (\S+)$/.exec(line);
  if (table !== null) return tableCommand(ruleset, table[1] as string, table[2] as TableFamily, line);
  const [, verb, what, family, name, rest = ''] =
    /^(\w+) (\w+) (ip6?) fairlead (\S+)(?: (.*))?$/.exec(line) ?? refuse(line, 'the fake cannot read this');
  switch (`${verb} ${what}`) {
    case 'add chain': {
      const now = existing(ruleset, family as TableFamily, line);
      const chains = new Map(now.chains);
      if (!chains.has(name as string)) chains.set(name as string, { hook: '', rules: [] });
      return new Map(ruleset).set(family as TableFamily, { ...now, chains });
    }
    case 'flush chain':
      return chained(ruleset, family as TableFamily, name as string, line, (chain) => ({ ...chain, rules: [] }));
    case 'add rule':
      return chained(ruleset, family as TableFamily, name as string, line, (chain) => ({
        ...chain,
        rules: [...chain.rules, rest],
      }));
    case 'delete chain': {
      const now = existing(ruleset, family as TableFamily, line);
      const chains = new Map(now.chains);
      if (!chains.delete(name as string)) refuse(line, 'No such file or directory');
      return new Map(ruleset).set(family as TableFamily, { ...now, chains });
    }
    case 'add element':
      // Verdicts: the chains that they lead to must be there, the rest is for nobody.
      for (const [, target] of rest.matchAll(/goto (\S+?)[ ,]/g)) {
        chained(ruleset, family as TableFamily, target as string, line, (chain) => chain);
      }
      return ruleset;
    default:
      return refuse(line, 'the fake cannot read this');
  }
}

function tableCommand(ruleset: Ruleset, verb: string, family: TableFamily, line: string): Ruleset {
  const now = new Map(ruleset);
  if (verb === 'add') return now.has(family) ? ruleset : now.set(family, { sets: new Map(), chains: new Map() });
  const table = existing(ruleset, family, line);
  if (verb === 'delete') {
    now.delete(family);
    return now;
  }
  const chains = new Map([...table.chains].map(([name, chain]) => [name, { ...chain, rules: [] }]));
  return now.set(family, { ...table, chains });
}

type Chain = { readonly hook: string; readonly rules: readonly string[] };

function chained(
  ruleset: Ruleset,
  family: TableFamily,
  name: string,
  line: string,
  change: (chain: Chain) => Chain,
): Ruleset {
  const table = existing(ruleset, family, line);
  const chain = table.chains.get(name);
  if (chain === undefined) return refuse(line, 'No such file or directory');
  return new Map(ruleset).set(family, { ...table, chains: new Map(table.chains).set(name, change(chain)) });
}

const existing = (ruleset: Ruleset, family: TableFamily, line: string): FakeTable =>
  ruleset.get(family) ?? refuse(line, 'No such file or directory');

function refuse(line: string, why: string): never {
  throw refusedText(line, why);
}

const refusedText = (line: string, why: string): Error => failure('FL_NFT_REFUSED', `nft: ${why}: ${line}`);
