import type { AllocatorView } from '../../src/core/ipam/allocator.ts';
import type { Affected } from '../../src/core/ipam/change.ts';
import { type IPAddressPool, type Pool, poolsOf } from '../../src/core/ipam/pools.ts';
import { validate } from '../../src/core/ipam/validate.ts';
import type { KubeObject } from '../../src/core/objects.ts';

/** Why an edit of the pools is not taken. */
export interface Objection {
  /** Name of the pool to correct. */
  readonly pool: string;
  /** 'IPAddressPool default: spec.addresses[0]: ...' */
  readonly message: string;
}
export type Judgement =
  | { readonly taken: true; readonly pools: readonly Pool[] }
  | { readonly taken: false; readonly objections: readonly Objection[] };

export interface Candidate {
  readonly objects: readonly IPAddressPool[];
  readonly namespaces: readonly KubeObject[];
  /** --metallb-namespace */
  readonly namespace: string;
}

/** How many Services of one pool are named. */
const NAMED = 5;

/**
 * Whether these objects may become the pools: they must be valid, and no address in use may lose its pool unless the
 * pool says `fairlead.dev/allow-shrink`. Every objection, by pool. Pure.
 */
export function judge({ objects, namespaces, namespace }: Candidate, view: Pick<AllocatorView, 'preview'>): Judgement {
  const problems = validate({ ipaddresspools: objects, namespaces }, { namespace }).filter(
    ({ severity, transient }) => severity === 'error' && !transient,
  );
  if (problems.length > 0)
    return { taken: false, objections: problems.map(({ name, message }) => ({ pool: name, message })) };
  const pools = poolsOf(objects, namespaces);
  const { refused } = view.preview(pools);
  if (refused.length === 0) return { taken: true, pools };
  const byPool = Map.groupBy(refused, ({ from }) => from);
  return {
    taken: false,
    objections: [...byPool].map(([pool, affected]) => ({ pool, message: stranding(pool, affected) })),
  };
}

function stranding(pool: string, affected: readonly Affected[]): string {
  const named = affected
    .slice(0, NAMED)
    .map(
      ({ address, users }) => `${address} (${users.map(({ namespace, name }) => `${namespace}/${name}`).join(', ')})`,
    );
  const more = affected.length > NAMED ? ` and ${affected.length - NAMED} more` : '';
  return (
    `IPAddressPool ${pool}: spec.addresses: the edit takes away addresses in use: ${named.join(', ')}${more}; ` +
    'keep them, or set the annotation fairlead.dev/allow-shrink: "true" to let those Services get others'
  );
}
