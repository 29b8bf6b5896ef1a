import type { Pod } from '../../core/objects.ts';
import { isTarget } from '../../core/readiness/conditions.ts';
import { createTargetCache } from '../../core/service/targets.ts';
import { defaultClasses, selectionOf } from '../../core/service/wanted.ts';
import { callOf } from './call.ts';
import { createMembership } from './membership.ts';
import { type Collaborators, Memos, type Parts } from './parts.ts';
import { createSlices } from './slices.ts';

/** Completes the collaborators for one provider. `close` ends what was begun here. */
export function partsOf(
  collaborators: Collaborators,
  onNodePass: (causeMs: number) => void,
  onSlice: (serviceKey: string) => void,
): { readonly parts: Parts; close(): void } {
  const { provider, nodes, clock, limiter, pods, watch } = collaborators;
  const { loadBalancers } = provider;
  if (loadBalancers === undefined) throw new TypeError(`provider "${provider.name}" has no load balancers`);
  const filtered = loadBalancers.interpret !== undefined;
  const membership = createMembership({ nodes, clock, filtered, onPass: onNodePass });
  const slices = createSlices(watch, onSlice);
  const unsubscribe = pods.onChange((old, now, initial) => {
    const pod = now ?? old;
    if (initial || pod === undefined || isReady(old) === isReady(now)) return;
    for (const key of slices.servicesOf(pod)) onSlice(key);
  });

  return {
    parts: {
      ...collaborators,
      loadBalancers,
      selection: selectionOf(collaborators.classes ?? defaultClasses(provider, collaborators)),
      memos: new Memos(),
      cache: createTargetCache(),
      members: () => membership.current().members,
      slices,
      call: (signal, key, trace) => callOf(collaborators, limiter, signal, key, trace),
    },
    close() {
      membership.stop();
      unsubscribe();
    },
  };
}

const isReady = (pod: Pod | undefined): boolean => pod !== undefined && isTarget(pod);
