import { compareText } from '../equal.ts';
import { failure } from '../errors.ts';
import { type Block, blockOf, compareIntervals, formatBlock, parseBlock } from '../net/cidr.ts';
import { BITS, parseIp } from '../net/ip.ts';
import type { Service } from '../objects.ts';
import type { Cidr, IpFamily } from '../provider.ts';
import { GATES_ANNOTATION } from '../readiness/gates.ts';

/** Read when spec.loadBalancerSourceRanges is empty: CIDRs, separated by commas (kubernetes/cloud-provider). */
export const SOURCE_RANGES_ANNOTATION = 'service.beta.kubernetes.io/load-balancer-source-ranges';

/** What Fairlead writes on the Services that it serves and takes off when they leave: never a wish of the user. */
const ANSWERS: ReadonlySet<string> = new Set([
  'fairlead.dev/observed-spec',
  GATES_ANNOTATION,
  'metallb.io/ip-allocated-from-pool',
  'metallb.universe.tf/ip-allocated-from-pool',
]);

/**
 * Google Cloud's answers. The provider writes some of them, GKE's own controllers the rest, also on Services that are not
 * ours: their changes mean nothing, and only the provider's `Removal` takes any off (ingress-gce).
 */
const GOOGLE_ANSWERS =
  /^(?:cloud\.google\.com\/neg-status|service\.kubernetes\.io\/(?:(?:tcp|udp|l3)-forwarding-rule|backend-service|firewall-rule(?:-for-hc|-deny)?|healthcheck)(?:-ipv6)?)$/;

/** What tools note for themselves on every object that they apply. */
const TOOLS: ReadonlySet<string> = new Set([
  'argocd.argoproj.io',
  'config.kubernetes.io',
  'helm.sh',
  'kubectl.kubernetes.io',
  'kustomize.toolkit.fluxcd.io',
  'meta.helm.sh',
]);

const METALLB_KEYS = ['address-pool', 'allow-shared-ip', 'ip-allocated-from-pool', 'loadBalancerIPs'] as const;

/** prefix -> names that mean something on a Service. A key that has the prefix and is not listed is reported. */
const KNOWN: ReadonlyMap<string, readonly string[]> = new Map<string, readonly string[]>([
  ['fairlead.dev', ['address-count', 'address-pools', 'consistent-hash', 'observed-spec', 'readiness-gates', 'retain']],
  ['metallb.io', METALLB_KEYS],
  ['metallb.universe.tf', METALLB_KEYS],
]);

/** Names under fairlead.dev/ that belong on other kinds: name -> kind. */
const ELSEWHERE: ReadonlyMap<string, string> = new Map([
  ['allow-shrink', 'IPAddressPool'],
  ['conflict-probe', 'IPAddressPool'],
  ['disabled', 'IPAddressPool'],
  ['order', 'IPAddressPool'],
  ['quota', 'IPAddressPool'],
  ['vip-mode', 'L2Advertisement'],
]);

/** True for what Fairlead itself writes and must restore or remove. */
export const isAnswer = (key: string): boolean => ANSWERS.has(key);

/** True for what some controller writes as an answer. It is no option, and its appearance changes no spec. */
export const isReported = (key: string): boolean => ANSWERS.has(key) || GOOGLE_ANSWERS.test(key);

/**
 * What providers read: all annotations, keys whole, values verbatim, sorted by key. Left out is what no provider can
 * mean: the answers that we wrote ourselves and the notes of kubectl, Helm, Kustomize, Argo CD and Flux. A third party's
 * provider may have any prefix, so there is no list of prefixes to get into.
 */
export function optionsOf(service: Service): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(service.metadata.annotations ?? {})
      .filter(([key]) => !isReported(key) && !TOOLS.has(prefixOf(key)))
      .sort(([a], [b]) => compareText(a, b)),
  );
}

export interface UnknownAnnotation {
  readonly key: string;
  /** For people: names the key, and what was probably meant. */
  readonly message: string;
}

/**
 * Keys under our own prefixes (fairlead.dev/, metallb.io/, metallb.universe.tf/) that mean nothing on a Service, sorted.
 * Keys under a cloud's prefix are its provider's to judge, which reports them in `Progress.events`.
 * @param known further keys that the running provider reads.
 */
export function unknownAnnotations(
  service: Service,
  known: ReadonlySet<string> = new Set(),
): readonly UnknownAnnotation[] {
  return Object.keys(service.metadata.annotations ?? {})
    .filter((key) => !known.has(key) && KNOWN.get(prefixOf(key))?.includes(nameIn(key)) === false)
    .sort(compareText)
    .map((key) => ({ key, message: `annotation ${key} has no meaning on a Service and is ignored${hintFor(key)}` }));
}

/**
 * The client ranges that may connect: spec.loadBalancerSourceRanges, else the annotation. Masked, without duplicates,
 * IPv4 first, then by address, wider first; empty when neither is set, which allows everybody.
 * Throws FL_SOURCE_RANGE_INVALID that names every bad entry; its field is the first one's.
 */
export function sourceRangesOf(service: Service): readonly Cidr[] {
  const blocks: Block[] = [];
  const bad: { readonly field: string; readonly problem: string }[] = [];
  for (const { field, text } of rawRanges(service)) {
    const block = parseBlock(text.trim());
    if (block === undefined) bad.push({ field, problem: `${field}: ${problemOf(text.trim())}` });
    else blocks.push(block);
  }
  const [first] = bad;
  if (first === undefined) return [...new Set(blocks.sort(compareIntervals).map(formatBlock))];
  throw failure('FL_SOURCE_RANGE_INVALID', bad.map(({ problem }) => problem).join('; '), { field: first.field });
}

/** Whether every client of this family may connect. An empty list allows all of both families. */
export function allowsAll(ranges: readonly Cidr[], family: IpFamily): boolean {
  return ranges.length === 0 || ranges.includes(family === 'ipv4' ? ('0.0.0.0/0' as Cidr) : ('::/0' as Cidr));
}

/**
 * `LoadBalancerSpec.sources`: empty exactly when every family of the Service is open to all, never because a range is
 * of a family that the Service does not have. A range beside its family's /0 adds nothing and is dropped.
 */
export function sourcesOf(ranges: readonly Cidr[], families: readonly IpFamily[]): readonly Cidr[] {
  if (families.every((family) => allowsAll(ranges, family))) return [];
  return sourcesNamed(ranges);
}

/** All of them; a range beside its family's /0 adds nothing and is dropped. */
export function sourcesNamed(ranges: readonly Cidr[]): readonly Cidr[] {
  return ranges.filter((range) => {
    const { family, prefixLength } = blockOf(range);
    return prefixLength === 0 || !allowsAll(ranges, family);
  });
}

function rawRanges(service: Service): readonly { readonly field: string; readonly text: string }[] {
  const { loadBalancerSourceRanges: ranges = [] } = service.spec;
  if (ranges.length > 0) {
    return ranges.map((text, index) => ({ field: `spec.loadBalancerSourceRanges[${index}]`, text }));
  }
  const list = service.metadata.annotations?.[SOURCE_RANGES_ANNOTATION] ?? '';
  if (list.trim() === '') return [];
  return list.split(',').map((text) => ({ field: `metadata.annotations["${SOURCE_RANGES_ANNOTATION}"]`, text }));
}

function problemOf(text: string): string {
  const quoted = JSON.stringify(text);
  const bare = parseIp(text);
  if (bare !== undefined) return `${quoted} is no CIDR; for this one address write ${text}/${BITS[bare.family]}`;
  const address = parseIp(text.slice(0, Math.max(0, text.indexOf('/'))));
  if (address === undefined) return `${quoted} is no CIDR; write 10.0.0.0/8 or 2001:db8::/32`;
  return `${quoted} is no CIDR; the prefix length goes from 0 to ${BITS[address.family]}`;
}

const prefixOf = (key: string): string => (key.includes('/') ? key.slice(0, key.indexOf('/')) : '');
const nameIn = (key: string): string => key.slice(key.indexOf('/') + 1);

function hintFor(key: string): string {
  const name = nameIn(key);
  const kind = prefixOf(key) === 'fairlead.dev' ? ELSEWHERE.get(name) : undefined;
  if (kind !== undefined) return `: it belongs on kind ${kind}`;
  const names = KNOWN.get(prefixOf(key)) ?? [];
  const near = names.find((known) => distance(known.toLowerCase(), name.toLowerCase()) <= 2);
  return near === undefined ? '' : `: did you mean ${prefixOf(key)}/${near}?`;
}

/** Levenshtein's. Both are names of a few dozen characters. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, left] of [...a].entries()) {
    const next = [i + 1];
    for (const [j, right] of [...b].entries()) {
      const replaced = (row[j] as number) + (left === right ? 0 : 1);
      next.push(Math.min(replaced, (row[j + 1] as number) + 1, (next[j] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}
