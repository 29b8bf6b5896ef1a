import { keyOf, type Service } from '../../core/objects.ts';
import type { Audit } from '../../core/provider.ts';
import type { DesiredLoadBalancer } from '../../core/service/desired.ts';
import { drifted } from '../../core/service/events.ts';
import { statusPatch } from '../../core/service/status.ts';
import { decide, finalizerFor } from '../../core/service/wanted.ts';
import { inTurns } from '../../work/turns.ts';
import { desire } from './desire.ts';
import { type Parts, tell } from './parts.ts';
import { readLive } from './remove.ts';
import { latest } from './write.ts';

/** Leftovers are looked at for so long before `--delete-orphans` takes them away. */
const ORPHAN_AGE_MS = 3_600_000;

export interface DriftReport {
  /** Keys with something to do, in no order. */
  readonly unsettled: readonly string[];
  /** Keys with nothing to do: marked settled. */
  readonly settled: number;
}

export interface Drift {
  /** Compares everything with what is there, in bulk reads. `repair`: what was settled before has drifted, and is told. */
  check(signal: AbortSignal, how: { readonly repair: boolean }): Promise<DriftReport>;
}

/** The restart's first look and the periodic drift check are the same audit. */
export function createDrift(parts: Parts): Drift {
  const orphanSince = new Map<string, number>(); // uid, or key without one -> monotonic ms of the first sight

  async function check(signal: AbortSignal, { repair }: { readonly repair: boolean }): Promise<DriftReport> {
    const wanted = new Map<string, { readonly service: Service; readonly desired: DesiredLoadBalancer }>(); // uid -> both
    const unsettled: string[] = [];
    const look = (service: Service): void => {
      const key = keyOf(service);
      const what = decide(service, parts.selection);
      if (what.do === 'remove' || (what.do === 'undecided' && !repair)) unsettled.push(key);
      if (what.do !== 'ensure') return;
      try {
        wanted.set(service.metadata.uid, { service, desired: desire(parts, service) });
      } catch {
        unsettled.push(key); // the run of this key meets the same error, and tells it
      }
    };
    for await (const some of inTurns(parts.services.list())) for (const service of some) look(service);
    const specs = [...wanted.values()].map(({ desired }) => desired.spec);
    const audit = await parts.loadBalancers.audit(specs, parts.call(signal, 'audit'));
    let settled = 0;
    for await (const some of inTurns([...wanted.values()])) {
      for (const { service, desired } of some) {
        if (isSettled(parts, service, desired, audit, repair)) settled += 1;
        else unsettled.push(keyOf(service));
      }
    }
    await orphans(audit, signal);
    return { unsettled, settled };
  }

  async function orphans(audit: Audit, signal: AbortSignal): Promise<void> {
    const nowMs = parts.clock.monotonicMs();
    parts.metrics.orphans(audit.orphans.size);
    for (const id of orphanSince.keys()) if (!audit.orphans.has(id)) orphanSince.delete(id);
    for (const [id, actions] of audit.orphans) {
      const sinceMs = orphanSince.get(id) ?? nowMs;
      orphanSince.set(id, sinceMs);
      const targets = actions.map(({ target }) => target);
      if (sinceMs === nowMs) parts.log.warn({ orphan: id, targets }, 'orphan: no Service owns this');
      if (!parts.deleteOrphans || nowMs - sinceMs < ORPHAN_AGE_MS) continue;
      if (await isAlive(id, signal)) continue;
      parts.log.info({ orphan: id, targets }, 'deleting orphan');
      await parts.loadBalancers.remove({ uid: id, key: '' }, parts.call(signal, id));
    }
  }

  /** The store may be behind: nothing is deleted before the API server itself has said that the Service is gone. */
  async function isAlive(uid: string, signal: AbortSignal): Promise<boolean> {
    const service = parts.services.list().find(({ metadata }) => metadata.uid === uid);
    return service !== undefined && (await readLive(parts.client, service, signal)) !== undefined;
  }

  return { check };
}

/** True: backend and status show what they should. Marks the Service, so that its next event is no work. */
function isSettled(
  parts: Parts,
  service: Service,
  { spec, shortfalls, portErrors }: DesiredLoadBalancer,
  audit: Audit,
  repair: boolean,
): boolean {
  const key = keyOf(service);
  const verdict = audit.specs.get(spec.uid);
  const memo = parts.memos.of(service, key);
  if (verdict === undefined || 'error' in verdict) return false;
  if (verdict.actions.length > 0) {
    const wasSettled = memo.settled === service.metadata.resourceVersion;
    if (repair && wasSettled) {
      parts.metrics.drift('load balancer');
      tell(parts, service, drifted(verdict.actions.map(({ target }) => target)));
    }
    return false;
  }
  if (verdict.progress.state !== 'ready') return false;
  const now = latest(parts, service);
  const options = {
    nowMs: parts.clock.now(),
    finalizer: finalizerFor(service),
    listeners: spec.listeners,
    shortfalls,
    portErrors,
  };
  if (statusPatch(now, verdict.progress, options) !== undefined) {
    if (repair) parts.metrics.drift('status');
    return false;
  }
  memo.settled = now.metadata.resourceVersion;
  memo.spec = spec;
  memo.serving = true;
  return true;
}
