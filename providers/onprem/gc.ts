import { isProviderError } from '../../src/core/errors.ts';
import { keyOf, type Service } from '../../src/core/objects.ts';
import type { Action, Call, ProviderContext } from '../../src/core/provider.ts';
import { isSelected, OWN_FINALIZER, STANDARD_FINALIZER, selectionOf } from '../../src/core/service/wanted.ts';
import { type Changes, type IPBlock, patchOf, storedOf } from './blocks.ts';
import { resources } from './resources.ts';
import { poolAnnotationOf } from './services.ts';

/** What `fairlead gc` does on-prem: each one write, safe to repeat, guarded by the version that it was planned on. */
export type Cleanup =
  | (Action<'free'> & { readonly block: IPBlock; readonly uids: readonly string[] })
  | (Action<'delete-block'> & { readonly block: IPBlock })
  | (Action<'remove-finalizer'> & { readonly service: Service; readonly finalizers: readonly string[] });

export interface World {
  readonly blocks: readonly IPBlock[];
  readonly services: readonly Service[];
}

/** A UID in the blocks without a Service of type LoadBalancer. */
export interface Orphan {
  readonly uid: string;
  /** 'namespace/name' as the block records it. */
  readonly key: string;
  readonly addresses: readonly string[];
}

/** Sorted by key, then uid. Pure. */
export function orphansOf({ blocks, services }: World): readonly Orphan[] {
  const alive = new Set(
    services.filter(({ spec }) => spec.type === 'LoadBalancer').map(({ metadata }) => metadata.uid),
  );
  const orphans = new Map<string, { uid: string; key: string; addresses: string[] }>();
  for (const { spec } of blocks)
    for (const [address, { users = [] }] of Object.entries(spec.addresses ?? {}))
      for (const { uid, namespace, name } of users) {
        if (alive.has(uid)) continue;
        const orphan = orphans.get(uid) ?? { uid, key: `${namespace}/${name}`, addresses: [] };
        orphan.addresses.push(address);
        orphans.set(uid, orphan);
      }
  const order = ({ key, uid }: Orphan) => `${key} ${uid}`;
  return [...orphans.values()].sort((a, b) => (order(a) < order(b) ? -1 : 1));
}

/** Frees what orphans hold: one write per block. Pure. */
export function freeOrphans(world: World): readonly Cleanup[] {
  const orphans = new Map(orphansOf(world).map((orphan) => [orphan.uid, orphan]));
  return world.blocks.flatMap((block): readonly Cleanup[] => {
    const users = Object.values(block.spec.addresses ?? {}).flatMap(({ users = [] }) => users);
    const uids = [...new Set(users.map(({ uid }) => uid).filter((uid) => orphans.has(uid)))].sort();
    if (uids.length === 0) return [];
    const keys = uids.map((uid) => orphans.get(uid)?.key).join(', ');
    return [{ kind: 'free', target: block.metadata.name, reason: `no such Service any more: ${keys}`, block, uids }];
  });
}

/**
 * For uninstalling, with the controller stopped: takes our finalizers off and deletes every block; what is published
 * stays, so traffic goes on and another controller can take over. Pure.
 * @param classes as --load-balancer-class; the standard finalizer is ours only on Services that we served.
 */
export function releaseAll({ blocks, services }: World, classes: readonly string[]): readonly Cleanup[] {
  const selection = selectionOf(classes);
  const holders = new Set(
    blocks.flatMap(({ spec }) =>
      Object.values(spec.addresses ?? {}).flatMap(({ users = [] }) => users.map(({ uid }) => uid)),
    ),
  );
  const isOurs = (service: Service): boolean =>
    holders.has(service.metadata.uid) || (isSelected(service, selection) && poolAnnotationOf(service) !== undefined);
  const finalizers = services.flatMap((service): readonly Cleanup[] => {
    const ours = [OWN_FINALIZER, ...(isOurs(service) ? [STANDARD_FINALIZER] : [])];
    const present = (service.metadata.finalizers ?? []).filter((name) => ours.includes(name));
    if (present.length === 0) return [];
    const reason = `the finalizer ${present.join(', ')} would keep it from being deleted without Fairlead`;
    return [{ kind: 'remove-finalizer', target: keyOf(service), reason, service, finalizers: present }];
  });
  return [
    ...finalizers,
    ...blocks.map((block): Cleanup => {
      const count = Object.keys(block.spec.addresses ?? {}).length;
      return {
        kind: 'delete-block',
        target: block.metadata.name,
        reason: `reservations of ${count} addresses; what is published stays`,
        block,
      };
    }),
  ];
}

/** One cleanup. Throws FL_KUBE_CONFLICT when the object changed since: read the world again and plan anew. */
export async function clean(cleanup: Cleanup, kube: ProviderContext['kube'], call: Call): Promise<void> {
  switch (cleanup.kind) {
    case 'free':
      return await free(cleanup.block, new Set(cleanup.uids), kube, call);
    case 'delete-block': {
      const { name, uid } = cleanup.block.metadata;
      return await kube.remove(resources.ipblocks, { name, uid }, call);
    }
    case 'remove-finalizer': {
      const { namespace = '', name, uid, resourceVersion, finalizers = [] } = cleanup.service.metadata;
      const left = finalizers.filter((finalizer) => !cleanup.finalizers.includes(finalizer));
      const body = { metadata: { uid, resourceVersion, finalizers: left } };
      return await ignoreGone(kube.patch(resources.services, { namespace, name, subresource: 'status' }, body, call));
    }
    default:
      return cleanup satisfies never;
  }
}

async function free(
  block: IPBlock,
  uids: ReadonlySet<string>,
  kube: ProviderContext['kube'],
  call: Call,
): Promise<void> {
  const stored = storedOf(block);
  const changes: Changes = new Map(
    [...stored.entries]
      .filter(([, { users }]) => users.some(({ uid }) => uids.has(uid)))
      .map(([address, entry]) => {
        const users = entry.users.filter(({ uid }) => !uids.has(uid));
        const isFree = users.length === 0 && entry.retained === undefined;
        return [address, isFree ? undefined : { ...entry, users }];
      }),
  );
  await ignoreGone(kube.patch(resources.ipblocks, { name: block.metadata.name }, patchOf(stored, changes), call));
}

async function ignoreGone(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isProviderError(error) || error.code !== 'FL_KUBE_NOT_FOUND') throw error;
  }
}
