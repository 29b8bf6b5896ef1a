/**
 * A Kubernetes cluster of real nodes on one machine: a control plane, nodes with a kubelet and a containerd each, and a
 * client outside, every one a machine of namespaces (machine.ts).
 *
 *     outside 10.99.0.2 -- 10.99.0.1 control 10.77.0.1 == bridge == 10.77.0.11 n1, 10.77.0.12 n2, ...
 *
 * `control` is the router of all others, so a client outside the nodes' subnet keeps its address on the way to a node. The
 * machine that runs the tests reaches the API server, and nothing else, by a link of its own.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildNative } from '../../src/agent/native/build.ts';
import { programPath } from '../packages.ts';
import { ask, type Ran, type Where } from './ask.ts';
import { buildKube, buildNodes, type KubePrograms, type NodePrograms } from './build.ts';
import { type Api, apiAt, type Scope, whenReady, writeServiceAccountKeys } from './cluster.ts';
import { type Guarded, guarded, type Running } from './guard.ts';
import { ensureImages, type Images, PAUSE_IMAGE } from './images.ts';
import { type Machine, makeCgroup, type RunOptions, removeCgroups, startMachine } from './machine.ts';
import { claim, sweep } from './sweep.ts';

/** Whose program does it: `peer` is Debian's bridge, host-local and portmap, or kube-proxy; `none`: the test's affair. */
export type Whose = 'peer' | 'fairlead' | 'none';
export interface ClusterOptions {
  /** 1 to 9 (2). */
  readonly nodes?: number;
  /** Pods' network and the routes to other nodes' pods (fairlead). */
  readonly cni?: Whose;
  /** Services (fairlead). */
  readonly proxy?: Whose;
  /** Prefix length of a node's pod CIDR (24). */
  readonly podMask?: number;
  /** Further flags of `fairlead agent`. */
  readonly agentArgs?: readonly string[];
}

export interface Cluster {
  readonly api: Api;
  readonly nodes: readonly Node[];
  readonly control: Machine;
  /** A client outside the nodes' subnet. */
  readonly outside: Machine;
  readonly programs: KubePrograms & NodePrograms;
  readonly folder: string;
  /** kubectl as the admin; any exit code is a result. */
  kubectl(args: readonly string[], options?: RunOptions): Promise<Ran>;
  /** Ends everything and removes the folder. Idempotent; also called at the end of the scope. */
  stop(): Promise<void>;
}
export interface Node {
  readonly name: string;
  readonly address: string;
  /** Another one after a reboot. */
  readonly machine: Machine;
  readonly podCidr: string;
  /** `fairlead agent`; absent when peers do all. */
  readonly agent: Running | undefined;
  /** Starts `fairlead agent`, or starts it again after its end. */
  startAgent(): Running;
  /** Pulls the plug and starts it again, on the same disk; Ready when it resolves. */
  reboot(): Promise<void>;
}

export const POD_CIDR = '10.244.0.0/16';
export const SERVICE_CIDR = '10.96.0.0/16';
export const OUTSIDE = '10.99.0.2';
const DNS_ADDRESS = '10.96.0.10';
const CONTROL = '10.77.0.1';
const PREFIX = 'fairlead-cluster-';
const API_PORT = 6443;
const HELPER = 'fairlead-netlink';
/** Everything takes seconds; on a machine with ten other things to do it was minutes. */
const PATIENCE_MS = 300_000;
const main = join(import.meta.dirname, '../../src/main.ts');

/** A cluster whose nodes are Ready. Needs root, test/packages.ts and Go; builds what the cache lacks. */
export async function startCluster(scope: Scope, options: ClusterOptions = {}): Promise<Cluster> {
  const programs = { ...(await buildKube()), ...(await buildNodes()) };
  const images = await ensureImages(programs.agnhost);
  for (const folder of sweep(PREFIX)) process.stderr.write(`cluster: removed what a killed run left in ${folder}\n`);
  const guard = guarded(PREFIX, removeCgroups);
  claim(guard.folder);
  const stops: (() => Promise<void>)[] = [];
  const stop = async (): Promise<void> => {
    for (const each of stops.splice(0)) await each();
    await guard.close();
    execFileSync('/bin/sh', ['-c', removeCgroups, 'stop', guard.folder]);
  };
  scope.after(stop);
  try {
    return await startIn({ guard, programs, images, options, stops }, stop);
  } catch (error) {
    await stop();
    throw error;
  }
}

interface Making {
  readonly guard: Guarded;
  readonly programs: KubePrograms & NodePrograms;
  readonly images: Images;
  readonly options: ClusterOptions;
  readonly stops: (() => Promise<void>)[];
}

async function startIn(making: Making, stop: () => Promise<void>): Promise<Cluster> {
  const { guard, programs, images, options, stops } = making;
  const count = options.nodes ?? 2;
  // The agent's own C program, as its image has it.
  await buildNative({ to: join(guard.folder, HELPER) });
  const [control, outside] = await Promise.all(
    ['control', 'outside'].map((name) => startMachine(guard, name, images.pause)) as [
      Promise<Machine>,
      Promise<Machine>,
    ],
  );
  control.ip('link add nodes type bridge', `addr add ${CONTROL}/24 dev nodes`, 'link set nodes up');
  control.sysctl('net.ipv4.ip_forward=1');
  connectOutside(control, outside);
  const where = joinControl(making, control);
  const nodes = Array.from({ length: count }, (_, i) => nodeOf(making, control, where, i + 1));
  // The containerds load their images while the API server starts.
  const [api] = await Promise.all([
    startControlPlane(making, control, where),
    ...nodes.map(async (node) => {
      await node.boot();
      await node.startContainerd();
    }),
  ]);
  stops.push(() => api.stop());
  await makeDns(api);
  await Promise.all(nodes.map((node) => node.startKubelet()));
  await Promise.all(nodes.map((node) => node.learnCidr(api)));
  for (const { address, podCidr } of nodes) control.ip(`route replace ${podCidr} via ${address}`);
  await Promise.all(nodes.map((node) => node.startNetwork(nodes)));
  await Promise.all(nodes.map((node) => node.whenReady()));
  return {
    api,
    nodes,
    control,
    outside,
    programs,
    folder: guard.folder,
    kubectl: (args, more) => control.run(programs.kubectl, ['--kubeconfig', api.kubeconfig, ...args], more),
    stop,
  };
}

function connectOutside(control: Machine, outside: Machine): void {
  control.ip(
    `link add outside type veth peer name eth0 netns ${outside.pid}`,
    'addr add 10.99.0.1/24 dev outside',
    'link set outside up',
  );
  outside.ip(`addr add ${OUTSIDE}/24 dev eth0`, 'link set eth0 up', 'route add default via 10.99.0.1');
}

/** The link between this machine and `control`. Its name is the lock on its addresses: several clusters live side by side. */
function joinControl({ guard, stops }: Making, control: Machine): Where {
  for (let i = 0; ; i += 1) {
    const name = `flcluster${i}`;
    try {
      ip(`link add ${name} type veth peer name test netns ${control.pid}`);
    } catch (error) {
      if (i < 250 && String(error).includes('File exists')) continue;
      throw error;
    }
    // It would go with the other end, but some time later.
    stops.push(async () => ip(`link del ${name}`));
    ip(`addr add 198.18.${i}.1/30 dev ${name}`, `link set ${name} up`);
    control.ip(`addr add 198.18.${i}.2/30 dev test`, 'link set test up');
    return {
      url: `https://198.18.${i}.2:${API_PORT}`,
      token: randomBytes(16).toString('hex'),
      caFile: join(guard.folder, 'certs', 'apiserver.crt'), // made by the server at its first start; holds its CA too
    };
  }
}

/** etcd, kube-apiserver, kube-controller-manager, kube-scheduler and CoreDNS; the API server is ready when it resolves. */
async function startControlPlane({ guard, programs, options }: Making, control: Machine, where: Where): Promise<Api> {
  const { folder } = guard;
  const inFolder = (path: string): string => join(folder, path);
  writeFileSync(inFolder('tokens.csv'), `${where.token},admin,1,system:masters\n`, { mode: 0o600 });
  writeServiceAccountKeys(folder);
  const etcd = control.start('etcd', programs.etcd, [
    `--data-dir=${inFolder('etcd')}`,
    '--listen-client-urls=http://127.0.0.1:2379',
    '--advertise-client-urls=http://127.0.0.1:2379',
    '--unsafe-no-fsync',
    '--log-level=warn',
  ]);
  let server: Running | undefined;
  const api = apiAt('kube-apiserver', where, guard, programs.kubectl, {
    async kill() {
      server?.signal('SIGKILL');
      await server?.ended;
    },
    async start() {
      if (server !== undefined && server.end === undefined) return;
      server = control.start('kube-apiserver', programs.apiserver, [
        '--etcd-servers=http://127.0.0.1:2379',
        `--secure-port=${API_PORT}`,
        `--advertise-address=${new URL(where.url).hostname}`,
        `--cert-dir=${inFolder('certs')}`,
        '--service-account-issuer=https://kubernetes.default.svc',
        `--service-account-key-file=${inFolder('sa.pub')}`,
        `--service-account-signing-key-file=${inFolder('sa.key')}`,
        `--service-cluster-ip-range=${SERVICE_CIDR}`,
        `--token-auth-file=${inFolder('tokens.csv')}`,
        '--authorization-mode=RBAC',
        '--allow-privileged=true',
        '--kubelet-preferred-address-types=InternalIP',
        '--profiling=false',
      ]);
      await whenReady(where, [etcd, server], PATIENCE_MS);
    },
    stop: async () => {},
  });
  await api.start();
  control.start('kube-controller-manager', programs.controllerManager, [
    `--kubeconfig=${api.kubeconfig}`,
    `--service-account-private-key-file=${inFolder('sa.key')}`,
    `--root-ca-file=${where.caFile}`,
    '--allocate-node-cidrs=true',
    `--cluster-cidr=${POD_CIDR}`,
    `--node-cidr-mask-size=${options.podMask ?? 24}`,
    `--service-cluster-ip-range=${SERVICE_CIDR}`,
    '--leader-elect=false',
    '--kube-api-qps=200',
    '--kube-api-burst=400',
    '--node-monitor-grace-period=3m', // a machine that stands still for a minute is no dead node
  ]);
  control.start('kube-scheduler', programs.scheduler, [`--kubeconfig=${api.kubeconfig}`, '--leader-elect=false']);
  const zones = 'cluster.local in-addr.arpa ip6.arpa';
  writeFileSync(
    inFolder('Corefile'),
    `cluster.local:53 in-addr.arpa:53 ip6.arpa:53 {
  bind ${CONTROL}
  errors
  kubernetes ${zones} {
    kubeconfig ${api.kubeconfig}
    pods insecure
    ttl 5
  }
}
`,
  );
  control.start('coredns', programs.coredns, ['-conf', inFolder('Corefile')]);
  return api;
}

/** DNS is a Service like any other, so that every look-up of a test goes through the proxy. */
async function makeDns(api: Api): Promise<void> {
  const metadata = { name: 'kube-dns', namespace: 'kube-system' };
  const ports = [
    { name: 'dns', protocol: 'UDP', port: 53 },
    { name: 'dns-tcp', protocol: 'TCP', port: 53 },
  ];
  await create(api, '/api/v1/namespaces/kube-system/services', {
    metadata: { ...metadata, labels: { 'k8s-app': 'kube-dns' } },
    spec: { clusterIP: DNS_ADDRESS, ports },
  });
  await create(api, '/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices', {
    metadata: { ...metadata, labels: { 'kubernetes.io/service-name': 'kube-dns' } },
    addressType: 'IPv4',
    endpoints: [{ addresses: [CONTROL], conditions: { ready: true } }],
    ports,
  });
}

async function create(api: Api, path: string, body: object): Promise<void> {
  const { status, text } = await ask(api, 'POST', path, body);
  if (status !== 201) throw new Error(`POST ${path}: ${status} ${text}`);
}

/** A node, and the steps by which a cluster starts it. */
interface StartingNode extends Node {
  boot(): Promise<void>;
  /** Up, with the images loaded. */
  startContainerd(): Promise<void>;
  startKubelet(): Promise<void>;
  learnCidr(api: Api): Promise<void>;
  startNetwork(all: readonly Node[]): Promise<void>;
  whenReady(): Promise<void>;
}

function nodeOf(making: Making, control: Machine, where: Where, number: number): StartingNode {
  const { guard, programs, images, options } = making;
  const [cni, proxy] = [options.cni ?? 'fairlead', options.proxy ?? 'fairlead'];
  const name = `n${number}`;
  const address = `10.77.0.${10 + number}`;
  const kubeconfig = join(guard.folder, 'admin.kubeconfig');
  let machine: Machine;
  let podCidr = '';
  let agent: Running | undefined;
  let others: readonly Node[] = [];
  let isFirstBoot = true;

  const node: StartingNode = {
    name,
    address,
    get machine() {
      return machine;
    },
    get podCidr() {
      return podCidr;
    },
    get agent() {
      return agent;
    },
    async boot() {
      machine = await startMachine(guard, name, images.pause);
      control.ip(`link add ${name} type veth peer name eth0 netns ${machine.pid}`, `link set ${name} master nodes up`);
      machine.ip(`addr add ${address}/24 dev eth0`, 'link set eth0 up', `route add default via ${CONTROL}`);
      machine.sysctl('net.ipv4.ip_forward=1');
    },
    async startContainerd() {
      const binDir = cni === 'peer' ? '/usr/lib/cni' : '/opt/cni/bin';
      await write(machine, '/etc/containerd/config.toml', containerdConfig(binDir));
      await write(machine, '/etc/resolv.conf', `nameserver ${CONTROL}\n`);
      // Every runtime brings up `lo` by this plugin; nodes have it from the package of their distribution.
      await machine.run('ln', ['-sf', '/usr/lib/cni/loopback', '/opt/cni/bin/loopback']);
      const containerd = machine.start('containerd', program('containerd'), []);
      await poll(`${name}: containerd`, [containerd], async () => {
        const { code } = await machine.run(program('ctr'), ['version']);
        return code === 0;
      });
      if (!isFirstBoot) return;
      for (const archive of images.archives) {
        const imported = await machine.run(program('ctr'), ['-n', 'k8s.io', 'images', 'import', archive], {
          timeoutMs: PATIENCE_MS,
        });
        if (imported.code !== 0) throw new Error(`${name}: ${archive}: ${imported.stderr}`);
      }
      isFirstBoot = false;
    },
    async startKubelet() {
      const cgroup = `${basename(guard.folder)}-${name}`;
      makeCgroup(cgroup);
      await write(machine, '/etc/kubelet.json', JSON.stringify(kubeletConfig(`/${cgroup}`)));
      machine.start('kubelet', programs.kubelet, [
        '--config=/etc/kubelet.json',
        `--kubeconfig=${kubeconfig}`,
        `--hostname-override=${name}`,
        `--node-ip=${address}`,
      ]);
    },
    async learnCidr(api) {
      await poll(`${name}: a pod CIDR`, [], async () => {
        const { json } = await ask(api, 'GET', `/api/v1/nodes/${name}`);
        podCidr = (json as { spec?: { podCIDR?: string } }).spec?.podCIDR ?? '';
        return podCidr !== '';
      });
    },
    async startNetwork(all) {
      others = all.filter((other) => other.name !== name);
      if (cni === 'peer') {
        machine.sysctl('net.bridge.bridge-nf-call-iptables=1');
        for (const other of others) machine.ip(`route replace ${other.podCidr} via ${other.address}`);
        await write(machine, '/etc/cni/net.d/10-peer.conflist', JSON.stringify(peerConflist(podCidr)));
      }
      if (proxy === 'peer') {
        machine.start('kube-proxy', programs.proxy, [
          `--kubeconfig=${kubeconfig}`,
          '--proxy-mode=nftables',
          `--hostname-override=${name}`,
          `--cluster-cidr=${POD_CIDR}`,
          '--conntrack-max-per-core=0', // may only be set outside network namespaces
        ]);
      }
      if (cni === 'fairlead' || proxy === 'fairlead') node.startAgent();
    },
    startAgent() {
      const parts = [...(proxy === 'fairlead' ? ['proxy'] : []), ...(cni === 'fairlead' ? ['cni', 'routes'] : [])];
      agent = machine.start('agent', process.execPath, [
        main,
        'agent',
        `--node-name=${name}`,
        `--kubeconfig=${kubeconfig}`,
        `--parts=${parts.join(',')}`,
        `--helper=${join(guard.folder, HELPER)}`,
        ...(options.agentArgs ?? []),
      ]);
      return agent;
    },
    async whenReady() {
      await poll(`${name}: Ready`, agent === undefined ? [] : [agent], async () => {
        const { json } = await ask(where, 'GET', `/api/v1/nodes/${name}`);
        const { conditions = [] } = (json as { status?: { conditions?: Condition[] } }).status ?? {};
        return conditions.some(({ type, status }) => type === 'Ready' && status === 'True');
      });
    },
    async reboot() {
      await machine.kill();
      // What no machine has after a reboot either; the kubelet takes 3 s for each that it finds.
      execFileSync('/bin/sh', ['-c', removeCgroups, 'reboot', `${guard.folder}-${name}`]);
      await markUnknown(where, name);
      // The kernel removes a dead namespace's links some time later.
      await poll(`${name}: its old link is gone`, [], async () => !(await hasLink(control, name)));
      await node.boot();
      await node.startContainerd();
      await node.startKubelet();
      await node.startNetwork([node, ...others]);
      await node.whenReady();
    },
  };
  return node;
}

interface Condition {
  readonly type: string;
  readonly status: string;
}

/** As the node controller does after its grace period: without it the API would call the node Ready from before the reboot. */
async function markUnknown(where: Where, name: string): Promise<void> {
  const now = new Date().toISOString();
  const ready = { type: 'Ready', status: 'Unknown', reason: 'NodeStatusUnknown', message: 'rebooted by a test' };
  const conditions = [{ ...ready, lastHeartbeatTime: now, lastTransitionTime: now }];
  const body = { status: { conditions } };
  const { status, text } = await ask(where, 'PATCH', `/api/v1/nodes/${name}/status`, body, { patch: 'strategic' });
  if (status !== 200) throw new Error(`${name}: ${status} ${text}`);
}

async function hasLink(machine: Machine, name: string): Promise<boolean> {
  return (await machine.run('ip', ['link', 'show', name])).code === 0;
}

/** From within: what is written below an overlay is not seen by who watches the folder above. */
async function write(machine: Machine, path: string, text: string): Promise<void> {
  const { code, stderr } = await machine.run(
    'sh',
    ['-c', 'mkdir -p "$2" && cat > "$1"', 'write', path, dirname(path)],
    {
      stdin: text,
    },
  );
  if (code !== 0) throw new Error(`${machine.name}: ${path}: ${stderr}`);
}

function containerdConfig(binDir: string): string {
  return `version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${binDir}"
    conf_dir = "/etc/cni/net.d"
`;
}

function kubeletConfig(cgroupRoot: string): object {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    failCgroupV1: false,
    cgroupDriver: 'cgroupfs',
    cgroupRoot,
    containerRuntimeEndpoint: 'unix:///run/containerd/containerd.sock',
    clusterDNS: [DNS_ADDRESS],
    clusterDomain: 'cluster.local',
    resolvConf: '/etc/resolv.conf',
    authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
    authorization: { mode: 'AlwaysAllow' },
    failSwapOn: false,
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
    evictionHard: {
      'memory.available': '1Mi',
      'nodefs.available': '1%',
      'imagefs.available': '1%',
      'nodefs.inodesFree': '1%',
    },
    syncFrequency: '5s',
    nodeStatusUpdateFrequency: '5s',
  };
}

function peerConflist(podCidr: string): object {
  const ipam = { type: 'host-local', ranges: [[{ subnet: podCidr }]], routes: [{ dst: '0.0.0.0/0' }] };
  return {
    cniVersion: '0.4.0',
    name: 'peer',
    plugins: [
      { type: 'bridge', bridge: 'cni0', isGateway: true, ipMasq: false, hairpinMode: true, ipam },
      { type: 'portmap', capabilities: { portMappings: true }, snat: true },
    ],
  };
}

function program(name: string): string {
  const path = programPath(name);
  if (path === undefined) throw new Error(`no program "${name}" on this machine`);
  return path;
}

/** Of this machine. */
function ip(...commands: readonly string[]): void {
  execFileSync('ip', ['-batch', '-'], { input: commands.join('\n'), stdio: ['pipe', 'ignore', 'pipe'] });
}

/** Until it is so; rejects when one of the programs has ended, or after five minutes. */
async function poll(what: string, programs: readonly Running[], look: () => Promise<boolean>): Promise<void> {
  for (const endMs = performance.now() + PATIENCE_MS; !(await look()); await sleep(50)) {
    const dead = programs.find(({ end }) => end !== undefined);
    if (dead !== undefined) throw new Error(`${what}: ${dead.name} ended by itself (${dead.end}):\n${dead.log()}`);
    if (performance.now() > endMs) {
      throw new Error(`${what}: not within five minutes\n${programs.map((each) => each.log()).join('\n')}`);
    }
  }
}
