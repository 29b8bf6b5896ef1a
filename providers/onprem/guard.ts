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
    objections: [...byPool].map(([pool, affected]) => {
      const isDeleted = !objects.some(({ metadata }) => metadata.name === pool);
      return { pool, message: stranding(pool, affected, isDeleted) };
    }),
  };
}

function stranding(pool: string, affected: readonly Affected[], isDeleted: boolean): string {
  const named = affected
    .slice(0, NAMED)
    .map(
      ({ address, users }) => `${address} (${users.map(({ namespace, name }) => `${namespace}/${name}`).join(', ')})`,
    );
  const more = affected.length > NAMED ? ` and ${affected.length - NAMED} more` : '';
  const used = `addresses in use: ${named.join(', ')}${more}`;
  const shrink = 'the annotation fairlead.dev/allow-shrink: "true" lets those Services get others';
  if (isDeleted) return `IPAddressPool ${pool}: metadata.name: it was deleted with ${used}; create it again; ${shrink}`;
  return `IPAddressPool ${pool}: spec.addresses: the edit takes away ${used}; keep them; ${shrink}`;
}
