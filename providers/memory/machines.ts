import type { NodeAddress } from '../../src/core/provider.ts';
import { createHistory } from './history.ts';

/** An instance of the memory cloud. */
export interface Machine {
  /** The name of its Node. */
  readonly name: string;
  /** What its providerID ends with. */
  readonly id: string;
  readonly type: string;
  readonly zone: string;
  readonly region: string;
  readonly addresses: readonly NodeAddress[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly state: 'running' | 'stopped' | 'terminated';
}

/** Every machine that there ever was, as it was at any time. */
export interface Machines {
  /** Sorted by id; one that is terminated stays in the list. */
  at(atMs: number): readonly Machine[];
  /** Makes it, or changes the one with this id. */
  put(machine: Machine, nowMs: number, horizonMs: number): void;
}

export function createMachines(first: readonly Machine[]): Machines {
  const history = createHistory<Machine>(); // by id
  for (const machine of first) history.put(machine.id, Number.NEGATIVE_INFINITY, machine, Number.NEGATIVE_INFINITY);
  return {
    at: (atMs) => history.names().flatMap((id) => history.at(id, atMs) ?? []),
    put: (machine, nowMs, horizonMs) => history.put(machine.id, nowMs, machine, horizonMs),
  };
}
