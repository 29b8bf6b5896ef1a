import type {
  DeregisterTargetsInput,
  DescribeTargetHealthInput,
  RegisterTargetsInput,
  TargetDescription,
  TargetHealth,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { parseIp } from '../../../../src/core/net/ip.ts';
import type { Cloud, Scope } from '../cloud.ts';
import { AwsError, invalid } from '../error.ts';
import type { Given } from '../given.ts';
import { isWithin } from '../net.ts';
import type { LoadBalancer, Target, TargetGroup } from '../records.ts';
import { notFound, targetGroupOf } from './find.ts';
import { usersOf } from './use.ts';

/** Addresses outside the VPC that may be targets (ELBv2 CreateTargetGroup). */
const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10'];

export function registerTargets(scope: Scope, input: Given<RegisterTargetsInput>): object {
  const { cloud } = scope;
  const group = targetGroupOf(scope, input.TargetGroupArn);
  const given = checkedTargets(cloud, group, input.Targets);
  const nowMs = cloud.nowMs();
  const targets = liveTargets(group, nowMs);
  for (const { id, port, zone } of given) {
    const key = `${id}|${port}`;
    const old = targets.get(key);
    if (old !== undefined && old.goneMs === undefined) continue;
    targets.set(key, {
      id,
      port,
      ...(zone === undefined ? {} : { zone }),
      registeredMs: nowMs,
      fails: cloud.sick.get(`${id}:${port}`) ?? cloud.sick.get(id),
      changedMs: nowMs,
      before: 'new',
    });
  }
  const active = [...targets.values()].filter(({ goneMs }) => goneMs === undefined).length;
  const limit = cloud.settings.quotas.targetsPerGroup;
  if (active > limit)
    throw new AwsError('TooManyTargets', `The quota of ${limit} targets per target group has been reached`);
  const now = { ...group, targets };
  for (const arn of new Set(usersOf(cloud, group.arn).map(({ loadBalancerArn }) => loadBalancerArn))) {
    const balancer = cloud.loadBalancers.get(arn);
    if (balancer !== undefined) checkTargetQuota(cloud, balancer, [now]);
  }
  cloud.targetGroups.put(group.arn, now);
  return {};
}

interface Wanted {
  readonly id: string;
  readonly port: number;
  readonly zone?: string;
}

/** One bad target fails the call. */
function checkedTargets(
  cloud: Cloud,
  group: TargetGroup,
  given: readonly Given<TargetDescription>[],
): readonly Wanted[] {
  const limit = cloud.settings.quotas.targetsPerCall;
  if (given.length === 0 || given.length > limit)
    throw invalid(`Targets: ${given.length} items; 1 to ${limit} are allowed`);
  const seen = new Set<string>();
  return given.map(({ Id: id, Port: port = group.port, AvailabilityZone: zone, QuicServerId }) => {
    if (!Number.isInteger(port) || port < 1 || port > 65535) throw invalid(`Port ${port} is not between 1 and 65535`);
    if (QuicServerId !== undefined && !group.protocol.endsWith('QUIC')) throw invalid(`QuicServerId needs QUIC`);
    const key = `${id}|${port}`;
    if (seen.has(key)) throw invalid(`Target ${id}:${port} is named twice`);
    seen.add(key);
    if (group.targetType === 'ip') return { id, port, zone: zoneOf(cloud, group, id, zone) };
    if (zone !== undefined) throw invalid('An Availability Zone is not supported for targets of type instance');
    checkInstance(cloud, group, id);
    return { id, port };
  });
}

function checkInstance({ instances }: Cloud, { vpcId }: TargetGroup, id: string): void {
  const instance = instances.get(id);
  if (instance === undefined)
    throw new AwsError('InvalidTarget', `The following targets are not registered or do not exist: '${id}'`);
  if (instance.state !== 'running') {
    throw new AwsError(
      'InvalidTarget',
      `The following targets are not in a running state and cannot be registered: '${id}'`,
    );
  }
  if (instance.vpcId !== vpcId) {
    throw new AwsError('InvalidTarget', `The following targets are not in the target group VPC '${vpcId}': '${id}'`);
  }
}

function zoneOf(cloud: Cloud, group: TargetGroup, id: string, zone: string | undefined): string {
  const ip = parseIp(id);
  if (ip?.family !== group.ipAddressType) throw invalid(`'${id}' is not a valid ${group.ipAddressType} address`);
  const vpc = cloud.vpcs.get(group.vpcId);
  if (isWithin(id, [...(vpc?.cidrs ?? []), ...(vpc?.ipv6Cidrs ?? [])])) {
    const subnet = cloud.subnets
      .values()
      .find(
        (one) =>
          one.vpcId === group.vpcId && isWithin(id, [one.cidr, ...(one.ipv6Cidr === undefined ? [] : [one.ipv6Cidr])]),
      );
    if (zone !== undefined && zone !== 'all' && zone !== subnet?.zone) {
      throw invalid(`The Availability Zone '${zone}' is not that of the IP address '${id}'`);
    }
    return zone ?? subnet?.zone ?? 'all';
  }
  if (!isWithin(id, PRIVATE)) throw invalid(`The IP address '${id}' is not within a valid CIDR block`);
  if (zone === undefined)
    throw invalid(`You must specify an Availability Zone for the IP address '${id}', which is outside the VPC`);
  if (zone !== 'all' && !cloud.zones.some(({ name }) => name === zone))
    throw invalid(`'${zone}' is no Availability Zone`);
  return zone;
}

/** What is not registered is no error (ELBv2 DeregisterTargets). */
export function deregisterTargets(scope: Scope, input: Given<DeregisterTargetsInput>): object {
  const { cloud } = scope;
  const group = targetGroupOf(scope, input.TargetGroupArn);
  const limit = cloud.settings.quotas.targetsPerCall;
  if (input.Targets.length === 0 || input.Targets.length > limit) {
    throw invalid(`Targets: ${input.Targets.length} items; 1 to ${limit} are allowed`);
  }
  const nowMs = cloud.nowMs();
  const targets = liveTargets(group, nowMs);
  const drainMs = cloud.settings.drainMs ?? Number(group.attributes['deregistration_delay.timeout_seconds']) * 1000;
  const isUsed = usersOf(cloud, group.arn).length > 0;
  for (const { Id: id, Port: given } of input.Targets) {
    // Without a port: the target whose port is the group's.
    const key = `${id}|${given ?? group.port}`;
    const target = targets.get(key);
    if (target === undefined || target.goneMs !== undefined) continue;
    if (isUsed && drainMs > 0) targets.set(key, { ...target, goneMs: nowMs + drainMs });
    else targets.delete(key);
  }
  cloud.targetGroups.put(group.arn, { ...group, targets });
  return {};
}

/** Without those that have drained. */
export function liveTargets({ targets }: TargetGroup, atMs: number): Map<string, Target> {
  return new Map([...targets].filter(([, { goneMs = Number.POSITIVE_INFINITY }]) => goneMs > atMs));
}

/** Targets of one load balancer: in all and per zone. A target in several groups counts in each. */
export function checkTargetQuota(cloud: Cloud, balancer: LoadBalancer, changed: readonly TargetGroup[]): void {
  const { quotas } = cloud.settings;
  const groups = new Map(changed.map((group) => [group.arn, group]));
  for (const { loadBalancerArn, forwards } of cloud.listeners.values()) {
    if (loadBalancerArn !== balancer.arn) continue;
    for (const { targetGroupArn: arn } of forwards) {
      const group = groups.get(arn) ?? cloud.targetGroups.get(arn);
      if (group !== undefined) groups.set(arn, group);
    }
  }
  const nowMs = cloud.nowMs();
  const perZone = new Map<string, number>();
  let all = 0;
  for (const group of groups.values()) {
    for (const target of group.targets.values()) {
      if ((target.goneMs ?? Number.POSITIVE_INFINITY) <= nowMs) continue;
      const zone = target.zone ?? cloud.instances.get(target.id)?.zone ?? '';
      perZone.set(zone, (perZone.get(zone) ?? 0) + 1);
      all += 1;
    }
  }
  const isCrossZone = balancer.attributes['load_balancing.cross_zone.enabled'] === 'true';
  const limit = isCrossZone ? quotas.targetsPerCrossZoneLoadBalancer : quotas.targetsPerLoadBalancer;
  if (all > limit)
    throw new AwsError('TooManyTargets', `The quota of ${limit} targets per load balancer has been reached`);
  const [zone] = [...perZone].find(([, count]) => count > quotas.targetsPerLoadBalancerAndZone) ?? [];
  if (zone !== undefined && !isCrossZone) {
    throw new AwsError(
      'TooManyTargets',
      `The quota of ${quotas.targetsPerLoadBalancerAndZone} targets per load balancer in ${zone} has been reached`,
    );
  }
}

export function describeTargetHealth({ cloud, atMs }: Scope, input: Given<DescribeTargetHealthInput>): object {
  const group = cloud.targetGroups.get(input.TargetGroupArn, atMs);
  if (group === undefined) throw notFound(input.TargetGroupArn);
  const live = liveTargets(group, atMs);
  const chosen = input.Targets?.map(
    ({ Id: id, Port: port = group.port }) => live.get(`${id}|${port}`) ?? { id, port },
  ) ?? [...live.values()];
  return {
    TargetHealthDescriptions: chosen.map((target) => ({
      Target: {
        Id: target.id,
        Port: target.port,
        ...('zone' in target && target.zone !== undefined ? { AvailabilityZone: target.zone } : {}),
      },
      HealthCheckPort: group.health.port === 'traffic-port' ? String(target.port) : group.health.port,
      TargetHealth: 'registeredMs' in target ? healthOf(cloud, group, target, atMs) : notRegistered,
    })),
  };
}

const notRegistered: TargetHealth = {
  State: 'unused',
  Reason: 'Target.NotRegistered',
  Description: 'Target is not registered to the target group',
};

/** The state machine of one target; see aws.md, "Our fake". */
export function healthOf(cloud: Cloud, group: TargetGroup, target: Target, atMs: number): TargetHealth {
  const uses = usersOf(cloud, group.arn, atMs);
  if (target.goneMs !== undefined) return described('draining', 'Target.DeregistrationInProgress');
  const state = group.targetType === 'instance' ? cloud.instances.get(target.id, atMs)?.state : 'running';
  if (state !== 'running' && state !== 'pending') return described('unused', 'Target.InvalidState');
  const serving = uses.filter(({ loadBalancerArn }) => servesZone(cloud, loadBalancerArn, target, atMs));
  if (serving.length === 0) return described('unused', 'Target.NotInUse');
  const usedMs = Math.min(...serving.map(({ sinceMs }) => sinceMs));
  const registeredMs = Math.max(target.registeredMs, usedMs) + cloud.settings.registrationMs;
  if (atMs < registeredMs) return described('initial', 'Elb.RegistrationInProgress');
  const { health } = group;
  const countOf = (threshold: number) => cloud.settings.healthyAfterMs ?? threshold * health.intervalSeconds * 1000;
  const { fails, before, changedMs } = target;
  const isNew = before === 'new';
  const sinceMs = isNew ? Math.max(registeredMs, changedMs) : changedMs;
  const isSettled = atMs - sinceMs >= countOf(fails === undefined ? health.healthy : health.unhealthy);
  if (isSettled) return fails === undefined ? { State: 'healthy' } : described('unhealthy', fails);
  if (isNew) return described('initial', 'Elb.InitialHealthChecking');
  return before === 'healthy' ? { State: 'healthy' } : described('unhealthy', fails ?? 'Target.FailedHealthChecks');
}

/** Without cross-zone a target serves only where its load balancer has a subnet; one of all zones serves everywhere. */
function servesZone(cloud: Cloud, loadBalancerArn: string, target: Target, atMs: number): boolean {
  const balancer = cloud.loadBalancers.get(loadBalancerArn, atMs);
  if (balancer === undefined) return false;
  const zone = target.zone ?? cloud.instances.get(target.id, atMs)?.zone;
  if (zone === 'all') return true;
  return balancer.mappings.some(({ subnetId }) => cloud.subnets.get(subnetId)?.zone === zone);
}

function described(
  state: NonNullable<TargetHealth['State']>,
  reason: NonNullable<TargetHealth['Reason']>,
): TargetHealth {
  return { State: state, Reason: reason, Description: `${state}: ${reason}` };
}
