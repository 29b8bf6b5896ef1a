import { balancerSteps } from './diff/balancer.ts';
import { groupSteps } from './diff/groups.ts';
import { listenerSteps } from './diff/listeners.ts';
import { match } from './diff/match.ts';
import { nodeAccessSteps } from './diff/node-access.ts';
import { registrationSteps } from './diff/registrations.ts';
import { removalSteps } from './diff/removal.ts';
import { securitySteps } from './diff/security.ts';
import { staged } from './diff/stages.ts';
import { successionSteps } from './diff/succession.ts';
import type { Act, Desired, Observed, Settings } from './model.ts';

/**
 * The calls that lead from what is to what is wanted, in stages; `undefined` deletes all that is owned. None where nothing
 * differs or was not read. Throws what `resolve` throws, FL_AWS_FOREIGN and FL_AWS_PROTECTED.
 */
export function diff(
  desired: Desired | undefined,
  observed: Observed,
  settings: Settings,
): readonly (readonly Act[])[] {
  if (desired === undefined) return staged(removalSteps(observed, settings));
  const matched = match(desired, observed, settings);
  return staged([
    ...securitySteps(matched),
    ...groupSteps(matched),
    ...balancerSteps(matched),
    ...listenerSteps(matched),
    ...registrationSteps(matched),
    ...nodeAccessSteps(matched),
    ...successionSteps(matched),
  ]);
}
