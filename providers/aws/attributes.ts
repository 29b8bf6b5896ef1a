import { sortedRecord } from '../../src/core/equal.ts';
import type { Attributes, ListenerProtocol, Tags, TargetType, Unread } from './model.ts';
import { TAG } from './names.ts';

/** AWS's default of an attribute; `undefined`: not known here, so it is always sent and can never be reset. */
export type DefaultOf = (key: string) => string | undefined;

/** Of ModifyLoadBalancerAttributes (ELBv2 LoadBalancerAttribute). */
export const loadBalancerDefault: DefaultOf = (key) => LOAD_BALANCER[key];

/** Of ModifyListenerAttributes. */
export const listenerDefault: DefaultOf = (key) => LISTENER[key];

/** Of ModifyTargetGroupAttributes, which depend on what the group is (ELBv2 TargetGroupAttribute). */
export function targetGroupDefault({
  protocol,
  targetType,
}: {
  readonly protocol: ListenerProtocol;
  readonly targetType: TargetType;
}): DefaultOf {
  const special: Readonly<Record<string, string>> = {
    'deregistration_delay.connection_termination.enabled': String(protocol === 'UDP' || protocol === 'TCP_UDP'),
    'preserve_client_ip.enabled': String(targetType === 'instance' || isUdpLike(protocol)),
  };
  return (key) => special[key] ?? TARGET_GROUP[key];
}

export const isUdpLike = (protocol: ListenerProtocol): boolean => protocol !== 'TCP' && protocol !== 'TLS';

/** What one Modify*Attributes call sends. Empty: no call. */
export interface AttributeChange {
  /** To be sent. */
  readonly set: Attributes;
  /** Why, a key each: 'x is false, not true'. */
  readonly reasons: readonly string[];
}

/** Towards the wanted values; keys that we once set and that nobody wants any more go back to AWS's default. */
export function attributeChange(
  wanted: Attributes,
  observed: Attributes | Unread,
  { recorded, defaultOf }: { readonly recorded: readonly string[]; readonly defaultOf: DefaultOf },
): AttributeChange {
  if (observed === 'unread') return { set: {}, reasons: [] };
  const resets = recorded.flatMap((key): (readonly [string, string])[] => {
    const value = Object.hasOwn(wanted, key) ? undefined : defaultOf(key);
    return value === undefined ? [] : [[key, value]];
  });
  const changes = [...Object.entries(wanted), ...resets].filter(
    ([key, value]) => (observed[key] ?? defaultOf(key) ?? '') !== value,
  );
  return {
    set: sortedRecord(Object.fromEntries(changes)),
    reasons: changes.map(([key, value]) => `${key} is ${JSON.stringify(observed[key] ?? '')}, not ${value}`),
  };
}

/** Of a new resource: what AWS does not do by itself. */
export function beyondDefault(wanted: Attributes, defaultOf: DefaultOf): Attributes {
  return sortedRecord(Object.fromEntries(Object.entries(wanted).filter(([key, value]) => defaultOf(key) !== value)));
}

/** A tag value has 256 characters; further keys go on in `fairlead.dev/attributes.2` and so on. */
const TAG_LENGTH = 256;

/** The keys that are away from their default, as tags. None: no tag. */
export function recordTags(keys: Iterable<string>): Tags {
  const lines: string[] = [];
  for (const key of [...new Set(keys)].sort()) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + key.length <= TAG_LENGTH) lines[lines.length - 1] = `${last} ${key}`;
    else lines.push(key);
  }
  return Object.fromEntries(lines.map((line, index) => [recordKey(index), line]));
}

/** The keys that the tags of a resource record; sorted. */
export function recordedKeys(tags: Tags): readonly string[] {
  return Object.entries(tags)
    .filter(([key]) => isRecordKey(key))
    .flatMap(([, value]) => value.split(' '))
    .filter((key) => key !== '')
    .sort();
}

export const isRecordKey = (key: string): boolean => key === TAG.attributes || key.startsWith(`${TAG.attributes}.`);

const recordKey = (index: number): string => (index === 0 ? TAG.attributes : `${TAG.attributes}.${index + 1}`);

const LOAD_BALANCER: Readonly<Record<string, string>> = {
  'access_logs.s3.bucket': '',
  'access_logs.s3.enabled': 'false',
  'access_logs.s3.prefix': '',
  'deletion_protection.enabled': 'false',
  'dns_record.client_routing_policy': 'any_availability_zone',
  'load_balancing.cross_zone.enabled': 'false',
  'zonal_shift.config.enabled': 'false',
};

const LISTENER: Readonly<Record<string, string>> = { 'tcp.idle_timeout.seconds': '350' };

const TARGET_GROUP: Readonly<Record<string, string>> = {
  'deregistration_delay.timeout_seconds': '300',
  'load_balancing.cross_zone.enabled': 'use_load_balancer_configuration',
  'proxy_protocol_v2.enabled': 'false',
  'stickiness.enabled': 'false',
  'target_health_state.unhealthy.connection_termination.enabled': 'true',
  'target_health_state.unhealthy.draining_interval_seconds': '0',
};
