import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { parseBlock } from '../../../src/core/net/cidr.ts';
import type { Element, ElementChange, TableFamily } from '../../../src/core/net/element.ts';
import { formatIp } from '../../../src/core/net/ip.ts';
import type { DetectLocal, Removal } from '../../../src/core/proxy/model.ts';
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
import { history, modelOf } from './histories.ts';
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

interface Nft {
  /** Runs nft in the namespace, with `-f -` unless arguments are given; answers what it prints. */
  (input: string, ...args: readonly string[]): string;
  readonly namespace: string;
}

/** A fresh network namespace for nft; `undefined` when the test was left out. */
function freshNft(t: TestContext): Nft | undefined {
  const name = `fl-core-proxy-${process.pid}-${namespaces}`;
  namespaces += 1;
  const made = spawnSync('ip', ['netns', 'add', name], { encoding: 'utf8', timeout: 30_000 });
  const has = spawnSync('nft', ['--version'], { encoding: 'utf8', timeout: 30_000 });
  if (made.status === 0) t.after(() => spawnSync('ip', ['netns', 'del', name], { timeout: 30_000 }));
  if (made.status !== 0 || has.status !== 0) {
    leaveOut(t, 'rules in a real network namespace', 'run as root, with iproute2 and nftables installed');
    return undefined;
  }
  const run = (input: string, ...args: readonly string[]): string => {
    const command = ['netns', 'exec', name, 'nft', ...(args.length === 0 ? ['-f', '-'] : args)];
    const { status, stdout, stderr } = spawnSync('ip', command, { input, encoding: 'utf8', timeout: 120_000 });
    assert.equal(status, 0, stderr.slice(0, 2000));
    return stdout;
  };
  return Object.assign(run, { namespace: name });
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
        const listed: string = nft('', '-t', 'list', 'table', family, 'fairlead');
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

for (const family of FAMILIES) {
  test(`nft: the ${family} table follows random histories, each change as one transaction`, (t) => {
    const nft = freshNft(t);
    if (nft === undefined) return;
    fc.assert(
      fc.property(history, (batches) => {
        nft(removalText(family) + rulesetText({ ...options(family), chains: [], timeouts: [] }));
        const from = planner(family);
        const pending: Removal[] = [];
        for (const { changes, releasesAll } of batches) {
          const models = new Map(changes.map(([name, state]) => [`default/${name}`, modelOf(state)] as const));
          const plan = from.plan(models);
          nft(chainsText(family, plan.chains, from.timeouts()) + changesText(plan.now, family));
          if (plan.later === undefined) continue;
          if (releasesAll) nft(changesText(from.release(plan.later), family));
          else pending.push(plan.later);
        }
        for (const removal of pending.splice(0)) nft(changesText(from.release(removal), family));
        assertHolds(nft, from.elements(), family);
      }),
      { numRuns: family === 'ip' ? 15 : 6 },
    );
  });
}
/** A server at the endpoint; prints who it sees, one line for each of three clients and the first again. */
const CLIENTS = `
const net = require('node:net');
const server = net.createServer((socket) => socket.end(socket.remoteAddress)).listen(8080, '10.64.1.1', async () => {
  for (const localAddress of ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.1'])
    await new Promise((done) => {
      const socket = net.connect({ host: '172.30.0.1', port: 80, localAddress, timeout: 10000 });
      socket.on('data', (data) => console.log(String(data)));
      socket.on('timeout', () => socket.destroy(new Error('no answer')));
      socket.on('error', (error) => console.log(localAddress + ': ' + error.message));
      socket.on('close', done);
    });
  server.close();
});`;

test('nft: a client is served also when the map of remembered clients is full', (t) => {
  const nft = freshNft(t);
  if (nft === undefined) return;
  const rules = rulesetText({ ...options('ip', { detectLocal: { by: 'nothing' } }), chains: [0x20001], timeouts: [] });
  assert.ok(rules.includes('size 262144'));
  nft(rules.replace('size 262144', 'size 1'));
  nft(
    [
      'add element ip fairlead ep-by-id { 8001:1 : 10.64.1.1 . 8080 }',
      'add element ip fairlead ep-id { 172.30.0.1 . tcp . 80 . 0:0 : 8001:1 }',
      'add element ip fairlead services { 172.30.0.1 . tcp . 80 : 2:1 }',
    ].join('\n'),
  );
  const script = [
    'ip link set lo up',
    ...['10.64.1.1', '10.0.0.1', '10.0.0.2', '10.0.0.3'].map((address) => `ip addr add ${address}/32 dev lo`),
    'ip route add 172.30.0.0/16 dev lo',
    'exec "$0" --eval "$1"',
  ].join(' && ');
  const command = ['netns', 'exec', nft.namespace, 'sh', '-c', script, process.execPath, CLIENTS];
  const { stdout, stderr } = spawnSync('ip', command, { encoding: 'utf8', timeout: 120_000 });
  assert.equal(stdout, '10.0.0.1\n10.0.0.2\n10.0.0.3\n10.0.0.1\n', stderr);
  assert.equal([...nft('', 'list', 'map', 'ip', 'fairlead', 'aff').matchAll(/expires/g)].length, 1);
});

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

/** What nft lists is what the planner means, element by element. */
function assertHolds(nft: Nft, elements: Iterable<Element>, family: TableFamily): void {
  const bySet = new Map<string, Element[]>();
  for (const element of elements) bySet.set(element.set, [...(bySet.get(element.set) ?? []), element]);
  const listed = JSON.parse(nft('', '-j', 'list', 'table', family, 'fairlead')) as {
    readonly nftables: readonly { readonly set?: Listed; readonly map?: Listed }[];
  };
  const objects = listed.nftables.flatMap(({ set, map }) => set ?? map ?? []).filter(({ name }) => name !== 'dispatch');
  assert.ok(objects.length >= 15);
  for (const { name, elem = [] } of objects) {
    const own = bySet.get(name) ?? [];
    const isRange = RANGE_SETS.some((set) => set === name);
    const wanted = isRange ? rangeTexts(own, family) : own.map((element) => elementText(element, family));
    assert.deepEqual(elem.map(listedText).sort(), [...wanted].sort(), `${family} ${name}`);
  }
}

interface Listed {
  readonly name: string;
  readonly elem?: readonly Value[];
}

type Value =
  | string
  | number
  | readonly [Value, Value]
  | { readonly concat: readonly Value[] }
  | { readonly range: readonly [Value, Value] }
  | { readonly prefix: { readonly addr: string; readonly len: number } };

const isPair = (value: Value): value is readonly [Value, Value] => Array.isArray(value);

/** An element of nft's JSON as its text, prefixes as ranges. */
function listedText(value: Value): string {
  if (typeof value === 'string') return value === 'none' ? '0:0' : value;
  if (typeof value === 'number') return String(value);
  if (isPair(value)) return value.map(listedText).join(' : ');
  if ('concat' in value) return value.concat.map(listedText).join(' . ');
  if ('range' in value) return value.range.map(listedText).join('-');
  if (!('prefix' in value)) throw new TypeError(JSON.stringify(value));
  const block = parseBlock(`${value.prefix.addr}/${value.prefix.len}`);
  assert.ok(block);
  const { family, first, last } = block;
  return `${formatIp({ family, value: first })}-${formatIp({ family, value: last })}`;
}
