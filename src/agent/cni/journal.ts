import { join } from 'node:path';
import { type Addresses, createAddresses } from '../../core/cni/addresses.ts';
import { type Attachment, attachmentText, keyOf, nameOf } from '../../core/cni/attachment.ts';
import { CniFailure, cniCodes } from '../../core/cni/failure.ts';
import {
  lastReservedFile,
  parseReservation,
  type Reservation,
  reservationFile,
  reservationText,
} from '../../core/cni/host-local.ts';
import { hostLinkName } from '../../core/cni/wiring.ts';
import { blockOf } from '../../core/net/cidr.ts';
import type { LinkRecord } from '../../core/net/rtnetlink.ts';
import type { Cidr, Log } from '../../core/provider.ts';
import type { Disk } from './disk.ts';

export interface JournalOptions {
  readonly disk: Disk;
  readonly log: Log;
  readonly bootId: string;
  /** Holds one file per attachment, named by the host's end of its link and its state. */
  readonly stateDir: string;
  /** Holds a folder per network in the layout of host-local. */
  readonly networksDir: string;
  /** One of each family at most. */
  readonly podCidrs: readonly Cidr[];
}

/** What a new attachment asks for; the journal adds the addresses. */
export type Wish = Omit<Attachment, 'state' | 'bootId' | 'addresses'> & { readonly wanted: readonly string[] };

/**
 * All attachments of this node and their addresses: in memory, and step by step on disk, so that a process that starts
 * after a crash at any point knows what to undo or to finish. There is one writer.
 *
 * A change writes its own file first and the address files (host-local's) after it; a removal goes the other way. So an
 * address file without an attachment is never ours.
 */
export interface Journal {
  get(key: string): Attachment | undefined;
  /** Sorted by key. */
  list(): readonly Attachment[];
  /** The attachment whose link has this name. */
  byLink(name: string): Attachment | undefined;
  /** One address of each pod CIDR, or those that are wanted; in state adding. Throws a CniFailure, and then nothing is held. */
  reserve(wish: Wish): Attachment;
  /** Another link for the same addresses, while adding. */
  relink(key: string, link: NonNullable<Attachment['link']>): Attachment;
  /** Its new state is on disk when this returns. */
  setState(key: string, state: 'ready' | 'removing'): Attachment;
  /** Its addresses are free when this returns. Idempotent. */
  forget(key: string): void;
  /** Writes for host-local which addresses were given last; not needed for anything that we promise. */
  noteLast(network: string): void;
  gatewayOf(address: string): string;
  usage(): readonly { readonly cidr: Cidr; readonly size: bigint; readonly used: number }[];
}

/** What only a start does with a journal. */
export interface Filling {
  readonly journal: Journal;
  /** Into memory, with its addresses: it is on disk already. */
  hold(attachment: Attachment): void;
  /**
   * An address file that no attachment is about: adds its address to what is known of its owner, in memory and on disk.
   * `link`: the host's end, when it is there and ours.
   */
  adopt(network: string, address: string, owner: Reservation, link?: LinkRecord): void;
  /** Its address files, if somebody deleted them: host-local, were it run again, must not give the addresses out. */
  restore(attachment: Attachment): void;
  /** In a pod CIDR. */
  has(address: string): boolean;
}

/**
 * Name of its file. The state is in the name, not in the text: a change of it is one rename that replaces nothing, where
 * ext4 writes a file that is replaced to the disk first, for a millisecond (auto_da_alloc).
 */
export const stateFile = ({
  containerId,
  ifname,
  state,
}: Pick<Attachment, 'containerId' | 'ifname' | 'state'>): string => `${hostLinkName(containerId, ifname)}.${state}`;

export function createJournal({ disk, bootId, stateDir, networksDir, podCidrs }: JournalOptions): Filling {
  const ranges = podCidrs.flatMap((cidr, at) => {
    const last = lastReserved(at);
    return createAddresses(blockOf(cidr), last) ?? [];
  });
  const attachments = new Map<string, Attachment>(); // key -> attachment
  const links = new Map<string, string>(); // name of the host's end -> key
  const lasts = new Map<Addresses, string>(); // range -> the address that it gave last
  const folders = new Set<string>(); // networks whose folder exists

  function lastReserved(range: number): string | undefined {
    for (const network of disk.list(networksDir)) {
      try {
        const text = disk.read(join(networksDir, network, lastReservedFile(range)));
        const cidr = podCidrs[range];
        if (text !== undefined && cidr !== undefined && createAddresses(blockOf(cidr))?.has(text.trim()))
          return text.trim();
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'ENOTDIR')) throw error;
      }
    }
    return undefined;
  }

  const pathOf = (attachment: Attachment): string => join(stateDir, stateFile(attachment));
  const addressPath = (network: string, address: string): string =>
    join(networksDir, network, reservationFile(address));
  const rangeOf = (address: string): Addresses | undefined => ranges.find((range) => range.has(address));

  function hold(attachment: Attachment): void {
    const key = keyOf(attachment);
    attachments.set(key, attachment);
    if (attachment.link !== undefined) links.set(attachment.link.name, key);
    for (const address of attachment.addresses) rangeOf(address)?.take(address, key);
  }

  const save = (attachment: Attachment): void => disk.write(pathOf(attachment), attachmentText(attachment));

  function drop(attachment: Attachment): void {
    const key = keyOf(attachment);
    attachments.delete(key);
    if (attachment.link !== undefined) links.delete(attachment.link.name);
    for (const address of attachment.addresses) rangeOf(address)?.release(address, key);
  }

  function known(key: string): Attachment {
    const attachment = attachments.get(key);
    if (attachment === undefined) throw new TypeError(`no attachment ${key}`);
    return attachment;
  }

  /** Only a file that says so is its; another plugin may have put one there since. */
  function removeAddress({ network, containerId, ifname }: Attachment, address: string): void {
    const path = addressPath(network, address);
    const reservation = disk.read(path);
    if (reservation === undefined) return;
    const owner = parseReservation(reservation);
    if (owner === undefined || (owner.containerId === containerId && (owner.ifname ?? ifname) === ifname))
      disk.remove(path);
  }

  /** The first address that host-local, run by somebody, has given out meanwhile; undefined: all are ours now. */
  function claim(attachment: Attachment): string | undefined {
    if (!folders.has(attachment.network)) disk.makeFolder(join(networksDir, attachment.network));
    folders.add(attachment.network);
    const text = reservationText(attachment.containerId, attachment.ifname);
    return attachment.addresses.find((address) => {
      const path = addressPath(attachment.network, address);
      if (disk.create(path, text)) return false;
      removeAddress(attachment, address);
      return !disk.create(path, text);
    });
  }

  function pick(key: string, wanted: readonly string[]): readonly string[] {
    const stray = wanted.find((address) => rangeOf(address) === undefined);
    if (stray !== undefined)
      throw new CniFailure(
        cniCodes.addressTaken,
        `${stray} is not in the node's pod CIDRs`,
        ranges.map(({ cidr }) => cidr).join(', '),
      );
    const picked: string[] = [];
    try {
      for (const range of ranges)
        picked.push(
          pickOne(
            range,
            key,
            wanted.find((address) => range.has(address)),
          ),
        );
      return picked.sort(byFamily);
    } catch (error) {
      for (const address of picked) rangeOf(address)?.release(address, key);
      throw error;
    }
  }

  function pickOne(range: Addresses, key: string, wanted: string | undefined): string {
    if (wanted !== undefined) {
      if (range.take(wanted, key)) return wanted;
      const owner = range.ownerOf(wanted);
      const holder = owner === undefined ? undefined : attachments.get(owner);
      throw new CniFailure(
        cniCodes.addressTaken,
        `${wanted} cannot be had`,
        owner === undefined
          ? 'it is the network, gateway or broadcast address'
          : `${holder === undefined ? owner : nameOf(holder)} has it`,
      );
    }
    const address = range.allocate(key);
    if (address !== undefined) {
      lasts.set(range, address);
      return address;
    }
    throw new CniFailure(
      cniCodes.podCidrFull,
      `no free address in ${range.cidr}`,
      `${range.used()} of ${range.size} are in use; lower maxPods of this node, or give nodes larger pod CIDRs (--node-cidr-mask-size)`,
    );
  }

  const journal: Journal = {
    get: (key) => attachments.get(key),
    list: () => [...attachments.values()].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1)),
    byLink: (name) => {
      const key = links.get(name);
      return key === undefined ? undefined : attachments.get(key);
    },
    reserve({ wanted, ...wish }) {
      const key = keyOf(wish);
      for (;;) {
        const attachment: Attachment = { ...wish, state: 'adding', bootId, addresses: pick(key, wanted) };
        hold(attachment);
        try {
          save(attachment);
          const taken = claim(attachment);
          if (taken === undefined) return attachment;
          // The loop ends: each turn takes one more address out of a finite range, or finds a wanted one taken.
          forget(key);
          const owner = parseReservation(disk.read(addressPath(attachment.network, taken)) ?? '');
          if (owner !== undefined) adopt(attachment.network, taken, owner);
        } catch (error) {
          forget(key);
          throw error;
        }
      }
    },
    relink(key, link) {
      const before = known(key);
      const now = { ...before, link };
      save(now);
      if (before.link !== undefined) links.delete(before.link.name);
      links.set(link.name, key);
      attachments.set(key, now);
      return now;
    },
    setState(key, state) {
      const before = known(key);
      const now = { ...before, state };
      if (state !== before.state) disk.rename(pathOf(before), pathOf(now));
      attachments.set(key, now);
      return now;
    },
    forget: (key) => forget(key),
    noteLast(network) {
      for (const [range, address] of lasts)
        disk.write(join(networksDir, network, lastReservedFile(ranges.indexOf(range))), address);
      lasts.clear();
    },
    gatewayOf: (address) => rangeOf(address)?.gateway ?? '',
    usage: () => ranges.map((range) => ({ cidr: range.cidr, size: range.size, used: range.used() })),
  };

  function forget(key: string): void {
    const attachment = attachments.get(key);
    if (attachment === undefined) return;
    for (const address of attachment.addresses) removeAddress(attachment, address);
    disk.remove(pathOf(attachment));
    drop(attachment);
  }

  function adopt(
    network: string,
    address: string,
    { containerId, ifname = 'eth0' }: Reservation,
    link?: LinkRecord,
  ): void {
    const before = attachments.get(`${containerId}/${ifname}`);
    const attachment: Attachment = {
      state: link === undefined ? 'adopted' : 'ready',
      bootId,
      network,
      containerId,
      ifname,
      netns: '',
      ...(link === undefined ? {} : { link: { name: link.name, index: link.index } }),
      ...before,
      addresses: [...(before?.addresses ?? []), address].sort(byFamily),
      portMappings: before?.portMappings ?? [],
    };
    hold(attachment);
    save(attachment);
  }

  return {
    journal,
    hold,
    adopt,
    restore: (attachment) => void claim(attachment),
    has: (address) => rangeOf(address) !== undefined,
  };
}

const byFamily = (a: string, b: string): number => Number(a.includes(':')) - Number(b.includes(':'));
