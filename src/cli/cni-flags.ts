import type { CniOptions } from '../agent/cni/options.ts';
import { parseCidr } from '../core/net/cidr.ts';
import type { Cidr } from '../core/provider.ts';
import type { Flag, Values } from './command.ts';
import { parse } from './flags.ts';

/** Flags of the CNI part of the agent. */
export const cniFlags: readonly Flag[] = [
  {
    name: 'cni-conf-dir',
    value: 'FOLDER',
    help: 'Where the container runtime looks for its network configuration',
    parse: parse.text,
    default: '/etc/cni/net.d',
  },
  {
    name: 'cni-conf-file',
    value: 'NAME',
    help: 'Name of our conflist there: runtimes take the first by name',
    parse: conflistName,
    default: '05-fairlead.conflist',
  },
  {
    name: 'cni-bin-dir',
    value: 'FOLDER',
    help: 'Where the container runtime looks for plugins',
    parse: parse.text,
    default: '/opt/cni/bin',
  },
  {
    name: 'cni-shim',
    value: 'FILE',
    help: 'The program that becomes the plugin: the C program, or the shell form [the C program where it is built, else the shell form]',
    parse: parse.text,
  },
  {
    name: 'cni-plugin-name',
    value: 'NAME',
    help: 'Name of the plugin, its type in the conflist',
    parse: fileName,
    default: 'fairlead',
  },
  {
    name: 'cni-network-name',
    value: 'NAME',
    help: 'Name of the network: in the conflist, and the folder of the address files',
    parse: fileName,
    default: 'fairlead',
  },
  {
    name: 'cni-chain',
    value: 'JSON',
    help: 'Plugins that run after ours, as a JSON list: \'[{"type":"bandwidth","capabilities":{"bandwidth":true}}]\'',
    parse: pluginList,
  },
  {
    name: 'cni-socket',
    value: 'FILE',
    help: 'Where the plugin finds the agent',
    parse: parse.text,
    default: '/run/fairlead/cni.sock',
  },
  {
    name: 'cni-state-dir',
    value: 'FOLDER',
    help: 'What is known of each pod on this node',
    parse: parse.text,
    default: '/var/lib/fairlead/cni',
  },
  {
    name: 'cni-networks-dir',
    value: 'FOLDER',
    help: "Address files in host-local's layout; what is there is taken over",
    parse: parse.text,
    default: '/var/lib/cni/networks',
  },
  {
    name: 'cni-mtu',
    value: 'BYTES',
    help: "MTU of pods; 0: that of the node's default route, less --cni-encapsulation",
    parse: mtu,
    default: '0',
  },
  {
    name: 'cni-encapsulation',
    value: 'KIND',
    help: 'What carries packets between nodes: none, ipip (20 bytes), vxlan (50), vxlan6 (70), or a number of bytes',
    parse: encapsulation,
    default: 'none',
  },
  {
    name: 'cni-masquerade',
    help: "Pods leave the cluster with their node's address",
    parse: parse.boolean,
    default: 'true',
  },
  {
    name: 'cni-non-masquerade-cidrs',
    value: 'CIDR[,CIDR]',
    help: "Destinations that see a pod's own address, besides the pod CIDRs of all nodes",
    parse: cidrList,
  },
];

export interface CniPlace extends Pick<CniOptions, 'openRoute'> {
  /** What becomes the plugin without --cni-shim. */
  readonly shim: string;
}

/** The options of the part; the flags have been found to be right. */
export function cniOptions(flags: Values, { shim, openRoute }: CniPlace): CniOptions {
  const text = (name: string): string => flags[name] as string;
  return {
    confDir: text('cni-conf-dir'),
    confFile: text('cni-conf-file'),
    binDir: text('cni-bin-dir'),
    plugin: text('cni-plugin-name'),
    socket: text('cni-socket'),
    shim: (flags['cni-shim'] as string | undefined) ?? shim,
    network: text('cni-network-name'),
    chained: (flags['cni-chain'] as readonly object[] | undefined) ?? [],
    stateDir: text('cni-state-dir'),
    networksDir: text('cni-networks-dir'),
    mtu: flags['cni-mtu'] as number,
    encapsulation: flags['cni-encapsulation'] as number,
    masquerade: flags['cni-masquerade'] as boolean,
    nonMasqueradeCidrs: (flags['cni-non-masquerade-cidrs'] as readonly Cidr[] | undefined) ?? [],
    openRoute,
  };
}

function conflistName(text: string): string {
  if (!/^[\w.-]+[.]conflist$/.test(text)) throw new Error('is not the name of a conflist; write 05-fairlead.conflist');
  return text;
}

/** As the specification wants names of networks; a plugin's is a file, too. */
function fileName(text: string): string {
  if (!/^[a-zA-Z0-9][\w.-]{0,199}$/.test(text)) throw new Error('is not a name of letters, digits, dots, dashes and _');
  return text;
}

function pluginList(text: string): readonly object[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error('is not JSON');
  }
  if (!Array.isArray(value) || !value.every(isPlugin)) throw new Error('is not a list of plugins, each with its type');
  return value;
}

const isPlugin = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string' && value.type !== '';

const LEAST_MTU = 576;

function mtu(text: string): number {
  const value = parse.integer(0, 65_535)(text);
  if (value !== 0 && value < LEAST_MTU) throw new Error(`is below ${LEAST_MTU}`);
  return value;
}

const KINDS: Readonly<Record<string, number>> = { none: 0, ipip: 20, vxlan: 50, vxlan6: 70 };

function encapsulation(text: string): number {
  const known = KINDS[text];
  if (known !== undefined) return known;
  if (!/^\d+$/.test(text)) throw new Error(`is none of ${Object.keys(KINDS).join(', ')} and no number of bytes`);
  return parse.integer(0, 1000)(text);
}

function cidrList(text: string): readonly Cidr[] {
  return parse.list(text).map((part) => {
    const cidr = parseCidr(part);
    if (cidr === undefined) throw new Error(`has ${JSON.stringify(part)}, which is no CIDR`);
    return cidr;
  });
}
