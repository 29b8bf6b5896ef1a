import { isEqual } from '../equal.ts';
import type { ServiceIngress } from '../objects.ts';
import type { Ingress, Listener, Protocol } from '../provider.ts';

/** A port of the Service that was not built, as `ingress[].ports[].error` shows it. */
export interface PortError {
  readonly port: number;
  readonly protocol: Protocol;
  /** CamelCase (KEP-1435). */
  readonly error: string;
}

/** Equality of `status.loadBalancer.ingress`: address, host name, mode and ports count, and their order. */
export function sameIngress(
  a: readonly ServiceIngress[] | undefined = [],
  b: readonly ServiceIngress[] | undefined = [],
): boolean {
  return isEqual(a.map(compared), b.map(compared));
}

/**
 * The same, for what we want against what the API server shows: it writes ipMode VIP where an entry has an address and no
 * mode (KEP-1860), and one without that feature drops the field. Neither may cost a write at every look.
 */
export function isPublished(wanted: readonly ServiceIngress[], shown: readonly ServiceIngress[] | undefined): boolean {
  return sameIngress(wanted.map(withMode), (shown ?? []).map(withMode));
}

/** The provider's entries as they go into the status: mode spelled out, and each port that was not built with its error. */
export function ingressOf(
  ingress: readonly Ingress[],
  listeners: readonly Listener[] = [],
  errors: readonly PortError[] = [],
): readonly ServiceIngress[] {
  return ingress.map((entry) => withMode(errors.length === 0 ? entry : withErrors(entry, listeners, errors)));
}

function withErrors(entry: Ingress, listeners: readonly Listener[], errors: readonly PortError[]): ServiceIngress {
  const built = entry.ports ?? listeners.map(({ port, protocol }) => ({ port, protocol }));
  return { ...entry, ports: [...built, ...errors] };
}

function withMode(entry: ServiceIngress): ServiceIngress {
  return (entry.ip ?? '') === '' || entry.ipMode !== undefined ? entry : { ...entry, ipMode: 'VIP' };
}

function compared({ ip = '', hostname = '', ipMode, ports = [] }: ServiceIngress): unknown {
  return { ip, hostname, ipMode, ports };
}
