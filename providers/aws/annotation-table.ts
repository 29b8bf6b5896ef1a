/** Every annotation that the AWS provider reads, as data: for the parser, the documents and the tests. */

/** Before the names of most of them, `aws-load-balancer-` included. */
export const PREFIX = 'service.beta.kubernetes.io/aws-load-balancer-';
/** Before the rest. */
export const BARE_PREFIX = 'service.beta.kubernetes.io/';

export interface AnnotationEntry {
  /** The whole key; `<port>` and `<PROTO>-<port>` stand for a number and a protocol of a Service port. */
  readonly key: string;
  /** What it may be, for people. */
  readonly values: string;
  /** What holds without it, for people. */
  readonly default: string;
  /** What it becomes at AWS. */
  readonly sets: string;
}

const X = PREFIX;
const map = 'key=value,key=value';
const flag = 'true, false';
const list = 'separated by commas';

/** Sorted as in the provider's page: from the essential to the rare. */
export const annotationTable: readonly AnnotationEntry[] = [
  row('type', 'nlb-ip, or anything else', 'the target type decides', 'CreateTargetGroup.TargetType: nlb-ip means ip'),
  row('nlb-target-type', 'ip, instance', '--default-target-type (instance)', 'CreateTargetGroup.TargetType'),
  row('scheme', 'internal, internet-facing', 'what exists, else internal', 'CreateLoadBalancer.Scheme'),
  row('internal', flag, 'scheme decides', 'CreateLoadBalancer.Scheme'),
  row('subnets', `ids or Name tags, ${list}, one per zone`, 'what exists, else discovery', 'SubnetMappings'),
  row('attributes', map, 'none', 'ModifyLoadBalancerAttributes'),
  row('target-group-attributes', map, 'proxy_protocol_v2.enabled=false', 'ModifyTargetGroupAttributes'),
  row('target-group-attributes.<port>', map, 'target-group-attributes', 'ModifyTargetGroupAttributes of one port'),
  row('healthcheck-protocol', 'TCP, HTTP, HTTPS', 'TCP; HTTP for instances under Local', 'HealthCheckProtocol'),
  row(
    'healthcheck-port',
    'traffic-port, a number, the name of a Service port',
    'traffic-port; healthCheckNodePort for instances under Local',
    'HealthCheckPort',
  ),
  row('healthcheck-path', 'a path', '/; /healthz for instances under Local', 'HealthCheckPath'),
  row('healthcheck-interval', 'seconds', '10', 'HealthCheckIntervalSeconds'),
  row('healthcheck-timeout', 'seconds', '10; 6 for instances under Local', 'HealthCheckTimeoutSeconds'),
  row('healthcheck-healthy-threshold', 'a number', '3; 2 for instances under Local', 'HealthyThresholdCount'),
  row('healthcheck-unhealthy-threshold', 'a number', '3; 2 for instances under Local', 'UnhealthyThresholdCount'),
  row('healthcheck-success-codes', '200, 200-399, 200,204', '200-399', 'Matcher'),
  ...[
    'protocol',
    'port',
    'path',
    'interval',
    'timeout',
    'healthy-threshold',
    'unhealthy-threshold',
    'success-codes',
  ].map((name) =>
    row(`healthcheck-${name}.<port>`, `as healthcheck-${name}`, `healthcheck-${name}`, 'one target group'),
  ),
  row('ssl-cert', `ARNs, ${list}; the first is the default`, 'no TLS', 'Certificates, AddListenerCertificates'),
  row('ssl-ports', `names or numbers, ${list}`, 'all TCP ports', 'CreateListener.Protocol TLS'),
  row('ssl-negotiation-policy', 'a policy of ELB', '--default-ssl-policy', 'SslPolicy'),
  row('backend-protocol', 'tcp, ssl (http and https mean tcp)', 'tcp', 'CreateTargetGroup.Protocol: ssl means TLS'),
  bare('load-balancer-source-ranges', `CIDRs, ${list}`, 'spec.loadBalancerSourceRanges, else all', 'ingress rules'),
  row('security-groups', `ids or Name tags, ${list}`, 'a managed group', 'SecurityGroups'),
  row('manage-backend-security-group-rules', flag, 'false', 'rules of nodes and pods beside own groups'),
  row('proxy-protocol', '*', 'off', 'proxy_protocol_v2.enabled of all groups'),
  row('proxy-protocol-per-target-group', `ports, ${list}`, 'off', 'proxy_protocol_v2.enabled of some groups'),
  row('name', 'at most 32 of A-Z a-z 0-9 -', 'by hash', 'CreateLoadBalancer.Name'),
  row('ip-address-type', 'ipv4, dualstack', 'ipv4', 'SetIpAddressType'),
  row('eip-allocations', `ids, ${list}, one per subnet; internet-facing only`, 'none', 'SubnetMapping.AllocationId'),
  row(
    'private-ipv4-addresses',
    `addresses, ${list}, one per subnet; internal only`,
    'none',
    'SubnetMapping.PrivateIPv4Address',
  ),
  row('ipv6-addresses', `addresses, ${list}, one per subnet; dualstack only`, 'none', 'SubnetMapping.IPv6Address'),
  row('additional-resource-tags', map, '--default-tags', 'Tags'),
  row('target-node-labels', map, 'all nodes', 'which nodes are registered'),
  row('alpn-policy', 'HTTP1Only, HTTP2Only, HTTP2Optional, HTTP2Preferred, None', 'None', 'AlpnPolicy'),
  row('listener-attributes.<PROTO>-<port>', map, 'none', 'ModifyListenerAttributes; not of TLS'),
  row('security-group-prefix-lists', `ids, ${list}`, 'none', 'ingress rules'),
  row('access-log-enabled', flag, 'attributes', 'access_logs.s3.enabled'),
  row('access-log-s3-bucket-name', 'a bucket', 'attributes', 'access_logs.s3.bucket'),
  row('access-log-s3-bucket-prefix', 'a prefix', 'attributes', 'access_logs.s3.prefix'),
  row('cross-zone-load-balancing-enabled', flag, 'attributes', 'load_balancing.cross_zone.enabled'),
  row(
    'inbound-sg-rules-on-private-link-traffic',
    'on, off',
    'on',
    'EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic',
  ),
  row('minimum-load-balancer-capacity', 'CapacityUnits=N, 0 resets', 'none', 'ModifyCapacityReservation'),
  row('enable-icmp-for-path-mtu-discovery', 'on, off', 'off', 'ICMP 3/4 and ICMPv6 2/0 per client range'),
  row('enable-tcp-udp-listener', flag, 'true', 'Protocol TCP_UDP where TCP and UDP share a port number'),
  row('enable-prefix-for-ipv6-source-nat', 'on, off', 'off', 'EnablePrefixForIpv6SourceNat'),
  row(
    'source-nat-ipv6-prefixes',
    `auto_assigned or /80 prefixes, ${list}`,
    'none',
    'SubnetMapping.SourceNatIpv6Prefix',
  ),
  row('quic-enabled-ports', `UDP ports, ${list}`, 'none', 'Protocol QUIC, TCP_QUIC'),
  row('multi-cluster-target-group', flag, 'false', 'targets of other clusters stay'),
  row('disable-nlb-sg', flag, 'false', 'a load balancer without security groups'),
  bare('actions.<PROTO>-<port>', 'JSON of a forward action', 'one group', 'CreateListener.DefaultActions, weighted'),
];

const patterns = annotationTable.map(({ key }) => new RegExp(`^${escaped(key)}$`));

/**
 * Keys under `aws-load-balancer-` that mean nothing here, sorted as given: those of classic load balancers, and typing
 * mistakes. Each gets a Warning `UnknownAnnotation`.
 */
export function unknownKeys(options: Readonly<Record<string, string>>): readonly string[] {
  return Object.keys(options).filter(
    (key) =>
      (key.startsWith(PREFIX) || key.startsWith(`${BARE_PREFIX}actions.`)) &&
      !patterns.some((pattern) => pattern.test(key)),
  );
}

function row(name: string, values: string, byDefault: string, sets: string): AnnotationEntry {
  return { key: `${X}${name}`, values, default: byDefault, sets };
}

function bare(name: string, values: string, byDefault: string, sets: string): AnnotationEntry {
  return { key: `${BARE_PREFIX}${name}`, values, default: byDefault, sets };
}

function escaped(key: string): string {
  return key.replaceAll('.', '\\.').replace('<PROTO>', '[A-Za-z_]+').replace('<port>', '[0-9]+');
}
