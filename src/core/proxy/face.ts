/** What a frontend writes into the table (node-proxy.md, "What each frontend writes"). */
import type { Registers, TableFamily } from '../net/element.ts';
import { NO_TARGETS } from './lists.ts';
import type { AddressRange, Frontend, PortModel } from './model.ts';
import { parseAddress } from './registers.ts';
import type { SetName } from './schema.ts';
import { type ChainKind, DEFAULT_TIMEOUT_SECONDS } from './value.ts';

/** How a client's endpoint is chosen. */
export type Choice = 'drawn' | 'remembered' | 'hashed';

/** Sets whose only key is the frontend itself, one bit each. */
export const FLAG_SETS = [
  'masq-vips',
  'local-vips',
  'no-ep-reject',
  'no-ep-drop',
  'restricted',
] as const satisfies readonly SetName[];

export interface Face {
  readonly choice: Choice;
  /** Of remembered clients. */
  readonly timeoutSeconds: number;
  /** Targets of the cluster list that this frontend uses; empty = none of its slots are needed. */
  readonly cluster: readonly Registers[];
  readonly local: readonly Registers[];
  /** Which list `services` and `services-near` lead to. */
  readonly services: 'cluster' | 'local' | undefined;
  readonly near: 'cluster' | undefined;
  /** Bits of `FLAG_SETS`. */
  readonly flags: number;
  /** Its address is in `cluster-ips`. */
  readonly isClusterIp: boolean;
  readonly sources: readonly AddressRange[];
  /** UDP: whose conntrack entries stay. */
  readonly serving: readonly Registers[];
  /** Who keeps remembered clients: another scope means new endpoint ids. */
  readonly scope: 'Cluster' | 'Local';
}

export const NO_SOURCES: readonly AddressRange[] = [];

/** Of a frontend that nobody has. */
export const NO_FACE: Face = {
  choice: 'drawn',
  timeoutSeconds: 0,
  cluster: NO_TARGETS,
  local: NO_TARGETS,
  services: undefined,
  near: undefined,
  flags: 0,
  isClusterIp: false,
  sources: NO_SOURCES,
  serving: NO_TARGETS,
  scope: 'Cluster',
};

export function faceOf(port: PortModel, frontend: Frontend, family: TableFamily): Face {
  const { kind, policy, sources } = frontend;
  const isInternal = kind === 'cluster-ip';
  const hasAny = port.cluster.length > 0;
  const isLocal = policy === 'Local';
  const services = !hasAny ? undefined : !isLocal ? 'cluster' : port.local.length > 0 ? 'local' : undefined;
  const near = hasAny && isLocal && !isInternal ? 'cluster' : undefined;
  const choice = choiceOf(port, family);
  return {
    choice,
    timeoutSeconds: choice === 'remembered' ? port.affinitySeconds : 0,
    cluster: services === 'cluster' || near === 'cluster' ? port.cluster : NO_TARGETS,
    local: services === 'local' ? port.local : NO_TARGETS,
    services,
    near,
    flags:
      masqueradeFlag(frontend, hasAny) |
      (hasAny ? 0 : flag('no-ep-reject')) |
      (hasAny && services === undefined ? flag('no-ep-drop') : 0) |
      (sources === undefined ? 0 : flag('restricted')),
    isClusterIp: isInternal,
    sources: sources ?? NO_SOURCES,
    serving: port.serving,
    scope: policy,
  };
}

export const flag = (set: (typeof FLAG_SETS)[number]): number => 1 << FLAG_SETS.indexOf(set);

/** Kind of chain for a list. */
export function chainKind(choice: Choice, list: 'cluster' | 'local'): ChainKind {
  switch (choice) {
    case 'drawn':
      return list === 'cluster' ? 'lb' : 'loc';
    case 'remembered':
      return list === 'cluster' ? 'aff' : 'affloc';
    case 'hashed':
      return list === 'cluster' ? 'hash' : 'hashloc';
    default:
      return choice satisfies never;
  }
}

/** kube-proxy masquerades what comes in for policy Cluster, and what the node itself sends for policy Local. */
function masqueradeFlag({ kind, policy, key }: Frontend, hasAny: boolean): number {
  if (!hasAny || kind === 'cluster-ip') return 0;
  // The pod is on this node, so its answers pass here; only a source of 127.0.0.1 means nothing to it.
  if (kind === 'host-port') return key.length === IPV4_KEY_BYTES && key.startsWith(LOOPBACK) ? flag('local-vips') : 0;
  return flag(policy === 'Local' ? 'local-vips' : 'masq-vips');
}

const LOOPBACK = parseAddress('127.0.0.1') as Registers;
const IPV4_KEY_BYTES = 12;

function choiceOf({ affinitySeconds, hashed }: PortModel, family: TableFamily): Choice {
  if (hashed || (affinitySeconds > 0 && family === 'ip6')) return 'hashed';
  return affinitySeconds > 0 ? 'remembered' : 'drawn';
}

export const isDefaultTimeout = (seconds: number): boolean => seconds === 0 || seconds === DEFAULT_TIMEOUT_SECONDS;
