import type { Node, Taint } from '../../../src/core/objects.ts';
import type { Instance, NodeAddress } from '../../../src/core/provider.ts';

export const uninitialized: Taint = {
  key: 'node.cloudprovider.kubernetes.io/uninitialized',
  value: 'true',
  effect: 'NoSchedule',
};
export const shutdown: Taint = { key: 'node.cloudprovider.kubernetes.io/shutdown', effect: 'NoSchedule' };

export interface NodeParts {
  readonly name?: string;
  readonly uid?: string;
  readonly providerID?: string;
  readonly taints?: readonly Taint[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly addresses?: readonly NodeAddress[];
  /** Absent: no condition Ready. */
  readonly ready?: 'True' | 'False' | 'Unknown';
  readonly podCIDRs?: readonly string[];
  readonly deleting?: true;
  readonly created?: string;
}

/** node0 of 2012, as the reference's tests have it. */
export function nodeOf(parts: NodeParts = {}): Node {
  const { name = 'node0', uid = `uid-${name}`, providerID, taints, labels, annotations, addresses, ready } = parts;
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name,
      uid,
      resourceVersion: '7',
      creationTimestamp: parts.created ?? '2012-01-01T00:00:00Z',
      ...(labels === undefined ? {} : { labels }),
      ...(annotations === undefined ? {} : { annotations }),
      ...(parts.deleting === undefined ? {} : { deletionTimestamp: '2012-01-02T00:00:00Z' }),
    },
    spec: {
      ...(providerID === undefined ? {} : { providerID }),
      ...(taints === undefined ? {} : { taints }),
      ...(parts.podCIDRs === undefined ? {} : { podCIDRs: parts.podCIDRs }),
    },
    status: {
      ...(addresses === undefined ? {} : { addresses }),
      ...(ready === undefined ? {} : { conditions: [{ type: 'Ready', status: ready }] }),
    },
  };
}

export const cloudAddresses: readonly NodeAddress[] = [
  { type: 'Hostname', address: 'node0.cloud.internal' },
  { type: 'InternalIP', address: '10.0.0.1' },
  { type: 'ExternalIP', address: '132.143.154.163' },
];

export function instanceOf(parts: Partial<Instance> = {}): Instance {
  return {
    providerId: 'fake://12345',
    type: '',
    zone: '',
    region: '',
    addresses: cloudAddresses,
    shutdown: false,
    ...parts,
  };
}

const kinds = { I: 'InternalIP', E: 'ExternalIP', D: 'InternalDNS', X: 'ExternalDNS', H: 'Hostname' } as const;

/** 'I 10.0.0.1, H node0': internal, external, internal and external DNS, hostname. */
export function addressesIn(text: string): readonly NodeAddress[] {
  return text === ''
    ? []
    : text.split(', ').map((part) => {
        const [kind = '', address = ''] = part.split(' ');
        return { type: kinds[kind as keyof typeof kinds], address };
      });
}

export const textOf = (addresses: readonly NodeAddress[] | undefined): string =>
  (addresses ?? [])
    .map(({ type, address }) => `${Object.entries(kinds).find(([, name]) => name === type)?.[0]} ${address}`)
    .join(', ');
