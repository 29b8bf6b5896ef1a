/** A node of one namespace with an API server beside it, and `fairlead agent` in it as a process of its own. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, createClient } from '../../src/kube/request.ts';
import { createSandboxApi } from '../../src/sandbox/api/server.ts';
import { createNetns, type Netns } from '../../src/sandbox/netns.ts';
import { systemClock } from '../../src/work/clock.ts';

const main = join(import.meta.dirname, '../../src/main.ts');
const LIMIT_MS = 60_000;

export interface RunningAgent {
  readonly child: ChildProcess;
  /** Lines of its log that are JSON. */
  log(): readonly Readonly<Record<string, unknown>>[];
  stderr(): string;
  /** Resolves when a line of this message was written; rejects when the agent ends before. */
  logged(message: string): Promise<void>;
  /** SIGTERM; resolves to the exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
  /** Resolves to the exit code. */
  readonly ended: Promise<number | null>;
}

export interface Rig {
  readonly netns: Netns;
  /** Its primary address. */
  readonly nodeIp: string;
  readonly client: Client;
  /** Makes an object and returns it as it is stored. */
  post<T = unknown>(path: string, body: object): Promise<T>;
  patch(path: string, body: object): Promise<void>;
  remove(path: string): Promise<void>;
  /** A Service web/NAME with a slice of ready endpoints on this node. */
  service(name: string, spec: object, endpoints: readonly string[]): Promise<void>;
  endpoints(name: string, endpoints: readonly string[]): Promise<void>;
  /** Starts `fairlead agent --node-name=n1 --parts=proxy` and what is given. `prefix`: what runs it (setpriv, env). */
  agent(args?: readonly string[], how?: { readonly prefix?: readonly string[] }): RunningAgent;
  /** A shell command in the node; rejects for a bad exit status. */
  sh(command: string): Promise<string>;
  /** Bytes of a page of the agent, asked for in the node. */
  get(
    url: string,
  ): Promise<{ readonly status: number; readonly headers: Readonly<Record<string, string>>; readonly text: string }>;
  /** Resolves when the command's output matches. */
  until(command: string, wanted: RegExp | ((output: string) => boolean)): Promise<string>;
}

export async function createRig(t: Pick<TestContext, 'after'>): Promise<Rig> {
  const netns = await createNetns({ prefix: 'flag' });
  const { host, node } = linkOf(netns.name);
  const stops: (() => Promise<void>)[] = [];
  t.after(async () => {
    for (const stop of stops.reverse()) await stop();
    await netns.close();
  });
  await netns.add('n1');
  await netns.connect(
    { ifname: 'ag', addresses: [`${host}/30`] },
    { ns: 'n1', ifname: 'eth0', addresses: [`${node}/30`] },
  );
  await netns.ip('n1', [`route add default via ${host}`]);
  const sandbox = createSandboxApi({ clock: systemClock, serviceCidrs: ['172.30.0.0/16', 'fd00:30::/112'] });
  stops.push(() => sandbox.close());
  const listening = await sandbox.listen({ host });
  const kubeconfig = join(netns.folder, 'kubeconfig');
  writeFileSync(kubeconfig, listening.kubeconfig);
  const client = createClient({ transport: sandbox.transport(), clock: systemClock });
  const { signal } = new AbortController();
  const slices = '/apis/discovery.k8s.io/v1/namespaces/web/endpointslices';

  async function sh(command: string): Promise<string> {
    const { code, stdout, stderr } = await netns.exec('n1', ['sh', '-c', command]);
    if (code !== 0) throw new Error(`${command}: ${code}: ${stderr}`);
    return stdout;
  }

  const rig: Rig = {
    netns,
    nodeIp: node,
    client,
    post: <T>(path: string, body: object) => client.call<T>({ method: 'POST', path, body, signal }),
    async patch(path, body) {
      await client.call({ method: 'PATCH', path, contentType: 'application/merge-patch+json', body, signal });
    },
    async remove(path) {
      await client.call({ method: 'DELETE', path, signal });
    },
    async service(name, spec, endpoints) {
      const { spec: made } = await rig.post<{
        spec: { ports: { protocol: string; targetPort?: number; port: number }[] };
      }>('/api/v1/namespaces/web/services', { apiVersion: 'v1', kind: 'Service', metadata: { name }, spec });
      const [port] = made.ports;
      await rig.post(slices, {
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: { name: `${name}-a`, labels: { 'kubernetes.io/service-name': name } },
        addressType: 'IPv4',
        ports: [{ name: '', protocol: port?.protocol, port: port?.targetPort ?? port?.port }],
        endpoints: endpoints.map(ready),
      });
    },
    async endpoints(name, endpoints) {
      await rig.patch(`${slices}/${name}-a`, { endpoints: endpoints.map(ready) });
    },
    agent(args = [], { prefix = [] } = {}) {
      const argv = [...prefix, process.execPath, main, 'agent', '--node-name=n1', `--kubeconfig=${kubeconfig}`];
      const own = args.some((one) => one.startsWith('--parts')) ? args : ['--parts=proxy', ...args];
      return runningAgent(netns, [...argv, ...own], stops);
    },
    sh,
    async get(url) {
      const script = `fetch(${JSON.stringify(url)}, { headers: { connection: 'close' } }).then(async (r) =>
        console.log(JSON.stringify({ status: r.status, headers: Object.fromEntries(r.headers), text: await r.text() })))`;
      const { code, stdout, stderr } = await netns.exec('n1', [process.execPath, '-e', script]);
      if (code !== 0) throw new Error(stderr);
      return JSON.parse(stdout) as Awaited<ReturnType<Rig['get']>>;
    },
    async until(command, wanted) {
      const endMs = performance.now() + LIMIT_MS;
      for (;;) {
        const output = await sh(command).catch((error: Error) => error.message);
        if (typeof wanted === 'function' ? wanted(output) : wanted.test(output)) return output;
        if (performance.now() > endMs) throw new Error(`${command}: never ${wanted}:\n${output}`);
        await sleep(20);
      }
    },
  };
  await rig.post('/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'web' } });
  const podCIDRs = ['10.64.1.0/24'];
  await rig.post('/api/v1/nodes', {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'n1' },
    spec: { podCIDR: podCIDRs[0], podCIDRs },
  });
  await rig.patch('/api/v1/nodes/n1/status', { status: { addresses: [{ type: 'InternalIP', address: node }] } });
  return rig;
}

/** Addresses that no other rig of this machine has: 198.18.0.0/15 is for tests (RFC 2544), and the name is unique. */
function linkOf(name: string): { readonly host: string; readonly node: string } {
  const block = Number.parseInt(name.split('-').at(-1) ?? '', 16) % 2 ** 15;
  const address = (last: number): string =>
    `198.${18 + (block >> 14)}.${(block >> 6) & 255}.${((block & 63) << 2) + last}`;
  return { host: address(1), node: address(2) };
}

const ready = (address: string) => ({ addresses: [address], conditions: { ready: true }, nodeName: 'n1' });

/** Starts it in namespace n1; its SIGKILL is added to `stops`. */
export function runningAgent(netns: Netns, argv: readonly string[], stops: (() => Promise<void>)[]): RunningAgent {
  const child = netns.spawn('n1', argv, { stdio: ['ignore', 'pipe', 'pipe'] });
  let [out, err] = ['', ''];
  child.stdout?.on('data', (chunk: Buffer) => {
    out += chunk.toString();
  });
  child.stderr?.on('data', (chunk: Buffer) => {
    err += chunk.toString();
  });
  const ended = once(child, 'close').then(([code]) => code as number | null);
  const log = () =>
    out
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);
  const agent: RunningAgent = {
    child,
    log,
    stderr: () => err,
    async logged(message) {
      const endMs = performance.now() + LIMIT_MS;
      let over = false;
      void ended.then(() => {
        over = true;
      });
      while (!log().some((line) => line['msg'] === message)) {
        if (over) throw new Error(`the agent ended before it said "${message}":\n${out}${err}`);
        if (performance.now() > endMs) throw new Error(`the agent never said "${message}":\n${out}${err}`);
        await sleep(10);
      }
    },
    async stop(signal = 'SIGTERM') {
      child.kill(signal);
      return await ended;
    },
    ended,
  };
  stops.push(async () => void (await agent.stop('SIGKILL')));
  return agent;
}
