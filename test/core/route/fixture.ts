import type { Node } from '../../../src/core/objects.ts';
import type { Cidr, Route } from '../../../src/core/provider.ts';

export interface NodeParts {
  readonly uid?: string;
  readonly podCIDRs?: readonly string[];
  readonly podCIDR?: string;
  readonly providerID?: string;
  /** InternalIPs. */
  readonly addresses?: readonly string[];
  readonly createdAt?: string;
  readonly resourceVersion?: string;
}

/** A Node; the later its name in the alphabet, the younger, unless `createdAt` says otherwise. */
export function node(name: string, parts: NodeParts = {}): Node {
  const { uid = `uid-${name}`, createdAt = '2026-03-01T00:00:00Z', resourceVersion = '1' } = parts;
  const { podCIDRs, podCIDR, providerID, addresses = [] } = parts;
  return {
    metadata: { name, uid, resourceVersion, creationTimestamp: createdAt },
    spec: {
      ...(podCIDRs === undefined ? {} : { podCIDRs }),
      ...(podCIDR === undefined ? {} : { podCIDR }),
      ...(providerID === undefined ? {} : { providerID }),
    },
    status: { addresses: addresses.map((address) => ({ type: 'InternalIP' as const, address })) },
  };
}

export const cidr = (text: string): Cidr => text as Cidr;

export function route(destination: string, nextHop: string, more: Partial<Route> = {}): Route {
  return { node: '', destination: cidr(destination), nextHop, ...more };
}

// The nodes of controllers.md, "Golden cases", Routes.
export const golden = {
  single: [
    node('node-1', { uid: '01', podCIDRs: ['10.120.0.0/24'], addresses: ['10.0.1.1'] }),
    node('node-2', { uid: '02', podCIDRs: ['10.120.1.0/24'], addresses: ['10.0.2.1'] }),
  ],
  dual: [
    node('node-3', { uid: '03', podCIDRs: ['10.120.0.0/24', 'a00:100::/24'], addresses: ['10.0.3.1'] }),
    node('node-4', { uid: '04', podCIDRs: ['10.120.1.0/24', 'a00:200::/24'], addresses: ['10.0.4.1'] }),
  ],
  clusterCidrs: [cidr('10.120.0.0/16'), cidr('a00::/8')],
} as const;
