import {
  type Balancer,
  createMemoryCloud,
  type MemoryCloud,
  type MemoryCloudOptions,
} from '../../../providers/memory/cloud.ts';
import type { Act, Observed } from '../../../providers/memory/diff.ts';
import { memoryParts } from '../../../providers/memory/index.ts';
import { nameOf } from '../../../providers/memory/names.ts';
import type { Desired } from '../../../providers/memory/plan.ts';
import type { Cidr } from '../../../src/core/provider.ts';
import { createVirtualClock, type VirtualClock } from '../../fake/clock.ts';
import { exampleSpecs, type Harness } from '../contract.ts';

export interface MemoryHarness extends Harness<Desired, Observed, Act> {
  readonly clock: VirtualClock;
  readonly cloud: MemoryCloud;
}

/** The memory provider on a cloud with these manners, for the contract suite and for tests of its own. */
export function memoryHarness(manners: Partial<Omit<MemoryCloudOptions, 'clock'>> = {}): MemoryHarness {
  const clock = createVirtualClock();
  let failing = false;
  const { fault = () => undefined, ...rest } = manners;
  const cloud = createMemoryCloud({
    clock,
    ...rest,
    fault: (call) => (failing && !call.write ? { code: 'Unavailable' } : fault(call)),
  });
  const parts = (): Harness<Desired, Observed, Act>['parts'] => memoryParts(cloud, 'contract');
  return {
    clock,
    cloud,
    parts: parts(),
    restart: parts,
    foreign() {
      for (const balancer of foreignBalancers()) cloud.put(balancer);
    },
    snapshot: () => cloud.snapshot(),
    failReads(on) {
      failing = on;
    },
    advance: (ms) => clock.advance(ms),
  };
}

/** Without tags, of another cluster (the same Service, and one that only it has), and of another program that uses our key of tags. */
export function foreignBalancers(): readonly Balancer[] {
  const { uid, key } = exampleSpecs().first;
  const common = {
    ports: [{ protocol: 'TCP', port: 80, targetPort: 30_080 }],
    sources: ['10.0.0.0/8' as Cidr],
    targets: ['10.0.0.1'],
    health: { protocol: 'TCP', port: 80 },
    state: 'active',
  } as const satisfies Partial<Balancer>;
  return [
    { ...common, name: 'untagged', tags: {}, address: '192.0.2.200' },
    {
      ...common,
      name: nameOf('elsewhere', uid),
      tags: { cluster: 'elsewhere', uid, service: key },
      address: '192.0.2.201',
    },
    {
      ...common,
      name: nameOf('elsewhere', 'uid-elsewhere'),
      tags: { cluster: 'elsewhere', uid: 'uid-elsewhere', service: 'default/elsewhere' },
      address: '192.0.2.203',
    },
    { ...common, name: 'other-program', tags: { cluster: 'contract' }, address: '192.0.2.202' },
  ];
}
