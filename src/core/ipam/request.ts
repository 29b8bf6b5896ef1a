import { parseDuration } from '../duration.ts';
import { compareText, isEqual } from '../equal.ts';
import { failure } from '../errors.ts';
import { compareIps, formatIp, type Ip, parseIp, unmapped } from '../net/ip.ts';
import type { IpFamily, LoadBalancerSpec, ServiceFacts } from '../provider.ts';
import { canonicalLabels } from './selectors.ts';

/** What a Service asks of the allocator. Equal Services give deep-equal requests. */
export interface AddressRequest {
  /** The identity that holds addresses; namespace and name are for people, quotas and `retain`. */
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Families of its clusterIPs, the primary first: one or two. */
  readonly families: readonly IpFamily[];
  readonly policy: ServiceFacts['ipFamilyPolicy'];
  /** Addresses asked for, canonical, IPv4 first, ascending; empty: any. */
  readonly addresses: readonly string[];
  /** The one pool asked for. */
  readonly pool?: string;
  /** One address per family from each of these; excludes `pool`, `addresses` and a `count` above 1. */
  readonly pools?: readonly string[];
  /** Addresses per family, 1-8; with `addresses` the most that may be asked for per family. */
  readonly count: number;
  /** 'TCP/80', sorted, unique. */
  readonly ports: readonly string[];
  /** '': shares with nobody. */
  readonly sharingKey: string;
  /** '' or the selector of a Local Service: only equal ones share. */
  readonly backendKey: string;
  /** Overrides the pool's `retainMs`. */
  readonly retainMs?: number;
  /** The pool that the Service's own annotation names, of use for adoption only. */
  readonly recordedPool?: string;
  /** Where the wishes stand, for messages: 'spec.loadBalancerIP', 'metallb.io/address-pool'. */
  readonly fields: { readonly addresses: string; readonly pool: string };
  /** Keys in the old prefix that took effect. Report them once something is written. */
  readonly deprecated: readonly string[];
}

/** What `requestOf` reads of a spec. */
export type RequestSource = Pick<
  LoadBalancerSpec,
  'uid' | 'service' | 'options' | 'addresses' | 'listeners' | 'trafficPolicy'
>;

/** MetalLB's prefix, and the old one that it still reads. */
const PREFIX = 'metallb.io/';
const OLD_PREFIX = 'metallb.universe.tf/';

/** Annotations on a Service that we read, without MetalLB's prefix and its old form. */
export const metallbAnnotations = [
  'loadBalancerIPs',
  'address-pool',
  'allow-shared-ip',
  'ip-allocated-from-pool',
] as const;
export const serviceAnnotations = {
  addressCount: 'fairlead.dev/address-count',
  addressPools: 'fairlead.dev/address-pools',
  retain: 'fairlead.dev/retain',
} as const;

/**
 * The request of a Service. Pure.
 * @throws ProviderError `invalid`, with the annotation or spec path at fault: FL_ADDRESS_*, FL_CLUSTER_IP_MISSING,
 * FL_DUAL_STACK_MISSING, FL_RETAIN_INVALID.
 */
export function requestOf(source: RequestSource): AddressRequest {
  const plain = plainRequestOf(source);
  const { policy, families } = plain;
  if (policy === 'RequireDualStack' && families.length < 2) {
    const field = 'spec.ipFamilyPolicy';
    const has = source.service.clusterIPs.join(', ');
    throw failure(
      'FL_DUAL_STACK_MISSING',
      `${field}: RequireDualStack needs cluster IPs of both families; there is ${has}`,
      { field },
    );
  }
  const pools = poolsWanted(source);
  const count = countWanted(source, pools);
  const addresses = addressesWanted(source, families, count);
  const pool = option(source, 'address-pool');
  rejectBoth(pools, [addresses, pool]);
  const retainMs = retainWanted(source);
  return {
    ...plain,
    count,
    addresses: addresses.value,
    fields: { addresses: addresses.field, pool: pools?.field ?? pool.field },
    ...(pool.value === '' ? {} : { pool: pool.value }),
    ...(pools === undefined ? {} : { pools: pools.value }),
    ...(retainMs === undefined ? {} : { retainMs }),
  };
}

/**
 * The same without any wish: what to adopt published addresses by when `requestOf` throws, so that nobody else gets them.
 * @throws ProviderError FL_CLUSTER_IP_MISSING
 */
export function plainRequestOf(source: RequestSource): AddressRequest {
  const { uid, service, listeners, trafficPolicy } = source;
  const recorded = option(source, 'ip-allocated-from-pool').value;
  return {
    uid,
    namespace: service.namespace,
    name: service.name,
    labels: service.labels,
    families: familiesOf(service.clusterIPs),
    policy: service.ipFamilyPolicy,
    addresses: [],
    count: 1,
    ports: [...new Set(listeners.map(({ protocol, port }) => `${protocol}/${port}`))].sort(compareText),
    sharingKey: option(source, 'allow-shared-ip').value,
    backendKey: trafficPolicy === 'local' ? canonicalLabels(service.selector) : '',
    ...(recorded === '' ? {} : { recordedPool: recorded }),
    fields: { addresses: 'spec.loadBalancerIP', pool: `${PREFIX}address-pool` },
    deprecated: metallbAnnotations
      .map((name) => option(source, name).field)
      .filter((key) => key.startsWith(OLD_PREFIX)),
  };
}

interface Wish<T> {
  readonly value: T;
  /** The annotation or spec path that it stands in. */
  readonly field: string;
}

/** The new key wins when it is there, even if empty. '' means nothing is asked for. */
function option({ options }: RequestSource, name: (typeof metallbAnnotations)[number]): Wish<string> {
  const present = [`${PREFIX}${name}`, `${OLD_PREFIX}${name}`].find((key) => Object.hasOwn(options, key));
  if (present === undefined) return { value: '', field: `${PREFIX}${name}` };
  return { value: options[present] as string, field: present };
}

function familiesOf(clusterIPs: readonly string[]): readonly IpFamily[] {
  const families = [...new Set(clusterIPs.flatMap((text) => parseIp(text)?.family ?? []))];
  if (families.length > 0) return families;
  const has = clusterIPs.length === 0 ? 'is empty' : `is ${JSON.stringify(clusterIPs)}`;
  const field = 'spec.clusterIPs';
  throw failure('FL_CLUSTER_IP_MISSING', `${field}: ${has}; without a cluster IP the IP family is unknown`, { field });
}

function addressesWanted(source: RequestSource, families: readonly IpFamily[], count: number): Wish<readonly string[]> {
  const annotation = option(source, 'loadBalancerIPs');
  const inSpec: Wish<readonly string[]> = { value: source.addresses, field: 'spec.loadBalancerIP' };
  if (annotation.value === '') return checked(inSpec, families, count);
  if (inSpec.value.length > 0) throw ambiguous(annotation.field, inSpec.field);
  return checked({ ...annotation, value: annotation.value.split(',').map((text) => text.trim()) }, families, count);
}

/** Canonical, sorted; exactly the families of the Service, each at most `count` times (rule 5). */
function checked(
  { value, field }: Wish<readonly string[]>,
  families: readonly IpFamily[],
  count: number,
): Wish<readonly string[]> {
  if (value.length === 0) return { value, field };
  const ips = value.map((text) => ipFrom(text, field)).sort(compareIps);
  const texts = ips.map(formatIp);
  const double = texts.find((text, index) => texts.indexOf(text) !== index);
  if (double !== undefined) throw failure('FL_ADDRESS_INVALID', `${field}: ${double} is asked for twice`, { field });
  const asked = [...new Set(ips.map(({ family }) => family))];
  const fail = (message: string) => failure('FL_ADDRESS_FAMILY', `${field}: ${message}`, { field });
  if (!isEqual([...asked].sort(), [...families].sort()))
    throw fail(`${texts.join(', ')} must be of exactly the families of spec.clusterIPs: ${families.join(' and ')}`);
  const crowded = asked.find((each) => ips.filter(({ family }) => family === each).length > count);
  if (crowded !== undefined)
    throw fail(
      `${texts.join(', ')} has more than ${count} ${crowded} address${count === 1 ? '' : 'es'} (${serviceAnnotations.addressCount})`,
    );
  return { value: texts, field };
}

/** IPv4-mapped IPv6 is read as the IPv4 address, as MetalLB does. */
function ipFrom(text: string, field: string): Ip {
  const ip = parseIp(text);
  if (ip !== undefined) return unmapped(ip);
  throw failure(
    'FL_ADDRESS_INVALID',
    `${field}: ${JSON.stringify(text)} is not an address such as 192.0.2.10 or 2001:db8::10`,
    { field },
  );
}

function poolsWanted({ options }: RequestSource): Wish<readonly string[]> | undefined {
  const field = serviceAnnotations.addressPools;
  if (!Object.hasOwn(options, field)) return undefined;
  const value = (options[field] as string).split(',').map((name) => name.trim());
  const wrong = value.find((name, index) => name === '' || value.indexOf(name) !== index);
  if (wrong === undefined) return { value, field };
  const what = wrong === '' ? 'an empty name' : `${wrong} twice`;
  throw failure(
    'FL_ADDRESS_REQUEST_AMBIGUOUS',
    `${field}: ${JSON.stringify(options[field])} has ${what}; write different pools as a,b`,
    { field },
  );
}

function countWanted({ options }: RequestSource, pools: Wish<unknown> | undefined): number {
  const field = serviceAnnotations.addressCount;
  if (!Object.hasOwn(options, field)) return 1;
  const text = options[field] as string;
  const fail = (message: string) =>
    failure('FL_ADDRESS_COUNT_INVALID', `${field}: ${JSON.stringify(text)} ${message}`, { field });
  if (!/^[1-8]$/.test(text)) throw fail('is not a whole number from 1 to 8');
  if (pools !== undefined && text !== '1')
    throw fail(`does not go together with ${pools.field}, which gives one address per pool`);
  return Number(text);
}

function rejectBoth(pools: Wish<unknown> | undefined, others: readonly Wish<string | readonly string[]>[]): void {
  const other = others.find(({ value }) => value.length > 0);
  if (pools !== undefined && other !== undefined) throw ambiguous(pools.field, other.field);
}

function retainWanted({ options }: RequestSource): number | undefined {
  const field = serviceAnnotations.retain;
  if (!Object.hasOwn(options, field)) return undefined;
  const retainMs = parseDuration(options[field] as string);
  if (retainMs !== undefined) return retainMs;
  throw failure(
    'FL_RETAIN_INVALID',
    `${field}: ${JSON.stringify(options[field])} is not a duration such as 30m or 24h`,
    { field },
  );
}

const ambiguous = (a: string, b: string) =>
  failure('FL_ADDRESS_REQUEST_AMBIGUOUS', `${a} and ${b} cannot both be given; keep one`, { field: a });
