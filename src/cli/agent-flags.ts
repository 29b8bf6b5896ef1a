import type { ChannelKind } from '../agent/netlink/channel.ts';
import { type PartName, partNames } from '../agent/part.ts';
import type { DetectLocalOptions, ProxyOptions } from '../agent/proxy/options.ts';
import { parseCidr } from '../core/net/cidr.ts';
import { canonicalIp } from '../core/net/ip.ts';
import type { Cidr } from '../core/provider.ts';
import { cniFlags } from './cni-flags.ts';
import type { Flag, Input, Values } from './command.ts';
import { clusterFlags } from './flag-table.ts';
import { parse } from './flags.ts';

const agentOnlyFlags: readonly Flag[] = [
  {
    name: 'node-name',
    aliases: ['hostname-override'],
    value: 'NAME',
    help: "This node's name in the API [$NODE_NAME, else the host name]",
    parse: nodeName,
  },
  {
    name: 'parts',
    value: 'LIST',
    help: 'What runs: proxy (Services), cni (pod interfaces), routes (to the pods of other nodes)',
    parse: partList,
    default: partNames.join(','),
    choices: partNames,
  },
  {
    name: 'cleanup',
    help: 'Remove what --parts left on this node (rules, plugin, routes), and end',
    parse: parse.boolean,
    default: 'false',
  },
  {
    name: 'channel',
    value: 'KIND',
    help: 'How the kernel is told: socket (in this process), helper (a small program), text (nft and ip); auto: the first that works',
    parse: parse.oneOf('auto', 'socket', 'helper', 'text'),
    default: 'auto',
    choices: ['auto', 'socket', 'helper', 'text'],
  },
  {
    name: 'helper',
    value: 'FILE',
    help: 'The program fairlead-netlink: the channel of that name, and what hears of changes to links and routes [beside this program]',
    parse: parse.text,
  },
  {
    name: 'sysctl-root',
    value: 'FOLDER',
    help: 'Where kernel settings are written; in a pod the mounted /host/proc/sys',
    parse: parse.text,
    default: '/proc/sys',
  },
  {
    name: 'config',
    value: 'FILE',
    help: "kube-proxy's config file (KubeProxyConfiguration v1alpha1); flags win over it",
    parse: parse.text,
  },
  {
    name: 'log-level',
    value: 'LEVEL',
    help: 'What is written to standard output, as JSON',
    parse: parse.oneOf('debug', 'info', 'warn', 'error'),
    default: 'info',
    choices: ['debug', 'info', 'warn', 'error'],
  },
  {
    name: 'kube-api-qps',
    value: 'N',
    help: 'Requests per second to the API server; 0: no limit of ours, 429 is obeyed',
    parse: parse.number(0),
    default: '0',
  },
  {
    name: 'kube-api-burst',
    value: 'N',
    help: 'Requests at once under --kube-api-qps',
    parse: parse.integer(0),
    default: '0',
  },
  {
    name: 'healthz-bind-address',
    value: 'IP:PORT',
    help: '/healthz and /livez as of kube-proxy, for load balancers; with the proxy part only; empty: off',
    parse: listenAddress(10_256),
    default: '0.0.0.0:10256',
  },
  {
    name: 'readyz-bind-address',
    value: 'IP:PORT',
    help: '/readyz and /livez of the agent, for its probes; empty: off',
    parse: listenAddress(10_271),
    default: '127.0.0.1:10271',
  },
  {
    name: 'metrics-bind-address',
    value: 'IP:PORT',
    help: '/metrics; empty: off [127.0.0.1:10249, without the proxy part 127.0.0.1:10272]',
    parse: listenAddress(10_249),
  },
  {
    name: 'bind-address-hard-fail',
    help: 'End when one of these two addresses is taken, instead of going on without it',
    parse: parse.boolean,
    default: 'false',
  },
];

const proxyFlags: readonly Flag[] = [
  {
    name: 'service-proxy-name',
    value: 'NAME',
    help: 'Serve Services whose label service.kubernetes.io/service-proxy-name is NAME [those without the label]',
    parse: parse.text,
  },
  {
    name: 'bind-address',
    value: 'IP',
    help: "The node's primary address, over the one of the Node object; nothing is bound to it",
    parse: address,
  },
  {
    name: 'nodeport-addresses',
    value: 'LIST',
    help: 'Where NodePorts answer: ranges, primary, all; never on loopback',
    parse: nodePortAddresses,
    default: 'primary',
  },
  {
    name: 'masquerade-all',
    help: 'Masquerade whatever goes to a ClusterIP',
    parse: parse.boolean,
    default: 'false',
  },
  {
    name: 'detect-local-mode',
    value: 'MODE',
    help: 'How connections of pods are known: ClusterCIDR, NodeCIDR, BridgeInterface, InterfaceNamePrefix [ClusterCIDR with --cluster-cidr, else NodeCIDR]',
    parse: parse.oneOf('ClusterCIDR', 'NodeCIDR', 'BridgeInterface', 'InterfaceNamePrefix'),
    choices: ['ClusterCIDR', 'NodeCIDR', 'BridgeInterface', 'InterfaceNamePrefix'],
  },
  {
    name: 'cluster-cidr',
    value: 'CIDR[,CIDR]',
    help: 'Addresses of pods, for --detect-local-mode=ClusterCIDR; IPv4 and IPv6',
    parse: cidrs,
  },
  {
    name: 'pod-bridge-interface',
    value: 'NAME',
    help: 'The bridge of the pods, for BridgeInterface',
    parse: parse.text,
  },
  {
    name: 'pod-interface-name-prefix',
    value: 'PREFIX',
    help: "How the names of pods' interfaces begin, for InterfaceNamePrefix",
    parse: parse.text,
  },
  {
    name: 'min-sync-period',
    aliases: ['iptables-min-sync-period'],
    value: 'DURATION',
    help: 'Least time between two commits while changes keep coming; a first change is committed at once',
    parse: parse.durationMs,
    default: '100ms',
  },
  {
    name: 'sync-period',
    aliases: ['iptables-sync-period'],
    value: 'DURATION',
    help: 'A change that is not in the kernel after twice this time makes /healthz fail',
    parse: parse.durationMs,
    default: '30s',
  },
  {
    name: 'conntrack-max-per-core',
    value: 'N',
    help: 'Connections tracked per CPU core; 0 leaves the limit as it is',
    parse: parse.integer(0, 2 ** 31 - 1),
    default: '32768',
  },
  {
    name: 'conntrack-min',
    value: 'N',
    help: 'The least limit of tracked connections',
    parse: parse.integer(0, 2 ** 31 - 1),
    default: '131072',
  },
  duration('conntrack-tcp-timeout-established', 'Of an idle TCP connection; 0 leaves it as it is', '24h'),
  duration('conntrack-tcp-timeout-close-wait', 'Of a TCP connection in CLOSE_WAIT; 0 leaves it as it is', '1h'),
  {
    name: 'conntrack-tcp-be-liberal',
    help: 'Do not take packets outside of the TCP window for invalid',
    parse: parse.boolean,
    default: 'false',
  },
  duration('conntrack-udp-timeout', 'Of an idle UDP flow without answers; 0 leaves it as it is', '0s'),
  duration('conntrack-udp-timeout-stream', 'Of an idle UDP flow with answers; 0 leaves it as it is', '0s'),
  {
    name: 'kube-proxy-metrics',
    help: "Export the proxy's metrics under kube-proxy's names (kubeproxy_...) too",
    parse: parse.boolean,
    default: 'false',
  },
  {
    name: 'oom-score-adj',
    value: 'N',
    help: "The process's oom_score_adj; without rights to lower it: a warning [left as it is]",
    parse: parse.integer(-1000, 1000),
  },
];

/** kube-proxy's flags that mean nothing here. Given: accepted, and told in the log. */
const inertFlags: readonly Flag[] = [
  ...[
    'proxy-mode',
    'feature-gates',
    'show-hidden-metrics-for-version',
    'kube-api-content-type',
    'logging-format',
    'v',
    'vmodule',
  ].map((name) => inert(name)),
  ...[
    'config-sync-period',
    'iptables-masquerade-bit',
    'ipvs-sync-period',
    'ipvs-min-sync-period',
    'ipvs-scheduler',
  ].map((name) => inert(name)),
  ...['ipvs-exclude-cidrs', 'ipvs-tcp-timeout', 'ipvs-tcpfin-timeout', 'ipvs-udp-timeout', 'log-flush-frequency'].map(
    (name) => inert(name),
  ),
  ...['healthz-port', 'metrics-port'].map((name) => inert(name)),
  ...['profiling', 'iptables-localhost-nodeports', 'ipvs-strict-arp', 'init-only'].map((name) => ({
    name,
    help: 'Accepted, without effect',
    parse: parse.boolean,
    hidden: true as const,
  })),
];

/** Every flag of `fairlead agent`. */
export const agentFlags: readonly Flag[] = [
  ...agentOnlyFlags,
  ...clusterFlags,
  ...proxyFlags,
  ...cniFlags,
  ...inertFlags,
];

export interface Listen {
  /** Absent: all addresses. */
  readonly host?: string;
  readonly port: number;
}

/** What the process as a whole is told. */
export interface AgentOptions {
  readonly parts: readonly PartName[];
  readonly channel: 'auto' | ChannelKind;
  /** Path of fairlead-netlink; absent: where the image has it. */
  readonly helper?: string;
  readonly sysctlRoot: string;
  /** kube-proxy's pages. */
  readonly healthz?: Listen;
  /** The agent's own. */
  readonly readyz?: Listen;
  readonly metrics?: Listen;
  readonly bindAddressHardFail: boolean;
  readonly kubeProxyMetrics: boolean;
  readonly oomScoreAdj?: number;
}

/** What the flags say beyond their single values. */
export function agentProblems({ flags }: Input): readonly string[] {
  const problems: string[] = [];
  if ((flags['parts'] as readonly string[]).length === 0) problems.push('--parts leaves nothing to run');
  const mode = flags['detect-local-mode'];
  const needs = { BridgeInterface: 'pod-bridge-interface', InterfaceNamePrefix: 'pod-interface-name-prefix' };
  for (const [name, flag] of Object.entries(needs)) {
    if (mode === name && flags[flag] === undefined) problems.push(`--detect-local-mode=${name} needs --${flag}`);
    if (mode !== name && flags[flag] !== undefined) problems.push(`--${flag} needs --detect-local-mode=${name}`);
  }
  if (mode === 'ClusterCIDR' && flags['cluster-cidr'] === undefined)
    problems.push('--detect-local-mode=ClusterCIDR needs --cluster-cidr');
  if ((flags['sync-period'] as number) < 1000) problems.push('--sync-period must be at least 1s');
  if ((flags['min-sync-period'] as number) > (flags['sync-period'] as number))
    problems.push('--min-sync-period must not be longer than --sync-period');
  return problems;
}

/** Given flags that have no effect: to be warned of once. */
export function inertAgentFlags({ given }: Input): readonly string[] {
  return inertFlags.map(({ name }) => name).filter((name) => given.has(name));
}

export function agentOptions(flags: Values): AgentOptions {
  const parts = flags['parts'] as readonly PartName[];
  const proxied = parts.includes('proxy');
  const healthz = proxied ? listen(flags['healthz-bind-address']) : undefined;
  const readyz = listen(flags['readyz-bind-address']);
  const metrics = listen(flags['metrics-bind-address'], { host: '127.0.0.1', port: proxied ? 10_249 : 10_272 });
  const oomScoreAdj = flags['oom-score-adj'] as number | undefined;
  const helper = flags['helper'] as string | undefined;
  return {
    parts,
    ...(helper === undefined ? {} : { helper }),
    channel: flags['channel'] as AgentOptions['channel'],
    sysctlRoot: flags['sysctl-root'] as string,
    ...(healthz === undefined ? {} : { healthz }),
    ...(readyz === undefined ? {} : { readyz }),
    ...(metrics === undefined ? {} : { metrics }),
    bindAddressHardFail: flags['bind-address-hard-fail'] as boolean,
    kubeProxyMetrics: flags['kube-proxy-metrics'] as boolean,
    ...(oomScoreAdj === undefined ? {} : { oomScoreAdj }),
  };
}

export function proxyOptions(flags: Values): ProxyOptions {
  const seconds = (name: string): number => Math.floor((flags[name] as number) / 1000);
  const serviceProxyName = flags['service-proxy-name'] as string | undefined;
  // 0.0.0.0 is kube-proxy's way to say: what the Node object has.
  const nodeIP = flags['bind-address'] as string | undefined;
  return {
    ...(serviceProxyName === undefined ? {} : { serviceProxyName }),
    masqueradeAll: flags['masquerade-all'] as boolean,
    detectLocal: detectLocal(flags),
    nodePortAddresses: flags['nodeport-addresses'] as ProxyOptions['nodePortAddresses'],
    ...(nodeIP === undefined || nodeIP === '0.0.0.0' || nodeIP === '::' ? {} : { nodeIP }),
    conntrack: {
      maxPerCore: flags['conntrack-max-per-core'] as number,
      min: flags['conntrack-min'] as number,
      tcpEstablishedSeconds: seconds('conntrack-tcp-timeout-established'),
      tcpCloseWaitSeconds: seconds('conntrack-tcp-timeout-close-wait'),
      tcpBeLiberal: flags['conntrack-tcp-be-liberal'] as boolean,
      udpSeconds: seconds('conntrack-udp-timeout'),
      udpStreamSeconds: seconds('conntrack-udp-timeout-stream'),
    },
    minSyncPeriodMs: flags['min-sync-period'] as number,
    syncPeriodMs: flags['sync-period'] as number,
  };
}

function detectLocal(flags: Values): DetectLocalOptions {
  const ranges = flags['cluster-cidr'] as readonly Cidr[] | undefined;
  switch (flags['detect-local-mode'] ?? (ranges === undefined ? 'NodeCIDR' : 'ClusterCIDR')) {
    case 'NodeCIDR':
      return { by: 'node-cidr' };
    case 'BridgeInterface':
      return { by: 'interface', name: flags['pod-bridge-interface'] as string };
    case 'InterfaceNamePrefix':
      return { by: 'interface-prefix', prefix: flags['pod-interface-name-prefix'] as string };
    default:
      return { by: 'cluster-cidr', cidrs: ranges ?? [] };
  }
}

/** `null`: switched off by an empty value. */
function listen(given: unknown, fallback?: Listen): Listen | undefined {
  return given === undefined ? fallback : ((given as Listen | null) ?? undefined);
}

/** kubelet and kube-proxy spell a node's name in lower case. */
function nodeName(text: string): string {
  const name = text.trim().toLowerCase();
  if (!/^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/.test(name)) throw new Error('is no name of a node');
  return name;
}

function partList(text: string): readonly PartName[] {
  const words = parse.list(text);
  const unknown = words.filter((word) => !partNames.includes(word as PartName));
  if (unknown.length > 0) throw new Error(`holds ${unknown.join(', ')}; the parts are ${partNames.join(', ')}`);
  return partNames.filter((name) => words.includes(name));
}

/** '0.0.0.0:10256', '[::1]:10249', '127.0.0.1'; empty: `null`. An address that means all of them becomes none. */
function listenAddress(usualPort: number): (text: string) => Listen | null {
  return (text) => {
    if (text === '') return null;
    const [, bracketed, plain = '', portText] = /^(?:\[([^\]]+)\]|([^:]*))(?::(\d{1,5}))?$/.exec(text) ?? [];
    const bare = canonicalIp(text); // an IPv6 address without brackets and port
    const host = bare ?? canonicalIp(bracketed ?? plain);
    const port = bare !== undefined || portText === undefined ? usualPort : Number(portText);
    if ((host === undefined && text[0] !== ':') || port > 65_535 || port < 1)
      throw new Error(`is no address and port; write 127.0.0.1:${usualPort} or [::]:${usualPort}`);
    return host === undefined || host === '0.0.0.0' || host === '::' ? { port } : { host, port };
  };
}

function address(text: string): string {
  const canonical = canonicalIp(text);
  if (canonical === undefined) throw new Error('is no IP address');
  return canonical;
}

function cidrs(text: string): readonly Cidr[] {
  return parse.list(text).map((part) => {
    const cidr = parseCidr(part);
    if (cidr === undefined) throw new Error(`holds ${JSON.stringify(part)}, which is no CIDR such as 10.244.0.0/16`);
    return cidr;
  });
}

/** kube-proxy's keywords; 'localhost' is taken out with the reason that NodePorts never answer there. */
function nodePortAddresses(text: string): ProxyOptions['nodePortAddresses'] {
  return parse.list(text).map((word) => {
    if (word === 'primary' || word === 'all') return word;
    if (word === 'localhost') throw new Error('holds localhost: NodePorts are never served on loopback addresses');
    const cidr = parseCidr(word);
    if (cidr === undefined)
      throw new Error(`holds ${JSON.stringify(word)}, which is neither primary, all nor a CIDR such as 192.0.2.0/24`);
    return cidr;
  });
}

function duration(name: string, help: string, fallback: string): Flag {
  return { name, value: 'DURATION', help, parse: parse.durationMs, default: fallback };
}

function inert(name: string): Flag {
  return { name, value: 'VALUE', help: 'Accepted, without effect', parse: parse.anything, hidden: true };
}
