import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { type TestContext, test } from 'node:test';
import type { ElementChange, TableFamily } from '../../../src/core/net/element.ts';
import type { DetectLocal } from '../../../src/core/proxy/model.ts';
import {
  chainsText,
  hashChain,
  isHashChain,
  isOwnChain,
  type RulesetOptions,
  removalText,
  rulesetText,
} from '../../../src/core/proxy/ruleset.ts';
import { elementText, RANGE_SETS, rangeTexts } from '../../../src/core/proxy/schema.ts';
import { type ChainKind, encodeValue, parseChainName } from '../../../src/core/proxy/value.ts';
import { leaveOut } from '../../left-out.ts';
import { planner } from './fixture.ts';
import { representative } from './representative.ts';
import { LOCAL_PODS, POD_CIDRS, SERVICE_CIDRS } from './world.ts';

const FAMILIES = ['ip', 'ip6'] as const;

const options = (family: TableFamily, more: Partial<RulesetOptions> = {}): RulesetOptions => ({
  family,
  masqueradeAll: false,
  detectLocal: { by: 'cidr' },
  masqueradePods: true,
  ...more,
});

const DETECTIONS: readonly DetectLocal[] = [
  { by: 'cidr' },
  { by: 'interface', name: 'cni0' },
  { by: 'interface-prefix', prefix: 'veth' },
  { by: 'nothing' },
];

const load = (family: TableFamily, more: Partial<RulesetOptions> = {}) =>
  rulesetText({ ...options(family, more), chains: [], timeouts: [] });

test('the hash names the rules, not the chains that are loaded with them', () => {
  const [plain] = FAMILIES.map((family) => hashChain(options(family)));
  assert.ok(plain !== undefined && isHashChain(plain));
  const text = (chains: readonly number[]) => rulesetText({ ...options('ip'), chains, timeouts: [] });
  assert.ok(text([2]).includes(plain) && text([2, 3]).includes(plain));
  const others = [
    hashChain(options('ip6')),
    ...DETECTIONS.slice(1).map((detectLocal) => hashChain(options('ip', { detectLocal }))),
    hashChain(options('ip', { masqueradeAll: true })),
    hashChain(options('ip', { masqueradePods: false })),
  ];
  assert.equal(new Set([plain, ...others]).size, others.length + 1);
});

test('masqueradeAll, an unknown pod CIDR and pod egress change the rules as they should', () => {
  const rules = (more: Partial<RulesetOptions>) =>
    load('ip', more)
      .split('\n')
      .filter((line) => /masquerade|pod-cidrs|iifname/.test(line) && !line.includes('set pod-cidrs'))
      .map((line) => line.trim());
  const cluster = 'ct status dnat ct original ip daddr @cluster-ips';
  const has = (more: Partial<RulesetOptions>, rule: string) => rules(more).includes(`${rule} masquerade fully-random`);
  assert.ok(has({}, `${cluster} ip saddr != @pod-cidrs`));
  assert.ok(has({ detectLocal: { by: 'interface', name: 'cni0' } }, `${cluster} iifname != "cni0"`));
  assert.ok(has({ detectLocal: { by: 'interface-prefix', prefix: 'veth' } }, `${cluster} iifname != "veth*"`));
  assert.ok(has({ masqueradeAll: true }, cluster));
  assert.ok(!rules({ detectLocal: { by: 'nothing' } }).some((rule) => /cluster-ips|pod-cidrs/.test(rule)));
  assert.ok(has({ detectLocal: { by: 'nothing' }, masqueradeAll: true }, cluster));
  assert.ok(!rules({ masqueradePods: false }).some((rule) => rule.includes('local-pods')));
});

test('a name of an interface cannot become a rule', () => {
  for (const name of ['a"b', '', 'x'.repeat(16), 'a b', 'a;drop'])
    assert.throws(() => load('ip', { detectLocal: { by: 'interface', name } }), RangeError);
});

test('chains for counts: no value twice, none that the family cannot have', () => {
  assert.equal(chainsText('ip', [], []), '');
  const text = chainsText('ip', [3, 2, 2, 0x100002], [60]);
  assert.deepEqual(
    [...text.matchAll(/^add chain ip fairlead (\S+)$/gm)].map(([, name]) => name),
    ['lb-2', 'lb-3', 'aff-2-0-60s'],
  );
  assert.match(
    text,
    /add element ip fairlead dispatch \{ 0:2 : goto lb-2, 0:3 : goto lb-3, 10:2 : goto aff-2-0-60s \}/,
  );
  assert.throws(() => chainsText('ip6', [0x20002], []), RangeError);
  assert.throws(() => chainsText('ip', [0x60002], []), RangeError);
});

test('chains of ours are told from others', () => {
  const names = [...load('ip').matchAll(/chain (\S+) \{/g)].map(([, name]) => name as string);
  assert.ok(names.length >= 13);
  for (const name of [...names, 'lb-2', 'aff-2-0-60s', hashChain(options('ip'))]) assert.ok(isOwnChain(name), name);
  assert.deepEqual(['KUBE-SERVICES', 'lb', 'forward'].filter(isOwnChain), []);
});

// ---------------------------------------------------------------------------------------------------------------------
// The kernel's and nft's word

let namespaces = 0;

/** A fresh network namespace for nft; `undefined` when the test was left out. */
function freshNft(t: TestContext): ((text: string, ...args: readonly string[]) => string) | undefined {
  const name = `fl-core-proxy-${process.pid}-${namespaces}`;
  namespaces += 1;
  const made = spawnSync('ip', ['netns', 'add', name], { encoding: 'utf8', timeout: 30_000 });
  const has = spawnSync('nft', ['--version'], { encoding: 'utf8', timeout: 30_000 });
  if (made.status === 0) t.after(() => spawnSync('ip', ['netns', 'del', name], { timeout: 30_000 }));
  if (made.status !== 0 || has.status !== 0) {
    leaveOut(t, 'rules in a real network namespace', 'run as root, with iproute2 and nftables installed');
    return undefined;
  }
  return (input, ...args) => {
    const command = ['netns', 'exec', name, 'nft', ...(args.length === 0 ? ['-f', '-'] : args)];
    const { status, stdout, stderr } = spawnSync('ip', command, { input, encoding: 'utf8', timeout: 120_000 });
    assert.equal(status, 0, stderr.slice(0, 2000));
    return stdout;
  };
}

const KINDS: Readonly<Record<TableFamily, readonly ChainKind[]>> = {
  ip: ['lb', 'loc', 'aff', 'hash', 'affloc', 'hashloc'],
  ip6: ['lb', 'loc', 'hash', 'hashloc'],
};

const sample = (family: TableFamily): readonly number[] => [
  ...KINDS[family].flatMap((kind) => [1, 2, 251].map((slots) => encodeValue({ kind, slots }))),
  ...(family === 'ip' ? (['aff', 'affloc'] as const).map((kind) => encodeValue({ kind, slots: 2, timeout: 1 })) : []),
];

for (const family of FAMILIES) {
  test(`nft: every variant of the ${family} rules loads, one over the other, with every kind of chain`, (t) => {
    const nft = freshNft(t);
    if (nft === undefined) return;
    const previous: string[] = [];
    for (const detectLocal of DETECTIONS)
      for (const masqueradeAll of [false, true]) {
        const made = options(family, { detectLocal, masqueradeAll });
        const text = rulesetText({ ...made, chains: sample(family), timeouts: [30, 60], obsolete: previous.splice(0) });
        nft(text, '-c', '-f', '-');
        nft(text);
        nft(rulesetText({ ...made, chains: sample(family), timeouts: [30, 60] }));
        previous.push(hashChain(made));
        const listed = nft('', '-t', 'list', 'table', family, 'fairlead');
        const hashes = [...listed.matchAll(/chain (rules-\S+)/g)].map(([, name]) => name);
        assert.deepEqual(hashes, previous);
        const chains = [...listed.matchAll(/chain (\S+) \{/g)].flatMap(
          ([, name]) => parseChainName(name as string)?.value ?? [],
        );
        assert.deepEqual(
          chains.toSorted((a, b) => a - b),
          [...sample(family)].sort((a, b) => a - b),
        );
      }
    nft(removalText(family));
    nft(removalText(family));
    assert.equal(nft('', 'list', 'ruleset'), '');
  });

  test(`nft: elements of the representative ${family} world load, change, and are what they were meant to be`, (t) => {
    const nft = freshNft(t);
    if (nft === undefined) return;
    const from = planner(family);
    const models = representative();
    const plans = [
      from.plan(models.map((model) => [model.key, model] as const)),
      from.planRanges('pod-cidrs', POD_CIDRS),
      from.planRanges('svc-cidrs', SERVICE_CIDRS),
      from.planRanges('local-pods', LOCAL_PODS),
      from.planRanges('no-masq', ['0.0.0.0/1', '255.0.0.0/8', 'fd00::/8'] as readonly string[] as typeof POD_CIDRS),
    ];
    nft(rulesetText({ ...options(family), chains: from.chains(), timeouts: from.timeouts() }));
    for (const { now } of plans) nft(changesText(now, family));
    assertHolds(nft, from.elements(), family);
    // Elements stay when the rules are loaded again.
    nft(rulesetText({ ...options(family, { masqueradeAll: true }), chains: from.chains(), timeouts: from.timeouts() }));
    assertHolds(nft, from.elements(), family);
    const changed = models.map((model, index) => [model.key, index % 2 === 0 ? undefined : model] as const);
    const plan = from.plan(changed);
    nft(changesText(plan.now, family));
    nft(
      changesText(
        from.planRanges('no-masq', ['0.0.0.0/2', 'fd00::/9'] as readonly string[] as typeof POD_CIDRS).now,
        family,
      ),
    );
    assert.ok(plan.later);
    nft(changesText(from.release(plan.later), family));
    assertHolds(nft, from.elements(), family);
  });
}

/** A transaction as text; ends of intervals stand behind their starts. */
function changesText(changes: readonly ElementChange[], family: TableFamily): string {
  const isRange = (set: string) => RANGE_SETS.some((name) => name === set);
  return changes
    .flatMap(({ op, element }, index) => {
      const line = (text: string) => [`${op} element ${family} fairlead ${element.set} { ${text} }\n`];
      if (!isRange(element.set)) {
        const text = elementText(element, family);
        return line(op === 'delete' ? (text.split(' : ')[0] as string) : text);
      }
      if (element.intervalEnd === true) return [];
      const next = changes[index + 1]?.element;
      const pair = next?.intervalEnd === true ? [element, next] : [element];
      return line(rangeTexts(pair, family).join(''));
    })
    .join('');
}

/** What nft lists is what the planner means, by set. */
function assertHolds(
  nft: (text: string, ...args: readonly string[]) => string,
  elements: Iterable<{ readonly set: string; readonly key: string }>,
  family: TableFamily,
): void {
  const bySet = new Map<string, { readonly set: string; readonly key: string }[]>();
  for (const element of elements) bySet.set(element.set, [...(bySet.get(element.set) ?? []), element]);
  const listed = JSON.parse(nft('', '-j', 'list', 'table', family, 'fairlead')) as {
    nftables: readonly { set?: { name: string; elem?: unknown[] }; map?: { name: string; elem?: unknown[] } }[];
  };
  const sizes = listed.nftables.flatMap(({ set, map }) => {
    const object = set ?? map;
    return object === undefined || object.name === 'dispatch' ? [] : [[object.name, object.elem?.length ?? 0] as const];
  });
  assert.ok(sizes.length >= 15);
  for (const [name, size] of sizes) {
    const own = bySet.get(name) ?? [];
    const wanted = RANGE_SETS.some((set) => set === name) ? rangeTexts(own, family).length : own.length;
    assert.equal(size, wanted, `${family} ${name}`);
  }
}
