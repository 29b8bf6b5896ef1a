import { compareText } from '../../src/core/equal.ts';
import type { Instance, Instances } from '../../src/core/provider.ts';
import type { MemoryCloud } from './cloud.ts';
import { callCloud } from './errors.ts';
import type { Machine } from './machines.ts';

export const SCHEME = 'memory';
const PREFIX = `${SCHEME}://`;

/**
 * Instances in one bulk read. A node that names no machine that this cloud ever had is left out: it lives as long as its
 * process, so what it does not know is not gone.
 */
export function createInstances(cloud: MemoryCloud): Instances {
  return {
    scheme: SCHEME,
    async find(nodes, call) {
      const machines = await callCloud(call, 'read', () => cloud.listMachines(call.signal));
      const byId = new Map(machines.map((machine) => [machine.id, machine]));
      const byName = new Map(oldestFirst(machines).map((machine) => [machine.name, machine]));
      return new Map(
        nodes.flatMap(({ name, providerId }) => {
          const id = providerId?.startsWith(PREFIX) === true ? providerId.slice(PREFIX.length) : providerId;
          const machine = id === undefined ? byName.get(name) : byId.get(id);
          return machine === undefined ? [] : [[name, toInstance(machine)] as const];
        }),
      );
    },
  };
}

function toInstance({ id, type, zone, region, addresses, labels, state }: Machine): Instance | undefined {
  if (state === 'terminated') return undefined;
  return {
    providerId: `${PREFIX}${id}`,
    type,
    zone,
    region,
    addresses,
    shutdown: state === 'stopped',
    ...(labels === undefined ? {} : { labels }),
  };
}

/** Of machines with one name, the one that is not terminated is the last. */
function oldestFirst(machines: readonly Machine[]): readonly Machine[] {
  const rank = ({ state }: Machine) => (state === 'terminated' ? 0 : 1);
  return [...machines].sort((a, b) => rank(a) - rank(b) || compareText(a.id, b.id));
}
