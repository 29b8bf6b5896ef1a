import type { Facts, Observed, Settings, SubnetFacts } from '../../../providers/aws/model.ts';
import { createNeeds } from '../../../providers/aws/needs.ts';
import type { Cidr } from '../../../src/core/provider.ts';

export const settings: Settings = {
  cluster: 'my-cluster',
  defaultScheme: 'internal',
  defaultTargetType: 'instance',
  securityGroups: true,
  backendSecurityGroup: 'auto',
  restrictedRules: true,
  tcpUdp: true,
  defaultSslPolicy: 'ELBSecurityPolicy-2016-08',
  defaultTags: {},
  externalManagedTags: [],
  adoptLbc: false,
  waitForHealthyTarget: false,
  allowOutsideVpc: false,
};

/** A subnet that discovery takes for either scheme, unless told otherwise. */
export function subnet(id: string, cidr: string, more: Partial<SubnetFacts> = {}): SubnetFacts {
  return {
    id,
    vpcId: 'vpc-xxx',
    zone: `zone-of-${id}`,
    zoneType: 'availability-zone',
    cidr: cidr as Cidr,
    freeAddresses: 100,
    tags: { 'kubernetes.io/role/elb': '1', 'kubernetes.io/role/internal-elb': '1' },
    isPublic: true,
    ...more,
  };
}

export function facts(more: Partial<Facts> = {}): Facts {
  return {
    vpcId: 'vpc-xxx',
    vpcCidrs: ['192.168.0.0/16' as Cidr],
    subnets: [subnet('subnet-1', '192.168.0.0/19'), subnet('subnet-2', '192.168.32.0/19')],
    securityGroups: [],
    interfaces: new Map(),
    limits: {},
    counts: { loadBalancers: 0, targetGroups: 0 },
    ...more,
  };
}

/** Nothing of ours there. */
export function emptyWorld(more: Partial<Observed> = {}): Observed {
  return {
    uid: 'uid',
    nowMs: 1_000_000_000,
    startedMs: 0,
    loadBalancers: [],
    targetGroups: [],
    securityGroups: [],
    names: { loadBalancers: new Map(), targetGroups: new Map(), securityGroups: new Map() },
    shared: { backend: { users: 0, wanted: false }, nodeGroups: new Map(), needs: createNeeds(), complete: true },
    facts: facts(),
    ...more,
  };
}
