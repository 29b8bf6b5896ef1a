import { failure } from '../../src/core/errors.ts';
import { blockOf, hasIp } from '../../src/core/net/cidr.ts';
import { parseIp } from '../../src/core/net/ip.ts';
import type { Cidr, IpFamily } from '../../src/core/provider.ts';
import { PREFIX } from './annotation-table.ts';
import { isUdpLike, targetGroupDefault } from './attributes.ts';
import type {
  BackendRule,
  Desired,
  DesiredPort,
  Facts,
  GroupRef,
  Observed,
  ObservedLoadBalancer,
  PartName,
  Scheme,
  Settings,
  Stack,
  StackPort,
  SubnetMapping,
} from './model.ts';
import { loadBalancerInput, securityGroupInput } from './names.ts';
import { currentOf, ownedParts } from './ownership.ts';
import { frontendRules, targetPorts } from './rules.ts';
import { type Subnet, selectSubnets } from './subnets.ts';
import { portNumbers } from './targets.ts';

const DESCRIPTION = '[k8s] Managed SecurityGroup for LoadBalancer';

/**
 * Makes every choice that needs facts: scheme, subnets and their addresses, security groups, targets, rules. Throws
 * FL_AWS_ANNOTATION, FL_AWS_SUBNET or FL_AWS_SECURITY_GROUP with the annotation at fault.
 */
export function resolve(desired: Desired, observed: Observed, settings: Settings): Stack {
  const { facts } = observed;
  const { loadBalancers } = ownedParts(observed, settings, desired);
  const existing = currentOf(loadBalancers, desired.scheme);
  const scheme = desired.scheme === 'keep' ? (existing?.scheme ?? settings.defaultScheme) : desired.scheme;
  const subnets = selectSubnets(facts, {
    wish: desired.subnets,
    scheme,
    ipAddressType: desired.ipAddressType,
    existing: existing?.subnets.map(({ id }) => id),
    cluster: settings.cluster,
  });
  const groups = securityGroupsOf(desired, facts, existing, settings);
  const { cluster } = settings;
  const { uid, namespace, name } = desired;
  const { ipAddressType, sourceNat, enforcePrivateLink, attributes, capacityUnits } = desired;
  return {
    ...(groups.managed
      ? {
          securityGroup: {
            name: { namespace, name, input: securityGroupInput(cluster, uid, namespace, name) },
            description: DESCRIPTION,
            ingress: frontendRules(desired),
          },
        }
      : {}),
    loadBalancer: {
      name: nameFor(desired, cluster, scheme),
      scheme,
      ipAddressType,
      sourceNat,
      subnets: mappingsOf(desired, scheme, subnets),
      securityGroups: groups.attached,
      ...(enforcePrivateLink === undefined ? {} : { enforcePrivateLink }),
      attributes,
      ...(capacityUnits === undefined ? {} : { capacityUnits }),
    },
    ports: desired.ports.map(
      (port): StackPort => ({
        ...port,
        backendRules: backendRules(desired, port, { groups, scheme, subnets, facts, settings }),
      }),
    ),
  };
}

function nameFor({ uid, namespace, name, loadBalancerName }: Desired, cluster: string, scheme: Scheme): PartName {
  if (loadBalancerName !== undefined) return { fixed: loadBalancerName };
  return { namespace, name, input: loadBalancerInput(cluster, uid, scheme) };
}

interface Groups {
  /** A group of our own is wanted. */
  readonly managed: boolean;
  readonly attached: readonly GroupRef[];
  /** Where packets to nodes and pods come from; 'addresses': no group stands for the load balancer; 'none': not ours to allow. */
  readonly source: GroupRef | 'addresses' | 'none';
}

function securityGroupsOf(
  { securityGroups: wish, manageBackendRules }: Desired,
  facts: Facts,
  existing: ObservedLoadBalancer | undefined,
  { backendSecurityGroup }: Settings,
): Groups {
  const has = existing?.securityGroups.length;
  const field = `${PREFIX}${wish === 'none' ? 'disable-nlb-sg' : 'security-groups'}`;
  const refuse = (message: string): Error => failure('FL_AWS_SECURITY_GROUP', `${field}: ${message}`, { field });
  if (wish === 'none') {
    if ((has ?? 0) === 0) return { managed: false, attached: [], source: 'addresses' };
    throw refuse('the load balancer has security groups, which cannot all be taken off; it must be made anew');
  }
  if (has === 0) {
    if (wish === 'managed') return { managed: false, attached: [], source: 'addresses' };
    throw refuse('the load balancer was made without security groups and can never have any; it must be made anew');
  }
  const backend = backendOf(backendSecurityGroup);
  if (wish === 'managed') {
    const attached: readonly GroupRef[] = ['managed', ...(backend === undefined ? [] : [backend])];
    return { managed: true, attached, source: backend ?? 'managed' };
  }
  const own = wish.map((name) => groupOf(name, facts, refuse));
  if (!manageBackendRules) return { managed: false, attached: own, source: 'none' };
  if (backend !== undefined) return { managed: false, attached: [...own, backend], source: backend };
  const manage = `${PREFIX}manage-backend-security-group-rules`;
  throw failure('FL_AWS_SECURITY_GROUP', `${manage}: needs the backend security group, which is off`, {
    field: manage,
  });
}

function backendOf(setting: Settings['backendSecurityGroup']): GroupRef | undefined {
  if (setting === 'off') return undefined;
  return setting === 'auto' ? 'backend' : setting;
}

function groupOf(name: string, { securityGroups, vpcId }: Facts, refuse: (message: string) => Error): GroupRef {
  const found = securityGroups.filter(({ id, tags }) => (name.startsWith('sg-') ? id === name : tags['Name'] === name));
  const [group, other] = found.filter((each) => each.vpcId === vpcId);
  if (other !== undefined) throw refuse(`${name} is the Name tag of several groups; give their ids`);
  if (group !== undefined) return group.id as GroupRef;
  throw refuse(found.length > 0 ? `${name} is in another VPC than ${vpcId}` : `${name} does not exist in ${vpcId}`);
}

/** Subnets with the addresses that annotations give them. */
function mappingsOf(desired: Desired, scheme: Scheme, subnets: readonly Subnet[]): readonly SubnetMapping[] {
  const { eips, privateIpv4, ipv6, sourceNatPrefixes } = desired;
  countOf('eip-allocations', eips, subnets);
  countOf('private-ipv4-addresses', privateIpv4, subnets);
  countOf('ipv6-addresses', ipv6, subnets);
  countOf('source-nat-ipv6-prefixes', sourceNatPrefixes, subnets);
  if (eips.length > 0 && scheme !== 'internet-facing') throw refused('eip-allocations', 'is for internet-facing only');
  if (privateIpv4.length > 0 && scheme !== 'internal') throw refused('private-ipv4-addresses', 'is for internal only');
  const inV4 = byCidr('private-ipv4-addresses', privateIpv4, subnets, ({ cidr }) => cidr);
  const inV6 = byCidr('ipv6-addresses', ipv6, subnets, ({ ipv6Cidr }) => ipv6Cidr);
  return subnets.map(({ id }, index) => {
    const [eip, prefix] = [eips[index], sourceNatPrefixes[index]];
    const [v4, v6] = [inV4.get(id), inV6.get(id)];
    return {
      id,
      ...(eip === undefined ? {} : { eip }),
      ...(v4 === undefined ? {} : { privateIpv4: v4 }),
      ...(v6 === undefined ? {} : { ipv6: v6 }),
      ...(prefix === undefined ? {} : { sourceNatPrefix: prefix }),
    };
  });
}

function countOf(name: string, values: readonly string[], subnets: readonly Subnet[]): void {
  if (values.length === 0 || values.length === subnets.length) return;
  const ids = subnets.map(({ id }) => id).join(', ');
  throw refused(name, `has ${values.length} entries for ${subnets.length} subnets (${ids})`);
}

/** subnet id -> its address. */
function byCidr(
  name: string,
  addresses: readonly string[],
  subnets: readonly Subnet[],
  cidrOf: (subnet: Subnet) => Cidr | undefined,
): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const address of addresses) {
    const ip = parseIp(address);
    const subnet = subnets.find((each) => {
      const cidr = cidrOf(each);
      return ip !== undefined && cidr !== undefined && hasIp(blockOf(cidr), ip);
    });
    if (subnet === undefined) throw refused(name, `${address} is in none of the subnets`);
    const other = found.get(subnet.id);
    if (other !== undefined) throw refused(name, `${other} and ${address} are both in ${subnet.id}`);
    found.set(subnet.id, address);
  }
  return found;
}

function refused(name: string, message: string): Error {
  const field = `${PREFIX}${name}`;
  return failure('FL_AWS_ANNOTATION', `${field}: ${message}`, { field });
}

interface RuleContext {
  readonly groups: Groups;
  readonly scheme: Scheme;
  readonly subnets: readonly Subnet[];
  readonly facts: Facts;
  readonly settings: Settings;
}

function backendRules(desired: Desired, port: DesiredPort, context: RuleContext): readonly BackendRule[] {
  const { groups, settings } = context;
  const numbers = portNumbers(desired, port);
  const ports = targetPorts(port, numbers);
  switch (groups.source) {
    case 'none':
      return [];
    case 'addresses':
      return addressRules(desired, port, numbers, context);
    default: {
      if (settings.restrictedRules) return [{ from: [groups.source], ports }];
      const protocols = [...new Set(ports.map(({ protocol }) => protocol))];
      return [{ from: [groups.source], ports: protocols.map((protocol) => ({ protocol })) }];
    }
  }
}

/** A load balancer without security groups: what reaches a target comes from the client, or from the balancer's subnets. */
function addressRules(
  desired: Desired,
  port: DesiredPort,
  numbers: readonly number[],
  { scheme, subnets, facts }: RuleContext,
): readonly BackendRule[] {
  const { group } = port;
  const family = group.ipAddressType;
  const ofSubnets = subnets.flatMap(({ cidr, ipv6Cidr }) => (family === 'ipv4' ? cidr : ipv6Cidr) ?? []);
  const byDefault = scheme === 'internal' ? facts.vpcCidrs : EVERYBODY;
  const clients = (desired.sourcesAreDefault ? byDefault : desired.sources).filter((cidr) => familyOf(cidr) === family);
  const isPreserved = preservesClientIp(port);
  const traffic = targetPorts(port, numbers).filter(({ port: number }) => numbers.includes(number));
  const rules: BackendRule[] = [{ from: isPreserved ? clients : ofSubnets, ports: traffic }];
  const isOpen = desired.sourcesAreDefault || clients.some((cidr) => blockOf(cidr).prefixLength === 0);
  const isOwnPort = group.health.port === 'traffic-port' || numbers.includes(Number(group.health.port));
  if (isUdpLike(group.protocol) || !isOwnPort || (isPreserved && !isOpen)) {
    const ports = isOwnPort ? numbers : [Number(group.health.port)];
    rules.push({ from: ofSubnets, ports: ports.map((number) => ({ protocol: 'tcp', port: number })) });
  }
  return rules.filter(({ from }) => from.length > 0);
}

const EVERYBODY: readonly Cidr[] = ['0.0.0.0/0' as Cidr, '::/0' as Cidr];

/** Whether targets see the client's address: by attribute, else by AWS's default. */
export function preservesClientIp({ group }: Pick<DesiredPort, 'group'>): boolean {
  if (isUdpLike(group.protocol)) return true;
  const key = 'preserve_client_ip.enabled';
  const value = group.attributes[key] ?? targetGroupDefault(group)(key);
  return value === 'true';
}

const familyOf = (cidr: Cidr): IpFamily => blockOf(cidr).family;
