import type {
  DescribeListenerAttributesInput,
  DescribeLoadBalancerAttributesInput,
  DescribeTargetGroupAttributesInput,
  ModifyListenerAttributesInput,
  ModifyLoadBalancerAttributesInput,
  ModifyTargetGroupAttributesInput,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import type { Scope } from '../cloud.ts';
import { type AwsError, invalid } from '../error.ts';
import type { Given } from '../given.ts';
import type { Listener, LoadBalancer, TargetGroup } from '../records.ts';
import { listenerOf, loadBalancerOf, notFound, targetGroupOf } from './find.ts';
import { invalidConfiguration } from './subnets.ts';

type Attributes = Readonly<Record<string, string>>;
/** Key -> what its value must be. */
type Rules = Readonly<Record<string, RegExp | readonly [number, number]>>;

const BOOL = /^(true|false)$/;
const isUdp = (protocol: string): boolean => protocol === 'UDP' || protocol === 'TCP_UDP';

const balancerRules: Rules = {
  'access_logs.s3.bucket': /^[a-z0-9.-]*$/,
  'access_logs.s3.enabled': BOOL,
  'access_logs.s3.prefix': /^[^\s]*$/,
  'deletion_protection.enabled': BOOL,
  'dns_record.client_routing_policy':
    /^(any_availability_zone|partial_availability_zone_affinity|availability_zone_affinity)$/,
  'ipv6.deny_all_igw_traffic': BOOL,
  'load_balancing.cross_zone.enabled': BOOL,
  'secondary_ips.auto_assigned.per_subnet': [0, 7],
  'zonal_shift.config.enabled': BOOL,
};

/** Of a new load balancer (ELBv2 LoadBalancerAttribute). */
export function balancerDefaults({ scheme }: Pick<LoadBalancer, 'scheme'>): Attributes {
  return {
    'access_logs.s3.bucket': '',
    'access_logs.s3.enabled': 'false',
    'access_logs.s3.prefix': '',
    'deletion_protection.enabled': 'false',
    'dns_record.client_routing_policy': 'any_availability_zone',
    'ipv6.deny_all_igw_traffic': String(scheme === 'internal'),
    'load_balancing.cross_zone.enabled': 'false',
    'secondary_ips.auto_assigned.per_subnet': '0',
    'zonal_shift.config.enabled': 'false',
  };
}

const groupRules: Rules = {
  'deregistration_delay.connection_termination.enabled': BOOL,
  'deregistration_delay.timeout_seconds': [0, 3600],
  'load_balancing.cross_zone.enabled': /^(true|false|use_load_balancer_configuration)$/,
  'preserve_client_ip.enabled': BOOL,
  'proxy_protocol_v2.enabled': BOOL,
  'stickiness.enabled': BOOL,
  'stickiness.type': /^(source_ip|source_ip_dest_ip|source_ip_dest_ip_proto)$/,
  'target_group_health.dns_failover.minimum_healthy_targets.count': /^(off|[1-9]\d*)$/,
  'target_group_health.dns_failover.minimum_healthy_targets.percentage': /^(off|[1-9]\d?|100)$/,
  'target_group_health.unhealthy_state_routing.minimum_healthy_targets.count': [1, 1000],
  'target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage': /^(off|[1-9]\d?|100)$/,
  'target_health_state.unhealthy.connection_termination.enabled': BOOL,
  'target_health_state.unhealthy.draining_interval_seconds': [0, 360_000],
};

/** Of a new target group (ELBv2 TargetGroupAttribute). */
export function groupDefaults({ protocol, targetType }: Pick<TargetGroup, 'protocol' | 'targetType'>): Attributes {
  return {
    'deregistration_delay.connection_termination.enabled': String(isUdp(protocol)),
    'deregistration_delay.timeout_seconds': '300',
    'load_balancing.cross_zone.enabled': 'use_load_balancer_configuration',
    'preserve_client_ip.enabled': String(targetType === 'instance' || isUdp(protocol)),
    'proxy_protocol_v2.enabled': 'false',
    'stickiness.enabled': 'false',
    'stickiness.type': 'source_ip',
    'target_group_health.dns_failover.minimum_healthy_targets.count': '1',
    'target_group_health.dns_failover.minimum_healthy_targets.percentage': 'off',
    'target_group_health.unhealthy_state_routing.minimum_healthy_targets.count': '1',
    'target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage': 'off',
    'target_health_state.unhealthy.connection_termination.enabled': String(!isUdp(protocol)),
    'target_health_state.unhealthy.draining_interval_seconds': '0',
  };
}

const listenerRules: Rules = { 'tcp.idle_timeout.seconds': [60, 6000] };

/** Only a listener that ends or passes TCP has any. */
export function listenerDefaults({ protocol }: Pick<Listener, 'protocol'>): Attributes {
  return protocol === 'TCP' || protocol === 'TCP_UDP' ? { 'tcp.idle_timeout.seconds': '350' } : {};
}

export function modifyLoadBalancerAttributes(scope: Scope, input: Given<ModifyLoadBalancerAttributesInput>): object {
  const found = loadBalancerOf(scope, input.LoadBalancerArn);
  const attributes = changed(found.attributes, input.Attributes, balancerRules, 'Load balancer');
  const fewer =
    Number(attributes['secondary_ips.auto_assigned.per_subnet']) <
    Number(found.attributes['secondary_ips.auto_assigned.per_subnet']);
  if (fewer) throw invalidConfiguration('secondary_ips.auto_assigned.per_subnet cannot be decreased');
  if (attributes['access_logs.s3.enabled'] === 'true' && attributes['access_logs.s3.bucket'] === '') {
    throw invalidConfiguration('access_logs.s3.bucket is required when access logs are enabled');
  }
  scope.cloud.loadBalancers.put(found.arn, { ...found, attributes });
  return { Attributes: toList(attributes) };
}

export function modifyTargetGroupAttributes(scope: Scope, input: Given<ModifyTargetGroupAttributesInput>): object {
  const found = targetGroupOf(scope, input.TargetGroupArn);
  const attributes = changed(found.attributes, input.Attributes, groupRules, 'Target group');
  if (isUdp(found.protocol) && attributes['preserve_client_ip.enabled'] === 'false') {
    throw invalidConfiguration('preserve_client_ip.enabled cannot be disabled for UDP and TCP_UDP target groups');
  }
  const terminates = attributes['target_health_state.unhealthy.connection_termination.enabled'] === 'true';
  if (isUdp(found.protocol) && terminates) {
    throw invalidConfiguration('target_health_state.unhealthy.connection_termination.enabled cannot be true for UDP');
  }
  if (
    !isUdp(found.protocol) &&
    terminates &&
    attributes['target_health_state.unhealthy.draining_interval_seconds'] !== '0'
  ) {
    throw invalidConfiguration(
      'target_health_state.unhealthy.draining_interval_seconds needs connection termination off',
    );
  }
  if (found.protocol === 'TLS' && attributes['stickiness.enabled'] === 'true') {
    throw invalidConfiguration('Stickiness is not supported for TLS target groups');
  }
  scope.cloud.targetGroups.put(found.arn, { ...found, attributes });
  return { Attributes: toList(attributes) };
}

export function modifyListenerAttributes(scope: Scope, input: Given<ModifyListenerAttributesInput>): object {
  const found = listenerOf(scope, input.ListenerArn);
  if (Object.keys(listenerDefaults(found)).length === 0) {
    throw invalidConfiguration(`Listener attributes are not supported for ${found.protocol} listeners`);
  }
  const attributes = changed(found.attributes, input.Attributes, listenerRules, 'Listener');
  scope.cloud.listeners.put(found.arn, { ...found, attributes });
  return { Attributes: toList(attributes) };
}

export function describeLoadBalancerAttributes(
  { cloud, atMs }: Scope,
  { LoadBalancerArn }: Given<DescribeLoadBalancerAttributesInput>,
): object {
  return shown(cloud.loadBalancers.get(LoadBalancerArn, atMs), LoadBalancerArn);
}

export function describeTargetGroupAttributes(
  { cloud, atMs }: Scope,
  { TargetGroupArn }: Given<DescribeTargetGroupAttributesInput>,
): object {
  return shown(cloud.targetGroups.get(TargetGroupArn, atMs), TargetGroupArn);
}

export function describeListenerAttributes(
  { cloud, atMs }: Scope,
  { ListenerArn }: Given<DescribeListenerAttributesInput>,
): object {
  return shown(cloud.listeners.get(ListenerArn, atMs), ListenerArn);
}

function shown(record: { readonly attributes: Attributes } | undefined, arn: string): object {
  if (record === undefined) throw notFound(arn);
  return { Attributes: toList(record.attributes) };
}

function toList(attributes: Attributes): { Key: string; Value: string }[] {
  return Object.entries(attributes).map(([Key, Value]) => ({ Key, Value }));
}

function changed(
  old: Attributes,
  given: readonly { readonly Key?: string | undefined; readonly Value?: string | undefined }[],
  rules: Rules,
  what: string,
): Attributes {
  if (given.length === 0) throw invalid('Attributes is empty');
  const now = { ...old };
  for (const { Key: key = '', Value: value = '' } of given) {
    const rule = rules[key];
    if (rule === undefined) throw invalid(`${what} attribute key '${key}' is not recognized`);
    if (!fits(value, rule)) throw badValue(what, key, value);
    now[key] = value;
  }
  return now;
}

function fits(value: string, rule: RegExp | readonly [number, number]): boolean {
  if (rule instanceof RegExp) return rule.test(value);
  return /^\d+$/.test(value) && Number(value) >= rule[0] && Number(value) <= rule[1];
}

function badValue(what: string, key: string, value: string): AwsError {
  return invalid(`${what} attribute value '${value}' of key '${key}' is not valid`);
}
