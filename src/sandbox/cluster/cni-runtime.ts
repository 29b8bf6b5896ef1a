import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Output } from '../netns/run.ts';

/** The container runtime's side of CNI on one node, as containerd does it (go-cni, libcni). */
export interface CniRuntime {
  /** Runs ADD through the conflist. Rejects with the plugin's code and message; the caller then runs DEL. */
  add(attachment: CniAttachment): Promise<CniResult>;
  /** Runs DEL, the last plugin first. Resolves also for what was never added. */
  del(attachment: CniAttachment): Promise<void>;
}

export interface CniAttachment {
  readonly containerId: string;
  /** Path of the pod's network namespace. */
  readonly netns: string;
  readonly ifname: string;
  readonly pod: { readonly namespace: string; readonly name: string; readonly uid: string };
  readonly portMappings: readonly {
    readonly hostPort: number;
    readonly containerPort: number;
    readonly protocol: string;
    readonly hostIP?: string;
  }[];
}

export interface CniResult {
  readonly ips: readonly { readonly address: string }[];
}

export interface CniRuntimeOptions {
  readonly confDir: string;
  readonly binDir: string;
  /** Runs a program in the node's network namespace. */
  readonly exec: (argv: readonly string[], env: Readonly<Record<string, string>>, input: string) => Promise<Output>;
}

interface Plugin {
  readonly type: string;
  readonly capabilities?: Readonly<Record<string, boolean>>;
}

interface Conflist {
  readonly name: string;
  readonly cniVersion: string;
  readonly plugins: readonly Plugin[];
}

/** The first conflist by name; undefined: the network is not ready. */
export async function readConflist(confDir: string): Promise<Conflist | undefined> {
  const names = await readdir(confDir).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  const [first] = names.filter((name) => name.endsWith('.conflist')).sort();
  return first === undefined ? undefined : (JSON.parse(await readFile(join(confDir, first), 'utf8')) as Conflist);
}

export function createCniRuntime({ confDir, binDir, exec }: CniRuntimeOptions): CniRuntime {
  const results = new Map<string, CniResult>(); // container -> what its ADD gave

  async function conflist(): Promise<Conflist> {
    const found = await readConflist(confDir);
    if (found === undefined) throw new Error(`network is not ready: no conflist in ${confDir}`);
    return found;
  }

  async function call(
    command: 'ADD' | 'DEL',
    { name, cniVersion }: Conflist,
    { type, capabilities = {}, ...plugin }: Plugin,
    attachment: CniAttachment,
    prevResult: CniResult | undefined,
  ): Promise<CniResult | undefined> {
    const { containerId, netns, ifname, pod, portMappings } = attachment;
    const runtimeConfig =
      capabilities['portMappings'] === true && portMappings.length > 0 ? { portMappings } : undefined;
    const config = {
      ...plugin,
      type,
      name,
      cniVersion,
      ...(runtimeConfig === undefined ? {} : { runtimeConfig }),
      ...(prevResult === undefined ? {} : { prevResult }),
    };
    const env = {
      PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin',
      CNI_COMMAND: command,
      CNI_CONTAINERID: containerId,
      CNI_NETNS: netns,
      CNI_IFNAME: ifname,
      CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=${pod.namespace};K8S_POD_NAME=${pod.name};K8S_POD_INFRA_CONTAINER_ID=${containerId};K8S_POD_UID=${pod.uid}`,
      CNI_PATH: binDir,
    };
    const { code, stdout, stderr } = await exec([join(binDir, type)], env, JSON.stringify(config));
    if (code !== 0)
      throw new Error(`CNI ${command} by ${type}: ${messageOf(stdout) ?? `exit status ${code}: ${stderr.trim()}`}`);
    return command === 'ADD' ? (JSON.parse(stdout) as CniResult) : undefined;
  }

  return {
    async add(attachment) {
      const list = await conflist();
      let result: CniResult | undefined;
      for (const plugin of list.plugins) result = await call('ADD', list, plugin, attachment, result);
      if (result === undefined) throw new Error(`${list.name} has no plugins`);
      results.set(attachment.containerId, result);
      return result;
    },
    async del(attachment) {
      const list = await conflist();
      const result = results.get(attachment.containerId);
      for (const plugin of list.plugins.toReversed()) await call('DEL', list, plugin, attachment, result);
      results.delete(attachment.containerId);
    },
  };
}

function messageOf(stdout: string): string | undefined {
  try {
    const { code, msg, details = '' } = JSON.parse(stdout) as { code: number; msg: string; details?: string };
    return `${msg} (code ${code})${details === '' ? '' : `: ${details}`}`;
  } catch {
    return undefined; // what it says on stderr is all there is
  }
}
