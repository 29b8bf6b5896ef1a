/**
 * The contract of `LoadBalancerParts` as tests, the same for every provider; published as `fairlead/contract`. What it
 * asks of a provider: an unchanged world needs no write, a crash at any moment converges, what is somebody else's stays,
 * a read that fails is no absence, a removal is done when nothing is left, and bad input names its field.
 *
 *     import { contract } from 'fairlead/contract';
 *     contract('mine', () => ({ parts, foreign, snapshot, failReads, advance }));
 */
import { test } from 'node:test';
import type { Action } from '../../src/core/provider.ts';
import { cases } from './contract/cases.ts';
import type { Harness, MakeHarness } from './contract/harness.ts';
import { Rig } from './contract/rig.ts';
import { deepFreeze, exampleSpecs, type Specs } from './contract/specs.ts';

export type { Harness, MakeHarness, Specs };
export { exampleSpecs };

export interface ContractCase {
  readonly name: string;
  /** Rejects with an AssertionError where the provider breaks the contract. */
  run(): Promise<void>;
}

export interface ContractOptions {
  /** Instead of `exampleSpecs()`, member by member. */
  readonly specs?: Partial<Specs>;
}

/** Registers the suite with node:test, one test per promise. */
export function contract<Desired, Observed, Act extends Action>(
  name: string,
  harness: MakeHarness<Desired, Observed, Act>,
  options: ContractOptions = {},
): void {
  for (const { name: promise, run } of contractCases(harness, options)) test(`${name}: ${promise}`, run);
}

/** The suite for any other test runner. */
export function contractCases<Desired, Observed, Act extends Action>(
  harness: MakeHarness<Desired, Observed, Act>,
  { specs = {} }: ContractOptions = {},
): readonly ContractCase[] {
  const given: Specs = deepFreeze({ ...exampleSpecs(), ...specs });
  return Object.entries(cases).map(([name, run]) => ({
    name,
    async run() {
      const rigs: Rig[] = [];
      const make = async (): Promise<Rig> => {
        const rig = new Rig((await harness()) as unknown as Harness<unknown, unknown, Action>);
        rigs.push(rig);
        return rig;
      };
      try {
        await run(make, given);
      } finally {
        for (const rig of rigs) await rig.close();
      }
    },
  }));
}
