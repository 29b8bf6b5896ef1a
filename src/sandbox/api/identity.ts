import type { Rules } from './admit.ts';
import { invalid, invalidObject } from './invalid.ts';
import type { Draft, Meta } from './json.ts';
import type { Resource } from './resources.ts';
import { alreadyExists, badRequest, conflict, failed, forbidden, notFound, staleVersion } from './status.ts';
import type { ApiStore, Entry } from './store.ts';

/** Which object a write is about. */
export interface Address {
  readonly resource: Resource;
  /** Undefined for kinds of the cluster. */
  readonly namespace: string | undefined;
  readonly name: string;
}

export const keyOf = (namespace: string | undefined, name: string): string =>
  namespace === undefined ? name : `${namespace}/${name}`;

/** Throws 409 for a stale resourceVersion, 422 where the kind wants one. */
export function checkVersion(resource: Resource, rules: Rules, metadata: Meta, live: Entry, name: string): void {
  const asked = metadata.resourceVersion ?? '';
  if (asked === '' || asked === '0') {
    if (rules.versionRequired === true)
      throw invalidObject(resource.group, resource.plural, name, [
        invalid('metadata.resourceVersion', 0, 'must be specified for an update'),
      ]);
    return;
  }
  if (asked !== live.object.metadata.resourceVersion) throw staleVersion(resource, name);
}

/** Name and namespace of a body, which may be absent, are those of the URL. */
export function checkIdentity(namespace: string | undefined, name: string, { metadata }: Draft): void {
  if (metadata.name === undefined || metadata.name === '') metadata.name = name;
  if (metadata.name !== name)
    throw badRequest(`the name of the object (${metadata.name}) does not match the name on the URL (${name})`);
  if ((metadata.namespace ?? '') !== '' && metadata.namespace !== namespace) throw wrongNamespace();
  if (namespace !== undefined) metadata.namespace = namespace;
}

/** Of a PUT that carries a uid: it is a precondition, unlike in a patch, where another uid is an invalid change. */
export function checkUid({ resource, namespace, name }: Address, uid: string, live: Draft | undefined): void {
  const found = live?.metadata.uid ?? '';
  if (uid === '' || uid === found) return;
  throw conflict(
    resource,
    name,
    `StorageError: invalid object, Code: 4, Key: ${registryKey(resource)}/${keyOf(namespace, name)}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: ${uid}, UID in object meta: ${found}`,
  );
}

const registryFolders: Readonly<Record<string, string>> = {
  services: 'services/specs',
  endpoints: 'services/endpoints',
  nodes: 'minions',
};

/** Where a kube-apiserver keeps the kind in etcd, which its messages name. */
function registryKey(resource: Resource): string {
  const grouped = resource.custom !== undefined || resource.group === 'apiextensions.k8s.io';
  return `/registry/${grouped ? `${resource.group}/` : ''}${registryFolders[resource.collection] ?? resource.plural}`;
}

export const wrongNamespace = (): Error =>
  badRequest('the namespace of the provided object does not match the namespace sent on the request');

/** Nothing is created in a namespace that does not exist or is going. */
export function checkNamespace(store: ApiStore, resource: Resource, namespace: string | undefined, name: string): void {
  if (namespace === undefined) return;
  const live = store.get('namespaces', namespace);
  if (live === undefined) throw notFound({ group: '', plural: 'namespaces' }, namespace);
  if (live.object.metadata.deletionTimestamp === undefined) return;
  const why = `unable to create new content in namespace ${namespace} because it is being terminated`;
  throw forbidden(resource, name, why, [
    {
      reason: 'NamespaceTerminating',
      message: `namespace ${namespace} is being terminated`,
      field: 'metadata.namespace',
    },
  ]);
}

/** Nothing is created of a kind that is going. Throws 405. */
export function checkDefinition(store: ApiStore, { group, plural, custom }: Resource): void {
  if (custom === undefined) return;
  const definition = store.get('customresourcedefinitions.apiextensions.k8s.io', `${plural}.${group}`);
  if (definition?.object.metadata.deletionTimestamp !== undefined)
    throw failed(405, 'MethodNotAllowed', 'create not allowed while custom resource definition is terminating', {});
}

/** 409 for a name that is taken. */
export function exists(resource: Resource, live: Entry): Error {
  const error = alreadyExists(resource, live.object.metadata.name ?? '');
  if (live.object.metadata.deletionTimestamp !== undefined)
    error.body.message = `object is being deleted: ${error.body.message}`;
  return error;
}
