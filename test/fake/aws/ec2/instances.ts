import type {
  DescribeInstancesRequest,
  DescribeNetworkInterfacesRequest,
  Instance as InstanceView,
  NetworkInterface as InterfaceView,
  ModifyInstanceAttributeRequest,
  ModifyNetworkInterfaceAttributeRequest,
} from '@aws-sdk/client-ec2';
import { type Cloud, interfacesAt, reachable, type Scope } from '../cloud.ts';
import { AwsError, invalidValue } from '../error.ts';
import type { Given } from '../given.ts';
import type { Instance, NetworkInterface } from '../records.ts';
import { select, tagValues, toTagSet } from './filters.ts';

const codes = { pending: 0, running: 16, 'shutting-down': 32, terminated: 48, stopping: 64, stopped: 80 } as const;

export function describeInstances({ cloud, atMs }: Scope, input: Given<DescribeInstancesRequest>): object {
  if (input.InstanceIds !== undefined && input.MaxResults !== undefined) {
    throw new AwsError(
      'InvalidParameterCombination',
      'The parameter instancesSet cannot be used with the parameter maxResults',
    );
  }
  const shownMs = atMs - cloud.settings.terminatedShownMs;
  const { items, next } = select({
    all: cloud.instances.values(atMs).filter(({ terminatedMs = Number.POSITIVE_INFINITY }) => terminatedMs > shownMs),
    idOf: ({ id }) => id,
    ids: input.InstanceIds,
    notFound: 'InvalidInstanceID.NotFound',
    pattern: /^i-[0-9a-f]+$/,
    malformed: 'InvalidInstanceID.Malformed',
    filters: input.Filters,
    maxResults: input.MaxResults,
    nextToken: input.NextToken,
    values: (instance, filter) => valuesOf(cloud, instance, filter, atMs),
  });
  return {
    Reservations: items.map((instance) => ({
      ReservationId: `r-${instance.id.slice('i-'.length)}`,
      OwnerId: cloud.account,
      Groups: [],
      Instances: [toInstance(cloud, instance, atMs)],
    })),
    ...(next === undefined ? {} : { NextToken: next }),
  };
}

function valuesOf(
  cloud: Cloud,
  instance: Instance,
  filter: string,
  atMs: number,
): readonly (string | undefined)[] | undefined {
  const { id, vpcId, subnetId, zone, type, state, privateDnsName, tags } = instance;
  switch (filter) {
    case 'instance-id':
      return [id];
    case 'vpc-id':
      return [vpcId];
    case 'subnet-id':
      return [subnetId];
    case 'availability-zone':
      return [zone];
    case 'instance-type':
      return [type];
    case 'instance-state-name':
      return [state];
    case 'private-dns-name':
      return [privateDnsName];
    case 'private-ip-address':
      return attached(cloud, instance, atMs).flatMap(({ addresses }) => addresses.slice(0, 1));
    case 'network-interface.addresses.private-ip-address':
      return attached(cloud, instance, atMs).flatMap(({ addresses }) => addresses);
    case 'network-interface.ipv6-addresses.ipv6-address':
      return attached(cloud, instance, atMs).flatMap(({ ipv6Addresses }) => ipv6Addresses);
    case 'instance.group-id':
    case 'network-interface.group-id':
      return attached(cloud, instance, atMs).flatMap(({ groups }) => groups);
    default:
      return tagValues(tags, filter);
  }
}

function attached({ interfaces }: Cloud, { interfaceIds }: Instance, atMs: number): readonly NetworkInterface[] {
  return interfaceIds.flatMap((id) => interfaces.get(id, atMs) ?? []);
}

function toInstance(cloud: Cloud, instance: Instance, atMs: number): InstanceView {
  const interfaces = attached(cloud, instance, atMs);
  const [primary] = interfaces;
  const { state, zone, privateDnsName, publicDnsName } = instance;
  const isGone = state === 'terminated';
  return {
    InstanceId: instance.id,
    InstanceType: instance.type as NonNullable<InstanceView['InstanceType']>,
    LaunchTime: cloud.dateOf(instance.launchMs),
    Placement: { AvailabilityZone: zone, Tenancy: 'default' },
    State: { Code: codes[state], Name: state },
    PrivateDnsName: isGone ? '' : privateDnsName,
    PublicDnsName: isGone ? '' : publicDnsName,
    ...(isGone || primary === undefined
      ? {}
      : {
          VpcId: instance.vpcId,
          SubnetId: instance.subnetId,
          PrivateIpAddress: primary.addresses[0] ?? '',
          ...(primary.publicIp === undefined ? {} : { PublicIpAddress: primary.publicIp }),
          ...(primary.ipv6Addresses[0] === undefined ? {} : { Ipv6Address: primary.ipv6Addresses[0] }),
          SourceDestCheck: primary.sourceDestCheck,
          SecurityGroups: groupsOf(cloud, primary),
        }),
    NetworkInterfaces: isGone ? [] : interfaces.map((one) => toInstanceInterface(cloud, one)),
    Tags: toTagSet(instance.tags),
  };
}

function toInstanceInterface(
  cloud: Cloud,
  one: NetworkInterface,
): NonNullable<InstanceView['NetworkInterfaces']>[number] {
  const { Association: _a, Attachment: _b, Groups, PrivateIpAddresses = [], ...view } = toInterface(cloud, one);
  return {
    NetworkInterfaceId: one.id,
    VpcId: one.vpcId,
    SubnetId: one.subnetId,
    OwnerId: cloud.account,
    Description: one.description,
    InterfaceType: one.type,
    Status: 'in-use',
    SourceDestCheck: one.sourceDestCheck,
    ...(view.PrivateIpAddress === undefined ? {} : { PrivateIpAddress: view.PrivateIpAddress }),
    PrivateDnsName: view.PrivateDnsName ?? '',
    PrivateIpAddresses,
    Ipv6Addresses: one.ipv6Addresses.map((Ipv6Address) => ({ Ipv6Address })),
    Groups: Groups ?? [],
    Attachment: {
      AttachmentId: `eni-attach-${one.id.slice(4)}`,
      DeviceIndex: one.deviceIndex ?? 0,
      Status: 'attached',
      DeleteOnTermination: true,
    },
    ...(one.publicIp === undefined ? {} : { Association: { PublicIp: one.publicIp, IpOwnerId: 'amazon' } }),
  };
}

export function describeNetworkInterfaces(
  { cloud, atMs }: Scope,
  input: Given<DescribeNetworkInterfacesRequest>,
): object {
  const { items, next } = select({
    all: interfacesAt(cloud, atMs),
    idOf: ({ id }) => id,
    ids: input.NetworkInterfaceIds,
    notFound: 'InvalidNetworkInterfaceID.NotFound',
    filters: input.Filters,
    maxResults: input.MaxResults,
    nextToken: input.NextToken,
    values(one, filter) {
      switch (filter) {
        case 'network-interface-id':
          return [one.id];
        case 'vpc-id':
          return [one.vpcId];
        case 'subnet-id':
          return [one.subnetId];
        case 'availability-zone':
          return [one.zone];
        case 'description':
          return [one.description];
        case 'group-id':
          return one.groups;
        case 'interface-type':
          return [one.type];
        case 'status':
          return [statusOf(one)];
        case 'requester-id':
          return [one.type === 'network_load_balancer' ? 'amazon-elb' : cloud.account];
        case 'attachment.instance-id':
          return [one.instanceId];
        case 'attachment.device-index':
          return [one.deviceIndex?.toString()];
        case 'attachment.status':
          return [statusOf(one) === 'in-use' ? 'attached' : 'detached'];
        case 'private-ip-address':
          return one.addresses.slice(0, 1);
        case 'addresses.private-ip-address':
          return one.addresses;
        case 'ipv6-addresses.ipv6-address':
          return one.ipv6Addresses;
        default:
          return tagValues(one.tags, filter);
      }
    },
  });
  return {
    NetworkInterfaces: items.map((one) => toInterface(cloud, one)),
    ...(next === undefined ? {} : { NextToken: next }),
  };
}

function statusOf({ type, instanceId }: NetworkInterface): 'in-use' | 'available' {
  return type === 'network_load_balancer' || instanceId !== undefined ? 'in-use' : 'available';
}

function toInterface(cloud: Cloud, one: NetworkInterface): InterfaceView {
  const { addresses, ipv6Addresses, instanceId, publicIp, type } = one;
  const isOurs = type !== 'network_load_balancer';
  const dns = instanceId === undefined ? undefined : cloud.instances.get(instanceId)?.privateDnsName;
  const association = publicIp === undefined ? {} : { Association: { PublicIp: publicIp, IpOwnerId: 'amazon' } };
  return {
    NetworkInterfaceId: one.id,
    VpcId: one.vpcId,
    SubnetId: one.subnetId,
    AvailabilityZone: one.zone,
    OwnerId: cloud.account,
    Description: one.description,
    InterfaceType: type,
    Status: statusOf(one),
    SourceDestCheck: one.sourceDestCheck,
    RequesterId: isOurs ? cloud.account : 'amazon-elb',
    RequesterManaged: !isOurs,
    ...(addresses[0] === undefined ? {} : { PrivateIpAddress: addresses[0] }),
    ...(dns === undefined ? {} : { PrivateDnsName: dns }),
    PrivateIpAddresses: addresses.map((PrivateIpAddress, index) => ({
      PrivateIpAddress,
      Primary: index === 0,
      ...(index === 0 && dns !== undefined ? { PrivateDnsName: dns } : {}),
      ...(index === 0 ? association : {}),
    })),
    Ipv6Addresses: ipv6Addresses.map((Ipv6Address) => ({ Ipv6Address })),
    Groups: groupsOf(cloud, one),
    ...(instanceId === undefined
      ? {}
      : {
          Attachment: {
            AttachmentId: `eni-attach-${one.id.slice('eni-'.length)}`,
            InstanceId: instanceId,
            InstanceOwnerId: cloud.account,
            DeviceIndex: one.deviceIndex ?? 0,
            Status: 'attached' as const,
            DeleteOnTermination: true,
          },
        }),
    ...association,
    TagSet: toTagSet(one.tags),
  };
}

function groupsOf({ securityGroups }: Cloud, { groups }: NetworkInterface): { GroupId: string; GroupName: string }[] {
  return groups.map((GroupId) => ({ GroupId, GroupName: securityGroups.get(GroupId)?.name ?? '' }));
}

/** Only what we change: the source/destination check and the groups of an instance with one interface. */
export function modifyInstanceAttribute(scope: Scope, input: Given<ModifyInstanceAttributeRequest>): object {
  const { InstanceId, SourceDestCheck, Groups, ...rest } = input;
  const other = Object.keys(rest)[0];
  if (other !== undefined) throw invalidValue(`${other} is not in the fake`);
  const instance = reachable(scope.cloud.instances, InstanceId, scope);
  if (instance === undefined || instance.state === 'terminated') {
    throw new AwsError('InvalidInstanceID.NotFound', `The instance ID '${InstanceId}' does not exist`);
  }
  const [only, ...more] = instance.interfaceIds;
  if (only === undefined || more.length > 0) {
    throw new AwsError(
      'InvalidInstanceID',
      `There are multiple interfaces attached to instance '${InstanceId}'. Please specify an interface ID for the operation instead.`,
    );
  }
  return changeInterface(scope, only, { SourceDestCheck, Groups });
}

export function modifyNetworkInterfaceAttribute(
  scope: Scope,
  input: Given<ModifyNetworkInterfaceAttributeRequest>,
): object {
  const { NetworkInterfaceId, SourceDestCheck, Groups, ...rest } = input;
  const other = Object.keys(rest)[0];
  if (other !== undefined) throw invalidValue(`${other} is not in the fake`);
  return changeInterface(scope, NetworkInterfaceId, { SourceDestCheck, Groups });
}

function changeInterface(
  scope: Scope,
  id: string,
  {
    SourceDestCheck,
    Groups,
  }: {
    readonly SourceDestCheck?: { readonly Value?: boolean | undefined } | undefined;
    readonly Groups?: readonly string[] | undefined;
  },
): object {
  const { interfaces, securityGroups } = scope.cloud;
  if ((SourceDestCheck === undefined) === (Groups === undefined)) {
    throw new AwsError('InvalidParameterCombination', 'Exactly one attribute is changed at a time');
  }
  const found = reachable(interfaces, id, scope);
  if (found === undefined)
    throw new AwsError('InvalidNetworkInterfaceID.NotFound', `The networkInterface ID '${id}' does not exist`);
  if (found.type === 'network_load_balancer') {
    throw new AwsError(
      'OperationNotPermitted',
      `You are not allowed to manage '${id}', which is managed by amazon-elb`,
    );
  }
  const unknown = Groups?.find((group) => securityGroups.get(group) === undefined);
  if (unknown !== undefined)
    throw new AwsError('InvalidGroup.NotFound', `The security group '${unknown}' does not exist`);
  interfaces.put(id, {
    ...found,
    ...(SourceDestCheck?.Value === undefined ? {} : { sourceDestCheck: SourceDestCheck.Value }),
    ...(Groups === undefined ? {} : { groups: Groups }),
  });
  return {};
}
