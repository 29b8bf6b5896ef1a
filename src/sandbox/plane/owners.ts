import { clone, type Draft, type OwnerRef } from '../api/json.ts';
import type { Resource } from '../api/resources.ts';
import type { Change } from '../api/store.ts';
import type { PlaneContext } from './context.ts';
import { createWork } from './work.ts';

const foreground = 'foregroundDeletion';
const orphan = 'orphan';
const manager = 'kube-controller-manager';

/** Where an object is: a key of `places` and of the work. */
interface Place {
  readonly collection: string;
  readonly key: string;
}
const placeName = ({ collection, key }: Place): string => `${collection} ${key}`;

/**
 * The garbage collector: an object goes when the last of its owners is gone; `foregroundDeletion` holds an owner until
 * the dependents that block it are gone, `orphan` until they no longer name it.
 */
export function runOwners({ store, catalogue, writes, clock }: PlaneContext): () => void {
  /** By uid: where the object is. */
  const places = new Map<string, Place>();
  /** By an owner's uid: the names of its dependents' places. */
  const dependents = new Map<string, Map<string, Place>>();

  const resourceOf = (collection: string): Resource | undefined =>
    catalogue.all().find((resource) => resource.collection === collection);
  const objectAt = ({ collection, key }: Place): Draft | undefined => store.get(collection, key)?.object;

  const work = createWork(clock, (name) => {
    const at = name.indexOf(' ');
    const place = { collection: name.slice(0, at), key: name.slice(at + 1) };
    const object = objectAt(place);
    const resource = resourceOf(place.collection);
    if (object === undefined || resource === undefined) return;
    if (object.metadata.deletionTimestamp === undefined) collect(resource, object);
    else settle(resource, object);
  });

  const edit = (resource: Resource, { metadata }: Draft, change: (draft: Draft) => void): void => {
    const { name = '', namespace } = metadata;
    const make = (live: Draft | undefined): Draft => {
      const draft = clone(live as Draft);
      change(draft);
      return draft;
    };
    writes.update({ resource, namespace, name }, '', make, { dryRun: false, manager });
  };

  /** Of an object that nobody deleted: it goes, or loses the owners that are gone. */
  const collect = (resource: Resource, object: Draft): void => {
    const { ownerReferences = [], uid, name = '', namespace } = object.metadata;
    if (ownerReferences.length === 0 || ownerReferences.some(isUnknown)) return;
    const solid = ownerReferences.filter((owner) => exists(owner, namespace));
    const ending = solid.filter((owner) => waitsForDependents(owner));
    if (solid.length === 0 || (ending.length === solid.length && solid.length === ownerReferences.length)) {
      const policy = solid.length === 0 ? 'Background' : 'Foreground';
      writes.remove(
        { resource, namespace, name },
        { dryRun: false, propagationPolicy: policy, ...(uid === undefined ? {} : { uid }) },
      );
      return;
    }
    const kept = new Set(solid.filter((owner) => !ending.includes(owner)).map((owner) => owner.uid));
    if (kept.size === ownerReferences.length) return;
    edit(resource, object, (draft) => {
      draft.metadata.ownerReferences = (draft.metadata.ownerReferences ?? []).filter((owner) => kept.has(owner.uid));
    });
  };

  /** A kind that is not served at the moment: whether the owner exists cannot be told. */
  const isUnknown = ({ apiVersion, kind }: OwnerRef): boolean =>
    catalogue.ofKind(apiVersion.includes('/') ? (apiVersion.split('/')[0] as string) : '', kind) === undefined;

  const exists = ({ uid, name }: OwnerRef, namespace: string | undefined): boolean => {
    const place = places.get(uid);
    const owner = place === undefined ? undefined : objectAt(place);
    if (owner === undefined || owner.metadata.name !== name) return false;
    return owner.metadata.namespace === undefined || owner.metadata.namespace === namespace;
  };

  const waitsForDependents = ({ uid }: OwnerRef): boolean => {
    const place = places.get(uid);
    const { deletionTimestamp, finalizers = [] } = (place === undefined ? undefined : objectAt(place))?.metadata ?? {};
    return deletionTimestamp !== undefined && finalizers.includes(foreground);
  };

  /** Of an object that is being deleted: what its propagation policy asks for. */
  const settle = (resource: Resource, object: Draft): void => {
    const { finalizers = [], uid = '' } = object.metadata;
    const all = [...(dependents.get(uid)?.values() ?? [])];
    if (finalizers.includes(orphan)) {
      for (const place of all) disown(place, uid);
      drop(resource, object, orphan);
    } else if (finalizers.includes(foreground)) {
      for (const place of all) work.add(placeName(place));
      if (!all.some((place) => blocks(place, uid))) drop(resource, object, foreground);
    }
  };

  const disown = (place: Place, uid: string): void => {
    const object = objectAt(place);
    const resource = resourceOf(place.collection);
    if (object === undefined || resource === undefined) return;
    edit(resource, object, (draft) => {
      draft.metadata.ownerReferences = (draft.metadata.ownerReferences ?? []).filter((owner) => owner.uid !== uid);
    });
  };

  const blocks = (place: Place, uid: string): boolean =>
    (objectAt(place)?.metadata.ownerReferences ?? []).some(
      (owner) => owner.uid === uid && owner.blockOwnerDeletion === true,
    );

  const drop = (resource: Resource, object: Draft, finalizer: string): void =>
    edit(resource, object, (draft) => {
      draft.metadata.finalizers = (draft.metadata.finalizers ?? []).filter((one) => one !== finalizer);
    });

  const index = (place: Place, { metadata }: Draft): void => {
    places.set(metadata.uid ?? '', place);
    for (const { uid } of metadata.ownerReferences ?? []) {
      const known = dependents.get(uid) ?? new Map<string, Place>();
      dependents.set(uid, known.set(placeName(place), place));
    }
  };
  const unindex = (place: Place, { metadata }: Draft): void => {
    places.delete(metadata.uid ?? '');
    for (const { uid } of metadata.ownerReferences ?? []) {
      const known = dependents.get(uid);
      known?.delete(placeName(place));
      if (known?.size === 0) dependents.delete(uid);
    }
  };

  const changed = ({ collection, type, now, before }: Change): void => {
    const place = { collection, key: now.key };
    if (before !== undefined) unindex(place, before.object);
    if (type !== 'DELETED') {
      index(place, now.object);
      const { ownerReferences = [], deletionTimestamp } = now.object.metadata;
      if (ownerReferences.length > 0 || deletionTimestamp !== undefined) work.add(placeName(place));
      if (deletionTimestamp === undefined || before?.object.metadata.deletionTimestamp !== undefined) return;
    }
    // Gone, or going: its dependents may have lost their last owner, its owners their last blocker.
    for (const dependent of dependents.get(now.object.metadata.uid ?? '')?.values() ?? [])
      work.add(placeName(dependent));
    for (const { uid } of now.object.metadata.ownerReferences ?? []) {
      const owner = places.get(uid);
      if (owner !== undefined) work.add(placeName(owner));
    }
  };
  const unsubscribe = store.subscribe(undefined, changed);
  return () => {
    unsubscribe();
    work.close();
  };
}
