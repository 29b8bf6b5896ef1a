import type { ControllerOptions } from '../controllers/roster.ts';
import { type PodRangeFlags, podRanges } from '../core/node/pod-ranges.ts';
import type { Flag, Input, Values } from './command.ts';
import { parse } from './flags.ts';

/** Flags of the node controllers and of node IPAM. `--cluster-cidr` is theirs and the route controller's. */
export const nodeFlags: readonly Flag[] = [
  {
    name: 'concurrent-node-syncs',
    value: 'N',
    help: 'New nodes written at once',
    parse: parse.integer(1, 1000),
    default: '4',
  },
  {
    name: 'concurrent-node-status-updates',
    value: 'N',
    help: 'Other nodes written at once; 0: as many',
    parse: parse.integer(0, 1000),
    default: '0',
  },
  {
    name: 'node-monitor-period',
    value: 'DURATION',
    help: 'How often the cloud is asked about nodes that are not ready',
    parse: parse.durationMs,
    default: '5s',
  },
  {
    name: 'node-status-update-frequency',
    value: 'DURATION',
    help: 'How often labels and addresses of all nodes are compared with the cloud',
    parse: parse.durationMs,
    default: '5m',
  },
  {
    name: 'allocate-node-cidrs',
    help: 'Give nodes pod CIDRs out of --cluster-cidr, where nobody else does',
    parse: parse.boolean,
    default: 'false',
  },
  maskSize('node-cidr-mask-size', "Prefix length of a node's pod CIDR, in a cluster of one IP family", 128),
  maskSize('node-cidr-mask-size-ipv4', "Prefix length of a node's IPv4 pod CIDR [24]", 32),
  maskSize('node-cidr-mask-size-ipv6', "Prefix length of a node's IPv6 pod CIDR [64]", 128),
  {
    name: 'service-cluster-ip-range',
    value: 'CIDRS',
    help: 'Addresses of Services: no node gets them for its pods',
    parse: parse.list,
  },
  {
    name: 'cidr-allocator-type',
    value: 'TYPE',
    help: 'RangeAllocator; CloudAllocator, where the cloud gives pod CIDRs itself, is not built into this version',
    parse: parse.oneOf('RangeAllocator', 'CloudAllocator'),
    default: 'RangeAllocator',
  },
];

/** A look that comes more often would count one lag of the cloud several times. */
const SHORTEST_MS = 1000;

/** What is wrong with them, beyond their single values. */
export function nodeProblems({ flags, given }: Input): readonly string[] {
  const problems = ['node-monitor-period', 'node-status-update-frequency']
    .filter((name) => (flags[name] as number) < SHORTEST_MS)
    .map((name) => `--${name} must be at least 1s`);
  if (flags['cidr-allocator-type'] === 'CloudAllocator')
    problems.push('--cidr-allocator-type=CloudAllocator: no provider of this version gives pod CIDRs itself');
  if (flags['allocate-node-cidrs'] !== true) {
    const idle = [...given].filter((name) => name.startsWith('node-cidr-mask-size'));
    return [...problems, ...idle.map((name) => `--${name} has no effect without --allocate-node-cidrs`)];
  }
  const ranges = podRanges(rangeFlags(flags));
  return 'problems' in ranges ? [...problems, ...ranges.problems] : problems;
}

/** What the controllers that run get; their flags have been found to be right. */
export function nodeOptions(
  flags: Values,
  running: ReadonlySet<string>,
): Pick<ControllerOptions, 'node' | 'lifecycle' | 'ipam'> {
  const number = (name: string) => flags[name] as number;
  const ranges = flags['allocate-node-cidrs'] === true ? podRanges(rangeFlags(flags)) : undefined;
  return {
    ...(running.has('cloud-node')
      ? {
          node: {
            concurrency: number('concurrent-node-syncs'),
            statusConcurrency: number('concurrent-node-status-updates'),
            statusFrequencyMs: number('node-status-update-frequency'),
          },
        }
      : {}),
    ...(running.has('cloud-node-lifecycle') ? { lifecycle: { monitorPeriodMs: number('node-monitor-period') } } : {}),
    ...(ranges === undefined || 'problems' in ranges ? {} : { ipam: ranges }),
  };
}

function rangeFlags(flags: Values): PodRangeFlags {
  const list = (name: string) => (flags[name] ?? []) as readonly string[];
  const size = (name: string) => flags[name] as number | undefined;
  const sizes = {
    maskSize: size('node-cidr-mask-size'),
    maskSizeIpv4: size('node-cidr-mask-size-ipv4'),
    maskSizeIpv6: size('node-cidr-mask-size-ipv6'),
  };
  const given = Object.fromEntries(Object.entries(sizes).filter(([, value]) => value !== undefined));
  return { clusterCidrs: list('cluster-cidr'), serviceRanges: list('service-cluster-ip-range'), ...given };
}

function maskSize(name: string, help: string, most: number): Flag {
  return { name, value: 'N', help, parse: parse.integer(1, most) };
}
