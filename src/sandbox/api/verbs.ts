import type { Readable } from 'node:stream';
import type { Clock } from '../../core/provider.ts';
import type { Timers } from '../../work/clock.ts';
import type { Part, RulesOf } from './admit.ts';
import { type Decoder, fieldValidationOf, mediaType, parseBody } from './decode.ts';
import { type View, viewOf } from './encode.ts';
import { invalidObject, notAllowed, required, unsupported } from './invalid.ts';
import { at, clone, type Draft, isObject, type JsonObject, rfc3339 } from './json.ts';
import { listPage } from './list.ts';
import { applied } from './ownership.ts';
import { parseApply, patchDocument, patcher, patchTypes } from './patch.ts';
import type { Resource } from './resources.ts';
import { review, tokenRequest } from './reviews.ts';
import type { ApiRequest, Target } from './route.ts';
import { scaled, scaleOf } from './scale.ts';
import { both, fieldSelector, parseFieldSelector, parseLabelSelector, type Selector } from './selectors.ts';
import {
  badRequest,
  conflict,
  deleted,
  isStatusError,
  methodNotAllowed,
  noSuchResource,
  notFound,
  type StatusError,
} from './status.ts';
import type { ApiStore, Entry } from './store.ts';
import { openWatch } from './watch.ts';
import { checkUid, type DeleteQuery, keyOf, type WriteOptions, type Writes } from './write.ts';

/** What goes back to the client. A string body is JSON unless the headers say otherwise. */
export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string | Readable;
}

export interface VerbContext {
  readonly store: ApiStore;
  readonly writes: Writes;
  readonly rulesOf: RulesOf;
  readonly decode: Decoder;
  readonly clock: Clock & Timers;
  readonly random: () => number;
  /** Lists show the world as it was so many revisions ago (a fault). */
  readonly staleBy?: number;
  /** A new bearer token that this server accepts. */
  issueToken(): string;
}

type Verb = (context: VerbContext, target: Target, request: ApiRequest, query: URLSearchParams) => Answer;

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

/** What a client gets for a StatusError. */
export function failureAnswer(failure: StatusError): Answer {
  const { retryAfterSeconds } = failure.body.details ?? {};
  const headers = typeof retryAfterSeconds === 'number' ? { 'retry-after': String(retryAfterSeconds) } : {};
  return { status: failure.code, headers, body: JSON.stringify(failure.body) };
}

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

function found(store: ApiStore, { resource, namespace, name = '' }: Target): Entry {
  const entry = store.get(resource.collection, keyOf(namespace, name));
  if (entry === undefined) throw notFound(resource, name);
  return entry;
}

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

/** GET, PUT and PATCH of `scale`. */
const scale: Verb = (context, target, request, query) => {
  const { resource, namespace, name = '' } = target;
  const live = found(context.store, target);
  if (request.method === 'GET') return json(200, scaleOf(resource, live.object, { strict: true }));
  const make = (object: Draft | undefined): Draft =>
    scaled(resource, object as Draft, wantedScale(resource, object as Draft, request));
  const { entry } = context.writes.update({ resource, namespace, name }, '', make, {
    ...writeOptions(request, query),
    subresource: 'scale',
  });
  return json(200, scaleOf(resource, entry.object));
};

function wantedScale(resource: Resource, object: Draft, request: ApiRequest): JsonObject {
  const type = request.headers['content-type'];
  if (request.method === 'PUT') return parseBody('Scale', request.body, mediaType(type));
  return patchDocument(scaleOf(resource, object), 'Scale', { contentType: type, body: request.body });
}

/** POST below an object: a pod's binding, a service account's token. */
const createBelow: Verb = (context, target, request, query) => {
  const { resource, namespace, name = '', subresource } = target;
  const body = parseBody(resource.kind, request.body, mediaType(request.headers['content-type']));
  if (subresource === 'token') {
    found(context.store, target);
    return json(201, tokenRequest(body, context.issueToken(), context.clock.now()));
  }
  const node = String(at(body, 'target', 'name') ?? '');
  if (node === '') throw invalidObject('', 'Binding', name, [required('target.name')]);
  const bound = (live: Draft | undefined): Draft => boundTo(live as Draft, name, node, rfc3339(context.clock.now()));
  context.writes.update({ resource, namespace, name }, 'binding', bound, {
    ...writeOptions(request, query),
    applied: true,
  });
  return json(201, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 });
};

function boundTo(pod: Draft, name: string, node: string, now: string): Draft {
  const draft = clone(pod);
  const spec = draft['spec'] as JsonObject;
  if (spec['nodeName'] !== undefined)
    throw conflict(
      { group: '', plural: 'pods/binding' },
      name,
      `pod ${name} is already assigned to node ${JSON.stringify(spec['nodeName'])}`,
    );
  spec['nodeName'] = node;
  const scheduled = { type: 'PodScheduled', status: 'True', lastProbeTime: null, lastTransitionTime: now };
  draft['status'] = { ...(draft['status'] as JsonObject), conditions: [scheduled] };
  return draft;
}

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

const isApply = ({ headers }: ApiRequest): boolean => mediaType(headers['content-type']) === patchTypes.apply;

/** ValidatePatchOptions of apimachinery. */
function checkPatchOptions(request: ApiRequest, query: URLSearchParams): void {
  const errors = [];
  if (isApply(request)) {
    if ((query.get('fieldManager') ?? '') === '') errors.push(required('fieldManager', 'is required for apply patch'));
  } else if (query.has('force')) errors.push(notAllowed('force', 'may not be specified for non-apply patch'));
  if (errors.length > 0) throw invalidObject('meta.k8s.io', 'PatchOptions', '', errors);
}

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

/** RFC 7234 section 5.5, as kubectl prints it. */
function warned(answer: Answer, warnings: readonly string[]): Answer {
  if (warnings.length === 0) return answer;
  const header = [...new Set(warnings)].map((text) => `299 - ${JSON.stringify(text)}`).join(', ');
  return { ...answer, headers: { ...answer.headers, warning: header } };
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

const object = (status: number, view: View, entry: Entry): Answer => ({ status, body: view.object(entry) });
export const json = (status: number, body: JsonObject): Answer => ({ status, body: JSON.stringify(body) });

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

const optionsOf: Readonly<Record<string, string>> = {
  POST: 'CreateOptions',
  PUT: 'UpdateOptions',
  PATCH: 'PatchOptions',
};

function writeOptions(request: ApiRequest, query: URLSearchParams): WriteOptions {
  return {
    dryRun: dryRun(query.getAll('dryRun'), optionsOf[request.method] ?? ''),
    manager: managerOf(request, query),
  };
}

/** What owns the fields of a write that names no manager: the client program (managerOrUserAgent of apiserver). */
function managerOf(request: ApiRequest, query: URLSearchParams): string {
  const named = query.get('fieldManager') ?? '';
  if (named !== '') return named;
  const agent = (request.headers['user-agent'] ?? '').split('/')[0] ?? '';
  return agent === '' ? 'unknown' : agent.slice(0, 128);
}

function deleteQuery(request: ApiRequest, query: URLSearchParams): DeleteQuery {
  const body =
    (request.body ?? '') === ''
      ? {}
      : parseBody('DeleteOptions', request.body, mediaType(request.headers['content-type']));
  const preconditions = isObject(body['preconditions']) ? body['preconditions'] : {};
  const grace = body['gracePeriodSeconds'] ?? wholeNumber(query, 'gracePeriodSeconds');
  const policy = body['propagationPolicy'] ?? query.get('propagationPolicy') ?? undefined;
  const orphaning = body['orphanDependents'] ?? flag(query, 'orphanDependents');
  return {
    dryRun: dryRun(
      [...query.getAll('dryRun'), ...(Array.isArray(body['dryRun']) ? body['dryRun'].map(String) : [])],
      'DeleteOptions',
    ),
    ...(typeof grace === 'number' ? { gracePeriodSeconds: grace } : {}),
    ...(orphaning === undefined ? {} : { propagationPolicy: orphaning === true ? 'Orphan' : 'Background' }),
    ...(policy === undefined ? {} : { propagationPolicy: policyOf(String(policy)) }),
    ...(typeof preconditions['uid'] === 'string' ? { uid: preconditions['uid'] } : {}),
    ...(typeof preconditions['resourceVersion'] === 'string'
      ? { resourceVersion: preconditions['resourceVersion'] }
      : {}),
  };
}

function policyOf(text: string): 'Orphan' | 'Background' | 'Foreground' {
  if (text === 'Orphan' || text === 'Background' || text === 'Foreground') return text;
  throw invalidObject('meta.k8s.io', 'DeleteOptions', '', [
    unsupported('propagationPolicy', text, ['Foreground', 'Background', 'Orphan', 'nil']),
  ]);
}

function dryRun(values: readonly string[], options: string): boolean {
  if (values.some((value) => value !== 'All'))
    throw invalidObject('meta.k8s.io', options, '', [unsupported('dryRun', values, ['All'])]);
  return values.length > 0;
}

function flag(query: URLSearchParams, name: string): boolean | undefined {
  const value = query.get(name);
  return value === null || value === '' ? undefined : value === 'true' || value === '1';
}

function wholeNumber(query: URLSearchParams, name: string): number | undefined {
  const value = query.get(name);
  if (value === null || value === '') return undefined;
  if (!/^-?\d+$/.test(value)) throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(value)}: invalid syntax`);
  return Number(value);
}
