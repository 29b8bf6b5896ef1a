import { compareText } from '../equal.ts';
import type { HostPort } from '../net/host-port.ts';
import { parseIp } from '../net/ip.ts';
import type { Attachment } from './attachment.ts';

/** The ports of the node that lead to it, of each family that both have. */
export function hostPortsOf({
  addresses,
  portMappings,
}: Pick<Attachment, 'addresses' | 'portMappings'>): readonly HostPort[] {
  return portMappings.flatMap(({ hostPort, containerPort, protocol, hostIP }) =>
    addresses
      .filter((address) => hostIP === undefined || familyOf(hostIP) === familyOf(address))
      .map((podIP) => ({
        ...(hostIP === undefined || isUnspecified(hostIP) ? {} : { hostIP }),
        protocol,
        hostPort,
        podIP,
        podPort: containerPort,
      })),
  );
}

/** Two mappings of the same port at the same address of the node cannot both work. */
export function portClash(a: HostPort, b: HostPort): boolean {
  return (
    a.protocol === b.protocol &&
    a.hostPort === b.hostPort &&
    familyOf(a.podIP) === familyOf(b.podIP) &&
    (a.hostIP === undefined || b.hostIP === undefined || a.hostIP === b.hostIP)
  );
}

/** The order in which host ports are given on: equal attachments, equal list. */
export const compareHostPorts = (a: HostPort, b: HostPort): number =>
  a.hostPort - b.hostPort ||
  compareText(a.protocol, b.protocol) ||
  compareText(a.hostIP ?? '', b.hostIP ?? '') ||
  compareText(a.podIP, b.podIP);

const familyOf = (address: string): string | undefined => parseIp(address)?.family;
const isUnspecified = (address: string): boolean => address === '0.0.0.0' || address === '::';
