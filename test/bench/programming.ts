/**
 * What the proxy takes to bring elements into this kernel, without an API server: planner, tables and keeper as in the
 * agent, over each channel, in a network namespace of their own. From the first planned element to the last ack, with the
 * models made before. Root. `BENCH_SIZES=1000,10000,100000` Services of two endpoints, `BENCH_CHANGES=1000` of each kind.
 * Reach (node-proxy.md, Numbers): see `reach` and `cold`; stalls of the event loop under 50 ms; flat: within 1.5 times.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { environment, nodeFlags } from '../../deploy/build.ts';
import { exec } from '../../src/agent/exec.ts';
import { buildNative } from '../../src/agent/native/build.ts';
import type { ChannelKind, NftChannel } from '../../src/agent/netlink/channel.ts';
import { openChannels } from '../../src/agent/netlink/choose.ts';
import { createTextLoader } from '../../src/agent/nft/rules.ts';
import { FamilyTable, type TableWatcher } from '../../src/agent/proxy/family-table.ts';
import { createKeeper, type Keeper } from '../../src/agent/proxy/keeper.ts';
import { createBatchLoader } from '../../src/agent/proxy/loader.ts';
import type { EndpointSlice, Service } from '../../src/core/objects.ts';
import type { Log } from '../../src/core/provider.ts';
import type { ServiceModel } from '../../src/core/proxy/model.ts';
import { createPlanner } from '../../src/core/proxy/planner.ts';
import { createSnapshot } from '../../src/core/proxy/snapshot.ts';
import { systemClock } from '../../src/work/clock.ts';
import { turn } from '../../src/work/turns.ts';
import { percentile } from './load.ts';

const SIZES = (process.env['BENCH_SIZES'] ?? '1000,10000,100000').split(',').map(Number);
const CHANGES = Number(process.env['BENCH_CHANGES'] ?? 1000);
/** Before those that count: the code is compiled. */
const WARM = 300;
/** Between two changes: one after the other without it would share the removals of the last 50 ms among them. */
const PAUSE_MS = Number(process.env['BENCH_PAUSE_MS'] ?? 1);
const LIMIT_MS = 150_000;
const OWNER = 'proxy';
const families = ['ip', 'ip6'] as const;
const kinds = ['replaced', 'added', 'removed'] as const;

/** Of the slower channels less is measured: a change by text spawns nft. */
const plan: readonly { readonly kind: ChannelKind; readonly sizes: readonly number[]; readonly changes: number }[] = [
  { kind: 'socket', sizes: SIZES, changes: CHANGES },
  { kind: 'helper', sizes: SIZES, changes: CHANGES },
  { kind: 'text', sizes: SIZES.filter((count) => count <= 10_000), changes: Math.min(CHANGES, 20) },
];
const cold: Readonly<Record<number, string>> = { 10000: 'under 100', 100000: 'under 1,000' };
const again: Readonly<Record<number, string>> = { 10000: 'under 100', 100000: 'under 2,000' };
const reach = {
  socket: { p50: 'under 30', p99: 'under 200' },
  helper: { p50: '', p99: '' },
  text: { p50: 'under 25,000', p99: '' },
};

interface Latencies {
  readonly p50Us: number;
  readonly p99Us: number;
}

/** What one process measured. */
interface Measured {
  readonly programMs: number;
  /** Of programMs: the rules looked at and the elements read. */
  readonly readMs: number;
  readonly stallMs: number;
  readonly commits: number;
  readonly addedMB: number;
  readonly changes?: Readonly<Record<(typeof kinds)[number], Latencies>>;
}

interface Case {
  readonly kind: ChannelKind;
  readonly count: number;
  readonly phase: 'cold' | 'restart';
  readonly changes: number;
  readonly helper: string | undefined;
}

/** Tables in the namespace of this process, and all that keeps them. */
interface Bench {
  readonly nft: NftChannel;
  readonly tables: readonly FamilyTable[];
  readonly keeper: Keeper;
  /** Time of the last transaction's answer. */
  ackedMs(): number;
  close(): Promise<void>;
}

/** The same file in a network namespace that goes when it ends. */
function enter(): void {
  if (process.geteuid?.() !== 0) throw new Error('network namespaces need root');
  const { status, error } = spawnSync(
    'unshare',
    ['--net', 'setpriv', '--pdeathsig', 'KILL', process.execPath, import.meta.filename, 'inside'],
    { stdio: 'inherit' },
  );
  if (error !== undefined) throw error;
  process.exitCode = status ?? 1;
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-bench-'));
  try {
    const helper = await helperIn(folder);
    for (const { kind, sizes, changes } of plan) {
      if (kind === 'helper' && helper === undefined) continue;
      const medians: number[] = [];
      for (const count of sizes) {
        spawnSync('nft', ['flush', 'ruleset']);
        const about = { kind, count, changes, helper };
        const first = measured({ ...about, phase: 'cold' });
        const second = measured({ ...about, phase: 'restart' });
        medians.push(report(about, first, second));
      }
      const ratio = (medians.at(-1) ?? Number.NaN) / (medians[0] ?? Number.NaN);
      say('  one endpoint replaced, p50: the largest size / the smallest', ratio.toFixed(2), 'flat: within 1.5');
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function helperIn(folder: string): Promise<string | undefined> {
  const to = join(folder, 'fairlead-netlink');
  try {
    return (await buildNative({ to })).path;
  } catch (error) {
    process.stdout.write(`LEFT OUT: the channel helper: ${(error as Error).message}\n`);
    return undefined;
  }
}

/** In a process of its own: nothing is warm, and memory is that of one table. */
function measured(about: Case): Measured {
  const { stdout, stderr, status, error } = spawnSync(
    'env',
    [
      ...[...environment, 'setpriv', '--pdeathsig', 'KILL', process.execPath, ...nodeFlags, '--expose-gc'],
      ...[import.meta.filename, 'case', JSON.stringify(about)],
    ],
    { encoding: 'utf8', timeout: LIMIT_MS, killSignal: 'SIGKILL' },
  );
  if (status !== 0) throw new Error(`${JSON.stringify(about)}: ${error?.message ?? ''} ${stderr}`);
  return JSON.parse(stdout) as Measured;
}

function report({ kind, count }: Pick<Case, 'kind' | 'count'>, first: Measured, second: Measured): number {
  const { changes } = second;
  if (second.commits > 0) throw new Error(`${kind}, ${count}: a restart with nothing to change commits`);
  if (changes === undefined) throw new Error(`${kind}, ${count}: no changes were measured`);
  const stalls = 'under 50';
  process.stdout.write(`\n${kind}, ${count.toLocaleString('en')} Services x 2 endpoints\n`);
  say('  cold, ms', first.programMs.toFixed(0), cold[count]);
  say('    longest stall of the event loop, ms', first.stallMs.toFixed(0), stalls);
  say('    memory added, MB', first.addedMB.toFixed(1), count <= 10_000 ? 'under 50' : '');
  say('  restart with nothing to change, ms', second.programMs.toFixed(0), again[count]);
  say('    of which rules and elements are read', second.readMs.toFixed(0));
  say('    longest stall of the event loop, ms', second.stallMs.toFixed(0), stalls);
  for (const what of kinds) {
    say(`  one endpoint ${what}, p50, us`, changes[what].p50Us.toFixed(1), reach[kind].p50);
    say('    p99, us', changes[what].p99Us.toFixed(1), reach[kind].p99);
  }
  return changes.replaced.p50Us;
}

const say = (what: string, value: string, limit = ''): void =>
  void process.stdout.write(`${what.padEnd(66)} ${value.padStart(10)}${limit === '' ? '' : `   (${limit})`}\n`);

// ---------------------------------------------------------------------------------------------------------------------
// One case

async function measure({ kind, count, phase, changes, helper }: Case): Promise<Measured> {
  const models: ServiceModel[] = [];
  for (let index = 0; index < count; index += 1) models.push(modelAt(index, [index * 2, index * 2 + 1]));
  const bench = await open(kind, helper);
  const life = new AbortController();
  const limit = AbortSignal.timeout(LIMIT_MS);
  const { tables, keeper, nft } = bench;
  if (phase === 'cold') await Promise.all(tables.map((table) => table.prepare()));
  for (const model of models) keeper.change(model.key, model);
  collect();
  await turn();
  const before = process.memoryUsage.rss();
  const commits = nft.commits();
  const stalls = monitorEventLoopDelay({ resolution: 1 });
  stalls.enable();
  await sleep(20);
  stalls.reset();

  const startMs = performance.now();
  if (phase === 'restart') await Promise.all(tables.map((table) => table.prepare()));
  const readMs = performance.now() - startMs;
  const running = keeper.run(life.signal);
  keeper.done(OWNER);
  await keeper.whenSynced(limit);
  const programMs = performance.now() - startMs;

  await sleep(20); // the last stall is counted by the timer after it
  stalls.disable();
  const result = { programMs, readMs, stallMs: stalls.max / 1e6, commits: nft.commits() - commits };
  collect();
  const addedMB = (process.memoryUsage.rss() - before) / 1e6;
  const all = phase === 'restart' ? await changed(bench, count, changes, limit) : undefined;
  life.abort();
  await running;
  await bench.close();
  return { ...result, addedMB, ...(all === undefined ? {} : { changes: all }) };
}

async function open(kind: ChannelKind, helper: string | undefined): Promise<Bench> {
  const log: Log = { debug() {}, info() {}, warn: complain, error: complain };
  const channels = await openChannels({
    kind,
    helper: kind === 'helper' ? helper : undefined,
    timers: systemClock,
    log,
  });
  const { load, transactions } = createBatchLoader(createTextLoader({ exec }));
  let ackedMs = 0;
  const watcher: TableWatcher = {
    synced() {},
    transaction(family, outcome) {
      ackedMs = performance.now();
      if (outcome !== 'ok') throw new Error(`a transaction of ${family}: ${outcome}`);
    },
    refused() {},
    reloaded() {},
    repaired() {},
    flows() {},
    conflicted() {},
  };
  const clock = systemClock;
  const rules = { masqueradeAll: false, detectLocal: { by: 'cidr' }, masqueradePods: false } as const;
  const firstId = Math.floor(clock.now() / 1000);
  const tables = families.map((family) => {
    const planner = createPlanner({ family, firstId });
    return new FamilyTable({ planner, channel: channels.nft, load, rules, clock, log, watcher });
  });
  const keeper = createKeeper({
    tables,
    channel: channels.nft,
    loads: transactions,
    owners: [OWNER],
    minPeriodMs: 0, // a change costs the same at any pace
    clock,
    log,
  });
  return { nft: channels.nft, tables, keeper, ackedMs: () => ackedMs, close: () => channels.close() };
}

function complain(fields: object, message: string): void {
  const { err } = fields as { readonly err?: Error };
  process.stderr.write(`${message} ${err?.stack ?? JSON.stringify(fields)}\n`);
}

/** One endpoint of a Service replaced, another added, that one removed; then the next Service. */
async function changed(
  bench: Bench,
  count: number,
  changes: number,
  limit: AbortSignal,
): Promise<Readonly<Record<(typeof kinds)[number], Latencies>>> {
  await digested(bench.nft, limit);
  const took = { replaced: [] as number[], added: [] as number[], removed: [] as number[] };
  const warm = Math.min(WARM, changes);
  for (let change = 0; change < warm + changes; change += 1) {
    const index = (change * 7919) % count;
    const fresh = 300_000 + change * 2; // no Service has had these
    const steps = {
      replaced: [index * 2, fresh],
      added: [index * 2, fresh, fresh + 1],
      removed: [index * 2, fresh],
    };
    for (const what of kinds) {
      const us = await changeOne(bench, modelAt(index, steps[what]), limit);
      if (change >= warm) took[what].push(us);
      await (PAUSE_MS > 0 ? sleep(PAUSE_MS) : turn());
    }
  }
  const of = (list: number[]): Latencies => {
    list.sort((a, b) => a - b);
    return { p50Us: percentile(list, 0.5), p99Us: percentile(list, 0.99) };
  };
  return { replaced: of(took.replaced), added: of(took.added), removed: of(took.removed) };
}

async function changeOne({ keeper, nft, ackedMs }: Bench, model: ServiceModel, limit: AbortSignal): Promise<number> {
  const commits = nft.commits();
  const startMs = performance.now();
  keeper.change(model.key, model);
  keeper.commit();
  await keeper.written(limit);
  // A removal that fell due meanwhile is a transaction of its own.
  if (nft.commits() === commits) throw new Error('nothing was committed for one endpoint');
  return (ackedMs() - startMs) * 1000;
}

/** The keeper takes a digest of the rules beside the first changes, once. */
async function digested(nft: NftChannel, limit: AbortSignal): Promise<void> {
  for (const family of families)
    while ((await nft.chains(family))?.some((name) => name.startsWith('sum-')) !== true)
      await sleep(100, undefined, { signal: limit });
}

const collect = (): void => (globalThis as { gc?: () => void }).gc?.();

// ---------------------------------------------------------------------------------------------------------------------
// Services

function modelAt(index: number, endpoints: readonly number[]): ServiceModel {
  const model = snapshot.service(serviceAt(index), [sliceAt(index, endpoints)]);
  if (model === undefined) throw new Error('not proxied');
  return model;
}

const snapshot = createSnapshot({
  nodeName: 'n1',
  primaryAddresses: ['10.0.0.1'],
  addresses: ['10.0.0.1'],
  nodePortAddresses: 'primary',
});

const metadata = (name: string) => ({
  name,
  namespace: 'default',
  uid: name,
  resourceVersion: '1',
  creationTimestamp: '2026-01-01T00:00:00Z',
});

function serviceAt(index: number): Service {
  const clusterIP = `172.${16 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`;
  const ports = [{ name: 'http', port: 80, protocol: 'TCP' }] as const;
  return { metadata: metadata(`s-${index}`), spec: { type: 'ClusterIP', clusterIP, clusterIPs: [clusterIP], ports } };
}

/** Endpoints by number, the first on this node. */
function sliceAt(index: number, endpoints: readonly number[]): EndpointSlice {
  return {
    metadata: metadata(`s-${index}-a`),
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: endpoints.map((number, at) => ({
      addresses: [`10.${(number >> 16) & 255}.${(number >> 8) & 255}.${number & 255}`],
      conditions: { ready: true, serving: true, terminating: false },
      nodeName: at === 0 ? 'n1' : 'n2',
    })),
  };
}

const [mode, argument = ''] = process.argv.slice(2);
if (mode === undefined) enter();
else if (mode === 'inside') await main();
else process.stdout.write(JSON.stringify(await measure(JSON.parse(argument) as Case)));
