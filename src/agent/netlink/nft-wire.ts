import { createHash } from 'node:crypto';
import { compareText } from '../../core/equal.ts';
import { failure } from '../../core/errors.ts';
import type { ElementChange, TableFamily } from '../../core/net/element.ts';
import { type Answer, answerOf, ERRNO, errnoName, messagesOf, NLMSG } from '../../core/net/netlink.ts';
import {
  decodeElements,
  type ElementBatch,
  encodeElementBatch,
  encodeElementDump,
  guiltyChange,
  type KernelElement,
  missingPart,
} from '../../core/net/netlink-elements.ts';
import {
  decodeGeneration,
  decodeTableItem,
  encodeGenerationRequest,
  encodeTableDump,
  type TableItem,
  type TablePart,
} from '../../core/net/netlink-nft.ts';
import type { ChannelKind, Commit, NftChannel, Refusal } from './channel.ts';
import type { Answers, Wire } from './wire.ts';

/** A writer beside us can spoil one dump, and the next; each try is a fresh one. */
const DUMP_TRIES = 20;

export const NET_ADMIN =
  'the kernel refuses changes of nf_tables: this process, or the namespace that it runs in, has no CAP_NET_ADMIN';

/** nf_tables over a netlink socket of NETLINK_NETFILTER. */
export function createNftWire({ kind, wire }: { readonly kind: ChannelKind; readonly wire: Wire }): NftChannel {
  return new NftWire(kind, wire);
}

class NftWire implements NftChannel {
  readonly kind: ChannelKind;
  readonly #wire: Wire;
  #commits = 0;

  constructor(kind: ChannelKind, wire: Wire) {
    this.kind = kind;
    this.#wire = wire;
  }

  async commit(family: TableFamily, changes: readonly ElementChange[]): Promise<Commit> {
    if (changes.length === 0) return { ok: true };
    const commit = await this.#transaction(family, changes, false);
    const isTraced = commit.ok || commit.lost || commit.refused.every(hasPlace);
    // A kernel that gives no offsets names the message. Nothing was applied, so that the same changes go again, one each.
    return isTraced ? commit : await this.#transaction(family, changes, true);
  }

  async dump(family: TableFamily, set: string): Promise<readonly KernelElement[] | undefined> {
    for (let attempt = 1; attempt <= DUMP_TRIES; attempt += 1) {
      const elements: KernelElement[] = [];
      const before = await this.generation();
      const end = await this.#wire.dump(encodeElementDump(family, set, this.#wire.sequence(1)), (datagram) => {
        for (const message of messagesOf(datagram)) decodeElements(datagram, message, set, elements);
      });
      if (end.lost) continue;
      if (end.errno === ERRNO.ENOENT) return undefined;
      if (end.errno !== 0) throw dumpFailed(`set ${set}`, end.errno);
      // The kernel does not mark a dump of elements as interrupted (6.18); the generation tells, but not of which table.
      // With somebody who changes another table all the time, one that may lack a change is better than none at all.
      const isWhole = (await this.generation()) === before || attempt === DUMP_TRIES;
      if (!end.interrupted && isWhole) return elements;
    }
    throw neverWhole(`set ${set}`);
  }

  async chains(family: TableFamily): Promise<readonly string[] | undefined> {
    const chains = await this.#items(family, 'chains');
    return chains.length === 0 ? undefined : chains.map(({ name }) => name).sort(compareText);
  }

  async fingerprint(family: TableFamily): Promise<string | undefined> {
    const chains = await this.#items(family, 'chains');
    if (chains.length === 0) return undefined;
    const items = [...chains, ...(await this.#items(family, 'rules')), ...(await this.#items(family, 'sets'))];
    const hash = createHash('sha256');
    // Stable: rules of one chain stay in their order, which counts; that of chains and sets does not.
    for (const { part, name, digest } of items.toSorted(byName)) {
      if (!name.startsWith('sum-')) hash.update(`${part} ${name} ${digest}\n`);
    }
    return hash.digest('hex').slice(0, 16);
  }

  async generation(): Promise<number> {
    const answers = await this.#wire.send(encodeGenerationRequest(this.#wire.sequence(1)));
    for (const datagram of answers.lost ? [] : answers.datagrams) {
      for (const message of messagesOf(datagram)) {
        const generation = decodeGeneration(datagram, message);
        if (generation !== undefined) return generation;
        const { errno } = message.type === NLMSG.ERROR ? answerOf(datagram, message) : { errno: 0 };
        if (errno === ERRNO.EPERM) throw failure('FL_NET_ADMIN', NET_ADMIN);
        if (errno !== 0) throw dumpFailed('the generation', errno);
      }
    }
    throw failure('FL_NETLINK_LOST', `no answer to a question for the generation: ${answers.lost ? answers.why : ''}`);
  }

  commits(): number {
    return this.#commits;
  }

  async close(): Promise<void> {
    await this.#wire.close();
  }

  async #transaction(family: TableFamily, changes: readonly ElementChange[], single: boolean): Promise<Commit> {
    // BEGIN, END and at most a message for each change.
    const batch = encodeElementBatch(family, changes, this.#wire.sequence(changes.length + 2), { single });
    const commit = outcome(batch, await this.#wire.send(batch.bytes));
    if (commit.ok) this.#commits += 1;
    return commit;
  }

  async #items(family: TableFamily, part: TablePart): Promise<readonly TableItem[]> {
    for (let attempt = 0; attempt < DUMP_TRIES; attempt += 1) {
      const items: TableItem[] = [];
      const end = await this.#wire.dump(encodeTableDump(family, part, this.#wire.sequence(1)), (datagram) => {
        for (const message of messagesOf(datagram)) {
          const item = decodeTableItem(datagram, message);
          if (item !== undefined) items.push(item);
        }
      });
      if (end.lost) continue;
      if (end.errno === ERRNO.ENOENT) return [];
      if (end.errno !== 0) throw dumpFailed(part, end.errno);
      if (!end.interrupted) return items;
    }
    throw neverWhole(part);
  }
}

/** What the answers to a transaction mean. Throws FL_NET_ADMIN. */
export function outcome(batch: ElementBatch, answers: Answers): Commit {
  if (answers.lost) return { ok: false, lost: true, why: answers.why };
  const last = (batch.firstSeq + batch.messages.length) >>> 0;
  const errors: Answer[] = [];
  let acknowledged = false;
  for (const datagram of answers.datagrams) {
    for (const message of messagesOf(datagram)) {
      if (message.type !== NLMSG.ERROR) continue;
      const answer = answerOf(datagram, message);
      if ((answer.seq - batch.firstSeq) >>> 0 > batch.messages.length + 1) continue; // of an earlier request
      if (answer.errno !== 0) errors.push(answer);
      else if (answer.seq === last) acknowledged = true;
    }
  }
  if (errors.some(({ errno }) => errno === ERRNO.EPERM)) throw failure('FL_NET_ADMIN', NET_ADMIN);
  if (errors.length > 0) return { ok: false, lost: false, refused: errors.map((error) => refusal(batch, error)) };
  return acknowledged ? { ok: true } : { ok: false, lost: true, why: 'no acknowledgement' };
}

const hasPlace = ({ element, missing }: Refusal): boolean => element !== undefined || missing !== undefined;

function refusal(batch: ElementBatch, { seq, errno, message, offset }: Answer): Refusal {
  const missing = errno === ERRNO.ENOENT && offset !== undefined ? missingPart(batch, seq, offset) : undefined;
  const element = missing === undefined ? guiltyChange(batch, seq, offset) : undefined;
  return {
    errno,
    ...(message !== undefined && { message }),
    ...(missing !== undefined && { missing }),
    ...(element !== undefined && { element }),
  };
}

const byName = (a: TableItem, b: TableItem): number => compareText(a.part, b.part) || compareText(a.name, b.name);

const dumpFailed = (what: string, errno: number): Error =>
  errno === ERRNO.EPERM
    ? failure('FL_NET_ADMIN', NET_ADMIN)
    : failure('FL_NETLINK_LOST', `${what} cannot be read: ${errnoName(errno)}`);

const neverWhole = (what: string): Error =>
  failure('FL_NETLINK_LOST', `${what} changed during each of ${DUMP_TRIES} readings`);
