import { isEqual } from '../equal.ts';
import { parseBlock } from '../net/cidr.ts';
import { formatIp, parseIp } from '../net/ip.ts';
import type { IpFamily, Protocol } from '../provider.ts';
import type { CniCall, CniCommand } from './call.ts';
import { CniFailure, cniCodes } from './failure.ts';
import { count, list, type Members, members, optionalMembers, text, texts, wrong } from './json.ts';
import { type CniDns, type CniResult, dnsOf, parsePrevResult } from './result.ts';
import { type CniVersion, cniVersions, isAtLeast, isCniVersion, LATEST, UNSTATED } from './versions.ts';

/** What one call asks for: configuration, capabilities and CNI_ARGS in one value. */
export interface NetConf {
  readonly version: CniVersion;
  /** Name of the network: the folder of the address files. */
  readonly name: string;
  readonly prevResult?: CniResult;
  /** Of both ends and in the result; absent: that of the node's default route. */
  readonly mtu?: number;
  /** Of the pod's end. */
  readonly mac?: string;
  /** At most one of each family, RFC 5952. */
  readonly addresses: readonly string[];
  readonly portMappings: readonly PortMapping[];
  readonly dns: CniDns;
  /** Of GC: what still exists. */
  readonly validAttachments?: readonly { readonly containerId: string; readonly ifname: string }[];
}

export interface PortMapping {
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: Protocol;
  /** Absent: every address of the node. */
  readonly hostIP?: string;
}

/** stdin as JSON; an empty one is not (code 6). */
export function parseJson(stdin: string): Members {
  try {
    return members(JSON.parse(stdin) as unknown, 'network config');
  } catch (error) {
    if (error instanceof SyntaxError)
      throw new CniFailure(cniCodes.decoding, `error unmarshall network config: ${error.message}`, undefined, error);
    throw error;
  }
}

/** Also for a configuration that is otherwise wrong: in which version errors are told. */
export function versionOf(stdin: string): CniVersion {
  try {
    const { cniVersion } = JSON.parse(stdin) as { readonly cniVersion?: unknown };
    return typeof cniVersion === 'string' && isCniVersion(cniVersion) ? cniVersion : LATEST;
  } catch {
    // What is wrong with it is told by `parseJson`.
    return LATEST;
  }
}

/** Since when a command is in the specification. */
const since: Readonly<Partial<Record<CniCommand, CniVersion>>> = { CHECK: '0.4.0', GC: '1.1.0', STATUS: '1.1.0' };

export function parseNetConf(json: Members, call: Pick<CniCall, 'command' | 'args'>): NetConf {
  const version = statedVersion(json);
  const least = since[call.command];
  if (least !== undefined && !isAtLeast(version, least))
    throw new CniFailure(
      cniCodes.version,
      `config version does not allow ${call.command}`,
      `it is of version ${least}`,
    );
  const name = networkName(json);
  const valid = json['cni.dev/valid-attachments'] ?? undefined;
  // DEL, GC and STATUS look at nothing else: what made ADD fail must not keep the runtime from cleaning up after it.
  if (call.command !== 'ADD' && call.command !== 'CHECK')
    return {
      version,
      name,
      addresses: [],
      portMappings: [],
      dns: {},
      ...(valid === undefined ? {} : { validAttachments: attachmentsOf(json) }),
    };
  refuseUnsupported(json);
  const runtime = optionalMembers(json, 'runtimeConfig', '') ?? {};
  const args = optionalMembers(optionalMembers(json, 'args', '') ?? {}, 'cni', 'args.') ?? {};
  const prevResult = parsePrevResult(json['prevResult'], version);
  const mtu = count(json, 'mtu', '') || undefined;
  if (mtu !== undefined && (mtu < LEAST_MTU || mtu > 65_535))
    throw new CniFailure(cniCodes.config, `mtu: ${mtu} is not possible`, `${LEAST_MTU} to 65535, or 0 for the node's`);
  const mac = macOf(call.args.mac, args, runtime);
  return {
    version,
    name,
    addresses: addressesOf(call.args.ip, args, runtime),
    portMappings: list(runtime, 'portMappings', 'runtimeConfig.').flatMap((one, at) => mappingsOf(one, at)),
    dns: dnsOf(optionalMembers(runtime, 'dns', 'runtimeConfig.') ?? optionalMembers(json, 'dns', '') ?? {}, 'dns.'),
    ...(prevResult === undefined ? {} : { prevResult }),
    ...(mtu === undefined ? {} : { mtu }),
    ...(mac === undefined ? {} : { mac }),
  };
}

/** IPv4 asks for 68, IPv6 for 1280; below that nobody meant it. (RFC 791, RFC 8200) */
const LEAST_MTU = 68;

function statedVersion(json: Members): CniVersion {
  const stated = text(json, 'cniVersion', '') || UNSTATED;
  if (isCniVersion(stated)) return stated;
  throw new CniFailure(
    cniCodes.version,
    'incompatible CNI versions',
    `config is "${stated}", plugin supports [${cniVersions.map((known) => `"${known}"`).join(' ')}]`,
  );
}

function networkName(json: Members): string {
  const name = text(json, 'name', '') ?? '';
  if (name === '') throw new CniFailure(cniCodes.config, 'missing network name');
  // It is the name of a folder, too.
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name) || name.length > 200)
    throw new CniFailure(cniCodes.config, 'invalid characters found in network name', name);
  return name;
}

/** Settings of the reference plugins and of capabilities that would be lost without a word: field -> what there is instead. */
const unsupported: Readonly<Record<string, string>> = {
  ipam: "addresses come from the node's pod CIDR; leave ipam out",
  bridge: 'pods get a routed veth, no bridge',
  hairpinMode: 'there is no bridge',
  promiscMode: 'there is no bridge',
  vlan: 'there is no bridge',
  vlanTrunk: 'there is no bridge',
  macspoofchk: 'there is no bridge',
  portIsolation: 'there is no bridge',
  ipMasq: 'masquerading is set on the agent (--cni-masquerade)',
  ipMasqBackend: 'masquerading is set on the agent (--cni-masquerade)',
  'runtimeConfig.bandwidth': 'chain the bandwidth plugin after fairlead and give the capability to it',
  'runtimeConfig.ipRanges': "addresses come from the node's pod CIDR",
  'runtimeConfig.infinibandGUID': 'a veth has none',
  'runtimeConfig.deviceID': 'a veth is no device',
  'runtimeConfig.aliases': 'there is no name server for them',
  'runtimeConfig.cgroupPath': 'nothing here works on cgroups',
};

function refuseUnsupported(json: Members): void {
  for (const [field, instead] of Object.entries(unsupported)) {
    const value = field.split('.').reduce<unknown>((at, name) => (at as Members | undefined)?.[name], json);
    if (isSet(value)) throw new CniFailure(cniCodes.unsupportedField, `unsupported field ${field}`, instead);
  }
}

/** false, 0, '' and empty collections ask for nothing. */
const isSet = (value: unknown): boolean =>
  value !== undefined &&
  value !== null &&
  value !== false &&
  value !== 0 &&
  value !== '' &&
  !isEqual(value, {}) &&
  !isEqual(value, []);

/** CNI_ARGS, then args.cni, then the capability: the last that says something wins (bridge of the reference). */
function macOf(env: string | undefined, args: Members, runtime: Members): string | undefined {
  const [field, value] = [
    ['runtimeConfig.mac', text(runtime, 'mac', 'runtimeConfig.')],
    ['args.cni.mac', text(args, 'mac', 'args.cni.')],
    ['CNI_ARGS MAC', env],
  ].find(([, stated]) => stated !== undefined && stated !== '') ?? ['mac', undefined];
  if (value === undefined) return undefined;
  const mac = value.toLowerCase().replaceAll('-', ':');
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac))
    throw wrong(field ?? 'mac', 'a MAC address (0a:58:0a:40:01:02)', value);
  if ((Number.parseInt(mac.slice(0, 2), 16) & 1) === 1)
    throw wrong(field ?? 'mac', 'the MAC address of one station', value);
  if (mac === '00:00:00:00:00:00') throw wrong(field ?? 'mac', 'a MAC address', value);
  return mac;
}

/** The union of all three sources (host-local of the reference); a prefix length is allowed and has no meaning. */
function addressesOf(env: string | undefined, args: Members, runtime: Members): readonly string[] {
  const stated = [
    ...(env === undefined ? [] : env.split(',').map((value) => ['CNI_ARGS IP', value] as const)),
    ...texts(args, 'ips', 'args.cni.').map((value, at) => [`args.cni.ips[${at}]`, value] as const),
    ...texts(runtime, 'ips', 'runtimeConfig.').map((value, at) => [`runtimeConfig.ips[${at}]`, value] as const),
  ];
  const addresses = [...new Set(stated.map(([field, value]) => addressOf(field, value)))];
  for (const family of ['ipv4', 'ipv6'] satisfies IpFamily[]) {
    const own = addresses.filter((address) => parseIp(address)?.family === family);
    if (own.length > 1)
      throw new CniFailure(
        cniCodes.config,
        `two ${family} addresses asked for: ${own.join(', ')}`,
        'at most one of each family',
      );
  }
  return addresses;
}

function addressOf(field: string, value: string): string {
  const slash = value.indexOf('/');
  const ip = parseIp(slash < 0 ? value : value.slice(0, slash));
  if (ip === undefined || (slash >= 0 && parseBlock(value) === undefined)) throw wrong(field, 'an IP address', value);
  return formatIp(ip);
}

const protocols: readonly Protocol[] = ['TCP', 'UDP', 'SCTP'];

function mappingsOf(value: unknown, at: number): readonly PortMapping[] {
  const field = `runtimeConfig.portMappings[${at}].`;
  const of = inOurCase(members(value, field.slice(0, -1)), ['hostPort', 'containerPort', 'protocol', 'hostIP']);
  const hostPort = count(of, 'hostPort', field) ?? 0;
  // Runtimes pass container ports without a hostPort along; portmap of the reference skips them.
  if (hostPort === 0) return [];
  const containerPort = count(of, 'containerPort', field) ?? 0;
  if (hostPort > 65_535) throw wrong(`${field}hostPort`, 'a port', hostPort);
  if (containerPort < 1 || containerPort > 65_535) throw wrong(`${field}containerPort`, 'a port', containerPort);
  const named = text(of, 'protocol', field) || 'tcp';
  const protocol = protocols.find((known) => known === named.toUpperCase());
  if (protocol === undefined) throw wrong(`${field}protocol`, 'tcp, udp or sctp', named);
  const hostIP = text(of, 'hostIP', field) || undefined;
  const ip = hostIP === undefined ? undefined : parseIp(hostIP);
  if (hostIP !== undefined && ip === undefined) throw wrong(`${field}hostIP`, 'an IP address', hostIP);
  // 0.0.0.0 and :: are kept: they limit the mapping to one family.
  return [{ hostPort, containerPort, protocol, ...(ip === undefined ? {} : { hostIP: formatIp(ip) }) }];
}

/** containerd (go-cni) writes HostPort, CRI-O hostPort: Go, in which the reference plugins are written, reads either. */
function inOurCase(given: Members, names: readonly string[]): Members {
  const ours = new Map(names.map((name) => [name.toLowerCase(), name]));
  return Object.fromEntries(
    Object.entries(given).map(([name, value]) => [ours.get(name.toLowerCase()) ?? name, value]),
  );
}

function attachmentsOf(json: Members): readonly { readonly containerId: string; readonly ifname: string }[] {
  return list(json, 'cni.dev/valid-attachments', '').map((one, at) => {
    const field = `cni.dev/valid-attachments[${at}]`;
    const of = members(one, field);
    const containerId = text(of, 'containerID', `${field}.`) ?? '';
    const ifname = text(of, 'ifname', `${field}.`) ?? '';
    if (containerId === '' || ifname === '') throw wrong(field, 'a containerID with an ifname', one);
    return { containerId, ifname };
  });
}
