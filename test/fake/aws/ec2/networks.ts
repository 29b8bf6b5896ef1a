import type {
  DescribeAccountAttributesRequest,
  DescribeAddressesRequest,
  DescribeAvailabilityZonesRequest,
  DescribeSubnetsRequest,
  DescribeVpcsRequest,
  Subnet as SubnetView,
  Vpc as VpcView,
} from '@aws-sdk/client-ec2';
import type { Cloud, Scope } from '../cloud.ts';
import { invalidValue } from '../error.ts';
import type { Given } from '../given.ts';
import { select, tagValues, toTagSet } from './filters.ts';

export function describeVpcs({ cloud, atMs }: Scope, input: Given<DescribeVpcsRequest>): object {
  const { items, next } = select({
    all: cloud.vpcs.values(atMs),
    idOf: ({ id }) => id,
    ids: input.VpcIds,
    notFound: 'InvalidVpcID.NotFound',
    filters: input.Filters,
    maxResults: input.MaxResults,
    nextToken: input.NextToken,
    values({ id, cidrs, tags }, filter) {
      switch (filter) {
        case 'vpc-id':
          return [id];
        case 'cidr':
        case 'cidr-block-association.cidr-block':
          return cidrs;
        case 'is-default':
        case 'isDefault':
          return ['false'];
        case 'state':
          return ['available'];
        default:
          return tagValues(tags, filter);
      }
    },
  });
  const Vpcs = items.map(
    ({ id, cidrs, ipv6Cidrs, tags }): VpcView => ({
      VpcId: id,
      OwnerId: cloud.account,
      State: 'available',
      IsDefault: false,
      InstanceTenancy: 'default',
      DhcpOptionsId: 'dopt-1',
      CidrBlock: cidrs[0] ?? '',
      CidrBlockAssociationSet: cidrs.map((CidrBlock, index) => ({
        AssociationId: `vpc-cidr-assoc-${id}-${index}`,
        CidrBlock,
        CidrBlockState: { State: 'associated' },
      })),
      Ipv6CidrBlockAssociationSet: ipv6Cidrs.map((Ipv6CidrBlock, index) => ({
        AssociationId: `vpc-cidr-assoc-${id}-v6-${index}`,
        Ipv6CidrBlock,
        Ipv6CidrBlockState: { State: 'associated' },
      })),
      Tags: toTagSet(tags),
    }),
  );
  return { Vpcs, ...(next === undefined ? {} : { NextToken: next }) };
}

export function describeSubnets({ cloud, atMs }: Scope, input: Given<DescribeSubnetsRequest>): object {
  const { items, next } = select({
    all: cloud.subnets.values(atMs),
    idOf: ({ id }) => id,
    ids: input.SubnetIds,
    notFound: 'InvalidSubnetID.NotFound',
    filters: input.Filters,
    maxResults: input.MaxResults,
    nextToken: input.NextToken,
    values({ id, vpcId, zone, cidr, ipv6Cidr, tags }, filter) {
      switch (filter) {
        case 'subnet-id':
          return [id];
        case 'vpc-id':
          return [vpcId];
        case 'availability-zone':
        case 'availabilityZone':
          return [zone];
        case 'availability-zone-id':
          return [zoneId(cloud, zone)];
        case 'cidr-block':
        case 'cidr':
          return [cidr];
        case 'ipv6-cidr-block-association.ipv6-cidr-block':
          return [ipv6Cidr];
        case 'state':
          return ['available'];
        default:
          return tagValues(tags, filter);
      }
    },
  });
  const Subnets = items.map(
    ({ id, vpcId, zone, cidr, ipv6Cidr, available, tags }): SubnetView => ({
      SubnetId: id,
      VpcId: vpcId,
      OwnerId: cloud.account,
      SubnetArn: `arn:aws:ec2:${cloud.region}:${cloud.account}:subnet/${id}`,
      State: 'available',
      AvailabilityZone: zone,
      ...idOfZone(cloud, zone),
      AvailableIpAddressCount: available,
      CidrBlock: cidr,
      DefaultForAz: false,
      MapPublicIpOnLaunch: false,
      AssignIpv6AddressOnCreation: false,
      Ipv6Native: false,
      Ipv6CidrBlockAssociationSet:
        ipv6Cidr === undefined
          ? []
          : [
              {
                AssociationId: `subnet-cidr-assoc-${id}`,
                Ipv6CidrBlock: ipv6Cidr,
                Ipv6CidrBlockState: { State: 'associated' },
              },
            ],
      Tags: toTagSet(tags),
    }),
  );
  return { Subnets, ...(next === undefined ? {} : { NextToken: next }) };
}

function zoneId({ zones }: Cloud, zone: string): string | undefined {
  return zones.find(({ name }) => name === zone)?.id;
}

function idOfZone(cloud: Cloud, zone: string): { AvailabilityZoneId?: string } {
  const id = zoneId(cloud, zone);
  return id === undefined ? {} : { AvailabilityZoneId: id };
}

export function describeAvailabilityZones({ cloud }: Scope, input: Given<DescribeAvailabilityZonesRequest>): object {
  const { region, zones } = cloud;
  const unknown = input.ZoneNames?.find((name) => !zones.some((zone) => zone.name === name));
  if (unknown !== undefined) throw invalidValue(`Invalid availability zone: [${unknown}]`);
  const { items } = select({
    all: zones.filter(
      ({ name, id }) => (input.ZoneNames?.includes(name) ?? true) && (input.ZoneIds?.includes(id) ?? true),
    ),
    idOf: ({ name }) => name,
    notFound: 'InvalidParameterValue',
    filters: input.Filters,
    values({ name, id, type }, filter) {
      switch (filter) {
        case 'zone-name':
          return [name];
        case 'zone-id':
          return [id];
        case 'zone-type':
          return [type];
        case 'region-name':
          return [region];
        case 'state':
          return ['available'];
        case 'opt-in-status':
          return [type === 'availability-zone' ? 'opt-in-not-required' : 'opted-in'];
        default:
          return undefined;
      }
    },
  });
  return {
    AvailabilityZones: items.map(({ name, id, type }) => ({
      ZoneName: name,
      ZoneId: id,
      ZoneType: type,
      RegionName: region,
      GroupName: region,
      State: 'available',
      OptInStatus: type === 'availability-zone' ? 'opt-in-not-required' : 'opted-in',
      Messages: [],
    })),
  };
}

export function describeAddresses({ cloud, atMs }: Scope, input: Given<DescribeAddressesRequest>): object {
  const { items } = select({
    all: cloud.addresses.values(atMs),
    idOf: ({ allocationId }) => allocationId,
    ids: input.AllocationIds,
    notFound: 'InvalidAllocationID.NotFound',
    filters: input.Filters,
    values({ allocationId, publicIp, tags }, filter) {
      switch (filter) {
        case 'allocation-id':
          return [allocationId];
        case 'public-ip':
          return [publicIp];
        case 'domain':
          return ['vpc'];
        default:
          return tagValues(tags, filter);
      }
    },
  });
  return {
    Addresses: items.map(({ allocationId, publicIp, usedBy, tags }) => ({
      AllocationId: allocationId,
      PublicIp: publicIp,
      Domain: 'vpc',
      ...(usedBy === undefined ? {} : { AssociationId: `eipassoc-${allocationId.slice('eipalloc-'.length)}` }),
      Tags: toTagSet(tags),
    })),
  };
}

export function describeAccountAttributes({ cloud }: Scope, input: Given<DescribeAccountAttributesRequest>): object {
  const { quotas } = cloud.settings;
  const attributes: Readonly<Record<string, string>> = {
    'supported-platforms': 'VPC',
    'default-vpc': 'none',
    'vpc-max-security-groups-per-interface': String(quotas.securityGroupsPerLoadBalancer),
    'max-instances': '20',
    'vpc-max-elastic-ips': '5',
  };
  return {
    AccountAttributes: Object.entries(attributes)
      .filter(([name]) => input.AttributeNames?.includes(name as never) ?? true)
      .map(([AttributeName, AttributeValue]) => ({ AttributeName, AttributeValues: [{ AttributeValue }] })),
  };
}
