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

/** Rounds of diff and apply in one run: the second sees what the first could not know. */
const ROUNDS = 2;
/** Specs of an audit that are looked at in one go. */
const TURN = 200;

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
    ...(parts.interpret === undefined ? {} : { interpret: parts.interpret.bind(parts) }),
    ...(parts.request === undefined ? {} : { request: parts.request.bind(parts) as (action: Action) => object }),
    async preview(spec, service, call) {
      const desired = spec === undefined ? undefined : planned(parts, spec, call);
      return stagesOf(parts, desired, await observed(parts, service, call), call);
    },
    async ensure(spec, call) {
      return await converge(parts, planned(parts, spec, call), spec, call);
    },
    async remove(service, call) {
      return toRemoval(await converge(parts, undefined, service, call));
    },
    async audit(specs, call) {
      return await audit(parts, specs, call);
    },
  };
}

type Parts<Desired, Observed, Act extends Action> = LoadBalancerParts<Desired, Observed, Act>;

async function converge<Desired, Observed, Act extends Action>(
  parts: Parts<Desired, Observed, Act>,
  desired: Desired | undefined,
  service: ServiceRef,
  call: Call,
): Promise<Progress> {
  let now = await observed(parts, service, call);
  for (let round = 0; round < ROUNDS; round += 1) {
    const stages = stagesOf(parts, desired, now, call);
    if (stages.length === 0) return progressOf(parts, desired, now, call);
    for (const stage of stages) {
      const wait = await applyStage(parts, stage, service, call);
      if (wait !== undefined) return wait;
    }
    now = await observed(parts, service, call);
  }
  const left = stagesOf(parts, desired, now, call).flat();
  if (left.length === 0) return progressOf(parts, desired, now, call);
  return { state: 'pending', reason: `${left.length} actions left, first: ${left[0]?.reason}`, retryAfterMs: 1000 };
}

/** The actions of one stage side by side; a failed one does not cancel its siblings. Returns a wait, or nothing. */
async function applyStage<Desired, Observed, Act extends Action>(
  parts: Parts<Desired, Observed, Act>,
  stage: readonly Act[],
  service: ServiceRef,
  call: Call,
): Promise<Progress | undefined> {
  call.signal.throwIfAborted();
  const ends = await Promise.allSettled(stage.map((action) => applyOne(parts, action, service, call)));
  const errors = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason as unknown] : []));
  const hard = errors.find((error) => !isBusy(error));
  if (hard !== undefined) throw hard;
  const [busy] = errors;
  if (!isProviderError(busy)) return undefined;
  return { state: 'pending', reason: busy.message, retryAfterMs: busy.retryAfterMs ?? 1000 };
}

async function applyOne<Desired, Observed, Act extends Action>(
  parts: Parts<Desired, Observed, Act>,
  action: Act,
  service: ServiceRef,
  call: Call,
): Promise<void> {
  const { kind, target, reason } = action;
  call.log.info({ service: service.key, action: kind, target, reason }, 'apply');
  call.trace?.({ at: 'apply', action });
  try {
    await parts.apply(action, call);
    call.trace?.({ at: 'applied', action });
  } catch (error) {
    call.trace?.({ at: 'applied', action, error });
    throw error;
  }
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
  parts: Parts<Desired, Observed, Act>,
  specs: readonly LoadBalancerSpec[],
  call: Call,
): Promise<Audit> {
  const byUid = new Map<string, Observed>();
  const byKey = new Map<string, Observed>();
  for (const { uid, key, observed } of await parts.observeAll(call)) {
    if (uid !== undefined) byUid.set(uid, observed);
    else if (key !== undefined) byKey.set(key, observed);
  }
  const verdicts = new Map<string, Verdict>();
  for (const [index, spec] of specs.entries()) {
    if (index % TURN === TURN - 1) await call.pause?.();
    verdicts.set(spec.uid, await verdictOf(parts, spec, byUid.get(spec.uid) ?? byKey.get(spec.key), call));
    byUid.delete(spec.uid);
    byKey.delete(spec.key);
  }
  const orphans = new Map<string, readonly Action[]>();
  for (const [name, observed] of [...byUid, ...byKey]) {
    const actions = stagesOf(parts, undefined, observed, call).flat();
    if (actions.length > 0) orphans.set(name, actions);
  }
  return { specs: verdicts, orphans };
}

/** One bad spec gives `{error}` and hides no other; an aborted call is no verdict about a spec and passes through. */
async function verdictOf<Desired, Observed, Act extends Action>(
  parts: Parts<Desired, Observed, Act>,
  spec: LoadBalancerSpec,
  bulk: Observed | undefined,
  call: Call,
): Promise<Verdict> {
  call.signal.throwIfAborted();
  try {
    const desired = planned(parts, spec, call);
    const now = bulk ?? (await observed(parts, spec, call));
    return {
      actions: stagesOf(parts, desired, now, call).flat(),
      progress: progressOf(parts, desired, now, call),
    };
  } catch (error) {
    call.signal.throwIfAborted();
    return { error };
  }
}

function planned<Desired, Observed, Act extends Action>(
  parts: Parts<Desired, Observed, Act>,
  spec: LoadBalancerSpec,
  call: Call,
): Desired {
  call.trace?.({ at: 'plan' });
  return parts.plan(spec);
}

async function observed<Desired, Observed, Act extends Action>(
  parts: Parts<Desired, Observed, Act>,
  service: ServiceRef,
  call: Call,
): Promise<Observed> {
  call.trace?.({ at: 'observe' });
  return await parts.observe(service, call);
}

function stagesOf<Desired, Observed, Act extends Action>(
  parts: Parts<Desired, Observed, Act>,
  desired: Desired | undefined,
  now: Observed,
  call: Call,
): readonly (readonly Act[])[] {
  call.trace?.({ at: 'diff' });
  return parts.diff(desired, now).filter((stage) => stage.length > 0);
}

function progressOf<Desired, Observed, Act extends Action>(
  parts: Parts<Desired, Observed, Act>,
  desired: Desired | undefined,
  now: Observed,
  call: Call,
): Progress {
  call.trace?.({ at: 'progress' });
  return parts.progress(desired, now);
}
