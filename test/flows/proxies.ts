/** The two service proxies that the tables run against, on the node under test. */
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildNodes, cacheFolder, kubeVersion } from '../kube/build.ts';
import type { Cluster } from './cluster.ts';
import { must, POD_CIDR, SEGMENT, type World } from './world.ts';

export interface ProxyOptions {
  readonly masqueradeAll?: true;
  /** The proxy is not told which addresses are pods'. */
  readonly noPodCidr?: true;
  /** Node ports at every address of the segment, not only at the primary one. */
  readonly allNodeAddresses?: true;
}

export interface RunningProxy {
  /** SIGKILL; its rules stay. */
  kill(): Promise<void>;
  /** What it wrote, at its end. */
  log(): string;
}

export interface ServiceProxy {
  readonly name: 'kube-proxy' | 'fairlead';
  start(world: World, cluster: Cluster, options?: ProxyOptions): RunningProxy;
}

/** What kube-proxy writes to the kernel's settings elsewhere is refused in a network namespace; zero leaves it alone. */
export function kubeProxy(program: string): ServiceProxy {
  return {
    name: 'kube-proxy',
    start: (world, { kubeconfig }, { masqueradeAll, noPodCidr, allNodeAddresses } = {}) =>
      run(world, 'kube-proxy', [
        program,
        `--kubeconfig=${kubeconfig}`,
        '--proxy-mode=nftables',
        '--hostname-override=n1',
        '--iptables-min-sync-period=50ms',
        '--conntrack-max-per-core=0',
        '--conntrack-tcp-timeout-established=0',
        '--conntrack-tcp-timeout-close-wait=0',
        ...(noPodCidr === true ? [] : [`--cluster-cidr=${POD_CIDR[4]},${POD_CIDR[6]}`]),
        ...(masqueradeAll === true ? ['--masquerade-all'] : []),
        ...(allNodeAddresses === true ? [`--nodeport-addresses=${SEGMENT[4]},${SEGMENT[6]}`] : []),
        '--v=2',
      ]),
  };
}

/** For tests: the program; built when CI=true, else absent where it was not built. */
export async function kubeProxyProgram(): Promise<string | undefined> {
  const program = join(cacheFolder(), `kube-${kubeVersion()}`, 'kube-proxy');
  if (existsSync(program)) return program;
  return process.env['CI'] === 'true' ? (await buildNodes()).proxy : undefined;
}

export const fairlead: ServiceProxy = {
  name: 'fairlead',
  start: (world, { kubeconfig }, { masqueradeAll, noPodCidr, allNodeAddresses } = {}) =>
    run(world, 'fairlead', [
      process.execPath,
      join(import.meta.dirname, '../../src/main.ts'),
      'agent',
      `--kubeconfig=${kubeconfig}`,
      '--parts=proxy',
      '--node-name=n1',
      // Without it: the Node's pod CIDR, and it has none.
      ...(noPodCidr === true ? [] : [`--cluster-cidr=${POD_CIDR[4]},${POD_CIDR[6]}`]),
      ...(masqueradeAll === true ? ['--masquerade-all'] : []),
      ...(allNodeAddresses === true ? [`--nodeport-addresses=${SEGMENT[4]},${SEGMENT[6]}`] : []),
    ]),
};

let started = 0;

function run({ netns }: World, name: string, argv: readonly string[]): RunningProxy {
  started += 1;
  const file = join(netns.folder, `${name}-${started}.log`);
  const output = openSync(file, 'a');
  const child = netns.spawn('n1', argv, { stdio: ['ignore', output, output] });
  closeSync(output);
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  return {
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
    log: () => readFileSync(file, 'utf8').slice(-8_000),
  };
}

/** The node as before any proxy: no rules, no connections. */
export async function clean({ netns }: World): Promise<void> {
  await must(netns, 'n1', ['nft', 'flush', 'ruleset']);
  await forgetConnections(netns);
}

/** So that what follows is decided by the rules of now. */
export async function forgetConnections(netns: World['netns']): Promise<void> {
  await must(netns, 'n1', ['conntrack', '-F']);
}
