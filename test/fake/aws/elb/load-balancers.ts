import type {
  CreateLoadBalancerInput,
  DeleteLoadBalancerInput,
  DescribeCapacityReservationInput,
  DescribeLoadBalancersInput,
  LoadBalancer as LoadBalancerView,
  ModifyCapacityReservationInput,
  SetIpAddressTypeInput,
  SetSecurityGroupsInput,
  SetSubnetsInput,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { isEqual } from '../../../../src/core/equal.ts';
import type { Cloud, Scope } from '../cloud.ts';
import { AwsError, invalid } from '../error.ts';
import type { Given } from '../given.ts';
import { pageOf } from '../paging.ts';
import type { LoadBalancer } from '../records.ts';
import { balancerDefaults } from './attributes.ts';
import { checkName, loadBalancerOf, notFound } from './find.ts';
import { dropInterfaces, placeInterfaces } from './interfaces.ts';
import { invalidConfiguration, placementOf, toZones } from './subnets.ts';
import { tagsOf } from './tags.ts';

const NAMES_PER_CALL = 20;

export function createLoadBalancer(scope: Scope, input: Given<CreateLoadBalancerInput>): object {
  const { cloud } = scope;
  const wanted = newBalancer(scope, input);
  const there = cloud.loadBalancers.values().find(({ name }) => name === wanted.name);
  if (there !== undefined) {
    // Tags do not count: AWS hands out somebody else's load balancer as happily as the caller's own (trap 1).
    if (isEqual(settingsOf(there), settingsOf(wanted))) return { LoadBalancers: [toView(cloud, there, cloud.nowMs())] };
    throw new AwsError(
      'DuplicateLoadBalancerName',
      `A load balancer with the same name '${wanted.name}' exists, but with different settings`,
    );
  }
  const { quotas } = cloud.settings;
  if (cloud.loadBalancers.values().length >= quotas.loadBalancers) {
    throw new AwsError('TooManyLoadBalancers', `The quota of ${quotas.loadBalancers} load balancers has been reached`);
  }
  checkInterfaces(cloud, wanted.vpcId, wanted.mappings.length);
  cloud.loadBalancers.put(wanted.arn, wanted);
  placeInterfaces(cloud, wanted);
  return { LoadBalancers: [toView(cloud, wanted, cloud.nowMs())] };
}

function newBalancer(scope: Scope, input: Given<CreateLoadBalancerInput>): LoadBalancer {
  const { cloud } = scope;
  const { Name: name, Scheme: scheme = 'internet-facing', IpAddressType = 'ipv4', SecurityGroups = [] } = input;
  checkName(name, 'load balancer');
  if (input.Type !== 'network')
    throw invalid(`Type '${input.Type ?? 'application'}': the fake has network load balancers only`);
  if (IpAddressType === 'dualstack-without-public-ipv4') throw invalidConfiguration(`${IpAddressType} is for ALBs`);
  const ipAddressType = IpAddressType;
  const sourceNat = input.EnablePrefixForIpv6SourceNat ?? 'off';
  if (sourceNat === 'on' && ipAddressType !== 'dualstack') {
    throw invalidConfiguration('EnablePrefixForIpv6SourceNat needs the IP address type dualstack');
  }
  const { mappings, vpcId } = placementOf(scope, input, { scheme, ipAddressType, sourceNat });
  checkSecurityGroups(scope, SecurityGroups, vpcId);
  const { settings, region, account } = cloud;
  const id = cloud.hex(16);
  const nowMs = cloud.nowMs();
  return {
    arn: `arn:aws:elasticloadbalancing:${region}:${account}:loadbalancer/net/${name}/${id}`,
    id,
    name,
    dnsName: `${name}-${id}.elb.${region}.amazonaws.com`,
    scheme,
    vpcId,
    ipAddressType,
    mappings,
    securityGroups: SecurityGroups,
    enforceOnPrivateLink: 'on',
    sourceNat,
    attributes: balancerDefaults({ scheme }),
    createdMs: nowMs,
    activeMs: nowMs + settings.provisioningMs,
    failed: settings.failing.includes(name),
    tags: tagsOf(input.Tags, cloud),
  };
}

/** What makes two creations the same. */
function settingsOf({ name, scheme, vpcId, ipAddressType, mappings, securityGroups, sourceNat }: LoadBalancer): object {
  const subnets = mappings.toSorted((a, b) => (a.subnetId < b.subnetId ? -1 : 1));
  return { name, scheme, vpcId, ipAddressType, subnets, sourceNat, securityGroups: securityGroups.toSorted() };
}

function checkInterfaces({ interfaces, settings }: Cloud, vpcId: string, added: number): void {
  const limit = settings.quotas.loadBalancerInterfacesPerVpc;
  const used = interfaces.values().filter((one) => one.vpcId === vpcId && one.type === 'network_load_balancer').length;
  if (used + added > limit) {
    throw new AwsError(
      'TooManyLoadBalancers',
      `The quota of ${limit} load balancer network interfaces in ${vpcId} has been reached`,
    );
  }
}

function checkSecurityGroups({ cloud, atMs }: Scope, ids: readonly string[], vpcId: string): void {
  if (new Set(ids).size < ids.length) throw invalid('A security group is named twice');
  const limit = cloud.settings.quotas.securityGroupsPerLoadBalancer;
  if (ids.length > limit) throw invalidConfiguration(`A load balancer has at most ${limit} security groups`);
  for (const id of ids) {
    const group = cloud.securityGroups.get(id, atMs) && cloud.securityGroups.get(id);
    if (group === undefined) throw new AwsError('InvalidSecurityGroup', `The security group '${id}' does not exist`);
    if (group.vpcId !== vpcId) {
      throw invalidConfiguration(`The security group '${id}' does not belong to VPC '${vpcId}'`);
    }
  }
}

/** No error when it is not there (ELBv2 DeleteLoadBalancer). */
export function deleteLoadBalancer({ cloud }: Scope, { LoadBalancerArn: arn }: Given<DeleteLoadBalancerInput>): object {
  if (!arn.includes(':loadbalancer/')) throw invalid(`'${arn}' is not a valid load balancer ARN`);
  const found = cloud.loadBalancers.get(arn);
  if (found === undefined) return {};
  if (found.attributes['deletion_protection.enabled'] === 'true') {
    throw new AwsError(
      'OperationNotPermitted',
      `Load balancer '${arn}' cannot be deleted because deletion protection is enabled`,
    );
  }
  for (const listener of cloud.listeners.values()) {
    if (listener.loadBalancerArn === arn) cloud.listeners.remove(listener.arn);
  }
  cloud.loadBalancers.remove(arn);
  dropInterfaces(cloud, found);
  return {};
}

export function describeLoadBalancers(scope: Scope, input: Given<DescribeLoadBalancersInput>): object {
  const { cloud, atMs } = scope;
  const { LoadBalancerArns, Names, Marker } = input;
  if (LoadBalancerArns !== undefined && Names !== undefined) {
    throw invalid('Load balancer names and ARNs cannot be specified at the same time');
  }
  for (const list of [LoadBalancerArns, Names]) {
    if (list !== undefined && list.length > NAMES_PER_CALL) throw invalid(`More than ${NAMES_PER_CALL} in one call`);
  }
  const all = cloud.loadBalancers.values(atMs);
  const chosen =
    LoadBalancerArns?.map((arn) => cloud.loadBalancers.get(arn, atMs) ?? notFound(arn)) ??
    Names?.map(
      (name) =>
        all.find((one) => one.name === name) ??
        new AwsError('LoadBalancerNotFound', `Load balancers '[${name}]' not found`),
    ) ??
    all;
  const missing = chosen.find((one) => one instanceof AwsError);
  if (missing instanceof AwsError) throw missing;
  const { items, next } = pageOf(
    chosen as readonly LoadBalancer[],
    ({ arn }) => arn,
    pageRule(cloud, input.PageSize, Marker),
  );
  return {
    LoadBalancers: items.map((one) => toView(cloud, one, atMs)),
    ...(next === undefined ? {} : { NextMarker: next }),
  };
}

/** Of all lists of ELBv2. */
export function pageRule(
  { settings }: Cloud,
  pageSize: number | undefined,
  marker: string | undefined,
): Parameters<typeof pageOf>[2] {
  if (pageSize !== undefined && (pageSize < 1 || pageSize > settings.pageSize)) {
    throw invalid(`PageSize ${pageSize} is not between 1 and ${settings.pageSize}`);
  }
  return { size: pageSize ?? settings.pageSize, marker, bad: () => invalid('The specified marker is not valid') };
}

function toView(cloud: Cloud, balancer: LoadBalancer, atMs: number): LoadBalancerView {
  const { name, sourceNat, securityGroups } = balancer;
  return {
    LoadBalancerArn: balancer.arn,
    DNSName: balancer.dnsName,
    CanonicalHostedZoneId: 'Z0FAKE0NLB0000',
    CreatedTime: cloud.dateOf(balancer.createdMs),
    LoadBalancerName: name,
    Scheme: balancer.scheme,
    VpcId: balancer.vpcId,
    State: stateOf(balancer, atMs),
    Type: 'network',
    AvailabilityZones: toZones(cloud, balancer.mappings),
    ...(securityGroups.length === 0
      ? {}
      : {
          SecurityGroups: [...securityGroups],
          EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic: balancer.enforceOnPrivateLink,
        }),
    IpAddressType: balancer.ipAddressType,
    EnablePrefixForIpv6SourceNat: sourceNat,
  };
}

function stateOf({ activeMs, failed }: LoadBalancer, atMs: number): LoadBalancerView['State'] {
  if (atMs < activeMs) return { Code: 'provisioning' };
  return failed ? { Code: 'failed', Reason: 'The load balancer could not be set up' } : { Code: 'active' };
}

export function setSubnets(scope: Scope, input: Given<SetSubnetsInput>): object {
  const { cloud } = scope;
  const old = loadBalancerOf(scope, input.LoadBalancerArn);
  const { IpAddressType = old.ipAddressType, EnablePrefixForIpv6SourceNat: sourceNat = old.sourceNat } = input;
  if (IpAddressType === 'dualstack-without-public-ipv4') throw invalidConfiguration(`${IpAddressType} is for ALBs`);
  const ipAddressType = IpAddressType;
  if (sourceNat === 'on' && ipAddressType !== 'dualstack') {
    throw invalidConfiguration('EnablePrefixForIpv6SourceNat needs the IP address type dualstack');
  }
  const { mappings, vpcId } = placementOf(scope, input, { scheme: old.scheme, ipAddressType, sourceNat, own: old });
  if (vpcId !== old.vpcId) throw invalidConfiguration(`The subnets must be of VPC ${old.vpcId}`);
  checkIpAddressType(cloud, old, ipAddressType);
  const now = { ...old, mappings, ipAddressType, sourceNat };
  cloud.loadBalancers.put(old.arn, now);
  placeInterfaces(cloud, now, old);
  return {
    AvailabilityZones: toZones(cloud, mappings),
    IpAddressType: ipAddressType,
    EnablePrefixForIpv6SourceNat: sourceNat,
  };
}

export function setSecurityGroups(scope: Scope, input: Given<SetSecurityGroupsInput>): object {
  const { cloud } = scope;
  const { LoadBalancerArn, SecurityGroups, EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic: enforce } = input;
  const old = loadBalancerOf(scope, LoadBalancerArn);
  if (old.securityGroups.length === 0) {
    throw invalidConfiguration(
      `SetSecurityGroups is not supported for load balancers that were created without security groups`,
    );
  }
  if (SecurityGroups.length === 0) throw invalid('At least one security group must be specified');
  checkSecurityGroups(scope, SecurityGroups, old.vpcId);
  const now = { ...old, securityGroups: SecurityGroups, enforceOnPrivateLink: enforce ?? old.enforceOnPrivateLink };
  cloud.loadBalancers.put(old.arn, now);
  placeInterfaces(cloud, now, old);
  return {
    SecurityGroupIds: [...SecurityGroups],
    EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic: now.enforceOnPrivateLink,
  };
}

export function setIpAddressType(scope: Scope, input: Given<SetIpAddressTypeInput>): object {
  const { cloud } = scope;
  const old = loadBalancerOf(scope, input.LoadBalancerArn);
  if (input.IpAddressType === 'dualstack-without-public-ipv4') throw invalidConfiguration('for ALBs only');
  const ipAddressType = input.IpAddressType;
  const without = old.mappings.find(({ subnetId }) => cloud.subnets.get(subnetId)?.ipv6Cidr === undefined);
  if (ipAddressType === 'dualstack' && without !== undefined) {
    throw new AwsError('InvalidSubnet', `The subnet ${without.subnetId} has no IPv6 CIDR block`);
  }
  if (ipAddressType === 'ipv4' && old.sourceNat === 'on') {
    throw invalidConfiguration('EnablePrefixForIpv6SourceNat needs the IP address type dualstack');
  }
  checkIpAddressType(cloud, old, ipAddressType);
  const mappings = ipAddressType === 'ipv4' ? old.mappings.map(({ ipv6: _, ...mapping }) => mapping) : old.mappings;
  cloud.loadBalancers.put(old.arn, { ...old, ipAddressType, mappings });
  return { IpAddressType: ipAddressType };
}

function checkIpAddressType(cloud: Cloud, { arn }: LoadBalancer, wanted: LoadBalancer['ipAddressType']): void {
  if (wanted === 'dualstack') return;
  const groups = cloud.listeners
    .values()
    .filter(({ loadBalancerArn }) => loadBalancerArn === arn)
    .flatMap(({ forwards }) => forwards.map(({ targetGroupArn }) => cloud.targetGroups.get(targetGroupArn)));
  if (groups.some((group) => group?.ipAddressType === 'ipv6')) {
    throw invalidConfiguration('A load balancer with IPv6 target groups must be dualstack');
  }
}

export function modifyCapacityReservation(scope: Scope, input: Given<ModifyCapacityReservationInput>): object {
  const { MinimumLoadBalancerCapacity: minimum, ResetCapacityReservation: reset } = input;
  if ((minimum === undefined) === (reset !== true)) {
    throw invalid('Either MinimumLoadBalancerCapacity or ResetCapacityReservation must be specified');
  }
  const old = loadBalancerOf(scope, input.LoadBalancerArn);
  const { capacityUnits: _, ...without } = old;
  const units = minimum?.CapacityUnits;
  if (minimum !== undefined && (units === undefined || units < 1)) throw invalid('CapacityUnits must be at least 1');
  const now: LoadBalancer = units === undefined ? without : { ...without, capacityUnits: units };
  scope.cloud.loadBalancers.put(old.arn, now);
  return toReservation(scope.cloud, now);
}

export function describeCapacityReservation(
  { cloud, atMs }: Scope,
  { LoadBalancerArn }: Given<DescribeCapacityReservationInput>,
): object {
  const found = cloud.loadBalancers.get(LoadBalancerArn, atMs);
  if (found === undefined) throw notFound(LoadBalancerArn);
  return toReservation(cloud, found);
}

function toReservation({ subnets }: Cloud, { capacityUnits, mappings }: LoadBalancer): object {
  if (capacityUnits === undefined) return { DecreaseRequestsRemaining: 2, CapacityReservationState: [] };
  return {
    DecreaseRequestsRemaining: 2,
    MinimumLoadBalancerCapacity: { CapacityUnits: capacityUnits },
    CapacityReservationState: mappings.map(({ subnetId }) => ({
      State: { Code: 'provisioned' },
      AvailabilityZone: subnets.get(subnetId)?.zone ?? '',
      EffectiveCapacityUnits: capacityUnits / mappings.length,
    })),
  };
}
