/**
 * The CNI part as a process of its own, for tests that kill it for real: with the channels and folders of a rig, told by
 * FAIRLEAD_CNI_AGENT as JSON. At the point number `killAt` it sends itself SIGKILL.
 */
import { disk } from '../../../src/agent/cni/disk.ts';
import type { CniOptions } from '../../../src/agent/cni/options.ts';
import { create } from '../../../src/agent/cni/part.ts';
import { openChannels } from '../../../src/agent/netlink/choose.ts';
import type { AgentContext } from '../../../src/agent/part.ts';
import type { Node } from '../../../src/core/objects.ts';
import { createStore } from '../../../src/kube/store.ts';
import { systemClock } from '../../../src/work/clock.ts';

export interface AgentProcess {
  readonly node: string;
  readonly sysctlRoot: string;
  readonly podCidrs: readonly string[];
  readonly options: Omit<CniOptions, 'openRoute' | 'effects'>;
  readonly killAt: number;
}

const { node, sysctlRoot, podCidrs, options, killAt } = JSON.parse(
  process.env['FAIRLEAD_CNI_AGENT'] ?? '',
) as AgentProcess;
let points = 0;
let armed = false;

function point(): void {
  if (!armed) return;
  if (points === killAt) process.kill(process.pid, 'SIGKILL');
  points += 1;
}

/** A point before and after each call of a method that changes something. */
function pointed<T extends object>(inner: T, names: readonly (keyof T)[]): T {
  const changed = names.map((name) => {
    const method = inner[name] as (...args: readonly unknown[]) => unknown;
    const around = (...args: readonly unknown[]): unknown => {
      point();
      const result = method.apply(inner, [...args]);
      if (!(result instanceof Promise)) {
        point();
        return result;
      }
      return result.then((value: unknown) => {
        point();
        return value;
      });
    };
    return [name, around] as const;
  });
  return { ...inner, ...Object.fromEntries(changed) };
}

const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const channels = await openChannels({ kind: 'socket', helper: undefined, netns: node, timers: systemClock, log });
const nodes = createStore<Node>();
const own: unknown = { metadata: { name: 'n1', uid: 'n1', resourceVersion: '1' }, spec: { podCIDRs: podCidrs } };
nodes.replace([own as Node]);
const context: unknown = {
  nodeName: 'n1',
  clock: systemClock,
  log,
  nodes: () => nodes,
  table: { hostPorts: () => {}, localPods: () => {}, noMasq: () => {}, written: async () => {} },
  routes: async () => pointed(channels.route, ['send']),
  sysctlRoot,
};
const part = await create(context as AgentContext, {
  ...options,
  openRoute: async () => channels.route,
  effects: {
    disk: pointed(disk, ['write', 'rename', 'create', 'remove']),
    caller: (caller) => pointed(caller, ['exchange', 'answer']),
  },
});
const ended = part.run(new AbortController().signal);
while (part.ready() !== undefined) await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 5))]);
armed = true;
process.stdout.write('ready\n');
await ended;
