import { keyOf, type Service } from '../../core/objects.ts';
import type { ServiceRef } from '../../core/provider.ts';
import { deleted, deleting, warning } from '../../core/service/events.ts';
import { clearPatch, statusPatch } from '../../core/service/status.ts';
import { type Decision, settle, type Undecided } from '../../core/service/wanted.ts';
import { classify } from '../../kube/classify.ts';
import { isNotFound } from '../../kube/request.ts';
import { pathOf, resources } from '../../kube/resource.ts';
import type { Outcome } from '../../work/queue.ts';
import { type Parts, tell } from './parts.ts';
import { latest, writeStatus } from './write.ts';

/** A Service that left us or is being deleted: its load balancer goes, then what it shows of it, the finalizer last. */
export async function remove(
  parts: Parts,
  service: Service,
  key: string,
  decision: Extract<Decision, { do: 'remove' }>,
  signal: AbortSignal,
): Promise<Outcome> {
  const memo = parts.memos.of(service, key);
  const call = parts.call(signal, key, (step) => {
    if (step.at !== 'apply') return;
    if (memo.removing === undefined && parts.loadBalancers.selfCleaning !== true) tell(parts, service, deleting);
    memo.removing = true;
  });
  const removal = await parts.loadBalancers.remove({ uid: service.metadata.uid, key }, call);
  const now = latest(parts, service);
  if (!removal.done) {
    const { reason, retryAfterMs } = removal;
    const pending = { state: 'pending' as const, reason, retryAfterMs };
    await writeStatus(parts, now, statusPatch(now, pending, { nowMs: parts.clock.now() }), signal);
    return { requeueAfterMs: retryAfterMs };
  }
  const { annotations } = removal;
  const patch = clearPatch(now, {
    finalizers: decision.finalizers,
    ...(annotations === undefined ? {} : { annotations }),
  });
  const after = await writeStatus(parts, now, patch, signal);
  const { removing = false } = memo;
  for (const event of removal.events ?? (removing ? [deleted] : [])) tell(parts, service, event, removing);
  parts.memos.forget(key);
  if (after !== undefined && patch !== undefined) parts.memos.of(service, key).settled = after.metadata.resourceVersion;
  return undefined;
}

/** What is left of a Service that is not in the store any more, or whose name another one has now. */
export async function removeGone(parts: Parts, ref: ServiceRef, signal: AbortSignal): Promise<Outcome> {
  const removal = await parts.loadBalancers.remove(ref, parts.call(signal, ref.key));
  return removal.done ? undefined : { requeueAfterMs: removal.retryAfterMs };
}

/**
 * Whether the leftovers of a Service are ours: looks for parts of ours, then reads who wrote them. `undefined`: they are
 * somebody else's, and stay.
 */
export async function decideByEvidence(
  parts: Parts,
  service: Service,
  undecided: Undecided,
  signal: AbortSignal,
): Promise<Extract<Decision, { do: 'remove' }> | undefined> {
  const { loadBalancers, client, takeoverFieldManagers: takeover, metrics } = parts;
  const key = keyOf(service);
  const stages = await loadBalancers.preview(undefined, { uid: service.metadata.uid, key }, parts.call(signal, key));
  const owned = stages.flat().length > 0;
  const live = owned ? service : await readLive(client, service, signal);
  if (live === undefined) return undefined;
  const verdict = settle(undecided, { owned, live, takeover });
  if (verdict.do === 'remove') return verdict;
  if (verdict.warn) {
    metrics.foreignConflict('finalizer');
    tell(parts, service, warning('ForeignFinalizer', `Left alone: ${verdict.reason}`));
  }
  return undefined;
}

/** With managedFields, which the store drops; `undefined` when another Service has the name by now, or none. */
export async function readLive(
  { call }: Parts['client'],
  service: Service,
  signal: AbortSignal,
): Promise<Service | undefined> {
  const { name, namespace = '', uid } = service.metadata;
  try {
    const live = await call<Service>({ method: 'GET', path: pathOf(resources.services, { namespace, name }), signal });
    return live.metadata.uid === uid ? live : undefined;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw classify(error);
  }
}
