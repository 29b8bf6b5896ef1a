import type { Clock } from '../../core/provider.ts';
import type { Part, Rules, RulesOf } from './admit.ts';
import { canonical } from './decode.ts';
import {
  type Address,
  checkDefinition,
  checkIdentity,
  checkNamespace,
  checkVersion,
  exists,
  keyOf,
  wrongNamespace,
} from './identity.ts';
import { invalidObject } from './invalid.ts';
import { clone, type Draft, type JsonObject, type Meta, rfc3339, same } from './json.ts';
import { metaErrors, metaUpdateErrors } from './meta.ts';
import { ownersAfterWrite, sameButTimes } from './ownership.ts';
import { generatedName, uuid } from './random.ts';
import { checkPreconditions, collected, type DeleteQuery, gracefully, marked } from './removal.ts';
import type { Resource } from './resources.ts';
import { failed, forbidden, notFound } from './status.ts';
import { type ApiStore, Entry } from './store.ts';
import { dnsSubdomain } from './words.ts';

/** Options of one write that come from its URL and headers. */
export interface WriteOptions {
  readonly dryRun: boolean;
  /** Owner of the changed fields. */
  readonly manager: string;
  /** What to tell the client besides is added here. */
  readonly warnings?: string[];
  /** The draft carries its managedFields already. */
  readonly applied?: true;
  /** The path that the client wrote through, where it is not the name of the part ('scale'). */
  readonly subresource?: string;
}

export interface Written {
  readonly entry: Entry;
  readonly created: boolean;
}

/** The writes of the API: each is atomic, throws StatusError and then has changed nothing. */
export interface Writes {
  /** `namespace` is the URL's. */
  create(resource: Resource, namespace: string | undefined, draft: Draft, options: WriteOptions): Entry;
  /** Replaces with what `make` returns for the live object (undefined: there is none). `put` in answers 'created'. */
  update(
    address: Address,
    part: Part,
    make: (live: Draft | undefined) => Draft,
    options: WriteOptions & { readonly createMissing?: true },
  ): Written;
  /** `gone` false: it waits for finalizers or its grace period. */
  remove(address: Address, query: DeleteQuery): { readonly entry: Entry; readonly gone: boolean };
}

const nameAttempts = 8;

export function createWrites({
  store,
  clock,
  random,
  rulesOf,
}: {
  readonly store: ApiStore;
  readonly clock: Clock;
  readonly random: () => number;
  readonly rulesOf: RulesOf;
}): Writes {
  const stamp = (): string => rfc3339(clock.now());
  /** Stores, or for a dry run only shows, a new version. */
  const commit = (resource: Resource, key: string, draft: Draft, dryRun: boolean): Entry => {
    const shaped = canonical(resource, draft);
    delete shaped.metadata.resourceVersion;
    return dryRun ? new Entry(key, 0, shaped) : store.put(resource.collection, key, shaped);
  };

  const own = (resource: Resource, live: Draft | undefined, draft: Draft, options: WriteOptions, part: Part): void => {
    const { manager, subresource = part } = options;
    const entries = ownersAfterWrite(resource, live, draft, { manager, subresource, now: stamp() });
    if (entries.length === 0) delete draft.metadata.managedFields;
    else draft.metadata.managedFields = entries;
  };

  const create = (resource: Resource, namespace: string | undefined, draft: Draft, options: WriteOptions): Entry => {
    const { metadata } = draft;
    const base = metadata.generateName ?? '';
    const generated = (metadata.name ?? '') === '' && base !== '';
    for (let attempt = 1; generated && attempt <= nameAttempts; attempt += 1) {
      metadata.name = generatedName(base, random);
      if (store.get(resource.collection, keyOf(namespace, metadata.name)) === undefined) break;
    }
    const rules = rulesOf(resource);
    if ((metadata.resourceVersion ?? '') !== '')
      throw failed(500, '', 'resourceVersion should not be set on objects to be created');
    if ((metadata.namespace ?? '') !== '' && metadata.namespace !== namespace) throw wrongNamespace();
    checkNamespace(store, resource, namespace, metadata.name ?? '');
    checkDefinition(store, resource);
    if (options.applied === undefined) own(resource, undefined, draft, options, '');
    fillMeta(metadata, namespace, uuid(random), stamp());
    const claim = rules.allocate?.(draft, undefined, { part: '', dryRun: options.dryRun });
    try {
      rules.prepareCreate?.(draft);
      const errors = [
        ...metaErrors(metadata, metaRules(resource, rules)),
        ...(rules.validate?.(draft, undefined, '') ?? []),
      ];
      if (errors.length > 0) throw invalidObject(groupOf(resource), resource.kind, metadata.name ?? '', errors);
      options.warnings?.push(...(rules.warnings?.(draft) ?? []));
      const key = keyOf(namespace, metadata.name as string);
      const live = store.get(resource.collection, key);
      if (live !== undefined) throw exists(resource, live);
      const entry = commit(resource, key, draft, options.dryRun);
      if (options.dryRun) claim?.undo();
      else claim?.commit();
      return entry;
    } catch (error) {
      claim?.undo();
      throw error;
    }
  };

  const replace = (resource: Resource, part: Part, draft: Draft, live: Entry, options: WriteOptions): Entry => {
    const rules = rulesOf(resource);
    const old = live.object;
    const { metadata } = draft;
    const name = metadata.name ?? '';
    checkVersion(resource, rules, metadata, live, name);
    metadata.resourceVersion = old.metadata.resourceVersion as string;
    if (options.applied === undefined) own(resource, old, draft, options, part);
    const claim = rules.allocate?.(draft, old, { part, dryRun: options.dryRun });
    try {
      keepMeta(metadata, old.metadata);
      rules.prepareUpdate?.(draft, old, part);
      const errors = [
        ...metaErrors(metadata, metaRules(resource, rules)),
        ...metaUpdateErrors(metadata, old.metadata),
        ...(rules.validate?.(draft, old, part) ?? []),
      ];
      if (errors.length > 0) throw invalidObject(groupOf(resource), resource.kind, name, errors);
      options.warnings?.push(...(rules.warnings?.(draft) ?? []));
      const finished =
        (metadata.finalizers ?? []).length === 0 &&
        rules.held?.(draft) !== true &&
        old.metadata.deletionTimestamp !== undefined &&
        (old.metadata.deletionGracePeriodSeconds ?? 0) === 0;
      if (options.dryRun) {
        claim?.undo();
        return new Entry(live.key, live.revision, canonical(resource, draft));
      }
      claim?.commit();
      if (finished) return vanish(resource, live.key, draft);
      return sameButTimes(draft, old) ? live : commit(resource, live.key, draft, false);
    } catch (error) {
      claim?.undo();
      throw error;
    }
  };

  /** Removes an object whose last finalizer went: the answer is the object as it was asked for. */
  const vanish = (resource: Resource, key: string, draft: Draft): Entry => {
    const gone = store.remove(resource.collection, key) as Entry;
    rulesOf(resource).release?.(gone.object);
    // What the last write claimed besides goes, too.
    rulesOf(resource).release?.(draft);
    return new Entry(key, gone.revision, draft);
  };

  return {
    create,
    update({ resource, namespace, name }, part, make, options) {
      const live = store.get(resource.collection, keyOf(namespace, name));
      const rules = rulesOf(resource);
      if (
        live === undefined &&
        options.createMissing === undefined &&
        (rules.createOnUpdate === undefined || part !== '')
      )
        throw notFound(resource, name);
      const draft = make(live?.object);
      checkIdentity(namespace, name, draft);
      if (live !== undefined) return { entry: replace(resource, part, draft, live, options), created: false };
      return { entry: create(resource, namespace, wiped(draft), options), created: true };
    },
    remove({ resource, namespace, name }, query) {
      const key = keyOf(namespace, name);
      const live = store.get(resource.collection, key);
      if (live === undefined) throw notFound(resource, name);
      checkPreconditions(resource, name, live, query);
      const rules = rulesOf(resource);
      const why = rules.undeletable?.(live.object);
      if (why !== undefined) throw forbidden(resource, name, why);
      if (rules.markDeleted !== undefined) {
        if (live.object.metadata.deletionTimestamp === undefined) {
          const draft = clone(live.object);
          rules.markDeleted(draft, stamp());
          return { entry: commit(resource, key, draft, query.dryRun), gone: false };
        }
        if (rules.held?.(live.object) === true) return { entry: live, gone: false };
      }
      return removeMarked(resource, live, query);
    },
  };

  /** BeforeDelete and updateForGracefulDeletionAndFinalizers of apiserver. */
  function removeMarked(
    resource: Resource,
    live: Entry,
    query: DeleteQuery,
  ): { readonly entry: Entry; readonly gone: boolean } {
    const rules = rulesOf(resource);
    const { metadata } = live.object;
    const graceful = gracefully(rules, live.object, query, clock.now());
    if (graceful === 'pending') return { entry: live, gone: false };
    const finalizers =
      rules.uncollected === true ? (metadata.finalizers ?? []) : collected(metadata.finalizers ?? [], query);
    let last = live;
    if (graceful !== undefined || finalizers.length > 0) {
      const draft = marked(live.object, finalizers, graceful ?? { seconds: 0, at: stamp() });
      if (!same(draft, live.object)) last = commit(resource, live.key, draft, query.dryRun);
      if (finalizers.length > 0 || (graceful !== undefined && graceful.seconds > 0))
        return { entry: last, gone: false };
    }
    if (query.dryRun) return { entry: last, gone: true };
    const entry = store.remove(resource.collection, live.key) as Entry;
    rules.release?.(entry.object);
    return { entry, gone: true };
  }
}

function fillMeta(metadata: Meta, namespace: string | undefined, uid: string, now: string): void {
  const { name, generateName, labels, annotations, ownerReferences, finalizers, managedFields } = metadata;
  for (const member of Object.keys(metadata)) delete metadata[member];
  Object.assign(metadata, defined({ name, generateName, namespace, uid }), { creationTimestamp: now });
  Object.assign(metadata, defined({ labels, annotations, ownerReferences, finalizers, managedFields }));
}

/** Both event APIs validate one internal type, which is of the core. */
const groupOf = ({ group, collection }: Resource): string => (collection === 'events' ? '' : group);

const metaRules = (resource: Resource, rules: Rules): Parameters<typeof metaErrors>[1] => ({
  namespaced: resource.namespaced,
  nameErrors: rules.nameErrors ?? dnsSubdomain,
  core: resource.custom === undefined,
});

const defined = (members: JsonObject): JsonObject =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));

/** What an update keeps whatever the body says (BeforeUpdate of apiserver). */
function keepMeta(metadata: Meta, old: Meta): void {
  if ((metadata.uid ?? '') === '') metadata.uid = old.uid as string;
  for (const member of ['creationTimestamp', 'generation'] as const)
    if (old[member] === undefined) delete metadata[member];
    else Object.assign(metadata, { [member]: old[member] });
  if (old.deletionTimestamp !== undefined) metadata.deletionTimestamp = old.deletionTimestamp;
  if (metadata.deletionGracePeriodSeconds === undefined && old.deletionGracePeriodSeconds !== undefined)
    metadata.deletionGracePeriodSeconds = old.deletionGracePeriodSeconds;
}

/** A PUT or apply that creates starts from a clean slate, as a POST does. */
function wiped(draft: Draft): Draft {
  const { resourceVersion: _version, uid: _uid, ...metadata } = draft.metadata;
  return { ...draft, metadata };
}
