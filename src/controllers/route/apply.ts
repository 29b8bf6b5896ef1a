import { failure } from '../../core/errors.ts';
import type { Call } from '../../core/provider.ts';
import type { RouteAction, RouteChain } from '../../core/route/diff.ts';
import type { Collaborators } from './parts.ts';
import type { View } from './view.ts';

/**
 * The chains side by side, the writes of one after the other; a chain that fails holds up no other. Resolves with what
 * failed, in the order of the chains: the rest took effect, and `view` knows it.
 */
export async function applyChains(
  collaborators: Collaborators,
  view: View,
  chains: readonly RouteChain[],
  call: Call,
): Promise<readonly { readonly action: RouteAction; readonly error: unknown }[]> {
  const ends = await Promise.all(chains.map((chain) => applyChain(collaborators, view, chain, call)));
  return ends.filter((end) => end !== undefined);
}

async function applyChain(
  collaborators: Collaborators,
  view: View,
  chain: RouteChain,
  call: Call,
): Promise<{ readonly action: RouteAction; readonly error: unknown } | undefined> {
  const { metrics, clock } = collaborators;
  for (const action of chain) {
    const { kind, target, reason } = action;
    const startMs = clock.monotonicMs();
    let outcome: 'ok' | 'error' = 'error';
    try {
      call.log.info({ action: kind, target, reason }, 'apply');
      await applyOne(collaborators, action, call);
      view.wrote(action);
      outcome = 'ok';
    } catch (error) {
      return { action, error };
    } finally {
      metrics.count('fairlead_actions_total', { controller: 'route', kind, outcome });
      const seconds = (clock.monotonicMs() - startMs) / 1000;
      metrics.observe('fairlead_reconcile_duration_seconds', { controller: 'route', phase: 'apply' }, seconds);
    }
  }
  return undefined;
}

async function applyOne({ routes, leads }: Collaborators, action: RouteAction, call: Call): Promise<void> {
  call.signal.throwIfAborted();
  if (!leads())
    throw failure('FL_KUBE_NOT_LEADER', 'this process does not hold the lease any more; no route was written');
  switch (action.kind) {
    case 'createRoute':
      return await routes.create(action.route, call);
    case 'removeRoute':
      return await routes.remove(action.route, call);
    case 'replaceRoute':
      return await routes.replace?.(action.old, action.route, call);
    default:
      return action satisfies never;
  }
}
