import { keyOf, type Service } from '../../core/objects.ts';
import type { Audit, LoadBalancerSpec } from '../../core/provider.ts';
import type { DesiredLoadBalancer } from '../../core/service/desired.ts';
import { drifted } from '../../core/service/events.ts';
import { causeOf, printOf } from '../../core/service/print.ts';
import { statusPatch } from '../../core/service/status.ts';
import { decide, finalizerFor } from '../../core/service/wanted.ts';
import { list } from '../../kube/list.ts';
import { resources } from '../../kube/resource.ts';
import { inTurns } from '../../work/turns.ts';
import { desireSoon } from './desire.ts';
import { type Memo, type Parts, tell } from './parts.ts';
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
    const look = async (service: Service): Promise<void> => {
      const key = keyOf(service);
      const what = decide(service, parts.selection);
      if (what.do === 'remove' || (what.do === 'undecided' && !repair)) unsettled.push(key);
      if (what.do !== 'ensure') return;
      try {
        wanted.set(service.metadata.uid, { service, desired: await desireSoon(parts, service, signal) });
      } catch {
        unsettled.push(key); // the run of this key meets the same error, and tells it
      }
    };
    for await (const some of inTurns(parts.services.list())) for (const service of some) await look(service);
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
    const due: string[] = [];
    for (const [id, actions] of audit.orphans) {
      const sinceMs = orphanSince.get(id) ?? nowMs;
      orphanSince.set(id, sinceMs);
      const targets = actions.map(({ target }) => target);
      if (sinceMs === nowMs) parts.log.warn({ orphan: id, targets }, 'orphan: no Service owns this');
      if (parts.deleteOrphans && nowMs - sinceMs >= ORPHAN_AGE_MS) due.push(id);
    }
    if (due.length > 0) await removeOrphans(due, signal);
  }

  /** The store may be behind: nothing is deleted before the API server itself has said that there is no such Service. */
  async function removeOrphans(due: readonly string[], signal: AbortSignal): Promise<void> {
    const { client, clock, log, loadBalancers } = parts;
    try {
      const { items } = await list<Service>({ client, resource: resources.services, timers: clock, signal });
      const wanted = items.filter(({ spec }) => spec.type === 'LoadBalancer');
      const alive = new Set(wanted.flatMap((service) => [service.metadata.uid, keyOf(service)]));
      for (const id of due.filter((each) => !alive.has(each))) {
        log.info({ orphan: id }, 'deleting orphan');
        const ref = id.includes('/') ? { uid: '', key: id } : { uid: id, key: '' };
        await loadBalancers.remove(ref, parts.call(signal, id)).catch((error: unknown) => {
          signal.throwIfAborted();
          log.warn({ orphan: id, err: error }, 'orphan was not deleted');
        });
      }
    } catch (error) {
      signal.throwIfAborted();
      log.warn({ err: error }, 'no orphan was deleted: the API server did not say which Services there are');
    }
  }

  return { check };
}

/** Labels and the like are no part of it: where they matter, their change is a run of its own (`ChangeOptions.facts`). */
function isSpecOf({ spec: last }: Memo, spec: LoadBalancerSpec): boolean {
  if (last === undefined) return false;
  const now = printOf(spec);
  return causeOf({ ...last, facts: now.facts }, now) === 'none';
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
  if (verdict === undefined || 'error' in verdict || memo.owed !== undefined) return false;
  if (verdict.actions.length > 0) {
    // Since its last run, which ended well and for this very spec, nobody but an outsider can have changed it.
    if (repair && memo.settled !== undefined && isSpecOf(memo, spec)) {
      parts.metrics.drift('load balancer');
      tell(parts, service, drifted(verdict.actions.map(({ kind, target }) => `${kind} ${target}`)));
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
  memo.spec = printOf(spec);
  memo.serving = true;
  return true;
}
