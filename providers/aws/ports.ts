import { sortedRecord } from '../../src/core/equal.ts';
import type { Listener, LoadBalancerSpec } from '../../src/core/provider.ts';
import { flagOf, type Reader } from './annotations.ts';
import { healthOf } from './health.ts';
import type { Attributes, DesiredPort, ListenerProtocol, ListenerSettings, Settings, TargetType } from './model.ts';
import { groupResource, targetGroupInput } from './names.ts';
import { weightsOf } from './weights.ts';

/** Whose port protocol a word in an annotation names; of TCP and UDP in one the merged one. */
interface Merged {
  readonly port: number;
  readonly protocol: 'TCP' | 'UDP' | 'TCP_UDP';
  /** Of TCP and UDP in one the TCP one. */
  readonly listener: Listener;
}

/** Listeners and target groups of a Service, sorted by port. What cannot be built is a problem of the reader. */
export function portsOf(
  reader: Reader,
  spec: LoadBalancerSpec,
  settings: Settings,
  targetType: TargetType,
): readonly DesiredPort[] {
  const merged = mergedPorts(reader, spec, settings);
  const tls = tlsOf(reader, merged, settings);
  const quic = numbersOf(reader, 'quic-enabled-ports', merged, ({ protocol }) => protocol !== 'TCP');
  const proxied = proxiedOf(reader, merged);
  const ports = merged.map((port) => portOf(reader, { spec, settings, targetType, tls, quic, proxied }, port));
  reportUnused(reader, ports, merged);
  return ports;
}

interface Context {
  readonly spec: LoadBalancerSpec;
  readonly settings: Settings;
  readonly targetType: TargetType;
  readonly tls: Tls;
  readonly quic: ReadonlySet<number>;
  readonly proxied: (port: number) => boolean;
}

function portOf(reader: Reader, context: Context, { port, protocol, listener }: Merged): DesiredPort {
  const { spec, settings, targetType, tls, quic, proxied } = context;
  const isTls = tls.isOn(port, protocol);
  const wire = isTls ? 'TLS' : quic.has(port) ? quicOf(protocol) : protocol;
  const groupProtocol = isTls && !tls.toBackends ? 'TCP' : wire;
  const health = healthOf(reader, spec, targetType, port);
  const weights = weightsOf(reader, `${wire}-${port}`);
  const groupPort = targetType === 'ip' && listener.targetPortName !== undefined ? 1 : listener.targetPort;
  if (groupPort === 0) reader.problem('spec.ports', `port ${port} has no target port`);
  const { namespace, name } = spec.service;
  const input = targetGroupInput(settings.cluster, spec.uid, {
    weighted: weights !== undefined,
    port: groupPort,
    servicePort: port,
    targetType,
    protocol: groupProtocol,
    health,
  });
  return {
    port,
    listener: {
      protocol: wire,
      ...(isTls ? tls.settings : { certificates: [] }),
      attributes: listenerAttributes(reader, wire, port),
    },
    group: {
      resource: groupResource(namespace, name, port),
      name: { namespace, name, input },
      targetType,
      protocol: groupProtocol,
      port: groupPort,
      ipAddressType: spec.families[0] ?? 'ipv4',
      health,
      attributes: groupAttributes(reader, port, proxied(port)),
    },
    ...(weights === undefined ? {} : { weight: weights.own }),
    others: weights?.others ?? [],
    targetPort: listener.targetPort,
    portName: listener.name,
  };
}

/** Two ports of one number become one TCP_UDP listener: a load balancer has one listener per number. */
function mergedPorts(reader: Reader, { listeners }: LoadBalancerSpec, settings: Settings): readonly Merged[] {
  const byPort = Map.groupBy(listeners, ({ port }) => port);
  const merges = reader.flag('enable-tcp-udp-listener') ?? settings.tcpUdp;
  const merged = [...byPort].flatMap(([port, same]): Merged[] => {
    const [first, second] = same;
    if (first === undefined) return [];
    const sctp = same.find(({ protocol }) => protocol === 'SCTP');
    if (sctp !== undefined) {
      reader.problem('spec.ports', `port ${port}/SCTP: a Network Load Balancer has TCP and UDP only`);
      return [];
    }
    if (second === undefined) return [{ port, protocol: first.protocol === 'UDP' ? 'UDP' : 'TCP', listener: first }];
    const listener = same.find(({ protocol }) => protocol === 'TCP') ?? first;
    if (merges && same.length === 2 && endsTogether(first, second)) return [{ port, protocol: 'TCP_UDP', listener }];
    const why = merges
      ? 'TCP and UDP on one port must lead to the same node port or target port'
      : `TCP and UDP on one port need ${reader.key('enable-tcp-udp-listener')}: "true"`;
    reader.problem('spec.ports', `port ${port} is there ${same.length} times: ${why}`);
    return [];
  });
  return merged.sort((a, b) => a.port - b.port);
}

const endsTogether = (a: Listener, b: Listener): boolean =>
  a.protocol !== b.protocol && a.targetPort === b.targetPort && a.targetPortName === b.targetPortName;

interface Tls {
  readonly isOn: (port: number, protocol: Merged['protocol']) => boolean;
  readonly toBackends: boolean;
  readonly settings: Omit<ListenerSettings, 'protocol' | 'attributes'>;
}

function tlsOf(reader: Reader, merged: readonly Merged[], settings: Settings): Tls {
  const certificates = reader.list('ssl-cert') ?? [];
  for (const arn of certificates) {
    if (!arn.startsWith('arn:')) reader.problem(reader.key('ssl-cert'), `${JSON.stringify(arn)} is no ARN`);
  }
  const only = reader.list('ssl-ports') === undefined ? undefined : numbersOf(reader, 'ssl-ports', merged);
  const policy = reader.text('ssl-negotiation-policy') ?? settings.defaultSslPolicy;
  if (policy === '') reader.problem(reader.key('ssl-negotiation-policy'), 'is empty; leave it out for the default');
  const alpn = reader.choice('alpn-policy', ALPN);
  const backend = reader.choice('backend-protocol', ['tcp', 'ssl', 'http', 'https'] as const, { anyCase: true });
  return {
    isOn: (port, protocol) => protocol === 'TCP' && certificates.length > 0 && (only?.has(port) ?? true),
    toBackends: backend === 'ssl',
    settings: {
      sslPolicy: policy,
      certificates: [...new Set(certificates)],
      ...(alpn === undefined || alpn === 'None' ? {} : { alpnPolicy: alpn }),
    },
  };
}

const ALPN = ['HTTP1Only', 'HTTP2Only', 'HTTP2Optional', 'HTTP2Preferred', 'None'] as const;

const quicOf = (protocol: Merged['protocol']): ListenerProtocol => (protocol === 'TCP_UDP' ? 'TCP_QUIC' : 'QUIC');

/** Port numbers of a list of names and numbers; an entry that matches no port is a problem. */
function numbersOf(
  reader: Reader,
  name: string,
  merged: readonly Merged[],
  fits: (port: Merged) => boolean = () => true,
): ReadonlySet<number> {
  const numbers = new Set<number>();
  for (const entry of reader.list(name) ?? []) {
    const found = merged.find((each) => fits(each) && (String(each.port) === entry || each.listener.name === entry));
    if (found === undefined)
      reader.problem(reader.key(name), `${JSON.stringify(entry)} matches no port of the Service`);
    else numbers.add(found.port);
  }
  return numbers;
}

function proxiedOf(reader: Reader, merged: readonly Merged[]): (port: number) => boolean {
  const all = reader.choice('proxy-protocol', ['*'] as const) === '*';
  const some = numbersOf(reader, 'proxy-protocol-per-target-group', merged);
  return (port) => all || some.has(port);
}

const PROXY = 'proxy_protocol_v2.enabled';

/** The common map, then the port's own, whose empty values override nothing. */
function groupAttributes(reader: Reader, port: number, proxied: boolean): Attributes {
  const own = Object.entries(reader.map(`target-group-attributes.${port}`) ?? {}).filter(([, value]) => value !== '');
  const attributes: Attributes = {
    [PROXY]: 'false',
    ...reader.map('target-group-attributes'),
    ...Object.fromEntries(own),
  };
  for (const key of BOOLEANS) {
    const value = attributes[key];
    if (value === undefined || flagOf(value) !== undefined) continue;
    const problem = `${key}: ${JSON.stringify(value)} is neither true nor false`;
    reader.problem(reader.key('target-group-attributes'), problem);
  }
  return sortedRecord({ ...attributes, ...(proxied ? { [PROXY]: 'true' } : {}) });
}

const BOOLEANS = [PROXY, 'preserve_client_ip.enabled', 'stickiness.enabled'] as const;

function listenerAttributes(reader: Reader, protocol: ListenerProtocol, port: number): Attributes {
  const name = `listener-attributes.${protocol}-${port}`;
  const attributes = reader.map(name);
  if (attributes === undefined) return {};
  if (protocol === 'TLS') {
    reader.problem(reader.key(name), 'a TLS listener has no attributes that can be set');
    return {};
  }
  return sortedRecord(attributes);
}

/** What names a listener or port that the Service does not have is a mistake, and must not pass silently. */
function reportUnused(reader: Reader, ports: readonly DesiredPort[], merged: readonly Merged[]): void {
  const listeners = new Set(ports.map(({ port, listener }) => `${listener.protocol}-${port}`));
  const numbers = new Set(merged.map(({ port }) => String(port)));
  const has = [...listeners].join(', ');
  for (const suffix of reader.suffixes('listener-attributes.')) {
    if (listeners.has(suffix)) continue;
    reader.problem(reader.key(`listener-attributes.${suffix}`), `no listener is ${suffix}; there are ${has}`);
  }
  for (const suffix of reader.bareSuffixes('actions.')) {
    if (listeners.has(suffix)) continue;
    const field = `service.beta.kubernetes.io/actions.${suffix}`;
    reader.problem(field, `no listener is ${suffix}; there are ${has}`);
  }
  for (const suffix of reader.suffixes('target-group-attributes.')) {
    if (numbers.has(suffix)) continue;
    reader.problem(reader.key(`target-group-attributes.${suffix}`), `the Service has no port ${suffix}`);
  }
}
