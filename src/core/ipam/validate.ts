import { compareText } from '../equal.ts';
import type { KubeObject } from '../objects.ts';
import { checkAgreement, checkBgp, checkL2, readPools } from './check/advertisements.ts';
import { checkCommunities } from './check/communities.ts';
import { checkPeer, checkProfileRanges, checkTogether, type Driver } from './check/peers.ts';
import { checkOverlaps, checkPool } from './check/pools.ts';
import type { Configuration } from './metallb.ts';
import { poolAnnotations } from './pools.ts';
import { type Finding, type Problem, problemOf, quoted } from './problem.ts';

export interface ValidateOptions {
  /** --metallb-namespace. Objects elsewhere are reported and otherwise not looked at. */
  readonly namespace: string;
  /** Which program speaks BGP. Absent, as in the controller: what depends on it is not checked. */
  readonly driver?: Driver;
}

/**
 * Every problem of a whole configuration, sorted by kind, name and place; the same for equal objects in any order. The
 * rules are MetalLB's (its webhooks and its parser, v0.16), and ours for annotations under fairlead.dev/. With an error the
 * last good configuration goes on; one that is transient does not refuse an edit, it only says what is still missing.
 */
export function validate(resources: Configuration, how: ValidateOptions): readonly Problem[] {
  const { configuration, problems } = ownOf(resources, how.namespace);
  const { ipaddresspools = [], l2advertisements = [], bgpadvertisements = [], bgppeers = [] } = configuration;
  const { bfdprofiles = [], communities = [], configmaps = [], nodes, namespaces } = configuration;
  const whole = ipaddresspools.filter(({ spec }) => spec !== undefined);
  const pools = readPools(whole);
  const aliases = checkCommunities(communities);
  const { driver, namespace } = how;
  return sorted([
    ...problems,
    ...each('IPAddressPool', ipaddresspools, (pool) =>
      pool.spec === undefined ? noSpec : checkPool(pool, namespaces),
    ),
    ...checkOverlaps(whole),
    ...each('L2Advertisement', l2advertisements, (object) => checkL2(object, pools)),
    ...each('BGPAdvertisement', bgpadvertisements, (object) =>
      checkBgp(object, pools, { configuration, communities: aliases.names }),
    ),
    ...checkAgreement(bgpadvertisements, pools, nodes),
    ...each('BGPPeer', bgppeers, (object) => checkPeer(object, { namespace, configuration, driver })),
    ...(driver === 'frr' ? checkTogether(bgppeers, nodes) : []),
    ...each('BFDProfile', bfdprofiles, (object) => checkProfileRanges(object, driver)),
    ...aliases.problems,
    ...(driver === 'own' ? each('ConfigMap', configmaps, checkExtras) : []),
  ]);
}

const kinds = {
  ipaddresspools: 'IPAddressPool',
  l2advertisements: 'L2Advertisement',
  bgpadvertisements: 'BGPAdvertisement',
  bgppeers: 'BGPPeer',
  bfdprofiles: 'BFDProfile',
  communities: 'Community',
} as const;
const kindOrder: readonly string[] = [...Object.values(kinds), 'ConfigMap'];
const noSpec: readonly Finding[] = [{ field: 'spec', text: 'is missing; it must hold addresses' }];

/** The objects that are read, sorted by name, each name once; and what is wrong with any object of any kind. */
function ownOf(
  resources: Configuration,
  namespace: string,
): { configuration: Configuration; problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const own = Object.fromEntries(
    Object.entries(kinds).map(([plural, kind]) => {
      const all = [...(resources[plural as keyof typeof kinds] ?? [])].sort((a: KubeObject, b: KubeObject) =>
        compareText(a.metadata.name, b.metadata.name),
      );
      const isHere = ({ metadata }: KubeObject) => (metadata.namespace ?? namespace) === namespace;
      const here = all.filter(isHere);
      problems.push(...each(kind, all, (object) => (isHere(object) ? [] : elsewhere(object, namespace))));
      problems.push(...each(kind, here, (object) => checkMetadata(kind, object)));
      const again = here.filter((object, index) => object.metadata.name === here[index - 1]?.metadata.name);
      problems.push(...each(kind, again, () => definedTwice));
      return [plural, here.filter((object) => !again.includes(object))];
    }),
  );
  return { configuration: { ...resources, ...own }, problems };
}

const definedTwice: readonly Finding[] = [{ field: 'metadata.name', text: 'is defined twice; give each its own name' }];

function elsewhere({ metadata }: KubeObject, namespace: string): readonly Finding[] {
  return [
    { field: 'metadata.namespace', text: `${quoted(metadata.namespace)} is not read; create it in ${namespace}` },
  ];
}

function checkMetadata(kind: string, { metadata }: KubeObject): readonly Finding[] {
  const known: readonly string[] = kind === 'IPAddressPool' ? Object.keys(poolAnnotations) : [];
  const unknown = Object.keys(metadata.annotations ?? {}).filter(
    (key) => key.startsWith('fairlead.dev/') && !known.includes(key),
  );
  const hint = known.length === 0 ? 'none is known for this kind' : `known are ${known.join(', ')}`;
  return [
    ...((metadata.name ?? '') === '' ? [{ field: 'metadata.name', text: 'is missing' }] : []),
    ...unknown.sort(compareText).map((key) => ({
      field: `metadata.annotations[${quoted(key)}]`,
      severity: 'warning' as const,
      text: `is not known; ${hint}`,
    })),
  ];
}

function checkExtras({ metadata, data }: NonNullable<Configuration['configmaps']>[number]): readonly Finding[] {
  if (metadata.name !== 'bgpextras' || (data?.['extras'] ?? '').trim() === '') return [];
  return [
    { field: 'data.extras', text: 'is configuration of FRR; leave it out, or run the speaker with its FRR driver' },
  ];
}

function each<T extends KubeObject>(
  kind: string,
  objects: readonly T[],
  check: (object: T) => readonly Finding[],
): readonly Problem[] {
  return objects.flatMap((object) => check(object).map((finding) => problemOf(kind, object, finding)));
}

/** Stable within one object: there the order of the fields is the order of the checks. */
function sorted(problems: readonly Problem[]): readonly Problem[] {
  const rank = ({ kind }: Problem) => kindOrder.indexOf(kind);
  return [...problems].sort((a, b) => rank(a) - rank(b) || compareText(a.name, b.name));
}
