import { closeSync, existsSync, openSync, writeSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { KubeObject, Lease, Service } from '../core/objects.ts';
import type { Client } from '../kube/request.ts';
import { resources } from '../kube/resource.ts';
import { createLog } from '../obs/log.ts';
import { systemClock } from '../work/clock.ts';
import type { Command, Terminal, Values } from './command.ts';
import { listOf } from './connect.ts';
import { openNodes, openPlain, type Stage, whyNoNodes } from './demo-stage.ts';
import { parse } from './flags.ts';
import { createReach, isReached, type Reach, type ReachRow, reachContent, reachText } from './reach.ts';
import { statusOf, statusText } from './status.ts';
import { paint } from './table.ts';

/** Between two looks; what is shown changes when a user does something, not faster. */
const LOOK_MS = 500;
/** The examples are served within a second; more means that something is wrong. */
const ONCE_MS = 30_000;
/** With nodes their pods start first, each a process of its own. */
const ONCE_NODES_MS = 120_000;
/** Each address is asked that often, without a failure. */
const ONCE_QUESTIONS = 10;
/** A Service without an address may still get one: pools are taken a moment after they are read. */
const QUIET_MS = 2000;

export const command: Command = {
  name: 'demo',
  summary:
    'Run Fairlead on an API server in memory, with example Services, and as root with nodes; nothing is left behind',
  usage: '',
  maxArgs: 0,
  flags: [
    { name: 'once', help: 'Print the result and end, for scripts', parse: parse.boolean, default: 'false' },
    {
      name: 'port',
      value: 'PORT',
      help: 'Of the API server; when it is taken, another',
      parse: parse.integer(0, 65_535),
      default: '6444',
    },
    { name: 'examples', help: 'Create the Services of deploy/examples', parse: parse.boolean, default: 'true' },
    {
      name: 'nodes',
      value: 'N',
      help: 'As root: nodes in network namespaces, with pods and a client outside; 0: none',
      parse: parse.integer(0, 9),
      default: '3',
    },
  ],
  examples: [
    'fairlead demo',
    'sudo fairlead demo --nodes=2',
    'fairlead demo --once',
    'fairlead demo --port=7000 --examples=false',
  ],
  async run({ flags }, terminal) {
    const folder = await mkdtemp(join(tmpdir(), 'fairlead-demo-'));
    try {
      return await demonstrate(flags, terminal, folder);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
};

async function demonstrate(flags: Values, terminal: Terminal, folder: string): Promise<number> {
  const logFile = openSync(join(folder, 'controller.log'), 'a');
  const log = createLog({ destination: { write: (line) => void writeSync(logFile, line) } });
  let stage: Stage | undefined;
  const ended = new AbortController();
  const signal = AbortSignal.any([terminal.signal, ended.signal]);
  try {
    const withoutNodes = flags['nodes'] === 0 ? '--nodes=0' : await whyNoNodes(terminal);
    const options = { flags, terminal, folder, log, signal: terminal.signal };
    if (withoutNodes === undefined) terminal.stderr.write(`starting ${flags['nodes']} nodes\n`);
    stage = withoutNodes === undefined ? await openNodes(options) : await openPlain(options);
    terminal.stdout.write(greeting(stage, flags, withoutNodes, terminal));
    const reach = stage.nodes && createReach(stage.nodes.ask);
    const shown = flags['once'] === true ? once(stage, reach, terminal, signal) : live(stage, reach, terminal, signal);
    const code = await Promise.race([shown, stage.controller]);
    ended.abort(new Error('the demo has ended'));
    await shown.catch(() => {}); // it ends with the signal
    return code;
  } catch (error) {
    // Ctrl-C while nodes start is no failure.
    if (terminal.signal.aborted) return 0;
    throw error;
  } finally {
    ended.abort(new Error('the demo has ended'));
    await stage?.close();
    closeSync(logFile);
  }
}

function greeting(
  { kubeconfig, port, nodes }: Stage,
  flags: Values,
  withoutNodes: string | undefined,
  { stdout, env }: Terminal,
): string {
  const lines = [
    `An API server in memory runs on port ${port}${port === flags['port'] || flags['port'] === 0 ? '' : ` (${flags['port']} was taken)`}; Fairlead gives its Services addresses.`,
    '',
    '  In another terminal:',
    '',
    `    export KUBECONFIG=${kubeconfig}`,
    '    kubectl get services --all-namespaces --watch',
    '    kubectl create service loadbalancer mine --tcp=80:8080',
    '    kubectl annotate service mine metallb.io/loadBalancerIPs=192.0.2.77',
  ];
  if (nodes === undefined) lines.push('', paint('dim', `  Without nodes: ${withoutNodes}.`, stdout), '');
  else
    lines.push(
      '    kubectl create deployment mine --image=any --port=8080 --replicas=3',
      '    kubectl scale deployment web --replicas=5',
      `    sudo ip netns exec ${nodes.client} curl http://192.0.2.77    # the client outside`,
      '',
      `  Nodes ${nodes.names.join(', ')} are network namespaces; one small server stands in for every image.`,
      '',
    );
  if (!hasProgram('kubectl', env)) {
    lines.push(
      paint('yellow', '  kubectl is not installed here; the demo shows the examples all the same.', stdout),
      '',
    );
  }
  return `${lines.join('\n')}\n`;
}

function hasProgram(name: string, env: Terminal['env']): boolean {
  return (env['PATH'] ?? '').split(delimiter).some((folder) => folder !== '' && existsSync(join(folder, name)));
}

/** Prints when every Service is served and reached, or when nothing has changed for a while. 1 when there is no end. */
async function once(stage: Stage, reach: Reach | undefined, terminal: Terminal, signal: AbortSignal): Promise<number> {
  const limitMs = reach === undefined ? ONCE_MS : ONCE_NODES_MS;
  const endMs = systemClock.monotonicMs() + limitMs;
  let last = { content: '', sinceMs: systemClock.monotonicMs() };
  let rows: readonly ReachRow[] = [];
  const shown = (seen: Look): string =>
    `${statusText(seen.status, Date.now(), terminal)}${reachOf(stage, rows, terminal)}`;
  while (systemClock.monotonicMs() < endMs) {
    const seen = await look(stage.client, signal);
    const { status, services } = seen;
    if (reach !== undefined) rows = await reach.round(services);
    const content = JSON.stringify([status.services, reachContent(rows)]);
    if (content !== last.content) last = { content, sinceMs: systemClock.monotonicMs() };
    const isServed = status.services.every(({ state }) => state === 'Serving');
    const isOver = status.services.every(({ state }) => state !== 'Pending' && state !== 'Provisioning');
    const isDone = isServed || (isOver && systemClock.monotonicMs() - last.sinceMs > QUIET_MS);
    if (status.leader !== undefined && isDone && rows.every((row) => isReached(row, ONCE_QUESTIONS))) {
      terminal.stdout.write(shown(seen));
      return 0;
    }
    await systemClock.sleep(20, signal);
  }
  terminal.stderr.write(`not all Services have an outcome after ${limitMs / 1000} s\n`);
  terminal.stdout.write(shown(await look(stage.client, signal)));
  return 1;
}

/** The table, again after every change; on a terminal in place. Ends with the signal. */
async function live(stage: Stage, reach: Reach | undefined, terminal: Terminal, signal: AbortSignal): Promise<number> {
  const { stdout } = terminal;
  let shown = '';
  while (!signal.aborted) {
    const seen = await look(stage.client, signal).catch(() => undefined);
    if (seen === undefined) break;
    const { status, services } = seen;
    const rows = (await reach?.round(services)) ?? [];
    if (signal.aborted) break;
    const text = `${statusText(status, Date.now(), terminal)}${reachOf(stage, rows, terminal)}`;
    const content = JSON.stringify([
      status.services,
      status.leader,
      status.pools.map(({ name, assigned }) => [name, `${assigned}`]),
      reachContent(rows),
    ]);
    if (stdout.isTTY === true) {
      // Back to where the table began, then everything below it is new.
      if (shown !== '') stdout.write(`\x1b[${shown.split('\n').length - 1}F\x1b[0J`);
      shown = `${text}\n${paint('dim', 'Ctrl-C ends the demo.', stdout)}\n`;
      stdout.write(shown);
    } else if (content !== shown) {
      shown = content;
      stdout.write(`${text}\n`);
    }
    await systemClock.sleep(LOOK_MS, signal).catch(() => {});
  }
  return 0;
}

const reachOf = ({ nodes }: Stage, rows: readonly ReachRow[], { stdout }: Terminal): string =>
  nodes === undefined || rows.length === 0 ? '' : `\n${reachText(rows, nodes.clientAddress, stdout)}`;

interface Look {
  readonly status: ReturnType<typeof statusOf>;
  readonly services: readonly Service[];
}

async function look(client: Client, signal: AbortSignal): Promise<Look> {
  const pools = { group: 'metallb.io', version: 'v1beta1', plural: 'ipaddresspools' };
  const [services = [], ranges = [], leases = []] = await Promise.all([
    listOf<Service>(client, resources.services, signal),
    listOf<KubeObject>(client, pools, signal),
    listOf<Lease>(client, resources.leases, signal, 'kube-system'),
  ]);
  const lease = leases.find(({ metadata }) => metadata.name === 'fairlead-controller');
  return { status: statusOf(services, ranges, lease), services };
}
