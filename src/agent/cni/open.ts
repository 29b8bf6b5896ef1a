import { join } from 'node:path';
import { type Attachment, keyOf, parseAttachment } from '../../core/cni/attachment.ts';
import { parseReservation, type Reservation, reservedAddress } from '../../core/cni/host-local.ts';
import { hostLinkName, isHostLinkName, LINK_GROUP } from '../../core/cni/wiring.ts';
import type { LinkRecord } from '../../core/net/rtnetlink.ts';
import { codeOf, isDraft } from './disk.ts';
import { createJournal, type Journal, type JournalOptions } from './journal.ts';

/** What a start found and did. */
export interface Opened {
  readonly journal: Journal;
  /** Of an earlier boot, or without their link: forgotten, their addresses are free. */
  readonly forgotten: readonly Attachment[];
  /** Half made or half removed: their links are to be deleted, then they are to be forgotten. */
  readonly unfinished: readonly Attachment[];
  /** Known from files of host-local only; the links are another plugin's. */
  readonly adopted: readonly Attachment[];
  /** From address files and links, because their own file is corrupt or lost. Their host ports are not known. */
  readonly rebuilt: readonly Attachment[];
  /** Links with our mark that nothing is known of: to be deleted. */
  readonly orphans: readonly LinkRecord[];
}

const STATE_FILE = /^(fl[0-9a-v]{11})[.](adding|ready|removing|adopted)$/;

/**
 * Reads the files, compares them with the links of the host (whose other end is in the pod's namespace: they live and die
 * with it), and writes what follows from both. Throws what the disk throws.
 */
export function openJournal(options: JournalOptions, links: readonly LinkRecord[]): Opened {
  const { disk, bootId, stateDir } = options;
  disk.makeFolder(stateDir);
  const ours = ourLinks(links);
  const { journal, hold, adopt, restore, has } = createJournal(options);
  const { attachments, corrupt } = readAttachments(options);
  const forgotten = attachments.filter((attachment) => {
    hold(attachment);
    // An `adding` without its link may still get it, from a shim that outlived the agent; the shim then takes it away
    // again, and should it die as well, the link is an orphan at the next look.
    if (attachment.bootId === bootId && isAlive(attachment, ours)) return false;
    journal.forget(keyOf(attachment));
    return true;
  });
  for (const attachment of journal.list()) restore(attachment);
  const known = new Set(journal.list().map(keyOf));
  for (const { network, path, address, owner } of readReservations(options, has)) {
    const name = owner === undefined ? '' : hostLinkName(owner.containerId, owner.ifname ?? 'eth0');
    const key = owner === undefined ? '' : `${owner.containerId}/${owner.ifname ?? 'eth0'}`;
    if (journal.get(key)?.addresses.includes(address) === true) continue;
    const link = ours.get(name);
    const isDead = link === undefined && corrupt.has(name);
    if (owner === undefined || isDead || known.has(key)) disk.remove(path);
    else adopt(network, address, owner, link);
  }
  const made = journal.list().filter((attachment) => !known.has(keyOf(attachment)));
  return {
    journal,
    forgotten,
    unfinished: journal.list().filter(({ state }) => state === 'adding' || state === 'removing'),
    adopted: made.filter(({ state }) => state === 'adopted'),
    rebuilt: made.filter(({ state }) => state === 'ready'),
    orphans: [...ours.values()].filter(({ name }) => journal.byLink(name) === undefined),
  };
}

/** By name: those that carry our mark. */
export const ourLinks = (links: readonly LinkRecord[]): ReadonlyMap<string, LinkRecord> =>
  new Map(
    links.filter(({ name, group }) => isHostLinkName(name) && group === LINK_GROUP).map((link) => [link.name, link]),
  );

const isAlive = ({ state, link }: Attachment, ours: ReadonlyMap<string, LinkRecord>): boolean =>
  state === 'adopted' || (link !== undefined && ours.get(link.name)?.index === link.index);

function readAttachments({ disk, log, stateDir }: JournalOptions): {
  readonly attachments: readonly Attachment[];
  /** Names of the links whose files held none; the files are gone. */
  readonly corrupt: ReadonlySet<string>;
} {
  const corrupt = new Set<string>();
  const attachments = disk.list(stateDir).flatMap((file) => {
    const path = join(stateDir, file);
    if (isDraft(file)) disk.remove(path);
    const [, name, state] = STATE_FILE.exec(file) ?? [];
    if (name === undefined) return [];
    const attachment = parseAttachment(disk.read(path) ?? '');
    if (attachment !== undefined && hostLinkName(attachment.containerId, attachment.ifname) === name)
      return [{ ...attachment, state: state as Attachment['state'] }];
    log.warn({ code: 'FL_CNI_STATE', path }, 'a state file is corrupt; rebuilding it from links and address files');
    disk.remove(path);
    corrupt.add(name);
    return [];
  });
  return { attachments, corrupt };
}

/** The address files in all folders that are about addresses of ours. */
function readReservations(
  { disk, log, networksDir }: JournalOptions,
  has: (address: string) => boolean,
): readonly { network: string; path: string; address: string; owner: Reservation | undefined }[] {
  return disk.list(networksDir).flatMap((network) =>
    filesOf(disk, join(networksDir, network)).flatMap((file) => {
      const path = join(networksDir, network, file);
      if (isDraft(file)) disk.remove(path);
      const address = reservedAddress(file);
      if (address === undefined || !has(address)) return [];
      const owner = parseReservation(disk.read(path) ?? '');
      if (owner === undefined) log.warn({ path }, 'an empty address file is removed');
      return [{ network, path, address, owner }];
    }),
  );
}

/** A file where host-local has folders is nobody's network. */
export function filesOf(disk: JournalOptions['disk'], folder: string): readonly string[] {
  try {
    return disk.list(folder);
  } catch (error) {
    if (codeOf(error) === 'ENOTDIR') return [];
    throw error;
  }
}
