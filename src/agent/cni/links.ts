import { getSystemErrorName } from 'node:util';
import type { AttachmentLink } from '../../core/cni/attachment.ts';
import type { Ack, LinkRecord } from '../../core/net/rtnetlink.ts';
import type { RouteChannel } from '../netlink/channel.ts';
import { ourLinks } from './open.ts';

const ENODEV = 19;

/**
 * Deletes the links that are ours by name, mark and index; returns the names of those that are not there (any more).
 * Rejects when the links cannot be read.
 */
export async function removeLinks(route: RouteChannel, links: readonly AttachmentLink[]): Promise<ReadonlySet<string>> {
  const there = ourLinks(await route.links());
  const found = links.filter(({ name, index }) => there.get(name)?.index === index);
  const gone = new Set(links.filter((link) => !found.includes(link)).map(({ name }) => name));
  for (const link of found) {
    // One at a time: each takes the kernel 20 ms, and pods that start meanwhile get their turn in between.
    const [ack] = await route.send([{ kind: 'deleteLink', link }]);
    if (isDone(ack, [ENODEV])) gone.add(link.name);
  }
  return gone;
}

/** Whether the message is done, or failed only for a reason that is as good. */
export const isDone = (ack: Ack | undefined, asGood: readonly number[] = []): boolean =>
  ack?.sent === true && (ack.errno === 0 || asGood.includes(ack.errno));

/** The links that carry our mark and that `isKnown` does not know. */
export const orphansOf = (links: readonly LinkRecord[], isKnown: (name: string) => boolean): readonly LinkRecord[] =>
  [...ourLinks(links).values()].filter(({ name }) => !isKnown(name));

/** What an error means here, where its name alone does not say it. */
const hints: Readonly<Record<number, string>> = {
  1: 'CAP_NET_ADMIN is missing',
  13: 'IPv6 is switched off there',
  30: '/proc/sys is read-only',
  97: 'this kernel has no IPv6',
};

/** 'EACCES (IPv6 is switched off there)' */
export function errnoText(errno: number): string {
  const hint = hints[errno];
  const name = getSystemErrorName(-errno);
  return hint === undefined ? name : `${name} (${hint})`;
}
