import type { Condition, Pod } from '../objects.ts';
import type { TargetHealth } from '../provider.ts';
import { GATES_ANNOTATION, listOf } from './gates.ts';

/** What a provider's `targetHealth.read` gives: gate -> address -> health. */
export type Health = ReadonlyMap<string, ReadonlyMap<string, TargetHealth>>;

/** Takes part in what a load balancer does: its containers are ready, and it stays. */
export function isTarget({ metadata, status }: Pod): boolean {
  if (metadata.deletionTimestamp !== undefined) return false;
  return status?.conditions?.some(({ type, status: is }) => type === 'ContainersReady' && is === 'True') === true;
}

/** Those of `gates` that the pod waits for: it has the gate, and its condition is not True. */
export function closedGates(pod: Pod, gates: readonly string[]): readonly string[] {
  return gates.filter((gate) => hasGate(pod, gate) && shownOf(pod, gate)?.status !== 'True');
}

/**
 * The conditions to write on a pod, for those of `gates` that it has: True for a healthy target, False for any other, and
 * Unknown for what is no target yet (AWS Load Balancer Controller's words). Only what it does not show already.
 */
export function healthConditions(
  pod: Pod,
  gates: readonly string[],
  { health, nowMs }: { readonly health: Health; readonly nowMs: number },
): readonly Condition[] {
  const addresses = addressesOf(pod);
  return gates
    .filter((gate) => hasGate(pod, gate))
    .flatMap((gate) => {
      const targets = health.get(gate);
      const found = addresses.map((address) => targets?.get(address)).find((one) => one !== undefined);
      return changed(pod, { type: gate, ...statementOf(found) }, nowMs);
    });
}

/** The conditions that open gates whose load balancer is gone: a pod must not wait for what never comes. */
export function openingConditions(pod: Pod, gates: readonly string[], nowMs: number): readonly Condition[] {
  const message = 'the load balancer is gone, or is another one now';
  return gates.flatMap((type) => changed(pod, { type, status: 'True', reason: 'LoadBalancerGone', message }, nowMs));
}

/** Gates that Fairlead put on the pod. */
export const markedGates = ({ metadata }: Pod): readonly string[] =>
  listOf(metadata.annotations?.[GATES_ANNOTATION] ?? '');

export const gatesIn = ({ spec }: Pod): readonly string[] =>
  (spec?.readinessGates ?? []).map(({ conditionType }) => conditionType);

const hasGate = (pod: Pod, gate: string): boolean => gatesIn(pod).includes(gate);

function addressesOf({ status }: Pod): readonly string[] {
  return status?.podIPs?.map(({ ip }) => ip) ?? (status?.podIP === undefined ? [] : [status.podIP]);
}

type Statement = Pick<Condition, 'status' | 'reason' | 'message'>;

function statementOf(found: TargetHealth | undefined): Statement {
  if (found === undefined)
    return { status: 'Unknown', reason: 'NotRegistered', message: 'not registered with the load balancer yet' };
  const { state, reason = '', message = '' } = found;
  switch (state) {
    case 'healthy':
      return { status: 'True', reason, message };
    case 'unhealthy':
      return { status: 'False', reason, message };
    case 'waiting':
      return { status: 'Unknown', reason, message };
    default:
      return state satisfies never;
  }
}

const shownOf = ({ status }: Pod, type: string): Condition | undefined =>
  status?.conditions?.find((condition) => condition.type === type);

/** Nothing when the pod shows it; the stamp moves with the status only (Pod API, lastTransitionTime). */
function changed(pod: Pod, wanted: Statement & { readonly type: string }, nowMs: number): readonly Condition[] {
  const shown = shownOf(pod, wanted.type);
  const isSameStatus = shown?.status === wanted.status;
  const { reason = '', message = '' } = shown ?? {};
  if (isSameStatus && reason === wanted.reason && message === wanted.message) return [];
  const stamp = new Date(nowMs).toISOString().replace(/\.\d{3}Z$/, 'Z');
  const lastTransitionTime = isSameStatus ? (shown.lastTransitionTime ?? stamp) : stamp;
  return [{ ...wanted, lastTransitionTime }];
}
