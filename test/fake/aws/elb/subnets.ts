import type { AvailabilityZone, SubnetMapping } from '@aws-sdk/client-elastic-load-balancing-v2';
import type { Cloud, Scope } from '../cloud.ts';
import { AwsError, invalid } from '../error.ts';
import type { Given } from '../given.ts';
import { isWithin } from '../net.ts';
import type { LoadBalancer, Mapping, Subnet } from '../records.ts';

/** AWS keeps so many addresses of each subnet free for a load balancer. */
const FREE_ADDRESSES = 8;

export interface Placement {
  readonly mappings: readonly Mapping[];
  readonly vpcId: string;
}
export interface PlacementRules {
  readonly scheme: LoadBalancer['scheme'];
  readonly ipAddressType: LoadBalancer['ipAddressType'];
  readonly sourceNat: LoadBalancer['sourceNat'];
  /** The load balancer that moves: its addresses are its own. */
  readonly own?: LoadBalancer;
}

/** The rules of subnets and addresses that CreateLoadBalancer and SetSubnets share. */
export function placementOf(
  { cloud }: Scope,
  {
    Subnets,
    SubnetMappings,
  }: {
    readonly Subnets?: readonly string[] | undefined;
    readonly SubnetMappings?: readonly Given<SubnetMapping>[] | undefined;
  },
  rules: PlacementRules,
): Placement {
  if ((Subnets === undefined) === (SubnetMappings === undefined)) {
    throw invalid('You must specify either subnets or subnet mappings, but not both');
  }
  const mappings = SubnetMappings?.map(toMapping) ?? (Subnets ?? []).map((subnetId) => ({ subnetId }));
  if (mappings.length === 0) throw invalid('At least one subnet must be specified');
  const subnets = mappings.map(({ subnetId }) => {
    const subnet = cloud.subnets.get(subnetId);
    if (subnet === undefined) {
      throw new AwsError('SubnetNotFound', `The subnet ID '${subnetId}' does not exist`);
    }
    return subnet;
  });
  checkZones(cloud, subnets);
  const [first] = subnets;
  const vpcId = first?.vpcId ?? '';
  if (subnets.some((subnet) => subnet.vpcId !== vpcId)) throw invalidConfiguration('All subnets must be of one VPC');
  for (const [index, subnet] of subnets.entries()) checkAddresses(cloud, mappings[index] as Mapping, subnet, rules);
  if (rules.scheme === 'internet-facing' && !hasInternetGateway(cloud, vpcId)) {
    throw new AwsError('InvalidSubnet', `VPC ${vpcId} has no internet gateway`);
  }
  return { mappings, vpcId };
}

function toMapping(given: Given<SubnetMapping>): Mapping {
  const { SubnetId, AllocationId, PrivateIPv4Address, IPv6Address, SourceNatIpv6Prefix } = given;
  if (SubnetId === undefined) throw invalid('SubnetId is required in each subnet mapping');
  return {
    subnetId: SubnetId,
    ...(AllocationId === undefined ? {} : { allocationId: AllocationId }),
    ...(PrivateIPv4Address === undefined ? {} : { privateIpv4: PrivateIPv4Address }),
    ...(IPv6Address === undefined ? {} : { ipv6: IPv6Address }),
    ...(SourceNatIpv6Prefix === undefined ? {} : { sourceNatPrefix: SourceNatIpv6Prefix }),
  };
}

function checkZones({ zones }: Cloud, subnets: readonly Subnet[]): void {
  const seen = new Set<string>();
  for (const { zone } of subnets) {
    if (seen.has(zone)) {
      throw invalidConfiguration(
        `A load balancer cannot be attached to multiple subnets in the same Availability Zone: ${zone}`,
      );
    }
    seen.add(zone);
  }
  const types = new Set(subnets.map(({ zone }) => zones.find(({ name }) => name === zone)?.type));
  if (types.size > 1) throw invalidConfiguration('All subnets must be of zones of one type');
}

function checkAddresses(cloud: Cloud, mapping: Mapping, subnet: Subnet, rules: PlacementRules): void {
  const { subnetId, allocationId, privateIpv4, ipv6, sourceNatPrefix } = mapping;
  const { scheme, ipAddressType, sourceNat, own } = rules;
  const isNew = own?.mappings.every((old) => old.subnetId !== subnetId) ?? true;
  if (isNew && subnet.available < FREE_ADDRESSES) {
    throw new AwsError(
      'InvalidSubnet',
      `Not enough IP space available in ${subnetId}. ELB requires at least ${FREE_ADDRESSES} free IP addresses in each subnet.`,
    );
  }
  if (ipAddressType === 'dualstack' && subnet.ipv6Cidr === undefined) {
    throw new AwsError('InvalidSubnet', `The subnet ${subnetId} has no IPv6 CIDR block`);
  }
  if (allocationId !== undefined) {
    if (scheme !== 'internet-facing') {
      throw invalidConfiguration('Elastic IP addresses are for internet-facing load balancers only');
    }
    const address = cloud.addresses.get(allocationId);
    if (address === undefined) {
      throw new AwsError('AllocationIdNotFound', `The allocation IDs '${allocationId}' do not exist`);
    }
    if (address.usedBy !== undefined && address.usedBy !== own?.arn) {
      throw new AwsError('ResourceInUse', `The allocation ID ${allocationId} is in use`);
    }
  }
  if (privateIpv4 !== undefined) {
    if (scheme !== 'internal') throw invalidConfiguration('Private addresses are for internal load balancers only');
    if (!isWithin(privateIpv4, [subnet.cidr])) {
      throw invalidConfiguration(`The address ${privateIpv4} is not in the range of ${subnetId}`);
    }
  }
  if (ipv6 !== undefined && (ipAddressType !== 'dualstack' || !isWithin(ipv6, [subnet.ipv6Cidr ?? '::/128']))) {
    throw invalidConfiguration(
      `The address ${ipv6} is not in the range of ${subnetId}, or the load balancer is not dualstack`,
    );
  }
  if (sourceNatPrefix !== undefined && sourceNat !== 'on') {
    throw invalidConfiguration('SourceNatIpv6Prefix is only for load balancers with EnablePrefixForIpv6SourceNat on');
  }
}

function hasInternetGateway({ routeTables }: Cloud, vpcId: string): boolean {
  return routeTables
    .values()
    .some(
      (table) =>
        table.vpcId === vpcId &&
        table.routes.some(({ target }) => 'gatewayId' in target && target.gatewayId.startsWith('igw-')),
    );
}

export function invalidConfiguration(message: string): AwsError {
  return new AwsError('InvalidConfigurationRequest', message);
}

/** As DescribeLoadBalancers shows it. */
export function toZones({ subnets, addresses }: Cloud, mappings: readonly Mapping[]): AvailabilityZone[] {
  return mappings.map(({ subnetId, allocationId, privateIpv4, ipv6, sourceNatPrefix }) => {
    const publicIp = allocationId === undefined ? undefined : addresses.get(allocationId)?.publicIp;
    const address = {
      ...(publicIp === undefined ? {} : { IpAddress: publicIp }),
      ...(allocationId === undefined ? {} : { AllocationId: allocationId }),
      ...(privateIpv4 === undefined ? {} : { PrivateIPv4Address: privateIpv4 }),
      ...(ipv6 === undefined ? {} : { IPv6Address: ipv6 }),
    };
    const zone = subnets.get(subnetId)?.zone;
    return {
      ...(zone === undefined ? {} : { ZoneName: zone }),
      SubnetId: subnetId,
      LoadBalancerAddresses: Object.keys(address).length === 0 ? [] : [address],
      ...(sourceNatPrefix === undefined ? {} : { SourceNatIpv6Prefixes: [sourceNatPrefix] }),
    };
  });
}
