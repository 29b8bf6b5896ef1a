import assert from 'node:assert/strict';
import type { Cases } from './case.ts';
import type { Rig } from './rig.ts';

/** 'before': the process ends instead of the write. 'after': it ends, or the answer is lost, once the write is done. */
const MOMENTS = ['before', 'after'] as const;

export const crashCases: Cases = {
  'a crash at any write of a creation converges to the same state': async (make, { first }) => {
    await crashEverywhere(make, { to: (rig) => rig.ensured(first) });
  },
  'a crash at any write of a change converges to the same state': async (make, { first, changed }) => {
    await crashEverywhere(make, { from: (rig) => rig.ensured(first), to: (rig) => rig.ensured(changed) });
  },
  'a crash at any write of a removal leaves nothing in the end': async (make, { first }) => {
    await crashEverywhere(make, { from: (rig) => rig.ensured(first), to: (rig) => rig.removed(first) });
  },
  'after a crash in a creation the Service can be removed': async (make, { first }) => {
    await crashEverywhere(make, { to: (rig) => rig.ensured(first), goal: (rig) => rig.removed(first) });
  },
};

interface Journey {
  readonly from?: (rig: Rig) => Promise<unknown>;
  readonly to: (rig: Rig) => Promise<unknown>;
  /** Where it goes after the crash; `to` unless given. */
  readonly goal?: (rig: Rig) => Promise<unknown>;
}

/** Goes the way once for each write and moment, with a crash there, and ends as the way without a crash does. */
async function crashEverywhere(make: () => Promise<Rig>, { from, to, goal = to }: Journey): Promise<void> {
  const reference = await make();
  await from?.(reference);
  if (goal !== to) await to(reference);
  await goal(reference);
  const expected = await reference.settled();
  for (const moment of MOMENTS) {
    for (let write = 0; ; write += 1) {
      const rig = await make();
      await from?.(rig);
      const crashed = await crash(rig, { write, moment }, to);
      const found = await goalOf(rig, goal).catch((cause: unknown) => {
        const why = cause instanceof Error ? cause.message : String(cause);
        throw new assert.AssertionError({ message: `after a crash ${moment} write ${write}: ${why}` });
      });
      assert.deepEqual(found, expected, `crash ${moment} write ${write}`);
      if (!crashed) {
        assert.ok(write > 0, 'there was no write to crash at');
        break;
      }
      assert.ok(write < 1000, 'more than 1000 writes');
    }
  }
}

/** True when the way met the crash; false when it ended before so many writes. */
async function crash(
  rig: Rig,
  at: { readonly write: number; readonly moment: 'before' | 'after' },
  to: (rig: Rig) => Promise<unknown>,
): Promise<boolean> {
  rig.crashAt(at.write, at.moment);
  try {
    await to(rig);
    return false;
  } catch (error) {
    if (rig.crashed) return true;
    throw error;
  }
}

async function goalOf(rig: Rig, goal: (rig: Rig) => Promise<unknown>): Promise<unknown> {
  await rig.restart();
  await goal(rig);
  return await rig.settled();
}
