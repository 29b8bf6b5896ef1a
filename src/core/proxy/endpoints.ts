/** EndpointSlices as the endpoints of one Service port, each once. */
import { compareText } from '../equal.ts';
import { quoted } from '../ipam/problem.ts';
import type { Registers, TableFamily } from '../net/element.ts';
import type { Endpoint, EndpointSlice } from '../objects.ts';
import type { ProxyProblem } from './model.ts';
import { familyOf, type Protocol, parseAddress, portRegisters } from './registers.ts';

/** How many slots each endpoint of this EndpointSlice gets beside those of weight 1: a whole number from 1 to 128. */
export const WEIGHT_ANNOTATION = 'fairlead.dev/weight';
const MAX_WEIGHT = 128;

/** One address and port behind a Service port. */
export interface PortEndpoint {
  /** address . port */
  readonly target: Registers;
  readonly isReady: boolean;
  /** Not ready, but serving while it terminates (KEP-1669). */
  readonly isLeaving: boolean;
  /** Ready, or serving whatever else. */
  readonly isServing: boolean;
  readonly isLocal: boolean;
  readonly weight: number;
  readonly hints: Endpoint['hints'];
}

/** A slice with its addresses read once, for all ports of its Service. */
export interface ReadSlice {
  readonly slice: EndpointSlice;
  readonly weight: number;
  /** By index of the endpoint; `undefined` for one that cannot be used. */
  readonly addresses: readonly (Registers | undefined)[];
}

/** The slices of one family in order of their names; what is unusable goes into `problems`. */
export function readSlices(
  slices: readonly EndpointSlice[],
  family: TableFamily,
  problems: ProxyProblem[],
): readonly ReadSlice[] {
  const type = family === 'ip' ? 'IPv4' : 'IPv6';
  const own = slices.filter(({ addressType }) => addressType === type);
  if (own.length > 1) own.sort((a, b) => compareText(a.metadata.name, b.metadata.name));
  return own.map((slice) => ({
    slice,
    weight: weightOf(slice, problems),
    addresses: (slice.endpoints ?? []).map(({ addresses }, index) => {
      // Further addresses of an endpoint have no meaning (EndpointSlice API).
      const [text = ''] = addresses ?? [];
      const address = parseAddress(text);
      const obstacle = obstacleOf(address, family);
      if (obstacle === undefined) return address;
      const field = `EndpointSlice ${slice.metadata.name}: endpoints[${index}].addresses[0]`;
      problems.push({ field, message: `${field}: ${quoted(text)} ${obstacle}` });
      return undefined;
    }),
  }));
}

/** Endpoints of the port with this name and protocol, in order of slices; one in several slices once, its best state. */
export function endpointsOf(
  slices: readonly ReadSlice[],
  port: { readonly name: string; readonly protocol: Protocol },
  nodeName: string,
): readonly PortEndpoint[] {
  const found: PortEndpoint[] = [];
  for (const { slice, weight, addresses } of slices) {
    const number = portOf(slice, port);
    if (number === undefined) continue;
    const suffix = portRegisters(number);
    for (const [index, endpoint] of (slice.endpoints ?? []).entries()) {
      const address = addresses[index];
      if (address !== undefined) found.push(endpointOf(endpoint, `${address}${suffix}`, { weight, nodeName }));
    }
  }
  return found.length < 2 ? found : unique(found);
}

/** Ports that a slice gives a number that is none, once per slice. */
export function badPorts({ metadata, ports }: EndpointSlice): readonly ProxyProblem[] {
  return (ports ?? []).flatMap(({ port }, index) => {
    if (port === undefined || isPort(port)) return [];
    const field = `EndpointSlice ${metadata.name}: ports[${index}].port`;
    return [{ field, message: `${field}: ${quoted(port)} must be a whole number from 1 to 65535` }];
  });
}

export const isPort = (port: unknown): port is number =>
  typeof port === 'number' && Number.isInteger(port) && port > 0 && port < 65_536;

/** Why no packet can be sent there; `undefined` when it can. */
export function obstacleOf(address: Registers | undefined, family: TableFamily): string | undefined {
  if (address === undefined) return 'is not an IP address';
  if (familyOf(address) !== family) return `is not an ${family === 'ip' ? 'IPv4' : 'IPv6'} address`;
  if (isUnspecified(address)) return 'is the unspecified address';
  if (isLoopback(address)) return 'is a loopback address';
  if (address.charCodeAt(0) >= (family === 'ip' ? 224 : 255)) return 'is not the address of one host';
  return undefined;
}

export const isUnspecified = (address: Registers): boolean => address === '\0\0\0\0' || address === '\0'.repeat(16);

export const isLoopback = (address: Registers): boolean =>
  address.length === 4 ? address.charCodeAt(0) === 127 : address === `${'\0'.repeat(15)}\x01`;

/** kube-proxy ignores a port without number, although the API calls it all ports. */
function portOf({ ports }: EndpointSlice, wanted: { readonly name: string; readonly protocol: Protocol }) {
  for (const { name = '', protocol = 'TCP', port } of ports ?? [])
    if (name === wanted.name && protocol.toLowerCase() === wanted.protocol && isPort(port)) return port;
  return undefined;
}

function endpointOf(
  { conditions, nodeName, hints }: Endpoint,
  target: Registers,
  facts: { readonly weight: number; readonly nodeName: string },
): PortEndpoint {
  const { ready = true, serving = true, terminating = false } = conditions ?? {};
  return {
    target,
    isReady: ready,
    isLeaving: !ready && serving && terminating,
    isServing: ready || serving,
    isLocal: nodeName !== undefined && nodeName === facts.nodeName,
    weight: facts.weight,
    hints,
  };
}

/** The EndpointSlice controller moves endpoints between slices without a transaction: for a moment one is in two. */
function unique(endpoints: readonly PortEndpoint[]): readonly PortEndpoint[] {
  const byTarget = new Map<Registers, PortEndpoint>();
  for (const endpoint of endpoints) {
    const known = byTarget.get(endpoint.target);
    byTarget.set(endpoint.target, known === undefined ? endpoint : merged(known, endpoint));
  }
  return byTarget.size === endpoints.length ? endpoints : [...byTarget.values()];
}

function merged(a: PortEndpoint, b: PortEndpoint): PortEndpoint {
  const best = rank(b) > rank(a) ? b : a;
  return { ...best, isLocal: a.isLocal || b.isLocal, weight: Math.max(a.weight, b.weight) };
}

const rank = ({ isReady, isLeaving, isServing }: PortEndpoint): number =>
  isReady ? 3 : isLeaving ? 2 : isServing ? 1 : 0;

function weightOf({ metadata }: EndpointSlice, problems: ProxyProblem[]): number {
  const text = metadata.annotations?.[WEIGHT_ANNOTATION];
  if (text === undefined) return 1;
  const weight = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (weight >= 1 && weight <= MAX_WEIGHT) return weight;
  const field = `EndpointSlice ${metadata.name}: metadata.annotations["${WEIGHT_ANNOTATION}"]`;
  const message = `${field}: ${quoted(text)} must be a whole number from 1 to ${MAX_WEIGHT}; its endpoints have weight 1`;
  problems.push({ field, message });
  return 1;
}
