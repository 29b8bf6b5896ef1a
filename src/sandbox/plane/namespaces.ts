import { clone, type Draft } from '../api/json.ts';
import { contentFinalizer, namespaceFinalizers } from '../api/registry/namespace.ts';
import type { Resource } from '../api/resources.ts';
import type { Change } from '../api/store.ts';
import type { PlaneContext } from './context.ts';
import { createWork } from './work.ts';

const manager = 'kube-controller-manager';

/** Empties a namespace that is deleted, and lets it go when the last object is gone. */
export function runNamespaces({ store, catalogue, writes, clock }: PlaneContext): () => void {
  const work = createWork(clock, (name) => {
    const namespace = store.get('namespaces', name)?.object;
    if (namespace === undefined || !isEnding(namespace)) return;
    if (emptied(name)) finalize(name);
  });

  /** Deletes what is not being deleted yet; true when nothing is left. */
  const emptied = (name: string): boolean => {
    let left = 0;
    for (const resource of collectionsOf(catalogue.all())) {
      for (const { object } of store.list(resource.collection, `${name}/`))
        if (object.metadata.deletionTimestamp === undefined)
          writes.remove({ resource, namespace: name, name: object.metadata.name ?? '' }, { dryRun: false });
      left += store.list(resource.collection, `${name}/`).length;
    }
    return left === 0;
  };

  const finalize = (name: string): void => {
    const resource = catalogue.find('', 'v1', 'namespaces') as Resource;
    writes.update({ resource, namespace: undefined, name }, 'finalize', (live) => released(live as Draft), {
      dryRun: false,
      manager,
    });
  };

  const changed = ({ collection, type, now }: Change): void => {
    const { namespace, name = '' } = now.object.metadata;
    if (collection === 'namespaces' && type !== 'DELETED' && isEnding(now.object)) work.add(name);
    else if (type === 'DELETED' && namespace !== undefined) work.add(namespace);
  };
  const unsubscribe = store.subscribe(undefined, changed);
  return () => {
    unsubscribe();
    work.close();
  };
}

const isEnding = (namespace: Draft): boolean =>
  namespace.metadata.deletionTimestamp !== undefined && namespaceFinalizers(namespace).includes(contentFinalizer);

function released(namespace: Draft): Draft {
  const draft = clone(namespace);
  draft['spec'] = { finalizers: namespaceFinalizers(namespace).filter((one) => one !== contentFinalizer) };
  return draft;
}

/** One resource for each collection that has namespaces: versions share objects. */
function collectionsOf(resources: readonly Resource[]): readonly Resource[] {
  const stored = resources.filter(({ namespaced, verbs }) => namespaced && verbs.includes('delete'));
  return [...new Map(stored.map((resource) => [resource.collection, resource])).values()];
}
