/** The constant rules of table `fairlead` as nft text: loaded once, read by people, changed by a version or a setting only. */
import type { TableFamily } from '../net/element.ts';
import { textHash } from './hash.ts';
import type { DetectLocal } from './model.ts';
import { classidText, fieldType, SETS, type SetName, type SetSchema, TABLE } from './schema.ts';
import {
  type ChainKind,
  chainName,
  DEFAULT_TIMEOUT_SECONDS,
  decodeValue,
  encodeValue,
  KINDS,
  LOCAL_OFFSET,
} from './value.ts';

/** What decides the text. The CIDRs themselves are elements of sets (Rulings 6). */
export interface RulesetOptions {
  readonly family: TableFamily;
  /** Everything to a ClusterIP leaves with the node's address. */
  readonly masqueradeAll: boolean;
  readonly detectLocal: DetectLocal;
  /** Pods' connections to addresses that are neither in `no-masq` nor local leave with the node's address (cni.md). */
  readonly masqueradePods: boolean;
}

export interface LoadOptions extends RulesetOptions {
  /** Values `kind:count` whose chains are loaded with the table, sorted or not. */
  readonly chains: readonly number[];
  /** Timeouts of affinity by index (`Planner.timeouts`). */
  readonly timeouts: readonly number[];
  /** Chains of another version that go, by their names in the table. */
  readonly obsolete?: readonly string[];
}

const BASE_CHAINS = [
  'nat-prerouting',
  'nat-output',
  'nat-postrouting',
  'filter-prerouting',
  'filter-output-guard',
  'filter-input',
  'filter-forward',
  'filter-output',
  'filter-postrouting',
] as const;

/** Chains that others jump to. */
const INNER_CHAINS = ['svc', 'guard', 'noep', 'clus'] as const;

/** Any fixed one: else the kernel draws one per rule, and clients move at each reload and from node to node. */
const HASH_SEED = '0x666c';

const TRANSPORT = 'meta l4proto { tcp, udp, sctp }';

/**
 * Name of the empty chain that says which rules a table has. It does not depend on the chains that were loaded for counts,
 * only on how such chains look.
 */
export function hashChain(options: RulesetOptions): string {
  const samples = KINDS.filter((kind) => hasKind(options.family, kind)).map((kind) => encodeValue({ kind, slots: 1 }));
  const timed = options.family === 'ip' ? [encodeValue({ kind: 'aff', slots: 1, timeout: 0 })] : [];
  return `rules-${textHash(constantText(options) + chainsText(options.family, [...samples, ...timed], [60]))}`;
}

/** True for a name that `hashChain` makes. */
export const isHashChain = (name: string): boolean => /^rules-[0-9a-f]{16}$/.test(name);

/** True for a chain that the table of this version may have, whatever the options. */
export const isOwnChain = (name: string): boolean =>
  [...BASE_CHAINS, ...INNER_CHAINS].some((chain) => chain === name) ||
  isHashChain(name) ||
  /^(lb|loc|aff|hash|affloc|hashloc)-\d/.test(name);

/**
 * One transaction for `nft -f -` that makes the table, or gives the one that is there these rules and leaves its elements
 * alone; connections in between meet the old rules or the new. It is refused where the table has a set or a base chain of
 * the same name and another shape: then `removalText` goes before it in the same transaction, and all elements are lost.
 */
export function rulesetText(options: LoadOptions): string {
  const { family, chains, timeouts, obsolete = [] } = options;
  return [
    `add table ${family} ${TABLE}`,
    // Only rules: sets, chains and elements stay.
    `flush table ${family} ${TABLE}`,
    constantText(options),
    `add chain ${family} ${TABLE} ${hashChain(options)}`,
    chainsText(family, chains, timeouts),
    ...obsolete.map((name) => `delete chain ${family} ${TABLE} ${name}`),
    '',
  ]
    .filter((part, index, all) => part !== '' || index === all.length - 1)
    .join('\n');
}

/** Takes the table away, whether it is there or not. */
export const removalText = (family: TableFamily): string =>
  `add table ${family} ${TABLE}\ndelete table ${family} ${TABLE}\n`;

/**
 * The increment for new values: per value its chain, its rules and the element of `dispatch`. It may be loaded again: the
 * rules are replaced, the element stays.
 */
export function chainsText(family: TableFamily, values: readonly number[], timeouts: readonly number[]): string {
  const sorted = [...new Set(values)].sort((a, b) => a - b);
  if (sorted.length === 0) return '';
  const lines = sorted.flatMap((value) => {
    const name = chainName(value, timeouts);
    return [
      `add chain ${family} ${TABLE} ${name}`,
      `flush chain ${family} ${TABLE} ${name}`,
      ...chainRules(family, value, timeouts).map((rule) => `add rule ${family} ${TABLE} ${name} ${rule}`),
    ];
  });
  const elements = sorted.map((value) => `${classidText(value)} : goto ${chainName(value, timeouts)}`);
  return `${[...lines, `add element ${family} ${TABLE} dispatch { ${elements.join(', ')} }`].join('\n')}\n`;
}

/** IPv6 has no remembered affinity: `nft` 1.0.6 aborts on map updates with keys that long. */
const hasKind = (family: TableFamily, kind: ChainKind): boolean =>
  family === 'ip' || (kind !== 'aff' && kind !== 'affloc');

function chainRules(family: TableFamily, value: number, timeouts: readonly number[]): readonly string[] {
  const chain = decodeValue(value);
  if (chain === undefined || !hasKind(family, chain.kind))
    throw new RangeError(`${classidText(value)} has no chain in family ${family}`);
  const { kind, slots, timeout } = chain;
  const ip = family;
  const key = keyOf(ip);
  const toSlot = `dnat to ${key} . meta priority map @endpoints`;
  const offset = kind === 'lb' || kind === 'aff' || kind === 'hash' ? '' : ` offset ${LOCAL_OFFSET}`;
  switch (kind) {
    case 'lb':
    case 'loc':
      return [`meta priority set numgen random mod ${slots}${offset} ${toSlot}`];
    case 'hash':
    case 'hashloc':
      return [`meta priority set jhash ${ip} saddr mod ${slots} seed ${HASH_SEED}${offset} ${toSlot}`];
    case 'aff':
    case 'affloc': {
      const client = `${ip} saddr . ${key}`;
      const seconds = timeout === undefined ? DEFAULT_TIMEOUT_SECONDS : timeouts[timeout];
      const lifetime = timeout === undefined ? '' : ` timeout ${seconds}s`;
      const remember = `update @aff { ${client}${lifetime} : meta priority }`;
      const draw = `meta priority set numgen random mod ${slots}${offset} meta priority set ${key} . meta priority map @ep-id`;
      const toId = 'dnat to meta priority map @ep-by-id';
      return [
        `${TRANSPORT} meta priority set ${client} map @aff ${remember} ${toId}`,
        // The id is gone: without this an update would never overwrite it.
        `delete @aff { ${client} : meta priority }`,
        `${TRANSPORT} ${draw} ${remember} ${toId}`,
        // Map aff is full: served without being remembered.
        `${TRANSPORT} ${draw} ${toId}`,
      ];
    }
    default:
      return kind satisfies never;
  }
}

function constantText(options: RulesetOptions): string {
  return `table ${options.family} ${TABLE} {\n${[...declarations(options.family), ...chainsOf(options)].join('\n')}\n}\n`;
}

function declarations(family: TableFamily): readonly string[] {
  const own = (Object.keys(SETS) as SetName[]).filter((name) => ((SETS[name] as SetSchema).only ?? family) === family);
  return [...own.map((name) => declaration(name, family)), '  map dispatch { type classid : verdict ; }'];
}

function declaration(name: SetName, family: TableFamily): string {
  const { key, data, interval, dynamic }: SetSchema = SETS[name];
  const types = key.map((field) => fieldType(field, family)).join(' . ');
  const target = data === undefined ? '' : ` : ${data.map((field) => fieldType(field, family)).join(' . ')}`;
  const flags = [...(interval === true ? ['interval'] : []), ...(dynamic === true ? ['dynamic', 'timeout'] : [])];
  return [
    `  ${data === undefined ? 'set' : 'map'} ${name} { type ${types}${target} ;`,
    ...(flags.length === 0 ? [] : [`flags ${flags.join(',')} ;`]),
    ...(dynamic === true ? [`timeout ${DEFAULT_TIMEOUT_SECONDS}s ; size 262144 ;`] : []),
    '}',
  ].join(' ');
}

function chainsOf(options: RulesetOptions): readonly string[] {
  const { family: ip } = options;
  const key = keyOf(ip);
  const original = `ct original ${ip} daddr . meta l4proto . ct original proto-dst`;
  const pod = podMatch(options, '==');
  const dispatch = (map: string) => `meta priority set ${key} map @${map} meta priority vmap @dispatch`;
  return [
    ...chain('svc', [
      ...(pod === undefined ? [] : [`${pod} ${dispatch('services-near')}`]),
      `fib saddr type local ${dispatch('services-near')}`,
      dispatch('services'),
    ]),
    ...chain('guard', [`${key} @restricted ${key} . ${ip} saddr != @allowed drop`]),
    ...chain('noep', [
      `${key} @no-ep-reject meta l4proto tcp reject with tcp reset`,
      `${key} @no-ep-reject reject`,
      `${key} @no-ep-drop drop`,
    ]),
    ...chain('clus', [
      `${ip} daddr @cluster-ips meta l4proto tcp reject with tcp reset`,
      `${ip} daddr @cluster-ips reject`,
      `${ip} daddr @svc-cidrs drop`,
    ]),
    ...base('filter-prerouting', 'filter hook prerouting priority -110', [
      // A pod with a port on 127.0.0.1 has route_localnet on its link: it must not reach what listens there (CVE-2020-8558).
      ...(ip === 'ip' && options.masqueradePods ? ['iifname != "lo" ip daddr 127.0.0.0/8 drop'] : []),
      'ct state new jump guard',
    ]),
    ...base('filter-output-guard', 'filter hook output priority -110', ['ct state new jump guard']),
    ...base('nat-prerouting', 'nat hook prerouting priority -100', ['jump svc']),
    ...base('nat-output', 'nat hook output priority -100', ['jump svc']),
    ...base('filter-input', 'filter hook input priority 0', ['ct state new jump noep']),
    ...base('filter-forward', 'filter hook forward priority 0', ['ct state new jump noep', 'ct state new jump clus']),
    ...base('filter-output', 'filter hook output priority 0', ['ct state new jump noep', 'ct state new jump clus']),
    ...base('nat-postrouting', 'nat hook postrouting priority 100', [
      `ct status dnat ${ip} saddr . ${ip} daddr @hairpin masquerade fully-random`,
      ...clusterMasquerade(options),
      `ct status dnat ${TRANSPORT} ${original} @masq-vips masquerade fully-random`,
      `ct status dnat ${TRANSPORT} ${original} @local-vips fib saddr type local masquerade fully-random`,
      ...(options.masqueradePods
        ? [`${ip} saddr @local-pods ${ip} daddr != @no-masq fib daddr type != local masquerade fully-random`]
        : []),
    ]),
    // Whatever queues by priority behind us sees what the sender set.
    ...base('filter-postrouting', 'filter hook postrouting priority 110', [
      'ct state new ct status dnat meta priority set none',
    ]),
  ];
}

function clusterMasquerade(options: RulesetOptions): readonly string[] {
  const { family: ip, masqueradeAll } = options;
  const rule = `ct status dnat ct original ${ip} daddr @cluster-ips`;
  if (masqueradeAll) return [`${rule} masquerade fully-random`];
  const stranger = podMatch(options, '!=');
  return stranger === undefined ? [] : [`${rule} ${stranger} masquerade fully-random`];
}

/** Packets of pods, or all others; `undefined` when there is no telling. */
function podMatch({ family, detectLocal }: RulesetOptions, operator: '==' | '!='): string | undefined {
  const not = operator === '==' ? '' : '!= ';
  switch (detectLocal.by) {
    case 'cidr':
      return `${family} saddr ${not}@pod-cidrs`;
    case 'interface':
      return `iifname ${not}"${interfaceName(detectLocal.name)}"`;
    case 'interface-prefix':
      return `iifname ${not}"${interfaceName(detectLocal.prefix)}*"`;
    case 'nothing':
      return undefined;
    default:
      return detectLocal satisfies never;
  }
}

/** What may stand between quotes; anything else would be read as more rules. */
function interfaceName(name: string): string {
  if (!/^[\w.@:+-]{1,15}$/.test(name)) throw new RangeError(`${JSON.stringify(name)} is no name of an interface`);
  return name;
}

const keyOf = (ip: TableFamily): string => `${ip} daddr . meta l4proto . th dport`;

const chain = (name: string, rules: readonly string[]): readonly string[] => [
  `  chain ${name} {`,
  ...rules.map((rule) => `    ${rule}`),
  '  }',
];

const base = (name: (typeof BASE_CHAINS)[number], hook: string, rules: readonly string[]): readonly string[] =>
  chain(name, [`type ${hook} ; policy accept ;`, ...rules]);
