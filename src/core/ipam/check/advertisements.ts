import { blockAt, contains, formatBlock, merge } from '../../net/cidr.ts';
import type { Advertised, BGPAdvertisement, Configuration, L2Advertisement } from '../metallb.ts';
import type { IPAddressPool } from '../pools.ts';
import { duplicates, type Finding, outOfRange, type Problem, problemOf, quoted } from '../problem.ts';
import { matches } from '../selectors.ts';
import { checkReference } from './communities.ts';
import { sharesNode } from './nodes.ts';
import { type Range, rangesOf } from './pools.ts';
import { checkSelector, checkSelectors } from './selectors.ts';

type BgpSpec = NonNullable<BGPAdvertisement['spec']>;

/** A pool with its entries read, once for all advertisements. */
export interface ReadPool {
  readonly pool: IPAddressPool;
  readonly ranges: readonly Range[];
}

export function readPools(pools: readonly IPAddressPool[]): readonly ReadPool[] {
  return pools.map((pool) => ({ pool, ranges: rangesOf(pool) }));
}

export function checkL2({ spec = {} }: L2Advertisement, pools: readonly ReadPool[]): readonly Finding[] {
  return [
    ...checkAdvertised(spec, pools),
    ...duplicates('spec.interfaces', spec.interfaces).map((finding) => ({ ...finding, severity: 'warning' as const })),
    ...(spec.preferredNodeSelectors ?? []).flatMap(({ weight, preference }, index) => [
      ...outOfRange(`spec.preferredNodeSelectors[${index}].weight`, weight, 1, 100),
      ...checkSelector(`spec.preferredNodeSelectors[${index}].preference`, preference ?? {}),
    ]),
  ];
}

export function checkBgp(
  { spec = {} }: BGPAdvertisement,
  pools: readonly ReadPool[],
  how: { readonly configuration: Configuration; readonly communities: ReadonlySet<string> },
): readonly Finding[] {
  const peers = new Set((how.configuration.bgppeers ?? []).map(({ metadata }) => metadata.name));
  return [
    ...checkAdvertised(spec, pools),
    ...duplicates('spec.peers', spec.peers),
    ...unknown('spec.peers', spec.peers, peers, 'BGPPeer'),
    ...duplicates('spec.communities', spec.communities),
    ...(spec.communities ?? []).flatMap((text, index) =>
      checkReference(`spec.communities[${index}]`, text, how.communities),
    ),
    ...outOfRange('spec.aggregationLength', spec.aggregationLength, 1, 32),
    ...outOfRange('spec.aggregationLengthV6', spec.aggregationLengthV6, 0, 128),
    ...outOfRange('spec.localPref', spec.localPref, 0, 4_294_967_295),
    ...outOfRange('spec.asPathPrepend', spec.asPathPrepend, 0, 10),
    ...checkServiceSelectors(spec),
    ...selectedBy(spec, pools).flatMap(({ pool, ranges }) => [
      ...checkAggregation(spec, pool, ranges),
      ...checkEcho(spec, pool, ranges, how.configuration),
    ]),
  ];
}

/** Routes of one prefix to one peer from one node must not differ in localPref or asPathPrepend. */
export function checkAgreement(
  advertisements: readonly BGPAdvertisement[],
  pools: readonly ReadPool[],
  nodes: Configuration['nodes'],
): readonly Problem[] {
  const all = advertisements.map((object) => {
    const spec = object.spec ?? {};
    return { object, spec, selected: new Set(selectedBy(spec, pools)) };
  });
  return all.flatMap(({ object, spec, selected }, index) =>
    all.slice(0, index).flatMap((other) => {
      const fields = (['localPref', 'asPathPrepend'] as const).filter(
        (field) => (spec[field] ?? 0) !== (other.spec[field] ?? 0),
      );
      if (fields.length === 0 || hasServices(spec) || hasServices(other.spec)) return [];
      if (!sharesPeer(spec, other.spec) || !sharesNode(spec.nodeSelectors, other.spec.nodeSelectors, nodes)) return [];
      const common = [...selected].find((one) => other.selected.has(one) && sharesLength(spec, other.spec, one.ranges));
      if (common === undefined) return [];
      const where = `BGPAdvertisement ${other.object.metadata.name} for the same routes of IPAddressPool ${common.pool.metadata.name}`;
      return fields.map((field) =>
        problemOf('BGPAdvertisement', object, {
          field: `spec.${field}`,
          text: `${spec[field] ?? 0} differs from ${other.spec[field] ?? 0} of ${where}; make them equal, or keep peers, nodes or prefix lengths apart`,
        }),
      );
    }),
  );
}

function checkAdvertised(spec: Advertised, pools: readonly ReadPool[]): readonly Finding[] {
  const names = new Set(pools.map(({ pool }) => pool.metadata.name));
  return [
    ...duplicates('spec.ipAddressPools', spec.ipAddressPools),
    ...unknown('spec.ipAddressPools', spec.ipAddressPools, names, 'IPAddressPool'),
    ...checkSelectors('spec.ipAddressPoolSelectors', spec.ipAddressPoolSelectors),
    ...checkSelectors('spec.nodeSelectors', spec.nodeSelectors),
    ...checkSelectors('spec.serviceSelectors', spec.serviceSelectors),
  ];
}

/** MetalLB passes over names that it does not know; we do too, but say so. */
function unknown(
  field: string,
  named: readonly string[] = [],
  known: ReadonlySet<string>,
  kind: string,
): readonly Finding[] {
  return named.flatMap((name, index) =>
    known.has(name)
      ? []
      : [
          {
            field: `${field}[${index}]`,
            severity: 'warning',
            transient: true,
            text: `there is no ${kind} ${quoted(name)}`,
          } as const,
        ],
  );
}

function selectedBy(spec: Advertised, pools: readonly ReadPool[]): readonly ReadPool[] {
  const { ipAddressPools: names = [], ipAddressPoolSelectors: selectors = [] } = spec;
  if (names.length === 0 && selectors.length === 0) return pools;
  return pools.filter(
    ({ pool: { metadata } }) =>
      names.includes(metadata.name) || selectors.some((selector) => matches(selector, metadata.labels ?? {})),
  );
}

function checkServiceSelectors(spec: BgpSpec): readonly Finding[] {
  if (!hasServices(spec)) return [];
  const text = (value: number, only: number) =>
    `${value} does not go with serviceSelectors: routes of single Services are /${only}`;
  return [
    ...(lengthOf(spec, 'ipv4') === 32
      ? []
      : [{ field: 'spec.aggregationLength', text: text(lengthOf(spec, 'ipv4'), 32) }]),
    ...(lengthOf(spec, 'ipv6') === 128
      ? []
      : [{ field: 'spec.aggregationLengthV6', text: text(lengthOf(spec, 'ipv6'), 128) }]),
  ];
}

function checkAggregation(spec: BgpSpec, pool: IPAddressPool, ranges: readonly Range[]): readonly Finding[] {
  const owned = merge(ranges);
  return ranges.flatMap((range) => {
    const length = lengthOf(spec, range.family);
    if (length < 0 || length > 128) return []; // reported by its range
    const field = range.family === 'ipv4' ? 'spec.aggregationLength' : 'spec.aggregationLengthV6';
    const entry = `${quoted(range.text)} in ${range.field} of IPAddressPool ${pool.metadata.name}`;
    const shortest = Math.min(...range.blocks.map(({ prefixLength }) => prefixLength));
    if (length < shortest) {
      return [{ field, text: `${length} is shorter than every CIDR of ${entry}; write ${shortest} or more` }];
    }
    const wide = range.blocks
      .filter(({ prefixLength }) => prefixLength > length)
      .map(({ family, first }) => blockAt({ family, value: first }, length))
      .find((aggregate) => !owned.some((interval) => contains(interval, aggregate)));
    if (wide === undefined) return [];
    const text = `${length} announces ${formatBlock(wide)} for ${entry}, which has only a part of it: traffic for the rest comes here too`;
    return [{ field, severity: 'warning' as const, text }];
  });
}

function checkEcho(
  spec: BgpSpec,
  pool: IPAddressPool,
  ranges: readonly Range[],
  configuration: Configuration,
): readonly Finding[] {
  if (ranges.every(({ family }) => family === 'ipv4')) return [];
  const echoing = new Set(
    (configuration.bfdprofiles ?? [])
      .filter((profile) => profile.spec?.echoMode === true)
      .map(({ metadata }) => metadata.name),
  );
  const meant = (configuration.bgppeers ?? []).filter(
    ({ metadata }) => (spec.peers ?? []).length === 0 || spec.peers?.includes(metadata.name),
  );
  return meant
    .filter((peer) => echoing.has(peer.spec?.bfdProfile ?? ''))
    .map(({ metadata, spec: peer }) => ({
      field: 'spec.peers',
      text: `BGPPeer ${metadata.name} has BFDProfile ${peer?.bfdProfile} with echoMode, which does not go with the IPv6 addresses of IPAddressPool ${pool.metadata.name}`,
    }));
}

function lengthOf(spec: BgpSpec, family: Range['family']): number {
  return family === 'ipv4' ? (spec.aggregationLength ?? 32) : (spec.aggregationLengthV6 ?? 128);
}

function sharesLength(a: BgpSpec, b: BgpSpec, ranges: readonly Range[]): boolean {
  return ranges.some(({ family }) => lengthOf(a, family) === lengthOf(b, family));
}

function sharesPeer({ peers: a = [] }: BgpSpec, { peers: b = [] }: BgpSpec): boolean {
  return a.length === 0 || b.length === 0 || a.some((peer) => b.includes(peer));
}

function hasServices({ serviceSelectors = [] }: Advertised): boolean {
  return serviceSelectors.length > 0;
}
