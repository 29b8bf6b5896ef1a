import { isProviderError } from './errors.ts';
import type {
  Action,
  Audit,
  Call,
  LoadBalancerParts,
  LoadBalancerSpec,
  LoadBalancers,
  Progress,
  Removal,
  ServiceRef,
  Verdict,
} from './provider.ts';

/** Rounds of observe, diff and apply in one run: the second sees what the first could not know. */
const ROUNDS = 2;

/**
 * Drives the parts of a provider: `ensure` and `remove` converge, `preview` and `audit` only read.
 * Errors of `plan`, `observe` and `apply` pass through unchanged, except `conflict` with a `retryAfterMs` out of
 * `apply`: something is still in use, which is a wait and not an error.
 */
export function defineLoadBalancers<Desired, Observed, Act extends Action>(
  parts: LoadBalancerParts<Desired, Observed, Act>,
): LoadBalancers {
  return {
    ...(parts.selfCleaning === true ? { selfCleaning: true as const } : {}),
    ...(parts.interpret === undefined
      ? {}
      : { interpret: (service) => (parts.interpret as NonNullable<typeof parts.interpret>)(service) }),
    async preview(spec, service, call) {
      const desired = spec === undefined ? undefined : parts.plan(spec);
      return stagesOf(parts, desired, await parts.observe(service, call));
    },
    async ensure(spec, call) {
      return await converge(parts, parts.plan(spec), spec, call);
    },
    async remove(service, call) {
      return toRemoval(await converge(parts, undefined, service, call));
    },
    async audit(specs, call) {
      return await audit(parts, specs, call);
    },
  };
}

function stagesOf<Desired, Observed, Act extends Action>(
  parts: LoadBalancerParts<Desired, Observed, Act>,
  desired: Desired | undefined,
  observed: Observed,
): readonly (readonly Act[])[] {
  return parts.diff(desired, observed).filter((stage) => stage.length > 0);
}

async function converge<Desired, Observed, Act extends Action>(
  parts: LoadBalancerParts<Desired, Observed, Act>,
  desired: Desired | undefined,
  service: ServiceRef,
  call: Call,
): Promise<Progress> {
  let observed = await parts.observe(service, call);
  for (let round = 0; round < ROUNDS; round += 1) {
    const stages = stagesOf(parts, desired, observed);
    if (stages.length === 0) return parts.progress(desired, observed);
    for (const stage of stages) {
      const wait = await applyStage(parts, stage, service, call);
      if (wait !== undefined) return wait;
    }
    observed = await parts.observe(service, call);
  }
  const left = parts.diff(desired, observed).flat();
  if (left.length === 0) return parts.progress(desired, observed);
  return { state: 'pending', reason: `${left.length} actions left, first: ${left[0]?.reason}`, retryAfterMs: 1000 };
}

/** The actions of one stage side by side; a failed one does not cancel its siblings. */
async function applyStage<Act extends Action>(
  parts: Pick<LoadBalancerParts<unknown, unknown, Act>, 'apply'>,
  stage: readonly Act[],
  service: ServiceRef,
  call: Call,
): Promise<Progress | undefined> {
  call.signal.throwIfAborted();
  const ends = await Promise.allSettled(
    stage.map(async (action) => {
      const { kind, target, reason } = action;
      call.log.info({ service: service.key, action: kind, target, reason }, 'apply');
      await parts.apply(action, call);
    }),
  );
  const errors = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason as unknown] : []));
  const hard = errors.find((error) => !isBusy(error));
  if (hard !== undefined) throw hard;
  const [busy] = errors;
  if (!isProviderError(busy)) return undefined;
  return { state: 'pending', reason: busy.message, retryAfterMs: busy.retryAfterMs ?? 1000 };
}

/** Still in use somewhere, and the backend said when to ask again. */
function isBusy(error: unknown): boolean {
  return isProviderError(error) && error.kind === 'conflict' && error.retryAfterMs !== undefined;
}

function toRemoval(progress: Progress): Removal {
  const { annotations, events } = progress;
  const report = { ...(annotations === undefined ? {} : { annotations }), ...(events === undefined ? {} : { events }) };
  if (progress.state === 'ready') return { done: true, ...report };
  return { done: false, reason: progress.reason, retryAfterMs: progress.retryAfterMs, ...report };
}

async function audit<Desired, Observed, Act extends Action>(
  parts: LoadBalancerParts<Desired, Observed, Act>,
  specs: readonly LoadBalancerSpec[],
  call: Call,
): Promise<Audit> {
  const owned = await parts.observeAll(call);
  const byUid = new Map<string, Observed>();
  const byKey = new Map<string, Observed>();
  for (const { uid, key, observed } of owned) {
    if (uid !== undefined) byUid.set(uid, observed);
    else if (key !== undefined) byKey.set(key, observed);
  }
  const verdicts = new Map<string, Verdict>();
  for (const spec of specs) {
    const bulk = byUid.get(spec.uid) ?? byKey.get(spec.key);
    verdicts.set(spec.uid, await verdictOf(parts, spec, bulk, call));
    byUid.delete(spec.uid);
    byKey.delete(spec.key);
  }
  const orphans = new Map<string, readonly Action[]>();
  for (const [name, observed] of [...byUid, ...byKey]) orphans.set(name, parts.diff(undefined, observed).flat());
  return { specs: verdicts, orphans };
}

/** One bad spec gives `{error}` and hides no other; an aborted call is no verdict about a spec and passes through. */
async function verdictOf<Desired, Observed, Act extends Action>(
  parts: LoadBalancerParts<Desired, Observed, Act>,
  spec: LoadBalancerSpec,
  bulk: Observed | undefined,
  call: Call,
): Promise<Verdict> {
  call.signal.throwIfAborted();
  try {
    const desired = parts.plan(spec);
    const observed = bulk ?? (await parts.observe(spec, call));
    return { actions: parts.diff(desired, observed).flat(), progress: parts.progress(desired, observed) };
  } catch (error) {
    return { error };
  }
}
