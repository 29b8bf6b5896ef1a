import type { IpPermission } from '@aws-sdk/client-ec2';
import type { Action } from '@aws-sdk/client-elastic-load-balancing-v2';
import type {
  Act,
  Forward,
  Health,
  ListenerRef,
  Ref,
  RuleOf,
  SubnetMapping,
  Tags,
  TargetDescription,
} from './model.ts';
import type { OperationOf } from './operations.ts';

/** Fills in what actions name: ARN or id of a part, by its kind. */
export interface Resolver {
  loadBalancer(ref: Ref): string;
  targetGroup(ref: Ref): string;
  listener(ref: ListenerRef): string;
  securityGroup(ref: Ref): string;
}

/** One request as AWS takes it. */
export type Request =
  | { readonly service: 'elb'; readonly operation: OperationOf<'elb'>; readonly input: object }
  | { readonly service: 'ec2'; readonly operation: OperationOf<'ec2'>; readonly input: object };

/** What `apply` sends for an action, and `fairlead plan -o json` shows. Pure. */
export function requestOf(act: Act, ids: Resolver): Request {
  const elb = (input: object): Request => ({ service: 'elb', operation: act.kind as OperationOf<'elb'>, input });
  const ec2 = (input: object): Request => ({ service: 'ec2', operation: act.kind as OperationOf<'ec2'>, input });
  switch (act.kind) {
    case 'CreateSecurityGroup':
      return ec2({
        GroupName: act.group.name,
        Description: act.description,
        VpcId: act.vpcId,
        TagSpecifications: [{ ResourceType: 'security-group', Tags: tagList(act.tags) }],
      });
    case 'AuthorizeSecurityGroupIngress':
    case 'RevokeSecurityGroupIngress':
      return ec2({ GroupId: ids.securityGroup(act.group), IpPermissions: permissionsOf(act.rules, ids) });
    case 'DeleteSecurityGroup':
      return ec2({ GroupId: ids.securityGroup(act.group) });
    case 'CreateTags':
      return ec2({ Resources: [ids.securityGroup(act.group)], Tags: tagList(act.tags) });
    case 'DeleteTags':
      return ec2({ Resources: [ids.securityGroup(act.group)], Tags: act.keys.map((Key) => ({ Key })) });
    case 'CreateLoadBalancer':
      return elb({
        Name: act.loadBalancer.name,
        Type: 'network',
        Scheme: act.scheme,
        IpAddressType: act.ipAddressType,
        ...(act.sourceNat === undefined ? {} : { EnablePrefixForIpv6SourceNat: act.sourceNat }),
        SubnetMappings: act.subnets.map(mappingOf),
        ...(act.securityGroups.length === 0
          ? {}
          : { SecurityGroups: act.securityGroups.map((ref) => ids.securityGroup(ref)) }),
        Tags: tagList(act.tags),
      });
    case 'SetSecurityGroups':
      return elb({
        LoadBalancerArn: ids.loadBalancer(act.loadBalancer),
        SecurityGroups: act.securityGroups.map((ref) => ids.securityGroup(ref)),
        ...(act.enforcePrivateLink === undefined
          ? {}
          : { EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic: act.enforcePrivateLink }),
      });
    case 'SetSubnets':
      return elb({
        LoadBalancerArn: ids.loadBalancer(act.loadBalancer),
        SubnetMappings: act.subnets.map(mappingOf),
        ...(act.sourceNat === undefined ? {} : { EnablePrefixForIpv6SourceNat: act.sourceNat }),
      });
    case 'SetIpAddressType':
      return elb({ LoadBalancerArn: ids.loadBalancer(act.loadBalancer), IpAddressType: act.ipAddressType });
    case 'ModifyLoadBalancerAttributes':
      return elb({ LoadBalancerArn: ids.loadBalancer(act.loadBalancer), Attributes: tagList(act.attributes) });
    case 'ModifyCapacityReservation':
      return elb({
        LoadBalancerArn: ids.loadBalancer(act.loadBalancer),
        ...(act.units === 0
          ? { ResetCapacityReservation: true }
          : { MinimumLoadBalancerCapacity: { CapacityUnits: act.units } }),
      });
    case 'DeleteLoadBalancer':
      return elb({ LoadBalancerArn: ids.loadBalancer(act.loadBalancer) });
    case 'CreateTargetGroup':
      return elb({
        Name: act.targetGroup.name,
        TargetType: act.targetType,
        Protocol: act.protocol,
        Port: act.port,
        IpAddressType: act.ipAddressType,
        VpcId: act.vpcId,
        ...healthInput(act.health),
        Tags: tagList(act.tags),
      });
    case 'ModifyTargetGroup':
      return elb({ TargetGroupArn: ids.targetGroup(act.targetGroup), ...healthInput(act.health) });
    case 'ModifyTargetGroupAttributes':
      return elb({ TargetGroupArn: ids.targetGroup(act.targetGroup), Attributes: tagList(act.attributes) });
    case 'DeleteTargetGroup':
      return elb({ TargetGroupArn: ids.targetGroup(act.targetGroup) });
    case 'RegisterTargets':
    case 'DeregisterTargets':
      return elb({ TargetGroupArn: ids.targetGroup(act.targetGroup), Targets: act.targets.map(targetInput) });
    case 'CreateListener':
      return elb({
        LoadBalancerArn: ids.loadBalancer(act.listener.loadBalancer),
        Port: act.listener.port,
        Protocol: act.protocol,
        ...(act.sslPolicy === undefined ? {} : { SslPolicy: act.sslPolicy }),
        ...(act.certificate === undefined ? {} : { Certificates: [{ CertificateArn: act.certificate }] }),
        ...(act.alpnPolicy === undefined ? {} : { AlpnPolicy: [act.alpnPolicy] }),
        DefaultActions: forwardInput(act.forward, ids),
        Tags: tagList(act.tags),
      });
    case 'ModifyListener':
      return elb({
        ListenerArn: ids.listener(act.listener),
        ...(act.protocol === undefined ? {} : { Protocol: act.protocol }),
        ...(act.sslPolicy === undefined ? {} : { SslPolicy: act.sslPolicy }),
        ...(act.certificate === undefined ? {} : { Certificates: [{ CertificateArn: act.certificate }] }),
        ...(act.alpnPolicy === undefined ? {} : { AlpnPolicy: [act.alpnPolicy] }),
        ...(act.forward === undefined ? {} : { DefaultActions: forwardInput(act.forward, ids) }),
      });
    case 'ModifyListenerAttributes':
      return elb({ ListenerArn: ids.listener(act.listener), Attributes: tagList(act.attributes) });
    case 'DeleteListener':
      return elb({ ListenerArn: ids.listener(act.listener) });
    case 'AddListenerCertificates':
    case 'RemoveListenerCertificates':
      return elb({ ListenerArn: ids.listener(act.listener), Certificates: [{ CertificateArn: act.certificate }] });
    case 'AddTags':
      return elb({ ResourceArns: [taggedArn(act.on, ids)], Tags: tagList(act.tags) });
    case 'RemoveTags':
      return elb({ ResourceArns: [taggedArn(act.on, ids)], TagKeys: [...act.keys] });
    default:
      return act satisfies never;
  }
}

export function taggedArn(on: Extract<Act, { kind: 'AddTags' }>['on'], ids: Resolver): string {
  if ('loadBalancer' in on) return ids.loadBalancer(on.loadBalancer);
  return 'targetGroup' in on ? ids.targetGroup(on.targetGroup) : ids.listener(on.listener);
}

/** Tags and attributes alike. */
function tagList(record: Tags): readonly { readonly Key: string; readonly Value: string }[] {
  return Object.entries(record).map(([Key, Value]) => ({ Key, Value }));
}

function mappingOf({ id, eip, privateIpv4, ipv6, sourceNatPrefix }: SubnetMapping): object {
  return {
    SubnetId: id,
    ...(eip === undefined ? {} : { AllocationId: eip }),
    ...(privateIpv4 === undefined ? {} : { PrivateIPv4Address: privateIpv4 }),
    ...(ipv6 === undefined ? {} : { IPv6Address: ipv6 }),
    ...(sourceNatPrefix === undefined ? {} : { SourceNatIpv6Prefix: sourceNatPrefix }),
  };
}

function healthInput({ protocol, port, interval, timeout, healthy, unhealthy, path, codes }: Health): object {
  return {
    HealthCheckProtocol: protocol,
    HealthCheckPort: port,
    HealthCheckIntervalSeconds: interval,
    HealthCheckTimeoutSeconds: timeout,
    HealthyThresholdCount: healthy,
    UnhealthyThresholdCount: unhealthy,
    ...(path === undefined ? {} : { HealthCheckPath: path }),
    ...(codes === undefined ? {} : { Matcher: { HttpCode: codes } }),
  };
}

function targetInput({ id, port, zone }: TargetDescription): object {
  return { Id: id, Port: port, ...(zone === undefined ? {} : { AvailabilityZone: zone }) };
}

function forwardInput(forward: readonly Forward[], ids: Resolver): readonly Action[] {
  const [only, ...others] = forward;
  if (only !== undefined && others.length === 0 && only.weight === undefined) {
    return [{ Type: 'forward', TargetGroupArn: ids.targetGroup(only.group) }];
  }
  return [
    {
      Type: 'forward',
      ForwardConfig: {
        TargetGroups: forward.map(({ group, weight }) => ({
          TargetGroupArn: ids.targetGroup(group),
          ...(weight === undefined ? {} : { Weight: weight }),
        })),
      },
    },
  ];
}

/** One permission per protocol and range, with all its sources, as EC2 folds them. */
export function permissionsOf(
  rules: readonly RuleOf<Ref>[],
  ids: Pick<Resolver, 'securityGroup'>,
): readonly IpPermission[] {
  const ranges = Map.groupBy(rules, ({ protocol, from, to }) => `${protocol} ${from}-${to}`);
  return [...ranges.values()].flatMap((some) => {
    const [first] = some;
    return first === undefined ? [] : [permissionOf(first, some, ids)];
  });
}

function permissionOf(
  { protocol, from, to }: RuleOf<Ref>,
  rules: readonly RuleOf<Ref>[],
  ids: Pick<Resolver, 'securityGroup'>,
): IpPermission {
  const sources = rules.map(({ source, description }) => ({
    source,
    // Of a revocation too: AWS goes by the rule alone, but moto finds no rule whose description is not said.
    said: description === '' ? {} : { Description: description },
  }));
  const cidrs = sources.flatMap(({ source, said }) => ('cidr' in source ? [{ cidr: source.cidr, said }] : []));
  const ipv4 = cidrs.filter(({ cidr }) => !cidr.includes(':')).map(({ cidr, said }) => ({ CidrIp: cidr, ...said }));
  const ipv6 = cidrs.filter(({ cidr }) => cidr.includes(':')).map(({ cidr, said }) => ({ CidrIpv6: cidr, ...said }));
  const lists = sources.flatMap(({ source, said }) =>
    'prefixList' in source ? [{ PrefixListId: source.prefixList, ...said }] : [],
  );
  const groups = sources.flatMap(({ source, said }) =>
    'group' in source ? [{ GroupId: ids.securityGroup(source.group), ...said }] : [],
  );
  return {
    IpProtocol: protocol,
    FromPort: from,
    ToPort: to,
    ...(ipv4.length === 0 ? {} : { IpRanges: ipv4 }),
    ...(ipv6.length === 0 ? {} : { Ipv6Ranges: ipv6 }),
    ...(lists.length === 0 ? {} : { PrefixListIds: lists }),
    ...(groups.length === 0 ? {} : { UserIdGroupPairs: groups }),
  };
}
