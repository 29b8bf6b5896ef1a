/** AWS's answers in the words of model.ts. Pure. */
import type { Tag as Ec2Tag, IpPermission, SecurityGroup, Subnet } from '@aws-sdk/client-ec2';
import type {
  Tag as ElbTag,
  Listener,
  LoadBalancer,
  TargetGroup,
  TargetHealthDescription,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { parseCidr } from '../../src/core/net/cidr.ts';
import { canonicalIp } from '../../src/core/net/ip.ts';
import type { Cidr } from '../../src/core/provider.ts';
import type {
  Attributes,
  Health,
  ObservedListener,
  ObservedLoadBalancer,
  ObservedRule,
  ObservedSecurityGroup,
  ObservedTarget,
  ObservedTargetGroup,
  SubnetFacts,
  SubnetMapping,
  Tags,
} from './model.ts';

/** Of either service; sorted by key. */
export function tagsOf(tags: readonly (ElbTag | Ec2Tag)[] | undefined): Tags {
  return recordOf((tags ?? []).map(({ Key = '', Value = '' }) => [Key, Value] as const));
}

export function attributesOf(
  attributes: readonly { readonly Key?: string | undefined; readonly Value?: string | undefined }[] | undefined,
): Attributes {
  return recordOf((attributes ?? []).map(({ Key = '', Value = '' }) => [Key, Value] as const));
}

/** What the list says of a load balancer; the rest is unread. */
export function loadBalancerOf(row: LoadBalancer, tags: Tags): ObservedLoadBalancer {
  const { EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic: enforce, EnablePrefixForIpv6SourceNat: sourceNat } =
    row;
  return {
    arn: row.LoadBalancerArn ?? '',
    name: row.LoadBalancerName ?? '',
    dnsName: row.DNSName ?? '',
    scheme: row.Scheme === 'internet-facing' ? 'internet-facing' : 'internal',
    ipAddressType: row.IpAddressType === 'dualstack' ? 'dualstack' : 'ipv4',
    state: row.State?.Code ?? 'provisioning',
    ...(row.State?.Reason === undefined || row.State.Reason === '' ? {} : { stateReason: row.State.Reason }),
    ...(row.CreatedTime === undefined ? {} : { createdMs: row.CreatedTime.getTime() }),
    subnets: (row.AvailabilityZones ?? []).map(subnetMappingOf).sort((a, b) => (a.id < b.id ? -1 : 1)),
    securityGroups: (row.SecurityGroups ?? []).toSorted(),
    ...(sourceNat === 'on' || sourceNat === 'off' ? { sourceNat } : {}),
    ...(enforce === 'on' || enforce === 'off' ? { enforcePrivateLink: enforce } : {}),
    tags,
    attributes: 'unread',
    capacityUnits: 'unread',
    listeners: 'unread',
  };
}

function subnetMappingOf(zone: NonNullable<LoadBalancer['AvailabilityZones']>[number]): SubnetMapping {
  const [address] = zone.LoadBalancerAddresses ?? [];
  const [prefix] = zone.SourceNatIpv6Prefixes ?? [];
  return {
    id: zone.SubnetId ?? '',
    ...(address?.AllocationId === undefined ? {} : { eip: address.AllocationId }),
    ...(address?.PrivateIPv4Address === undefined ? {} : { privateIpv4: address.PrivateIPv4Address }),
    ...(address?.IPv6Address === undefined ? {} : { ipv6: canonicalIp(address.IPv6Address) ?? address.IPv6Address }),
    ...(prefix === undefined ? {} : { sourceNatPrefix: prefix }),
  };
}

export function targetGroupOf(row: TargetGroup, tags: Tags): ObservedTargetGroup {
  return {
    arn: row.TargetGroupArn ?? '',
    name: row.TargetGroupName ?? '',
    targetType: row.TargetType === 'ip' ? 'ip' : 'instance',
    protocol: (row.Protocol ?? 'TCP') as ObservedTargetGroup['protocol'],
    port: row.Port ?? 0,
    ipAddressType: row.IpAddressType === 'ipv6' ? 'ipv6' : 'ipv4',
    health: healthOf(row),
    loadBalancers: (row.LoadBalancerArns ?? []).toSorted(),
    tags,
    attributes: 'unread',
    targets: 'unread',
  };
}

function healthOf(row: TargetGroup): Health {
  const protocol = (row.HealthCheckProtocol ?? 'TCP') as Health['protocol'];
  const { HttpCode: codes } = row.Matcher ?? {};
  const isHttp = protocol !== 'TCP';
  return {
    protocol,
    port: row.HealthCheckPort ?? 'traffic-port',
    interval: row.HealthCheckIntervalSeconds ?? 30,
    timeout: row.HealthCheckTimeoutSeconds ?? 10,
    healthy: row.HealthyThresholdCount ?? 3,
    unhealthy: row.UnhealthyThresholdCount ?? 3,
    ...(isHttp && row.HealthCheckPath !== undefined ? { path: row.HealthCheckPath } : {}),
    ...(isHttp && codes !== undefined ? { codes } : {}),
  };
}

/** Tags and attributes are asked for apart; certificates beyond the default one, too, where there can be any. */
export function listenerOf(row: Listener): ObservedListener {
  const protocol = (row.Protocol ?? 'TCP') as ObservedListener['protocol'];
  const [alpnPolicy] = row.AlpnPolicy ?? [];
  return {
    arn: row.ListenerArn ?? '',
    port: row.Port ?? 0,
    protocol,
    ...(row.SslPolicy === undefined || protocol !== 'TLS' ? {} : { sslPolicy: row.SslPolicy }),
    certificates: protocol === 'TLS' ? 'unread' : [],
    ...(alpnPolicy === undefined ? {} : { alpnPolicy }),
    forward: forwardOf(row),
    tags: 'unread',
    attributes: 'unread',
  };
}

function forwardOf({ DefaultActions = [] }: Listener): ObservedListener['forward'] {
  return DefaultActions.flatMap(({ TargetGroupArn, ForwardConfig }) => {
    const groups = ForwardConfig?.TargetGroups ?? [];
    if (groups.length === 0) return TargetGroupArn === undefined ? [] : [{ arn: TargetGroupArn }];
    return groups.map(({ TargetGroupArn: arn = '', Weight: weight }) => ({
      arn,
      ...(weight === undefined ? {} : { weight }),
    }));
  });
}

export function targetOf({ Target, TargetHealth }: TargetHealthDescription): ObservedTarget {
  const { Id = '', Port = 0, AvailabilityZone: zone } = Target ?? {};
  return {
    id: canonicalIp(Id) ?? Id,
    port: Port,
    // Of instances and addresses of the VPC it is no choice of ours.
    ...(zone === 'all' ? { zone } : {}),
    state: TargetHealth?.State ?? 'unavailable',
    ...(TargetHealth?.Reason === undefined ? {} : { reason: TargetHealth.Reason }),
  };
}

export function securityGroupOf(row: SecurityGroup): ObservedSecurityGroup {
  return {
    id: row.GroupId ?? '',
    name: row.GroupName ?? '',
    vpcId: row.VpcId ?? '',
    tags: tagsOf(row.Tags),
    rules: (row.IpPermissions ?? []).flatMap(rulesOf),
  };
}

/** EC2 folds the sources of one protocol and port range into one permission; here each is a rule. */
export function rulesOf(permission: IpPermission): readonly ObservedRule[] {
  const { FromPort: from = -1, ToPort: to = -1, IpProtocol = '-1' } = permission;
  const base = { protocol: protocolOf(IpProtocol), from, to };
  const said = (Description: string | undefined) => ({ description: Description ?? '' });
  return [
    ...(permission.IpRanges ?? []).map(({ CidrIp = '', Description }) => ({
      ...base,
      source: { cidr: cidrOf(CidrIp) },
      ...said(Description),
    })),
    ...(permission.Ipv6Ranges ?? []).map(({ CidrIpv6 = '', Description }) => ({
      ...base,
      source: { cidr: cidrOf(CidrIpv6) },
      ...said(Description),
    })),
    ...(permission.PrefixListIds ?? []).map(({ PrefixListId = '', Description }) => ({
      ...base,
      source: { prefixList: PrefixListId },
      ...said(Description),
    })),
    ...(permission.UserIdGroupPairs ?? []).map(({ GroupId = '', Description }) => ({
      ...base,
      source: { group: GroupId },
      ...said(Description),
    })),
  ];
}

/** EC2 knows ICMPv6 by name and by number. */
const protocolOf = (text: string): string => (text === '58' ? 'icmpv6' : text);

/** By its network, as EC2 keeps it; what is none stays as it is, and equals nothing of ours. */
const cidrOf = (text: string): Cidr => parseCidr(text) ?? (text as Cidr);

export function subnetOf(row: Subnet, region: string, isPublic: boolean): SubnetFacts {
  const ipv6 = (row.Ipv6CidrBlockAssociationSet ?? []).find(({ Ipv6CidrBlockState }) =>
    isAssociated(Ipv6CidrBlockState),
  );
  const zone = row.AvailabilityZone ?? '';
  return {
    id: row.SubnetId ?? '',
    vpcId: row.VpcId ?? '',
    zone,
    zoneType: row.OutpostArn === undefined || row.OutpostArn === '' ? zoneTypeOf(zone, region) : 'outpost',
    cidr: cidrOf(row.CidrBlock ?? ''),
    ...(ipv6?.Ipv6CidrBlock === undefined ? {} : { ipv6Cidr: cidrOf(ipv6.Ipv6CidrBlock) }),
    freeAddresses: row.AvailableIpAddressCount ?? 0,
    tags: tagsOf(row.Tags),
    isPublic,
  };
}

/** An association that ends keeps its row for a while. Absent: it is not said, and it stands. */
const isAssociated = (state: { readonly State?: string | undefined } | undefined): boolean =>
  !/^(dis|fail)/i.test(state?.State ?? '');

/** By the name, which AWS documents: 'us-west-2a', local zones 'us-west-2-lax-1a', Wavelength 'us-east-1-wl1-bos-wlz-1'. */
export function zoneTypeOf(zone: string, region: string): SubnetFacts['zoneType'] {
  if (zone.includes('-wlz-')) return 'wavelength-zone';
  return zone.startsWith(region) && zone.length > region.length + 1 ? 'local-zone' : 'availability-zone';
}

function recordOf(pairs: readonly (readonly [string, string])[]): Readonly<Record<string, string>> {
  return Object.fromEntries(pairs.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
