import { closeSync, openSync, statfsSync } from 'node:fs';
import { CniFailure, cniCodes } from '../../core/cni/failure.ts';
import { type WiringStep, wiringSteps } from '../../core/cni/wiring.ts';
import { type Exec, execIn } from '../exec.ts';
import type { RouteChannel } from '../netlink/channel.ts';
import type { Sysctls } from '../sysctl.ts';
import { codeOf } from './disk.ts';
import { messageText, type Refused, type Wirer } from './wirer.ts';

export interface AgentWirerOptions {
  /** Of the agent's own namespace. */
  readonly host: RouteChannel;
  /** In the namespace at the path. Needs CAP_SYS_ADMIN. */
  readonly openRoute: (netns: string) => Promise<RouteChannel>;
  readonly sysctls: Sysctls;
  readonly exec: Exec;
}

/**
 * For callers that cannot wire themselves (the shell form of the shim): this process works in both namespaces. It needs
 * CAP_SYS_ADMIN and sees the namespaces by their paths.
 */
export function agentWirer({ host, openRoute, sysctls, exec }: AgentWirerOptions): Wirer {
  async function runStep(step: WiringStep, pod: RouteChannel, netns: string): Promise<Refused | undefined> {
    if (step.kind === 'messages') return await sendAll(step.where === 'host' ? host : pod, step);
    if (step.where === 'host') await sysctls.write({ name: step.name, value: Number(step.value) });
    else return await writeInPod(exec, netns, step);
    return undefined;
  }

  return {
    async wire(wiring) {
      const fd = openNetns(wiring.netns);
      const pod = await openRoute(wiring.netns);
      try {
        for (const [at, step] of wiringSteps(wiring, fd).entries()) {
          const refused = await runStep(step, pod, wiring.netns);
          if (refused !== undefined) return { ...refused, isFirst: at === 0 };
        }
        return { kind: 'done' };
      } finally {
        await pod.close();
        closeSync(fd);
      }
    },
    async dumpPod(netns) {
      closeSync(openNetns(netns));
      const pod = await openRoute(netns);
      try {
        return { links: await pod.links(), addresses: await pod.addresses(), routes: await pod.routes() };
      } finally {
        await pod.close();
      }
    },
  };
}

async function sendAll(
  channel: RouteChannel,
  { where, messages }: Extract<WiringStep, { kind: 'messages' }>,
): Promise<Refused | undefined> {
  const acks = await channel.send(messages);
  const at = acks.findIndex(({ errno }) => errno !== 0);
  const ack = acks[at];
  if (ack === undefined) return undefined;
  return {
    kind: 'refused',
    errno: ack.errno,
    what: `${messageText(messages[at])} ${where === 'host' ? 'on the host' : 'in the pod'}`,
    isFirst: false,
    ...(ack.sent && ack.message !== undefined ? { words: ack.message } : {}),
  };
}

/** One that is as it should be, or that the kernel does not have, needs no right to write it. */
const WRITE = '[ ! -e "$1" ] || [ "$(cat "$1")" = "$2" ] || echo "$2" >"$1"';

async function writeInPod(
  exec: Exec,
  netns: string,
  { name, value }: Extract<WiringStep, { kind: 'sysctl' }>,
): Promise<Refused | undefined> {
  const { code, stderr } = await execIn(netns, exec)('sh', ['-c', WRITE, 'sh', `/proc/sys/${name}`, value]);
  if (code === 0) return undefined;
  return { kind: 'refused', errno: EROFS, words: stderr.trim(), what: `${name} = ${value} in the pod`, isFirst: false };
}

const EROFS = 30;
const NSFS_MAGIC = 0x6e736673;

function openNetns(path: string): number {
  try {
    const fd = openSync(path, 'r');
    if (statfsSync(`/proc/self/fd/${fd}`).type === NSFS_MAGIC) return fd;
    closeSync(fd);
  } catch (error) {
    throw notOpened(path, codeOf(error) ?? String(error), error);
  }
  throw notOpened(path, 'it is no network namespace');
}

const notOpened = (path: string, why: string, cause?: unknown): CniFailure =>
  new CniFailure(
    cniCodes.netns,
    `failed to open netns "${path}": ${why}`,
    'The sandbox is gone; or the agent, which wires for the shell form of the plugin, does not see it: mount /run/netns.',
    cause,
  );
