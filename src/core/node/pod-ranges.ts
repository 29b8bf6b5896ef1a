import { type Block, contains, overlaps, parseBlock } from '../net/cidr.ts';
import { BITS } from '../net/ip.ts';
import type { IpFamily } from '../provider.ts';
import type { PodCidrOptions, PodRange } from './pod-cidrs.ts';

/** The flags of node IPAM, as they were given. */
export interface PodRangeFlags {
  /** --cluster-cidr: one, or one of each family. */
  readonly clusterCidrs: readonly string[];
  /** --service-cluster-ip-range. */
  readonly serviceRanges: readonly string[];
  /** --node-cidr-mask-size: for a cluster of one family. */
  readonly maskSize?: number;
  readonly maskSizeIpv4?: number;
  readonly maskSizeIpv6?: number;
}

/** Prefix lengths of a Node's block when no flag says another (kube-controller-manager). */
const DEFAULT_MASK: Readonly<Record<IpFamily, number>> = { ipv4: 24, ipv6: 64 };

/** What the flags mean, or everything that is wrong with them, each problem naming its flag. */
export function podRanges(flags: PodRangeFlags): PodCidrOptions | { readonly problems: readonly string[] } {
  const { clusterCidrs, serviceRanges } = flags;
  const problems: string[] = [];
  const clusters = blocksOf('--cluster-cidr', clusterCidrs, problems);
  const services = blocksOf('--service-cluster-ip-range', serviceRanges, problems);
  if (clusterCidrs.length === 0)
    problems.push('--allocate-node-cidrs needs --cluster-cidr, out of which pods get addresses');
  problems.push(
    ...familyProblems('--cluster-cidr', clusters),
    ...familyProblems('--service-cluster-ip-range', services),
  );
  if (flags.maskSize !== undefined && (flags.maskSizeIpv4 ?? flags.maskSizeIpv6) !== undefined)
    problems.push('--node-cidr-mask-size does not go together with --node-cidr-mask-size-ipv4 and -ipv6');
  else if (flags.maskSize !== undefined && clusters.length > 1)
    problems.push('--node-cidr-mask-size is for one IP family; write --node-cidr-mask-size-ipv4 and -ipv6');
  const ranges = clusters.map((range): PodRange => ({ range, maskSize: maskOf(range.family, flags, clusters) }));
  for (const { range, maskSize } of ranges) problems.push(...maskProblems(range, maskSize, flags));
  for (const { range } of ranges) {
    if (services.some((service) => contains(service, range)))
      problems.push('--cluster-cidr lies inside --service-cluster-ip-range: no pod could get an address');
  }
  return problems.length > 0
    ? { problems }
    : { ranges, excluded: services.filter((service) => ranges.some(({ range }) => overlaps(range, service))) };
}

function maskOf(family: IpFamily, flags: PodRangeFlags, clusters: readonly Block[]): number {
  const own = family === 'ipv4' ? flags.maskSizeIpv4 : flags.maskSizeIpv6;
  return own ?? (clusters.length === 1 ? flags.maskSize : undefined) ?? DEFAULT_MASK[family];
}

/** Blocks in one range that a Node may be one of: more are an address plan gone wrong (kube-controller-manager's limit). */
const MOST_BLOCK_BITS = 16;

function maskProblems({ family, prefixLength }: Block, maskSize: number, flags: PodRangeFlags): readonly string[] {
  const own = family === 'ipv4' ? flags.maskSizeIpv4 : flags.maskSizeIpv6;
  const name = `--node-cidr-mask-size${own === undefined && flags.maskSize !== undefined ? '' : `-${family}`}`;
  const most = Math.min(BITS[family], prefixLength + MOST_BLOCK_BITS);
  if (maskSize >= prefixLength && maskSize <= most) return [];
  return [
    `${name}: ${maskSize} does not fit --cluster-cidr; out of a /${prefixLength} it is ${prefixLength} to ${most}`,
  ];
}

function blocksOf(flag: string, texts: readonly string[], problems: string[]): readonly Block[] {
  return texts.flatMap((text) => {
    const block = parseBlock(text);
    if (block === undefined) problems.push(`${flag}: ${JSON.stringify(text)} is not a CIDR; write 10.244.0.0/16`);
    return block ?? [];
  });
}

function familyProblems(flag: string, blocks: readonly Block[]): readonly string[] {
  const isTwice = new Set(blocks.map(({ family }) => family)).size !== blocks.length;
  return isTwice ? [`${flag} takes one CIDR, or one of each IP family`] : [];
}
