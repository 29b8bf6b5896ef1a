import type {
  CreateTargetGroupInput,
  DeleteTargetGroupInput,
  DescribeTargetGroupsInput,
  ModifyTargetGroupInput,
  TargetGroup as TargetGroupView,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { isEqual } from '../../../../src/core/equal.ts';
import type { Cloud, Scope } from '../cloud.ts';
import { AwsError, invalid } from '../error.ts';
import type { Given } from '../given.ts';
import { pageOf } from '../paging.ts';
import type { HealthCheck, TargetGroup } from '../records.ts';
import { groupDefaults } from './attributes.ts';
import { checkName, notFound, targetGroupOf } from './find.ts';
import { pageRule } from './load-balancers.ts';
import { invalidConfiguration } from './subnets.ts';
import { tagsOf } from './tags.ts';
import { usersOf } from './use.ts';

const PROTOCOLS = ['TCP', 'TLS', 'UDP', 'TCP_UDP', 'QUIC', 'TCP_QUIC'];

export function createTargetGroup(scope: Scope, input: Given<CreateTargetGroupInput>): object {
  const { cloud } = scope;
  const wanted = newGroup(scope, input);
  const there = cloud.targetGroups.values().find(({ name }) => name === wanted.name);
  if (there !== undefined) {
    if (isEqual(settingsOf(there), settingsOf(wanted))) return { TargetGroups: [toView(cloud, there, cloud.nowMs())] };
    throw new AwsError(
      'DuplicateTargetGroupName',
      `A target group with the same name '${wanted.name}' exists, but with different settings`,
    );
  }
  const limit = cloud.settings.quotas.targetGroups;
  if (cloud.targetGroups.values().length >= limit) {
    throw new AwsError('TooManyTargetGroups', `The quota of ${limit} target groups has been reached`);
  }
  cloud.targetGroups.put(wanted.arn, wanted);
  return { TargetGroups: [toView(cloud, wanted, cloud.nowMs())] };
}

function newGroup({ cloud }: Scope, input: Given<CreateTargetGroupInput>): TargetGroup {
  const { Name: name, Protocol: protocol, Port: port, VpcId: vpcId, TargetType: targetType = 'instance' } = input;
  checkName(name, 'target group');
  if (protocol === undefined || port === undefined || vpcId === undefined) {
    throw invalid(`A target group for ${targetType} targets needs protocol, port and VPC`);
  }
  if (!PROTOCOLS.includes(protocol))
    throw invalidConfiguration(`Protocol ${protocol}: the fake has network load balancers only`);
  if (targetType !== 'instance' && targetType !== 'ip')
    throw invalidConfiguration(`Target type ${targetType} is not in the fake`);
  if (!Number.isInteger(port) || port < 1 || port > 65535) throw invalid(`Port ${port} is not between 1 and 65535`);
  if (cloud.vpcs.get(vpcId) === undefined) throw invalid(`The VPC ID '${vpcId}' is not found`);
  if (input.ProtocolVersion !== undefined)
    throw invalidConfiguration(`A protocol version is not supported for ${protocol}`);
  return {
    arn: `arn:aws:elasticloadbalancing:${cloud.region}:${cloud.account}:targetgroup/${name}/${cloud.hex(16)}`,
    name,
    vpcId,
    protocol,
    port,
    targetType,
    ipAddressType: input.IpAddressType ?? 'ipv4',
    health: healthOf(input, {
      protocol: 'TCP',
      port: 'traffic-port',
      intervalSeconds: 30,
      timeoutSeconds: 10,
      healthy: 5,
      unhealthy: 2,
    }),
    attributes: groupDefaults({ protocol, targetType }),
    targets: new Map(),
    tags: tagsOf(input.Tags, cloud),
  };
}

/** What both the creation and a change may say of the health check, over what is there. */
function healthOf(input: Given<CreateTargetGroupInput | ModifyTargetGroupInput>, old: HealthCheck): HealthCheck {
  const { HealthCheckProtocol: protocol = old.protocol, HealthCheckPort: port = old.port } = input;
  if (!['TCP', 'HTTP', 'HTTPS'].includes(protocol)) throw invalid(`Health check protocol ${protocol} is not supported`);
  if (port !== 'traffic-port' && !(/^\d+$/.test(port) && Number(port) >= 1 && Number(port) <= 65535)) {
    throw invalid(`Health check port '${port}' is not valid`);
  }
  if (input.HealthCheckEnabled === false) throw invalidConfiguration('Health checks cannot be disabled');
  const { HealthCheckPath: path, Matcher: matcher } = input;
  if (protocol === 'TCP' && (path !== undefined || matcher !== undefined)) {
    throw invalidConfiguration('Health check path and matcher are not supported for health checks with protocol TCP');
  }
  if (matcher?.GrpcCode !== undefined) throw invalidConfiguration('gRPC codes are for ALBs');
  if (path !== undefined && !/^\/.{0,1023}$/.test(path))
    throw invalid(`Health check path '${path}' must begin with a '/'`);
  const codes = matcher?.HttpCode;
  if (codes !== undefined && !/^[2-5]\d\d(-[2-5]\d\d)?(,[2-5]\d\d(-[2-5]\d\d)?)*$/.test(codes)) {
    throw invalid(`Health check matcher HTTP code '${codes}' must be within '200-599'`);
  }
  const isHttp = protocol !== 'TCP';
  const interval = inRange(input.HealthCheckIntervalSeconds ?? old.intervalSeconds, 5, 300, 'interval');
  // The default of HTTP is 6 s (ELBv2 CreateTargetGroup); an interval below the default pulls it down.
  const defaultTimeout = isHttp && old.protocol === 'TCP' ? 6 : old.timeoutSeconds;
  const timeout = inRange(input.HealthCheckTimeoutSeconds ?? Math.min(defaultTimeout, interval), 2, 120, 'timeout');
  if (timeout > interval) throw invalid('Health check timeout must be smaller than or equal to the interval');
  return {
    protocol,
    port,
    ...(isHttp ? { path: path ?? old.path ?? '/', codes: codes ?? old.codes ?? '200-399' } : {}),
    intervalSeconds: interval,
    timeoutSeconds: timeout,
    healthy: inRange(input.HealthyThresholdCount ?? old.healthy, 2, 10, 'healthy threshold'),
    unhealthy: inRange(input.UnhealthyThresholdCount ?? old.unhealthy, 2, 10, 'unhealthy threshold'),
  };
}

function inRange(value: number, from: number, to: number, what: string): number {
  if (!Number.isInteger(value) || value < from || value > to) {
    throw invalid(`Health check ${what} '${value}' must be between ${from} and ${to}`);
  }
  return value;
}

function settingsOf({ name, vpcId, protocol, port, targetType, ipAddressType, health }: TargetGroup): object {
  return { name, vpcId, protocol, port, targetType, ipAddressType, health };
}

export function modifyTargetGroup(scope: Scope, input: Given<ModifyTargetGroupInput>): object {
  const { cloud } = scope;
  const old = targetGroupOf(scope, input.TargetGroupArn);
  const now = { ...old, health: healthOf(input, old.health) };
  cloud.targetGroups.put(old.arn, now);
  return { TargetGroups: [toView(cloud, now, cloud.nowMs())] };
}

/** No error when it is not there: the model knows ResourceInUse only (ELBv2 DeleteTargetGroup). */
export function deleteTargetGroup({ cloud }: Scope, { TargetGroupArn: arn }: Given<DeleteTargetGroupInput>): object {
  if (!arn.includes(':targetgroup/')) throw invalid(`'${arn}' is not a valid target group ARN`);
  if (usersOf(cloud, arn).length > 0) {
    throw new AwsError('ResourceInUse', `Target group '${arn}' is currently in use by a listener or a rule`);
  }
  cloud.targetGroups.remove(arn);
  return {};
}

export function describeTargetGroups({ cloud, atMs }: Scope, input: Given<DescribeTargetGroupsInput>): object {
  const { LoadBalancerArn, TargetGroupArns, Names, PageSize, Marker } = input;
  const all = cloud.targetGroups.values(atMs);
  const ways = [LoadBalancerArn, TargetGroupArns, Names].filter((way) => way !== undefined);
  if (ways.length > 1) throw invalid('Only one of load balancer ARN, target group ARNs and names can be specified');
  const { items, next } = pageOf(chosen(), ({ arn }) => arn, pageRule(cloud, PageSize, Marker));
  return {
    TargetGroups: items.map((one) => toView(cloud, one, atMs)),
    ...(next === undefined ? {} : { NextMarker: next }),
  };

  function chosen(): readonly TargetGroup[] {
    if (TargetGroupArns !== undefined) {
      return TargetGroupArns.map((arn) => {
        const found = cloud.targetGroups.get(arn, atMs);
        if (found === undefined) throw notFound(arn);
        return found;
      });
    }
    if (Names !== undefined) {
      return Names.map((name) => {
        const found = all.find((one) => one.name === name);
        if (found === undefined) throw new AwsError('TargetGroupNotFound', `Target groups '[${name}]' not found`);
        return found;
      });
    }
    if (LoadBalancerArn === undefined) return all;
    if (cloud.loadBalancers.get(LoadBalancerArn, atMs) === undefined) throw notFound(LoadBalancerArn);
    return all.filter(({ arn }) => usersOf(cloud, arn, atMs).some((one) => one.loadBalancerArn === LoadBalancerArn));
  }
}

function toView(cloud: Cloud, group: TargetGroup, atMs: number): TargetGroupView {
  const { health } = group;
  return {
    TargetGroupArn: group.arn,
    TargetGroupName: group.name,
    Protocol: group.protocol as NonNullable<TargetGroupView['Protocol']>,
    Port: group.port,
    VpcId: group.vpcId,
    HealthCheckProtocol: health.protocol as NonNullable<TargetGroupView['Protocol']>,
    HealthCheckPort: health.port,
    HealthCheckEnabled: true,
    HealthCheckIntervalSeconds: health.intervalSeconds,
    HealthCheckTimeoutSeconds: health.timeoutSeconds,
    HealthyThresholdCount: health.healthy,
    UnhealthyThresholdCount: health.unhealthy,
    ...(health.path === undefined ? {} : { HealthCheckPath: health.path }),
    ...(health.codes === undefined ? {} : { Matcher: { HttpCode: health.codes } }),
    LoadBalancerArns: [...new Set(usersOf(cloud, group.arn, atMs).map(({ loadBalancerArn }) => loadBalancerArn))],
    TargetType: group.targetType,
    IpAddressType: group.ipAddressType,
  };
}
