import { sortedRecord } from '../../src/core/equal.ts';
import { blockOf } from '../../src/core/net/cidr.ts';
import { canonicalIp, parseIp } from '../../src/core/net/ip.ts';
import type { Cidr, LoadBalancerSpec, Shortfall } from '../../src/core/provider.ts';
import { PREFIX, unknownKeys } from './annotation-table.ts';
import { type Reader, readerOf } from './annotations.ts';
import type { Attributes, Desired, DesiredPort, Settings, Switch } from './model.ts';
import { LBC_FINALIZER } from './names.ts';
import { portsOf } from './ports.ts';
import { schemeOf, targetTypeOf } from './wishes.ts';

const EVERYBODY: Readonly<Record<'ipv4' | 'dualstack', readonly Cidr[]>> = {
  ipv4: ['0.0.0.0/0' as Cidr],
  dualstack: ['0.0.0.0/0' as Cidr, '::/0' as Cidr],
};
const SWITCH = ['on', 'off'] as const;

/** What the Service asks for. Throws FL_AWS_ANNOTATION with everything that is wrong, its field being the first one's. */
export function plan(spec: LoadBalancerSpec, settings: Settings): Desired {
  const reader = readerOf(spec.options);
  const targetType = targetTypeOf(reader, settings);
  const ipAddressType = reader.choice('ip-address-type', ['ipv4', 'dualstack'] as const) ?? 'ipv4';
  const isDualstack = ipAddressType === 'dualstack';
  const { namespace, name } = spec.service;
  const securityGroups = securityGroupsOf(reader, settings);
  const prefixLists = reader.list('security-group-prefix-lists') ?? [];
  const ports = portsOf(reader, spec, settings, targetType);
  if (ports.length === 0) reader.problem('spec.ports', 'there is none; a load balancer needs at least one');
  if (spec.families[0] === 'ipv6' && !isDualstack) {
    reader.problem(reader.key('ip-address-type'), 'must be dualstack for a Service of IPv6 (spec.ipFamilies)');
  }
  const enforcePrivateLink = reader.choice('inbound-sg-rules-on-private-link-traffic', SWITCH);
  const capacityUnits = capacityOf(reader);
  const loadBalancerName = loadBalancerNameOf(reader);
  const desired: Desired = {
    uid: spec.uid,
    namespace,
    name,
    scheme: schemeOf(reader) ?? 'keep',
    ...(loadBalancerName === undefined ? {} : { loadBalancerName }),
    ipAddressType,
    subnets: reader.list('subnets') ?? 'discover',
    ...addressesOf(reader, isDualstack),
    securityGroups,
    manageBackendRules: reader.flag('manage-backend-security-group-rules') ?? false,
    ...(enforcePrivateLink === undefined ? {} : { enforcePrivateLink }),
    sources: sourcesOf(reader, spec, { isDualstack, hasPrefixLists: prefixLists.length > 0 }),
    sourcesAreDefault: spec.sources.length === 0,
    prefixLists,
    icmp: reader.choice('enable-icmp-for-path-mtu-discovery', SWITCH) === 'on',
    attributes: loadBalancerAttributes(reader),
    ...(capacityUnits === undefined ? {} : { capacityUnits }),
    tags: sortedRecord(reader.map('additional-resource-tags') ?? {}),
    targetType,
    trafficPolicy: spec.trafficPolicy,
    ports,
    targets: spec.targets,
    multiCluster: reader.flag('multi-cluster-target-group') ?? false,
    shortfalls: shortfallsOf(spec, ports),
    warnings: warningsOf(spec),
  };
  reader.map('target-node-labels'); // `interpret` uses it, and leaves complaints to this place
  reader.finish();
  return desired;
}

function securityGroupsOf(reader: Reader, { securityGroups }: Settings): Desired['securityGroups'] {
  const own = reader.list('security-groups');
  const disabled = reader.flag('disable-nlb-sg') ?? false;
  if (disabled && own !== undefined) {
    reader.problem(reader.key('disable-nlb-sg'), `excludes ${reader.key('security-groups')}; keep one of the two`);
  }
  if (disabled || !securityGroups) return 'none';
  return own ?? 'managed';
}

/** Client ranges; prefix lists alone replace the default of everybody. */
function sourcesOf(
  reader: Reader,
  { sources: some, namedSources = [] }: LoadBalancerSpec,
  { isDualstack, hasPrefixLists }: { readonly isDualstack: boolean; readonly hasPrefixLists: boolean },
): readonly Cidr[] {
  const sources = some.length === 0 ? namedSources : some;
  if (sources.length === 0) return hasPrefixLists ? [] : EVERYBODY[isDualstack ? 'dualstack' : 'ipv4'];
  const foreign = isDualstack ? undefined : sources.find((cidr) => blockOf(cidr).family === 'ipv6');
  if (foreign !== undefined) {
    const message = `${foreign} is IPv6, which needs ${reader.key('ip-address-type')}: dualstack`;
    reader.problem('spec.loadBalancerSourceRanges', message);
  }
  return sources;
}

type Addresses = Pick<Desired, 'eips' | 'privateIpv4' | 'ipv6' | 'sourceNat' | 'sourceNatPrefixes'>;

/** Their number against that of the subnets is `resolve`'s to check. */
function addressesOf(reader: Reader, isDualstack: boolean): Addresses {
  const needsDualstack = (name: string): void => {
    if (!isDualstack) reader.problem(reader.key(name), `needs ${reader.key('ip-address-type')}: dualstack`);
  };
  const ipv6 = ipsOf(reader, 'ipv6-addresses', 'ipv6');
  if (ipv6.length > 0) needsDualstack('ipv6-addresses');
  const sourceNat: Switch = reader.choice('enable-prefix-for-ipv6-source-nat', SWITCH) ?? 'off';
  if (sourceNat === 'on') needsDualstack('enable-prefix-for-ipv6-source-nat');
  const sourceNatPrefixes = reader.list('source-nat-ipv6-prefixes') ?? [];
  if (sourceNatPrefixes.length > 0 && sourceNat === 'off') {
    const message = `needs ${reader.key('enable-prefix-for-ipv6-source-nat')}: "on"`;
    reader.problem(reader.key('source-nat-ipv6-prefixes'), message);
  }
  for (const prefix of sourceNatPrefixes) {
    if (prefix === 'auto_assigned' || /:.*\/80$/.test(prefix)) continue;
    const message = `${JSON.stringify(prefix)} is neither auto_assigned nor a /80 prefix`;
    reader.problem(reader.key('source-nat-ipv6-prefixes'), message);
  }
  return {
    eips: reader.list('eip-allocations') ?? [],
    privateIpv4: ipsOf(reader, 'private-ipv4-addresses', 'ipv4'),
    ipv6,
    sourceNat,
    sourceNatPrefixes,
  };
}

function ipsOf(reader: Reader, name: string, family: 'ipv4' | 'ipv6'): readonly string[] {
  return (reader.list(name) ?? []).map((text) => {
    if (parseIp(text)?.family === family) return canonicalIp(text) ?? text;
    const message = `${JSON.stringify(text)} is no ${family === 'ipv4' ? 'IPv4' : 'IPv6'} address`;
    reader.problem(reader.key(name), message);
    return text;
  });
}

const ROUTING = 'dns_record.client_routing_policy';
const ROUTINGS = ['any_availability_zone', 'partial_availability_zone_affinity', 'availability_zone_affinity'];

/** The map, and the older annotations, which win over it. */
function loadBalancerAttributes(reader: Reader): Attributes {
  const attributes = reader.map('attributes') ?? {};
  const routing = attributes[ROUTING];
  if (routing !== undefined && !ROUTINGS.includes(routing)) {
    const message = `${ROUTING}: ${JSON.stringify(routing)} is not one of ${ROUTINGS.join(', ')}`;
    reader.problem(reader.key('attributes'), message);
  }
  const logs = reader.flag('access-log-enabled');
  const bucket = reader.text('access-log-s3-bucket-name');
  const prefix = reader.text('access-log-s3-bucket-prefix');
  const crossZone = reader.flag('cross-zone-load-balancing-enabled');
  return sortedRecord({
    ...attributes,
    ...(logs === undefined ? {} : { 'access_logs.s3.enabled': String(logs) }),
    ...(bucket === undefined ? {} : { 'access_logs.s3.bucket': bucket }),
    ...(prefix === undefined ? {} : { 'access_logs.s3.prefix': prefix }),
    ...(crossZone === undefined ? {} : { 'load_balancing.cross_zone.enabled': String(crossZone) }),
  });
}

function capacityOf(reader: Reader): number | undefined {
  const entries = Object.entries(reader.map('minimum-load-balancer-capacity') ?? {});
  const [first, ...rest] = entries;
  if (first === undefined) return undefined;
  const [key, value] = first;
  if (rest.length === 0 && key === 'CapacityUnits' && /^\d{1,9}$/.test(value)) return Number(value);
  const name = 'minimum-load-balancer-capacity';
  reader.problem(reader.key(name), `${JSON.stringify(reader.text(name))} is not CapacityUnits=N`);
  return undefined;
}

/** The rules of ELBv2 CreateLoadBalancer. */
function loadBalancerNameOf(reader: Reader): string | undefined {
  const name = reader.text('name');
  if (
    name === undefined ||
    (/^(?!internal-)[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?$/.test(name) && name.length <= 32)
  )
    return name;
  const rule = 'has at most 32 of A-Z a-z 0-9 and hyphens, none first or last, and does not begin with internal-';
  reader.problem(reader.key('name'), `${JSON.stringify(name)}: a name ${rule}`);
  return undefined;
}

/** What is asked for and a Network Load Balancer does not have. */
function shortfallsOf(spec: LoadBalancerSpec, ports: readonly DesiredPort[]): readonly Shortfall[] {
  const shortfalls: Shortfall[] = [];
  const isSticky = ports.every(({ group }) => group.attributes['stickiness.enabled'] === 'true');
  if (spec.affinitySeconds !== undefined && !isSticky) {
    shortfalls.push({
      reason: 'SessionAffinityNotSupported',
      message: `a Network Load Balancer has affinity by target-group-attributes stickiness.enabled=true,stickiness.type=source_ip`,
      field: 'spec.sessionAffinity',
    });
  }
  if (spec.addresses.length > 0) {
    shortfalls.push({
      reason: 'LoadBalancerIPNotSupported',
      message: `addresses come by ${PREFIX}eip-allocations or ${PREFIX}private-ipv4-addresses, one per subnet`,
      field: 'spec.loadBalancerIP',
    });
  }
  return shortfalls;
}

function warningsOf({ options, service }: LoadBalancerSpec): Desired['warnings'] {
  const unknown = unknownKeys(options).map((key) => ({
    reason: 'UnknownAnnotation',
    message: `annotation ${key} means nothing for a Network Load Balancer and is ignored`,
  }));
  if (!service.finalizers.includes(LBC_FINALIZER)) return unknown;
  const message = `finalizer ${LBC_FINALIZER} is the AWS Load Balancer Controller's: it must not serve this Service too`;
  return [...unknown, { reason: 'ForeignFinalizer', message }];
}
