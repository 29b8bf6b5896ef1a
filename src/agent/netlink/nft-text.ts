import { createHash } from 'node:crypto';
import { compareText } from '../../core/equal.ts';
import { failure } from '../../core/errors.ts';
import type { Element, ElementChange, Registers, TableFamily } from '../../core/net/element.ts';
import { ERRNO } from '../../core/net/netlink.ts';
import type { KernelElement } from '../../core/net/netlink-elements.ts';
import { addressAt, parseAddress } from '../../core/proxy/registers.ts';
import {
  elementText,
  fieldsRegisters,
  intervalsOf,
  isSetName,
  SETS,
  type SetSchema,
  TABLE,
} from '../../core/proxy/schema.ts';
import type { Exec } from '../exec.ts';
import type { Commit, NftChannel, Refusal } from './channel.ts';
import { errnoOf } from './errno-text.ts';
import { NET_ADMIN } from './nft-wire.ts';

export interface NftTextOptions {
  readonly exec: Exec;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
}

/** nft on a line: longer ones are read as slowly, and shorter ones make more commands of one transaction. */
const ELEMENTS_ON_A_LINE = 200;
/** A look at the whole ruleset takes at most this share of the time. */
const LOOK_SHARE = 1 / 30;

/** nf_tables by spawning nft; knows the sets of core/proxy/schema.ts only. 16 ms for a change. */
export function createNftText(options: NftTextOptions): NftChannel {
  return new NftText(options);
}

class NftText implements NftChannel {
  readonly kind = 'text';
  readonly #options: NftTextOptions;
  #commits = 0;
  /** Changes by others that were noticed. */
  #foreign = 0;
  /** Of the ruleset, when it was last looked at with nothing of ours since; undefined: to be taken. */
  #seen: string | undefined;
  #nextLookMs = 0;

  constructor(options: NftTextOptions) {
    this.#options = options;
  }

  async commit(family: TableFamily, changes: readonly ElementChange[]): Promise<Commit> {
    if (changes.length === 0) return { ok: true };
    const { lines, refused } = await this.#lines(family, changes);
    if (refused.length > 0) return { ok: false, lost: false, refused };
    const { code, stderr } = await this.#options.exec('nft', ['-f', '-'], {
      input: lines.map(({ text }) => `${text}\n`).join(''),
    });
    this.#seen = undefined;
    if (code === 0) {
      this.#commits += 1;
      return { ok: true };
    }
    return refusals(lines, stderr, code);
  }

  async dump(family: TableFamily, set: string): Promise<readonly KernelElement[] | undefined> {
    if (!isSetName(set)) return undefined;
    const kind = (SETS[set] as SetSchema).data === undefined ? 'set' : 'map';
    const found = await this.#json(['list', kind, family, TABLE, set]);
    if (found === undefined) return undefined;
    const elements = found.flatMap((item) => item[kind]?.elem ?? []);
    return elements.flatMap((item) => elementsOf(item, set, family));
  }

  async chains(family: TableFamily): Promise<readonly string[] | undefined> {
    const found = (await this.#json(['list', 'chains', family])) ?? [];
    const names = found.flatMap(({ chain }) => (chain?.table === TABLE ? [chain.name] : []));
    return names.length === 0 ? undefined : names.sort(compareText);
  }

  async fingerprint(family: TableFamily): Promise<string | undefined> {
    const text = await this.#list(['-t', 'list', 'table', family, TABLE]);
    // Chains and their rules in nft's order; a chain without rules is two lines.
    return text && digestOf(text.replace(/^\tchain sum-[^\n]*\n(\t\t[^\n]*\n)*\t\}\n/gm, '').replace(/\n+/g, '\n'));
  }

  /**
   * nft does not tell the kernel's number. This one grows with our own commits and whenever the tables read otherwise than
   * at the last look with none of ours in between; a change of somebody else beside one of ours is seen by a resync only.
   */
  async generation(): Promise<number> {
    const { nowMs } = this.#options;
    const startMs = nowMs();
    if (startMs >= this.#nextLookMs) {
      const now = await this.#look();
      if (this.#seen !== undefined && this.#seen !== now) this.#foreign += 1;
      this.#seen = now;
      this.#nextLookMs = nowMs() + (nowMs() - startMs) / LOOK_SHARE;
    }
    return this.#commits + this.#foreign;
  }

  commits(): number {
    return this.#commits;
  }

  async close(): Promise<void> {}

  async #look(): Promise<string> {
    const texts: string[] = [];
    for (const family of ['ip', 'ip6']) {
      const text = await this.#list(['-n', 'list', 'table', family, TABLE]);
      // What rules remember changes with every client.
      texts.push(
        (text ?? '').replace(/^\t(?:set|map) [^\n]*\n(?:\t\t[^\n]*\n)*?\t\tflags dynamic[\s\S]*?\n\t\}\n/gm, ''),
      );
    }
    return digestOf(texts.join('\0'));
  }

  async #lines(
    family: TableFamily,
    changes: readonly ElementChange[],
  ): Promise<{ readonly lines: readonly Line[]; readonly refused: readonly Refusal[] }> {
    const lines: Line[] = [];
    const refused: Refusal[] = [];
    const ranges = new Set<string>();
    for (const [index, change] of changes.entries()) {
      const { op, element } = change;
      if (isRangeSet(element.set)) {
        ranges.add(element.set);
        continue;
      }
      const line = lines.at(-1);
      const joins = line !== undefined && line.op === op && line.set === element.set;
      const text = op === 'add' ? elementText(element, family) : keyOf(element, family);
      if (joins && line.changes.length < ELEMENTS_ON_A_LINE) append(line, text, index);
      else lines.push(newLine(family, op, element.set, text, index));
    }
    for (const set of ranges) {
      const now = await this.dump(family, set);
      if (now === undefined) {
        const missing = (await this.chains(family)) === undefined ? 'table' : 'set';
        return { lines, refused: [{ errno: ERRNO.ENOENT, missing }] };
      }
      lines.push(...rangeLines({ family, set, before: now, changes, refused }));
    }
    return { lines, refused };
  }

  /** Undefined: no such table, set or map. */
  async #json(args: readonly string[]): Promise<readonly JsonItem[] | undefined> {
    const text = await this.#list(['-j', ...args]);
    return text === undefined ? undefined : (JSON.parse(text) as { readonly nftables: readonly JsonItem[] }).nftables;
  }

  async #list(args: readonly string[]): Promise<string | undefined> {
    const { code, stdout, stderr } = await this.#options.exec('nft', args);
    if (code === 0) return stdout;
    const errno = errnoOf(stderr);
    if (errno === ERRNO.ENOENT) return undefined;
    if (errno === ERRNO.EPERM) throw failure('FL_NET_ADMIN', NET_ADMIN);
    throw failure('FL_NETLINK_LOST', `nft ${args.join(' ')}: ${stderr.trim()}`);
  }
}

const digestOf = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16);

const isRangeSet = (set: string): boolean => {
  const schema: SetSchema | undefined = isSetName(set) ? SETS[set] : undefined;
  return schema?.interval === true && schema.key.length === 1;
};

// ---------------------------------------------------------------------------------------------------------------------
// Text

/** One command of a transaction. */
interface Line {
  readonly op: ElementChange['op'];
  readonly set: string;
  text: string;
  /** Where an element's text starts, counted from 1 as nft does, and the change that it is of. */
  readonly changes: { readonly column: number; readonly change: number }[];
}

function newLine(family: TableFamily, op: ElementChange['op'], set: string, text: string, change: number): Line {
  const start = `${op} element ${family} ${TABLE} ${set} { `;
  return { op, set, text: `${start}${text} }`, changes: [{ column: start.length + 1, change }] };
}

function append(line: Line, text: string, change: number): void {
  const open = line.text.slice(0, -2); // without ' }'
  line.changes.push({ column: open.length + 3, change });
  line.text = `${open}, ${text} }`;
}

/** Deletes name an element by its key; data in the text would have to fit. */
function keyOf(element: Element, family: TableFamily): string {
  const { data: _, ...rest } = element;
  return elementText(rest, family);
}

/**
 * Starts and ends of intervals are no elements in nft's text, so that the intervals which go and come are told by the set
 * before and after.
 */
function rangeLines(options: {
  readonly family: TableFamily;
  readonly set: string;
  readonly before: readonly Element[];
  readonly changes: readonly ElementChange[];
  /** Gets the deletes of what is not there. */
  readonly refused: Refusal[];
}): readonly Line[] {
  const { family, set, before, changes, refused } = options;
  const id = ({ key, intervalEnd }: Element): string => (intervalEnd === true ? `${key}E` : `${key}S`);
  const bounds = new Map(before.map((element) => [id(element), element]));
  const first = changes.findIndex(({ element }) => element.set === set);
  for (const [index, { op, element }] of changes.entries()) {
    if (element.set !== set) continue;
    if (op === 'add') bounds.set(id(element), element);
    else if (!bounds.delete(id(element))) refused.push({ errno: ERRNO.ENOENT, element: index });
  }
  const text = ({ first: from, last: to }: { readonly first: Registers; readonly last: Registers }): string =>
    `${addressAt(from, 0, family)}-${addressAt(to, 0, family)}`;
  const old = new Set(intervalsOf(before, family).map(text));
  const now = new Set(intervalsOf([...bounds.values()], family).map(text));
  return [
    ...[...old.difference(now)].map((interval) => newLine(family, 'delete', set, interval, first)),
    ...[...now.difference(old)].map((interval) => newLine(family, 'add', set, interval, first)),
  ];
}

// ---------------------------------------------------------------------------------------------------------------------
// Errors

const PLACE = /^\/dev\/stdin:(\d+):(\d+)-(\d+): Error: (.*)$/gm;

function refusals(lines: readonly Line[], stderr: string, code: number): Commit {
  const refused: Refusal[] = [];
  for (const [, row = '', from = '', to = '', words = ''] of stderr.matchAll(PLACE)) {
    const line = lines[Number(row) - 1];
    const errno = errnoOf(words);
    if (errno === ERRNO.EPERM) throw failure('FL_NET_ADMIN', `${NET_ADMIN}: ${words}`);
    if (errno === ERRNO.ENOBUFS) return { ok: false, lost: true, why: words };
    if (line === undefined) continue;
    const place = line.text.slice(Number(from) - 1, Number(to));
    const missing =
      errno !== ERRNO.ENOENT ? undefined : place === TABLE ? 'table' : place === line.set ? 'set' : undefined;
    const change = line.changes.findLast(({ column }) => column <= Number(from))?.change;
    refused.push({
      errno: errno ?? ERRNO.EINVAL,
      message: words,
      ...(missing !== undefined && { missing }),
      ...(missing === undefined && change !== undefined && { element: change }),
    });
  }
  if (refused.length === 0) {
    // Killed, out of memory, or an error without a place: nft sends the batch last, so that only a dump tells.
    return { ok: false, lost: true, why: `nft ended with ${code}: ${stderr.trim()}` };
  }
  return { ok: false, lost: false, refused: refused.toSorted((a, b) => (a.element ?? -1) - (b.element ?? -1)) };
}

// ---------------------------------------------------------------------------------------------------------------------
// JSON

interface JsonItem {
  readonly set?: { readonly elem?: readonly unknown[] };
  readonly map?: { readonly elem?: readonly unknown[] };
  readonly chain?: { readonly table: string; readonly name: string };
}

type Range = { readonly range: readonly [string, string] };
type Prefix = { readonly prefix: { readonly addr: string; readonly len: number } };
type Value = string | number | Range | Prefix;
type Concat = { readonly concat: readonly Value[] };
type Timed = { readonly elem: { readonly val: Value | Concat; readonly timeout?: number; readonly expires?: number } };

/** Two elements for an interval of one field. */
function elementsOf(json: unknown, set: keyof typeof SETS, family: TableFamily): readonly KernelElement[] {
  const schema: SetSchema = SETS[set];
  const [keyJson, dataJson] = (schema.data === undefined ? [json] : json) as [Value | Concat | Timed, Value | Concat];
  const timed = typeof keyJson === 'object' && 'elem' in keyJson ? keyJson.elem : undefined;
  const fields = fieldsOf(timed === undefined ? (keyJson as Value | Concat) : timed.val);
  const [first, last] = [0, 1].map((end) =>
    fieldsRegisters(schema.key, fields.map((field) => endOf(field, end, family)).join(' . '), family),
  );
  const data =
    schema.data === undefined
      ? undefined
      : fieldsRegisters(
          schema.data,
          fieldsOf(dataJson)
            .map((field) => endOf(field, 0, family))
            .join(' . '),
          family,
        );
  if (first === undefined || last === undefined || (data === undefined) !== (schema.data === undefined)) {
    throw failure('FL_NETLINK_LOST', `nft lists an element of ${set} that cannot be read: ${JSON.stringify(json)}`);
  }
  if (schema.interval === true && schema.key.length === 1) {
    const end = after(last);
    return [{ set, key: first }, ...(end === undefined ? [] : [{ set, key: end, intervalEnd: true as const }])];
  }
  return [
    {
      set,
      key: first,
      ...(schema.interval === true && { keyEnd: last }),
      ...(data !== undefined && { data }),
      ...(timed?.timeout !== undefined && { timeoutMs: timed.timeout * 1000 }),
      ...(timed?.expires !== undefined && { expiresMs: timed.expires * 1000 }),
    },
  ];
}

const fieldsOf = (json: Value | Concat): readonly Value[] =>
  typeof json === 'object' && 'concat' in json ? json.concat : [json as Value];

/** Text of a field's first (0) or last (1) value. */
function endOf(field: Value, end: number, family: TableFamily): string {
  if (typeof field !== 'object') return String(field);
  if ('range' in field) return field.range[end] as string;
  const { addr, len } = field.prefix;
  return end === 0 ? addr : addressAt(lastOf(parseAddress(addr) ?? '', len), 0, family);
}

/** The last address of a prefix. */
function lastOf(address: Registers, length: number): Registers {
  return Array.from(address, (char, at) => {
    const bits = Math.max(0, Math.min(8, length - at * 8)); // of the prefix in this byte
    return String.fromCharCode(char.charCodeAt(0) | (0xff >> bits));
  }).join('');
}

/** The address after; undefined after the last one. */
function after(address: Registers): Registers | undefined {
  const bytes = Array.from(address, (char) => char.charCodeAt(0));
  for (let at = bytes.length - 1; at >= 0; at -= 1) {
    bytes[at] = ((bytes[at] as number) + 1) & 255;
    if (bytes[at] !== 0) return String.fromCharCode(...bytes);
  }
  return undefined;
}
