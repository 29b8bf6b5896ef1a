import { canonicalIp } from '../net/ip.ts';
import type { PodName } from './call.ts';
import { checkContainerId, checkInterfaceName } from './call.ts';
import type { PortMapping } from './netconf.ts';

/**
 * adding: addresses are reserved, a link may or may not be there; a start that finds it undoes it. ready: wired. removing:
 * DEL was answered; a start that finds it goes on tearing down. adopted: only the addresses are known, from the files of
 * host-local; the link is another plugin's.
 */
export type AttachmentState = 'adding' | 'ready' | 'removing' | 'adopted';

/** One interface of one pod: a file of the journal. */
export interface Attachment {
  readonly state: AttachmentState;
  /** Of the boot in which it was made: no namespace outlives it. */
  readonly bootId: string;
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
  readonly netns: string;
  readonly pod?: PodName;
  /** The host's end; absent for adopted ones. */
  readonly link?: AttachmentLink;
  /** RFC 5952, IPv4 first. */
  readonly addresses: readonly string[];
  readonly portMappings: readonly PortMapping[];
}
export interface AttachmentLink {
  readonly name: string;
  readonly index: number;
}

export const keyOf = ({ containerId, ifname }: Pick<Attachment, 'containerId' | 'ifname'>): string =>
  `${containerId}/${ifname}`;

/** How people know it: the pod where the runtime told, else container and interface. */
export const nameOf = ({ pod, containerId, ifname }: Pick<Attachment, 'pod' | 'containerId' | 'ifname'>): string =>
  pod === undefined ? `container ${containerId} (${ifname})` : `pod ${pod.namespace}/${pod.name} (${ifname})`;

const FORMAT = 1;

/** The text of the file: one JSON object in one line, with a newline that shows that the line is whole. */
export const attachmentText = (attachment: Attachment): string =>
  `${JSON.stringify({ format: FORMAT, ...attachment })}\n`;

/** Undefined for whatever `attachmentText` did not write: truncated, corrupt, or of a format that we do not know. */
export function parseAttachment(text: string): Attachment | undefined {
  if (!text.endsWith('\n')) return undefined;
  try {
    const value = JSON.parse(text) as Attachment & { readonly format: number };
    const { format, ...attachment } = value;
    return format === FORMAT && isAttachment(attachment) ? attachment : undefined;
  } catch {
    // Corrupt is an answer here, and the caller says so to people.
    return undefined;
  }
}

function isAttachment(value: Attachment): boolean {
  checkContainerId(value.containerId);
  checkInterfaceName(value.ifname);
  return (
    ['adding', 'ready', 'removing', 'adopted'].includes(value.state) &&
    [value.bootId, value.network, value.netns].every((one) => typeof one === 'string') &&
    (value.link === undefined || (typeof value.link.name === 'string' && Number.isSafeInteger(value.link.index))) &&
    (value.pod === undefined || (typeof value.pod.namespace === 'string' && typeof value.pod.name === 'string')) &&
    value.addresses.every((address) => canonicalIp(address) === address) &&
    value.portMappings.every(
      ({ hostPort, containerPort, protocol }) =>
        Number.isSafeInteger(hostPort) && Number.isSafeInteger(containerPort) && typeof protocol === 'string',
    )
  );
}
