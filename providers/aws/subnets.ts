import { compareText } from '../../src/core/equal.ts';
import { failure } from '../../src/core/errors.ts';
import { PREFIX } from './annotation-table.ts';
import type { AddressType, Desired, Facts, Scheme, SubnetFacts } from './model.ts';
import { clusterTag } from './names.ts';

/** A Network Load Balancer takes up to so many addresses per subnet. */
const MIN_FREE_ADDRESSES = 8;
const ROLE: Readonly<Record<Scheme, string>> = {
  'internet-facing': 'kubernetes.io/role/elb',
  internal: 'kubernetes.io/role/internal-elb',
};
const CLUSTER_PREFIX = 'kubernetes.io/cluster/';
const FIELD = `${PREFIX}subnets`;

/** What selection needs of a subnet later on. CIDRs are absent for one that the facts do not know (yet). */
export type Subnet = Pick<SubnetFacts, 'id'> & Partial<Pick<SubnetFacts, 'cidr' | 'ipv6Cidr'>>;

export interface SubnetWish {
  readonly wish: Desired['subnets'];
  readonly scheme: Scheme;
  readonly ipAddressType: AddressType;
  /** Subnets of the load balancer there is, if it has this scheme. */
  readonly existing: readonly string[] | undefined;
  readonly cluster: string;
}

/**
 * By annotation in its order; else those that the load balancer has, sorted by id: a subnet that is tagged later must not
 * move anything; else by discovery, sorted by id. Throws FL_AWS_SUBNET, which says what is wrong with which.
 */
export function selectSubnets(facts: Facts, wish: SubnetWish): readonly Subnet[] {
  const chosen = wish.wish === 'discover' ? kept(facts, wish) : named(facts, wish.wish);
  if (wish.ipAddressType === 'dualstack') {
    const without = chosen.find(({ cidr, ipv6Cidr }) => cidr !== undefined && ipv6Cidr === undefined);
    if (without !== undefined) throw wrong(`${without.id} has no IPv6 CIDR, which ${PREFIX}ip-address-type asks for`);
  }
  return chosen;
}

function named({ subnets, vpcId }: Facts, names: readonly string[]): readonly Subnet[] {
  const chosen = names.map((name) => {
    const found = subnets.filter(({ id, tags }) => (name.startsWith('subnet-') ? id === name : tags['Name'] === name));
    const [subnet, other] = found.filter((each) => each.vpcId === vpcId);
    if (other !== undefined) throw wrong(`${name} is the Name tag of several subnets; give their ids`);
    if (subnet !== undefined) return subnet;
    throw wrong(found.length > 0 ? `${name} is in another VPC than ${vpcId}` : `${name} does not exist in ${vpcId}`);
  });
  const byZone = Map.groupBy(chosen, ({ zone }) => zone);
  for (const [zone, same] of byZone) {
    const [first, second] = same;
    if (second === undefined) continue;
    throw wrong(`${first?.id} and ${second.id} are both in zone ${zone}; there may be one per zone`);
  }
  const types = [...new Set(chosen.map(({ zoneType }) => zoneType))];
  if (types.length > 1) throw wrong(`they are of several kinds of zone: ${types.join(', ')}`);
  return chosen;
}

function kept(facts: Facts, wish: SubnetWish): readonly Subnet[] {
  const { existing } = wish;
  if (existing === undefined || existing.length === 0) return discovered(facts, wish);
  return [...existing].sort(compareText).map((id) => facts.subnets.find((subnet) => subnet.id === id) ?? { id });
}

/** Tagged ones of this VPC; where none is tagged those that can be reached as the scheme demands. */
function discovered(facts: Facts, { scheme, ipAddressType, cluster }: SubnetWish): readonly Subnet[] {
  const inVpc = facts.subnets.filter(({ vpcId }) => vpcId === facts.vpcId);
  const tagged = inVpc.filter(({ tags }) => ['', '1'].includes(tags[ROLE[scheme]] ?? 'no'));
  const candidates =
    tagged.length > 0 ? tagged : inVpc.filter(({ isPublic }) => isPublic === (scheme === 'internet-facing'));
  const left = new Map<string, string>(); // subnet -> why it does not count
  for (const subnet of candidates) {
    const why = reasonAgainst(subnet, cluster, ipAddressType);
    if (why !== undefined) left.set(subnet.id, why);
  }
  const usable = candidates.filter(({ id }) => !left.has(id));
  const inZones = usable.filter(({ zoneType }) => zoneType === 'availability-zone');
  const perZone = Map.groupBy(inZones.length > 0 ? inZones : usable, ({ zone }) => zone);
  const chosen = [...perZone.values()].flatMap((same) => [...same].sort(byPreference(cluster)).slice(0, 1));
  if (chosen.length > 0) return chosen.sort((a, b) => compareText(a.id, b.id));
  const reasons = [...left].map(([id, why]) => `${id} ${why}`).join(', ');
  const how = `tag some ${ROLE[scheme]} or name them by ${FIELD}`;
  throw failure(
    'FL_AWS_SUBNET',
    candidates.length === 0
      ? `${facts.vpcId} has no subnet for an ${scheme} load balancer: ${how}`
      : `${facts.vpcId} has no usable subnet for an ${scheme} load balancer: ${reasons}; ${how}`,
    { field: FIELD },
  );
}

function reasonAgainst(subnet: SubnetFacts, cluster: string, ipAddressType: AddressType): string | undefined {
  const clusters = Object.keys(subnet.tags).filter((key) => key.startsWith(CLUSTER_PREFIX));
  if (clusters.length > 0 && !clusters.includes(clusterTag(cluster))) return 'is tagged for other clusters';
  if (subnet.freeAddresses < MIN_FREE_ADDRESSES) return `has ${subnet.freeAddresses} free addresses of the 8 needed`;
  if (ipAddressType === 'dualstack' && subnet.ipv6Cidr === undefined) return 'has no IPv6 CIDR';
  return undefined;
}

function byPreference(cluster: string): (a: SubnetFacts, b: SubnetFacts) => number {
  const rank = ({ tags }: SubnetFacts): number => (Object.hasOwn(tags, clusterTag(cluster)) ? 0 : 1);
  return (a, b) => rank(a) - rank(b) || compareText(a.id, b.id);
}

function wrong(message: string): Error {
  return failure('FL_AWS_SUBNET', `${FIELD}: ${message}`, { field: FIELD });
}
