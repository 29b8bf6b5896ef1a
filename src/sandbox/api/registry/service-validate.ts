import { isIPv6 } from 'node:net';
import { parseBlock } from '../../../core/net/cidr.ts';
import { parseIp } from '../../../core/net/ip.ts';
import type { Part } from '../admit.ts';
import { duplicate, type FieldError, invalid, notAllowed, required, unsupported } from '../invalid.ts';
import { labelErrors } from '../meta.ts';
import { dnsLabel, dnsSubdomain, familyOf, portName, portNumber, qualifiedName } from '../words.ts';
import {
  externallyAccessible,
  isHeadless,
  needsHealthCheck,
  type PortDraft,
  type ServiceDraft,
} from './service-draft.ts';

const onlyLoadBalancer = "may only be used when `type` is 'LoadBalancer'";
const longestAffinitySeconds = 86_400;

/** ValidateServiceCreate, ...Update and ...StatusUpdate of Kubernetes without the metadata, in its order and words. */
export function validateService(
  service: ServiceDraft,
  old: ServiceDraft | undefined,
  part: Part,
): readonly FieldError[] {
  if (part === 'status') return statusErrors(service, old as ServiceDraft);
  const updates =
    old === undefined
      ? []
      : [
          ...addressUpdates(service, old),
          ...familyUpdates(service, old),
          ...classUpdates(service, old),
          ...healthUpdates(service, old),
        ];
  return [...updates, ...specErrors(service, old)];
}

function specErrors(service: ServiceDraft, old: ServiceDraft | undefined): readonly FieldError[] {
  const { spec } = service;
  const ports = spec.ports ?? [];
  const errors: FieldError[] = [];
  if (ports.length === 0 && !isHeadless(service) && spec.type !== 'ExternalName') errors.push(required('spec.ports'));
  errors.push(...typeErrors(service));
  const names = new Set<string>();
  for (const [index, port] of ports.entries())
    errors.push(...portErrors(port, `spec.ports[${index}]`, ports.length > 1, names));
  errors.push(...labelErrors('spec.selector', spec.selector ?? {}));
  errors.push(...affinityErrors(service));
  errors.push(...clusterIpErrors(service, old));
  for (const [index, ip] of (spec.externalIPs ?? []).entries())
    errors.push(...externalIpErrors(ip, `spec.externalIPs[${index}]`, old?.spec.externalIPs ?? []));
  if (!['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'].includes(spec.type))
    errors.push(unsupported('spec.type', spec.type, ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort']));
  if (spec.type === 'ClusterIP')
    for (const [index, port] of ports.entries())
      if (port.nodePort !== undefined)
        errors.push(notAllowed(`spec.ports[${index}].nodePort`, "may not be used when `type` is 'ClusterIP'"));
  errors.push(...duplicates(ports));
  errors.push(...sourceRangeErrors(service, old));
  if (spec.allocateLoadBalancerNodePorts !== undefined && spec.type !== 'LoadBalancer')
    errors.push(notAllowed('spec.allocateLoadBalancerNodePorts', onlyLoadBalancer));
  errors.push(...classErrors(service));
  errors.push(...trafficErrors(service));
  return errors;
}

function typeErrors({ spec }: ServiceDraft): readonly FieldError[] {
  const errors: FieldError[] = [];
  const headless = spec.clusterIPs?.length === 1 && spec.clusterIPs[0] === 'None';
  if (headless && (spec.type === 'LoadBalancer' || spec.type === 'NodePort'))
    errors.push(invalid('spec.clusterIPs[0]', 'None', `may not be set to 'None' for ${spec.type} services`));
  if (spec.type !== 'ExternalName') return errors;
  const forbidden = 'may not be set for ExternalName services';
  if ((spec.clusterIPs ?? []).length > 0) errors.push(notAllowed('spec.clusterIPs', forbidden));
  if ((spec.ipFamilies ?? []).length > 0) errors.push(notAllowed('spec.ipFamilies', forbidden));
  if (spec.ipFamilyPolicy !== undefined) errors.push(notAllowed('spec.ipFamilyPolicy', forbidden));
  const cname = (spec.externalName ?? '').replace(/\.$/, '');
  if (cname === '') errors.push(required('spec.externalName'));
  else for (const message of dnsSubdomain(cname)) errors.push(invalid('spec.externalName', cname, message));
  return errors;
}

function portErrors(port: PortDraft, field: string, nameRequired: boolean, names: Set<string>): readonly FieldError[] {
  const errors: FieldError[] = [];
  const { name = '', protocol, targetPort, appProtocol } = port;
  if (nameRequired && name === '') errors.push(required(`${field}.name`));
  else if (name !== '') {
    for (const message of dnsLabel(name)) errors.push(invalid(`${field}.name`, name, message));
    if (names.has(name)) errors.push(duplicate(`${field}.name`, name));
    names.add(name);
  }
  for (const message of portNumber(port.port)) errors.push(invalid(`${field}.port`, port.port, message));
  if (!['SCTP', 'TCP', 'UDP'].includes(protocol))
    errors.push(unsupported(`${field}.protocol`, protocol, ['SCTP', 'TCP', 'UDP']));
  const targetErrors = typeof targetPort === 'number' ? portNumber(targetPort) : portName(targetPort);
  for (const message of targetErrors) errors.push(invalid(`${field}.targetPort`, targetPort, message));
  if (appProtocol !== undefined)
    for (const message of qualifiedName(appProtocol))
      errors.push(invalid(`${field}.appProtocol`, appProtocol, message));
  return errors;
}

function affinityErrors({ spec }: ServiceDraft): readonly FieldError[] {
  const { sessionAffinity, sessionAffinityConfig } = spec;
  const field = 'spec.sessionAffinityConfig';
  switch (sessionAffinity) {
    case 'None':
      return sessionAffinityConfig === undefined
        ? []
        : [notAllowed(field, 'must not be set when session affinity is None')];
    case 'ClientIP': {
      const seconds = sessionAffinityConfig?.clientIP?.timeoutSeconds;
      if (seconds === undefined) return [required(field, 'when session affinity type is ClientIP')];
      if (seconds > 0 && seconds <= longestAffinitySeconds) return [];
      return [
        invalid(
          `${field}.clientIP.timeoutSeconds`,
          seconds,
          `must be greater than 0 and less than ${longestAffinitySeconds}`,
        ),
      ];
    }
    default:
      return [unsupported('spec.sessionAffinity', sessionAffinity, ['ClientIP', 'None'])];
  }
}

/** clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy in themselves and against each other. */
export function clusterIpErrors(service: ServiceDraft, old: ServiceDraft | undefined): readonly FieldError[] {
  const { spec } = service;
  if (spec.type === 'ExternalName') return [];
  const { clusterIP = '', clusterIPs: ips = [], ipFamilies = [], ipFamilyPolicy } = spec;
  const field = 'spec.clusterIPs';
  const errors: FieldError[] = [];
  if (clusterIP !== '') {
    if (ips.length === 0) errors.push(required(field));
    else if (ips[0] !== clusterIP) errors.push(invalid(field, ips, 'first value must match `clusterIP`'));
  } else if (ips.length > 0) errors.push(invalid(field, ips, 'must be empty when `clusterIP` is not specified'));
  for (const [index, family] of ipFamilies.entries()) {
    if (family !== 'IPv4' && family !== 'IPv6')
      errors.push(unsupported(`spec.ipFamilies[${index}]`, family, ['IPv4', 'IPv6']));
    if (ipFamilies.indexOf(family) < index) errors.push(duplicate(`spec.ipFamilies[${index}]`, family));
  }
  const policies = ['PreferDualStack', 'RequireDualStack', 'SingleStack'];
  if (ipFamilyPolicy !== undefined && !policies.includes(ipFamilyPolicy))
    errors.push(unsupported('spec.ipFamilyPolicy', ipFamilyPolicy, policies));
  const wrong = ips.flatMap((ip, index) => {
    if (index === 0 && ip === 'None')
      return ips.length > 1 ? [invalid(field, ips, "'None' must be the first and only value")] : [];
    return (old?.spec.clusterIPs ?? []).includes(ip) ? [] : ipErrors(ip, `${field}[${index}]`);
  });
  errors.push(...wrong);
  if (ips.length > 2) errors.push(invalid(field, ips, 'may only hold up to 2 values'));
  if (wrong.length > 0) return errors;
  if (ips.length > 1 && new Set(ips.map(familyOf)).size !== 2)
    errors.push(invalid(field, ips, 'may specify no more than one IP for each IP family'));
  if (isHeadless(service)) return errors;
  for (const [index, ip] of ips.entries()) {
    const family = ipFamilies[index];
    if (family === 'IPv4' && isIPv6(ip))
      errors.push(invalid(`${field}[${index}]`, ip, `expected an IPv4 value as indicated by \`ipFamilies[${index}]\``));
    if (family === 'IPv6' && !isIPv6(ip))
      errors.push(invalid(`${field}[${index}]`, ip, `expected an IPv6 value as indicated by \`ipFamilies[${index}]\``));
  }
  return errors;
}

const leadingZero = /(^|[./])0\d/;

export function ipErrors(ip: string, field: string): readonly FieldError[] {
  if (leadingZero.test(ip) && familyOf(ip.replaceAll(/(^|\.)0+(?=\d)/g, '$1')) === 4)
    return [invalid(field, ip, 'must not have leading 0s')];
  if (familyOf(ip) === 0 || ip.includes('%'))
    return [invalid(field, ip, 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)')];
  return isMapped(ip) ? [invalid(field, ip, 'must not be an IPv4-mapped IPv6 address')] : [];
}

const isMapped = (ip: string): boolean => {
  const parsed = parseIp(ip);
  return parsed?.family === 'ipv6' && parsed.value >> 32n === 0xffffn;
};

function cidrErrors(cidr: string, field: string): readonly FieldError[] {
  const [address = '', length = ''] = cidr.split('/');
  const plain = `${address.replaceAll(/(^|\.)0+(?=\d)/g, '$1')}/${length.replace(/^0+(?=\d)/, '')}`;
  const block = parseBlock(plain);
  if (block === undefined || !cidr.includes('/'))
    return [invalid(field, cidr, 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)')];
  if (plain !== cidr) return [invalid(field, cidr, 'must not have leading 0s in IP or prefix length')];
  if (isMapped(address)) return [invalid(field, cidr, 'must not have an IPv4-mapped IPv6 address')];
  return parseIp(address)?.value === block.first
    ? []
    : [invalid(field, cidr, 'must not have bits set beyond the prefix length')];
}

function externalIpErrors(ip: string, field: string, existing: readonly string[]): readonly FieldError[] {
  const malformed = existing.includes(ip) ? [] : ipErrors(ip, field);
  return malformed.length > 0 ? malformed : endpointIpErrors(ip, field);
}

/** Addresses that no endpoint can have (ValidateEndpointIP). */
export function endpointIpErrors(ip: string, field: string): readonly FieldError[] {
  const parsed = parseIp(ip);
  if (parsed === undefined) return [invalid(field, ip, 'must be a valid IP address')];
  const { value, family } = parsed;
  const within = (v4: readonly [bigint, bigint], v6: readonly [bigint, bigint]): boolean => {
    const [prefix, shift] = family === 'ipv4' ? v4 : v6;
    return value >> shift === prefix;
  };
  const errors: FieldError[] = [];
  if (value === 0n) errors.push(invalid(field, ip, `may not be unspecified (${ip})`));
  if (within([127n, 24n], [1n, 0n]))
    errors.push(invalid(field, ip, 'may not be in the loopback range (127.0.0.0/8, ::1/128)'));
  if (within([0xa9fen, 16n], [0x3fan, 118n]))
    errors.push(invalid(field, ip, 'may not be in the link-local range (169.254.0.0/16, fe80::/10)'));
  if (within([0xe00000n, 8n], [0xff02n, 112n]))
    errors.push(invalid(field, ip, 'may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)'));
  return errors;
}

function duplicates(ports: readonly PortDraft[]): readonly FieldError[] {
  const errors: FieldError[] = [];
  const nodePorts = new Set<string>();
  for (const [index, { protocol, nodePort }] of ports.entries()) {
    if (nodePort === undefined) continue;
    const key = `${protocol}/${nodePort}`;
    if (nodePorts.has(key)) errors.push(duplicate(`spec.ports[${index}].nodePort`, nodePort));
    nodePorts.add(key);
  }
  const seen = new Set<string>();
  for (const [index, { protocol, port }] of ports.entries()) {
    const key = `${protocol}/${port}`;
    // The server prints its internal struct, every other field at its zero.
    if (seen.has(key))
      errors.push(
        duplicate(`spec.ports[${index}]`, {
          Name: '',
          Protocol: protocol,
          AppProtocol: null,
          Port: port,
          TargetPort: 0,
          NodePort: 0,
        }),
      );
    seen.add(key);
  }
  return errors;
}

const rangesAnnotation = 'service.beta.kubernetes.io/load-balancer-source-ranges';

function sourceRangeErrors({ spec, metadata }: ServiceDraft, old: ServiceDraft | undefined): readonly FieldError[] {
  const ranges = spec.loadBalancerSourceRanges ?? [];
  const annotation = metadata.annotations?.[rangesAnnotation];
  if (ranges.length > 0) {
    const field = 'spec.LoadBalancerSourceRanges';
    const existing = (old?.spec.loadBalancerSourceRanges ?? []).map((one) => one.trim());
    return [
      ...(spec.type === 'LoadBalancer' ? [] : [notAllowed(field, onlyLoadBalancer)]),
      ...ranges.flatMap((range, index) =>
        existing.includes(range.trim()) ? [] : cidrErrors(range.trim(), `${field}[${index}]`),
      ),
    ];
  }
  if (annotation === undefined) return [];
  const field = `metadata.annotations[${rangesAnnotation}]`;
  const errors = spec.type === 'LoadBalancer' ? [] : [notAllowed(field, onlyLoadBalancer)];
  if (old?.metadata.annotations?.[rangesAnnotation] === annotation || annotation.trim() === '') return errors;
  return [
    ...errors,
    ...annotation
      .trim()
      .split(',')
      .flatMap((range) => cidrErrors(range.trim(), field)),
  ];
}

function classErrors({ spec }: ServiceDraft): readonly FieldError[] {
  const { loadBalancerClass: name } = spec;
  if (name === undefined) return [];
  if (spec.type !== 'LoadBalancer') return [notAllowed('spec.loadBalancerClass', onlyLoadBalancer)];
  return qualifiedName(name).map((message) => invalid('spec.loadBalancerClass', name, message));
}

function trafficErrors(service: ServiceDraft): readonly FieldError[] {
  const { spec } = service;
  const {
    externalTrafficPolicy: external = '',
    internalTrafficPolicy,
    healthCheckNodePort,
    trafficDistribution,
  } = spec;
  const errors: FieldError[] = [];
  if (!externallyAccessible(service)) {
    if (external !== '')
      errors.push(
        invalid('spec.externalTrafficPolicy', external, 'may only be set for externally-accessible services'),
      );
  } else if (external !== 'Cluster' && external !== 'Local')
    errors.push(unsupported('spec.externalTrafficPolicy', external, ['Cluster', 'Local']));
  if (!needsHealthCheck(service)) {
    if (healthCheckNodePort !== undefined)
      errors.push(
        invalid(
          'spec.healthCheckNodePort',
          healthCheckNodePort,
          "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
        ),
      );
  } else if (healthCheckNodePort === undefined) errors.push(required('spec.healthCheckNodePort'));
  else
    for (const message of portNumber(healthCheckNodePort))
      errors.push(invalid('spec.healthCheckNodePort', healthCheckNodePort, message));
  if (internalTrafficPolicy !== undefined && internalTrafficPolicy !== 'Cluster' && internalTrafficPolicy !== 'Local')
    errors.push(unsupported('spec.internalTrafficPolicy', internalTrafficPolicy, ['Cluster', 'Local']));
  const distributions = ['PreferClose', 'PreferSameZone', 'PreferSameNode'];
  if (trafficDistribution !== undefined && !distributions.includes(trafficDistribution))
    errors.push(unsupported('spec.trafficDistribution', trafficDistribution, distributions));
  return errors;
}

const fixed = 'may not change once set';

function addressUpdates(service: ServiceDraft, old: ServiceDraft): readonly FieldError[] {
  if (service.spec.type === 'ExternalName' || old.spec.type === 'ExternalName') return [];
  if (isHeadless(service) && isHeadless(old)) return [];
  const { clusterIPs: ips = [] } = service.spec;
  const { clusterIPs: before = [] } = old.spec;
  if (before.length === ips.length)
    return before.flatMap((ip, index) => (ip === ips[index] ? [] : [invalid(`spec.clusterIPs[${index}]`, ips, fixed)]));
  const errors: FieldError[] = [];
  if (ips.length === 0) errors.push(invalid('spec.clusterIPs[0]', ips, 'primary clusterIP can not be unset'));
  if (before.length > 0 && ips.length > 0 && ips[0] !== before[0])
    errors.push(invalid('spec.clusterIPs[0]', ips, fixed));
  if (before.length > ips.length && ips.length === 1 && service.spec.ipFamilyPolicy !== 'SingleStack')
    errors.push(
      invalid(
        'spec.ipFamilyPolicy',
        service.spec.ipFamilyPolicy,
        "must be set to 'SingleStack' when releasing the secondary clusterIP",
      ),
    );
  return errors;
}

function familyUpdates(service: ServiceDraft, old: ServiceDraft): readonly FieldError[] {
  if (service.spec.type === 'ExternalName' || old.spec.type === 'ExternalName') return [];
  if (isHeadless(service) || isHeadless(old)) return [];
  const { ipFamilies: families = [], clusterIPs: ips = [] } = service.spec;
  const { ipFamilies: before = [] } = old.spec;
  const field = 'spec.ipFamilies[0]';
  if (before.length === families.length)
    return before.flatMap((family, index) => (family === families[index] ? [] : [invalid(field, families, fixed)]));
  const errors: FieldError[] = [];
  const fewer = before.length > families.length;
  if (fewer && ips.length === 0) errors.push(invalid(field, families, 'primary ipFamily can not be unset'));
  // The server prints the addresses here, not the families.
  if (before.length > 0 && families.length > 0 && families[0] !== before[0]) errors.push(invalid(field, ips, fixed));
  if (fewer && families.length === 1 && service.spec.ipFamilyPolicy !== 'SingleStack')
    errors.push(
      invalid(
        'spec.ipFamilyPolicy',
        service.spec.ipFamilyPolicy,
        "must be set to 'SingleStack' when releasing the secondary ipFamily",
      ),
    );
  return errors;
}

function classUpdates(service: ServiceDraft, old: ServiceDraft): readonly FieldError[] {
  const { loadBalancerClass: name } = service.spec;
  const both = service.spec.type === 'LoadBalancer' && old.spec.type === 'LoadBalancer';
  const changed = both && name !== old.spec.loadBalancerClass ? [invalid('spec.loadBalancerClass', name, fixed)] : [];
  return [...changed, ...classErrors(service)];
}

function healthUpdates(service: ServiceDraft, old: ServiceDraft): readonly FieldError[] {
  if (!needsHealthCheck(service) || !needsHealthCheck(old)) return [];
  if (service.spec.healthCheckNodePort === old.spec.healthCheckNodePort) return [];
  return [notAllowed('spec.healthCheckNodePort', 'field is immutable')];
}

function statusErrors(service: ServiceDraft, old: ServiceDraft): readonly FieldError[] {
  const entries = service.status.loadBalancer.ingress ?? [];
  const field = 'status.loadBalancer.ingress';
  if (service.spec.type !== 'LoadBalancer')
    return entries.length === 0 ? [] : [notAllowed(field, "may only be used when `spec.type` is 'LoadBalancer'")];
  const existing = (old.status.loadBalancer.ingress ?? []).map(({ ip }) => ip);
  return entries.flatMap(({ ip = '', ipMode, hostname = '' }, index) => {
    const at = `${field}[${index}]`;
    const errors: FieldError[] = ip === '' || existing.includes(ip) ? [] : [...ipErrors(ip, `${at}.ip`)];
    if (ipMode === undefined) {
      if (ip !== '') errors.push(required(`${at}.ipMode`, 'must be specified when `ip` is set'));
    } else if (ip === '') errors.push(notAllowed(`${at}.ipMode`, 'may not be specified when `ip` is not set'));
    else if (ipMode !== 'VIP' && ipMode !== 'Proxy') errors.push(unsupported(`${at}.ipMode`, ipMode, ['Proxy', 'VIP']));
    if (hostname !== '') {
      for (const message of dnsSubdomain(hostname)) errors.push(invalid(`${at}.hostname`, hostname, message));
      if (familyOf(hostname) !== 0)
        errors.push(invalid(`${at}.hostname`, hostname, 'must be a DNS name, not an IP address'));
    }
    return errors;
  });
}
