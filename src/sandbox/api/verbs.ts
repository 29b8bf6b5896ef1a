import type { Part, RulesOf } from './admit.ts';
import { failureAnswer, json, object, warned } from './answer.ts';
import { createBelow, scale } from './below.ts';
import { found, type Verb, type VerbContext } from './context.ts';
import { fieldValidationOf, mediaType, parseBody } from './decode.ts';
import { type View, viewOf } from './encode.ts';
import { checkUid } from './identity.ts';
import { at, type Draft, type JsonObject, rfc3339 } from './json.ts';
import { listPage } from './list.ts';
import { applied } from './ownership.ts';
import { parseApply, patcher } from './patch.ts';
import { checkPatchOptions, deleteQuery, flag, isApply, managerOf, wholeNumber, writeOptions } from './query.ts';
import type { Resource } from './resources.ts';
import { review } from './reviews.ts';
import type { ApiRequest, Target } from './route.ts';
import { both, fieldSelector, parseFieldSelector, parseLabelSelector, type Selector } from './selectors.ts';
import { conflict, deleted, isStatusError, methodNotAllowed, noSuchResource } from './status.ts';
import { openWatch } from './watch.ts';

/** Answers a request about objects. Throws StatusError. */
export const answerObjects: Verb = (context, target, request, query) => {
  const { deprecation } = target.resource;
  const told = deprecation === undefined ? [] : [deprecation];
  try {
    return warned(verbOf(target, request.method, query)(context, target, request, query), told);
  } catch (error) {
    if (isStatusError(error)) return warned(failureAnswer(error), told);
    throw error;
  }
};

function verbOf(target: Target, method: string, query: URLSearchParams): Verb {
  const { resource, name, subresource, namespace } = target;
  const offered: readonly string[] =
    subresource === '' ? resource.verbs : (resource.subresources.find((one) => one.name === subresource)?.verbs ?? []);
  const watching = query.get('watch') === 'true' || query.get('watch') === '1';
  const [verb, run] = chosen(method, name !== undefined, watching, subresource);
  // A namespaced kind is created and deleted below its namespace only.
  const misplaced = resource.namespaced && namespace === undefined && verb !== 'list' && verb !== 'watch';
  if (subresource === 'scale' && offered.includes(verb)) return scale;
  if (name !== undefined && subresource === '' && !resource.verbs.includes('get')) throw noSuchResource();
  if (run === undefined || !offered.includes(verb) || misplaced) throw methodNotAllowed();
  return run;
}

function chosen(
  method: string,
  named: boolean,
  watching: boolean,
  subresource: string,
): readonly [string, Verb | undefined] {
  switch (method) {
    case 'GET':
      if (named) return ['get', get];
      return watching ? ['watch', watch] : ['list', list];
    case 'POST':
      if (subresource !== '') return ['create', createBelow];
      return ['create', named ? undefined : create];
    case 'PUT':
      return ['update', named ? put : undefined];
    case 'PATCH':
      return ['patch', named ? patch : undefined];
    case 'DELETE':
      return named ? ['delete', remove] : ['deletecollection', removeAll];
    default:
      return [method, undefined];
  }
}

const get: Verb = (context, target, request, query) =>
  object(200, shown(context, target.resource, request, query), found(context.store, target));

const list: Verb = (context, { resource, namespace }, request, query) => {
  const page = listPage(context.store, resource, {
    namespace,
    staleBy: context.staleBy ?? 0,
    selector: selectorOf(resource, context.rulesOf, query),
    query: {
      limit: wholeNumber(query, 'limit') ?? 0,
      continue: query.get('continue') ?? '',
      resourceVersion: query.get('resourceVersion') ?? '',
      resourceVersionMatch: query.get('resourceVersionMatch') ?? '',
    },
  });
  return { status: 200, body: shown(context, resource, request, query).list(page) };
};

const watch: Verb = (context, { resource, namespace }, request, query) => ({
  status: 200,
  body: openWatch({
    ...context,
    resource,
    namespace,
    selector: selectorOf(resource, context.rulesOf, query),
    query: {
      resourceVersion: query.get('resourceVersion') ?? '',
      resourceVersionMatch: query.get('resourceVersionMatch') ?? '',
      bookmarks: flag(query, 'allowWatchBookmarks') === true,
      sendInitialEvents: flag(query, 'sendInitialEvents'),
      timeoutSeconds: wholeNumber(query, 'timeoutSeconds'),
    },
    write: shown(context, resource, request, query).event(),
  }),
});

const shown = ({ clock }: VerbContext, resource: Resource, request: ApiRequest, query: URLSearchParams): View =>
  viewOf(resource, request.headers['accept'], { nowMs: clock.now(), includeObject: query.get('includeObject') });

const create: Verb = (context, { resource, namespace }, request, query) => {
  const { writes, decode } = context;
  const warnings: string[] = [];
  const unknown = fieldValidationOf(query, 'CreateOptions');
  const body = bodyOf(resource, request);
  const draft = decode(resource, body, { unknown, warnings });
  const answer = review(resource, draft, {
    manager: managerOf(request, query),
    subresource: '',
    now: rfc3339(context.clock.now()),
  });
  if (answer !== undefined) return json(201, answer);
  const view = shown(context, resource, request, query);
  return warned(
    object(201, view, writes.create(resource, namespace, draft, { ...writeOptions(request, query), warnings })),
    warnings,
  );
};

const put: Verb = (context, target, request, query) => {
  const { writes, decode } = context;
  const { resource, namespace, name = '' } = target;
  const warnings: string[] = [];
  const unknown = fieldValidationOf(query, 'UpdateOptions');
  const draft = decode(resource, bodyOf(resource, request), { unknown, warnings });
  const make = (live: Draft | undefined): Draft => {
    checkUid({ resource, namespace, name }, draft.metadata.uid ?? '', live);
    return draft;
  };
  const written = writes.update({ resource, namespace, name }, partOf(target), make, {
    ...writeOptions(request, query),
    warnings,
  });
  const view = shown(context, resource, request, query);
  return warned(object(written.created ? 201 : 200, view, written.entry), warnings);
};

const patch: Verb = (context, target, request, query) => {
  const { resource, namespace, name = '' } = target;
  const { store, writes, decode } = context;
  const warnings: string[] = [];
  const unknown = fieldValidationOf(query, 'PatchOptions');
  checkPatchOptions(request, query);
  if (isApply(request)) return apply(context, target, request, query);
  const asked = { contentType: request.headers['content-type'], body: request.body };
  const patched = patcher(resource, asked, (body) => decode(resource, body, { unknown, warnings }));
  found(store, target);
  const make = (live: Draft | undefined): Draft => patched(live as Draft);
  const { entry } = writes.update({ resource, namespace, name }, partOf(target), make, {
    ...writeOptions(request, query),
    warnings,
  });
  return warned(object(200, shown(context, resource, request, query), entry), warnings);
};

/** Server-side apply: creates what does not exist. */
const apply: Verb = (context, target, request, query) => {
  const { resource, namespace, name = '' } = target;
  const warnings: string[] = [];
  const unknown = fieldValidationOf(query, 'PatchOptions');
  const config = parseApply(resource, request.body);
  const options = { ...writeOptions(request, query), warnings };
  const how = {
    manager: options.manager,
    subresource: partOf(target),
    now: rfc3339(context.clock.now()),
    force: flag(query, 'force') === true,
  };
  const make = (live: Draft | undefined): Draft => {
    checkApplyUid(resource, name, config, live);
    return context.decode(resource, applied(resource, live, config, how), { unknown, warnings });
  };
  const creating = partOf(target) === '' ? ({ createMissing: true } as const) : {};
  const written = context.writes.update({ resource, namespace, name }, partOf(target), make, {
    ...options,
    ...creating,
    applied: true,
  });
  return warned(object(written.created ? 201 : 200, shown(context, resource, request, query), written.entry), warnings);
};

function checkApplyUid(resource: Resource, name: string, config: JsonObject, live: Draft | undefined): void {
  const uid = at(config, 'metadata', 'uid');
  if (typeof uid !== 'string' || uid === '' || live !== undefined) return;
  throw conflict(
    resource,
    name,
    `uid mismatch: the provided object specified uid ${uid}, and no existing object was found`,
  );
}

const remove: Verb = (context, { resource, namespace, name = '' }, request, query) => {
  const { entry, gone } = context.writes.remove({ resource, namespace, name }, deleteQuery(request, query));
  if (!gone || context.rulesOf(resource).returnsDeleted === true)
    return object(200, shown(context, resource, request, query), entry);
  return json(200, deleted(resource, name, entry.object.metadata.uid ?? ''));
};

/** Answers with what was chosen, as it was before. */
const removeAll: Verb = (context, { resource, namespace }, request, query) => {
  const { store, writes } = context;
  const selector = selectorOf(resource, context.rulesOf, query);
  const options = deleteQuery(request, query);
  const prefix = namespace === undefined ? '' : `${namespace}/`;
  const entries = store.list(resource.collection, prefix).filter((entry) => selector?.(entry.object) ?? true);
  const { revision } = store;
  for (const {
    object: { metadata },
  } of entries)
    writes.remove({ resource, namespace: metadata.namespace, name: metadata.name ?? '' }, options);
  return { status: 200, body: shown(context, resource, request, query).list({ entries, revision, continue: '' }) };
};

const partOf = ({ subresource }: Target): Part => subresource as Part;

function selectorOf(resource: Resource, rulesOf: RulesOf, query: URLSearchParams): Selector | undefined {
  const tests = parseFieldSelector(query.get('fieldSelector'));
  return both(
    parseLabelSelector(query.get('labelSelector')),
    fieldSelector(
      tests,
      resource.namespaced,
      rulesOf(resource).fields,
      resource.custom !== undefined || Object.keys(rulesOf(resource).fields).length > 0,
    ),
  );
}

const bodyOf = (resource: Resource, request: ApiRequest): JsonObject =>
  parseBody(resource.kind, request.body, mediaType(request.headers['content-type']));
