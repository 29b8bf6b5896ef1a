import assert from 'node:assert/strict';
import { diff } from '../../../providers/aws/diff.ts';
import type { Act, Desired } from '../../../providers/aws/model.ts';
import { plan } from '../../../providers/aws/plan.ts';
import { progress } from '../../../providers/aws/progress.ts';
import type { LoadBalancerSpec, Progress } from '../../../src/core/provider.ts';
import type { Cloud } from './cloud.ts';

/** More rounds than any change needs: time for targets, holds and retirements passes between them. */
const ROUNDS = 12;
const ROUND_MS = 400_000;

/** What is still to do, with the needs of the Service noted as the provider does. */
export function stagesOf(cloud: Cloud, uid: string, desired: Desired | undefined): readonly (readonly Act[])[] {
  if (desired === undefined) cloud.needs.drop(uid);
  else cloud.plan(desired);
  return diff(desired, cloud.observed(uid), cloud.settings);
}

/** Applies what is to do, at most `limit` actions; returns how many there were. */
export function applyAll(
  cloud: Cloud,
  uid: string,
  desired: Desired | undefined,
  limit = Number.POSITIVE_INFINITY,
): number {
  let count = 0;
  for (const act of stagesOf(cloud, uid, desired).flat()) {
    if (count >= limit) return count;
    cloud.apply(act);
    count += 1;
  }
  return count;
}

/** Rounds of diff and apply with time between them, until two in a row have nothing to do. Fails if that never comes. */
export function converge(cloud: Cloud, uid: string, desired: Desired | undefined): Progress {
  let quiet = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    quiet = applyAll(cloud, uid, desired) === 0 ? quiet + 1 : 0;
    const now = progress(desired, cloud.observed(uid), cloud.settings);
    if (quiet > 1 && now.state === 'ready') return now;
    cloud.settle(ROUND_MS);
  }
  const left = stagesOf(cloud, uid, desired).flat();
  assert.fail(
    `after ${ROUNDS} rounds left: ${left.map(({ kind, target, reason }) => `${kind} ${target}: ${reason}`).join('\n')}`,
  );
}

export function ensure(cloud: Cloud, spec: LoadBalancerSpec): Progress {
  return converge(cloud, spec.uid, plan(spec, cloud.settings));
}

export function remove(cloud: Cloud, uid: string): Progress {
  return converge(cloud, uid, undefined);
}

export const kinds = (stages: readonly (readonly Act[])[]): readonly (readonly string[])[] =>
  stages.map((stage) => stage.map(({ kind }) => kind));
