import type { Clock } from '../../core/provider.ts';
import { clone, rfc3339 } from './json.ts';
import { cleanupFinalizer, type Definition, type DefinitionVersion, withCondition } from './registry/definition.ts';
import { type Catalogue, type CustomVersion, type Resource, scale, status } from './resources.ts';
import type { ApiStore, Change } from './store.ts';
import type { Writes } from './write.ts';

const collection = 'customresourcedefinitions.apiextensions.k8s.io';

/**
 * Serves what CustomResourceDefinitions define: accepts their names, establishes them, and empties them before they go,
 * as the controllers inside a kube-apiserver do, but within the write. Returns the end of it.
 */
export function serveDefinitions({
  store,
  catalogue,
  writes,
  clock,
}: {
  readonly store: ApiStore;
  readonly catalogue: Catalogue;
  readonly writes: Writes;
  readonly clock: Clock;
}): () => void {
  const emptying = new Map<string, () => void>();

  const changed = ({ type, now }: Change): void => {
    const definition = now.object as Definition;
    const name = definition.metadata.name ?? '';
    if (type === 'DELETED') {
      catalogue.define(name, []);
      return;
    }
    const live = store.get(collection, name)?.object as Definition | undefined;
    // A change that a later one has overtaken is looked at then.
    if (live === undefined || live.metadata.resourceVersion !== definition.metadata.resourceVersion) return;
    if (definition.metadata.deletionTimestamp !== undefined) empty(name, definition);
    else if (!accept(name, definition) && isTrue(definition, 'Established'))
      catalogue.define(name, resourcesOf(definition));
  };

  /** False when the status says already what it should. */
  const accept = (name: string, definition: Definition): boolean => {
    const { names } = definition.spec;
    const clash = clashOf(store, name, definition);
    const wanted = clone(definition.status);
    const now = rfc3339(clock.now());
    const condition = (type: string, held: boolean, reason: string, message: string): void => {
      wanted.conditions = withCondition(wanted.conditions ?? [], {
        type,
        status: held ? 'True' : 'False',
        lastTransitionTime: now,
        reason,
        message,
      });
    };
    if (clash === undefined) {
      wanted.acceptedNames = clone(names);
      condition('NamesAccepted', true, 'NoConflicts', 'no conflicts found');
      condition('Established', true, 'InitialNamesAccepted', 'the initial names have been accepted');
    } else {
      condition('NamesAccepted', false, clash.reason, clash.message);
      if (!isTrue(definition, 'Established'))
        condition('Established', false, 'NotAccepted', 'not all names are accepted');
    }
    if (JSON.stringify(wanted) === JSON.stringify(definition.status)) return false;
    const resource = catalogue.find('apiextensions.k8s.io', 'v1', 'customresourcedefinitions') as Resource;
    if (clash === undefined) catalogue.define(name, resourcesOf(definition));
    writes.update(
      { resource, namespace: undefined, name },
      'status',
      (live) => ({ ...(clone(live) as Definition), status: wanted }),
      {
        dryRun: false,
        manager: 'kube-apiserver',
      },
    );
    return true;
  };

  /** Deletes the instances; the finalizer goes when the last one is gone. */
  const empty = (name: string, definition: Definition): void => {
    const { group, names } = definition.spec;
    const instances = `${names.plural}.${group}`;
    const version = definition.spec.versions.find((one) => one.served)?.name ?? '';
    const resource = catalogue.find(group, version, names.plural);
    const finish = (): void => {
      if (store.list(instances).length > 0) return;
      emptying.get(name)?.();
      emptying.delete(name);
      const live = store.get(collection, name)?.object;
      if (live === undefined || !(live.metadata.finalizers ?? []).includes(cleanupFinalizer)) return;
      const own = catalogue.find('apiextensions.k8s.io', 'v1', 'customresourcedefinitions') as Resource;
      const without = (object: Definition): Definition => ({
        ...object,
        metadata: {
          ...object.metadata,
          finalizers: (object.metadata.finalizers ?? []).filter((one) => one !== cleanupFinalizer),
        },
      });
      writes.update(
        { resource: own, namespace: undefined, name },
        '',
        (object) => without(clone(object) as Definition),
        {
          dryRun: false,
          manager: 'kube-apiserver',
        },
      );
    };
    if (!emptying.has(name))
      emptying.set(
        name,
        store.subscribe(instances, ({ type }) => (type === 'DELETED' ? finish() : undefined)),
      );
    if (resource !== undefined)
      for (const { object } of store.list(instances))
        if (object.metadata.deletionTimestamp === undefined)
          writes.remove(
            { resource, namespace: object.metadata.namespace, name: object.metadata.name ?? '' },
            { dryRun: false },
          );
    finish();
  };

  const unsubscribe = store.subscribe(collection, changed);
  return () => {
    unsubscribe();
    for (const end of emptying.values()) end();
  };
}

/** In the order in which the apiextensions server lists them. */
const customVerbs: Resource['verbs'] = [
  'delete',
  'deletecollection',
  'get',
  'list',
  'patch',
  'create',
  'update',
  'watch',
];

const isTrue = (definition: Definition, type: string): boolean =>
  (definition.status.conditions ?? []).some((one) => one.type === type && one.status === 'True');

/** Another definition of the group that had one of the names first. */
function clashOf(
  store: ApiStore,
  name: string,
  { spec }: Definition,
): { readonly reason: string; readonly message: string } | undefined {
  for (const { object } of store.list(collection)) {
    const other = object as Definition;
    if (other.metadata.name === name || other.spec.group !== spec.group) continue;
    const { acceptedNames } = other.status;
    const taken = [acceptedNames.plural, acceptedNames.singular, ...(acceptedNames.shortNames ?? [])];
    for (const [reason, wanted] of [
      ['PluralConflict', spec.names.plural],
      ['SingularConflict', spec.names.singular],
      ...(spec.names.shortNames ?? []).map((one) => ['ShortNamesConflict', one] as const),
    ] as const)
      if (wanted !== undefined && wanted !== '' && taken.includes(wanted))
        return { reason, message: `${JSON.stringify(wanted)} is already in use` };
    if ([acceptedNames.kind, acceptedNames.listKind].includes(spec.names.kind))
      return { reason: 'KindConflict', message: `${JSON.stringify(spec.names.kind)} is already in use` };
  }
  return undefined;
}

function resourcesOf(definition: Definition): readonly Resource[] {
  const { group, names, scope, versions } = definition.spec;
  return versions
    .filter((version) => version.served)
    .map((version) => ({
      group,
      version: version.name,
      plural: names.plural,
      singular: names.singular ?? names.kind.toLowerCase(),
      kind: names.kind,
      listKind: names.listKind ?? `${names.kind}List`,
      namespaced: scope === 'Namespaced',
      verbs: customVerbs,
      shortNames: names.shortNames ?? [],
      categories: names.categories ?? [],
      subresources: [
        ...(version.subresources?.status === undefined ? [] : [status]),
        ...(version.subresources?.scale === undefined ? [] : [scale]),
      ],
      collection: `${names.plural}.${group}`,
      custom: customOf(version),
    }));
}

function customOf(version: DefinitionVersion): CustomVersion {
  const { schema, subresources, additionalPrinterColumns = [], selectableFields = [] } = version;
  return {
    schema: schema?.openAPIV3Schema ?? { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
    statusSubresource: subresources?.status !== undefined,
    ...(subresources?.scale === undefined ? {} : { scale: subresources.scale }),
    columns: additionalPrinterColumns,
    selectableFields: selectableFields.map((field) => field.jsonPath),
  };
}
