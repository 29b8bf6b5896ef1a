import type { Readable } from 'node:stream';
import type { Clock } from '../../core/provider.ts';
import type { Timers } from '../../work/clock.ts';
import type { Part, RulesOf } from './admit.ts';
import { type Decoder, fieldValidationOf, mediaType, parseBody } from './decode.ts';
import { itemText, textOf } from './encode.ts';
import { type Draft, isObject, type JsonObject } from './json.ts';
import { listPage } from './list.ts';
import { patcher } from './patch.ts';
import { groupVersionOf, type Resource } from './resources.ts';
import type { ApiRequest, Target } from './route.ts';
import { both, fieldSelector, parseFieldSelector, parseLabelSelector, type Selector } from './selectors.ts';
import { badRequest, deleted, methodNotAllowed, notFound } from './status.ts';
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
}

type Verb = (context: VerbContext, target: Target, request: ApiRequest, query: URLSearchParams) => Answer;

/** Answers a request about objects. Throws StatusError. */
export const answerObjects: Verb = (context, target, request, query) =>
  verbOf(target, request.method, query)(context, target, request, query);

function verbOf(target: Target, method: string, query: URLSearchParams): Verb {
  const { resource, name, subresource, namespace } = target;
  const offered: readonly string[] =
    subresource === '' ? resource.verbs : (resource.subresources.find((one) => one.name === subresource)?.verbs ?? []);
  const watching = query.get('watch') === 'true' || query.get('watch') === '1';
  const [verb, run] = chosen(method, name !== undefined, watching, subresource);
  // A namespaced kind is created and deleted below its namespace only.
  const misplaced = resource.namespaced && namespace === undefined && verb !== 'list' && verb !== 'watch';
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
      return ['create', named === (subresource !== '') ? create : undefined];
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

const get: Verb = ({ store }, target) => object(200, target.resource, found(store, target));

function found(store: ApiStore, { resource, namespace, name = '' }: Target): Entry {
  const entry = store.get(resource.collection, keyOf(namespace, name));
  if (entry === undefined) throw notFound(resource, name);
  return entry;
}

const list: Verb = ({ store, rulesOf }, { resource, namespace }, _request, query) => {
  const page = listPage(store, resource, {
    namespace,
    selector: selectorOf(resource, rulesOf, query),
    query: {
      limit: wholeNumber(query, 'limit') ?? 0,
      continue: query.get('continue') ?? '',
      resourceVersion: query.get('resourceVersion') ?? '',
      resourceVersionMatch: query.get('resourceVersionMatch') ?? '',
    },
  });
  const metadata = {
    resourceVersion: String(page.revision),
    ...(page.continue === '' ? {} : { continue: page.continue }),
    ...(page.remaining === undefined ? {} : { remainingItemCount: page.remaining }),
  };
  const head = JSON.stringify({ kind: resource.listKind, apiVersion: groupVersionOf(resource), metadata });
  const items = page.entries.map((entry) => itemText(resource, entry)).join(',');
  return { status: 200, body: `${head.slice(0, -1)},"items":[${items}]}` };
};

const watch: Verb = (context, { resource, namespace }, _request, query) => ({
  status: 200,
  body: openWatch({
    ...context,
    resource,
    namespace,
    selector: selectorOf(resource, context.rulesOf, query),
    query: {
      resourceVersion: query.get('resourceVersion') ?? '',
      resourceVersionMatch: query.get('resourceVersionMatch') ?? '',
      bookmarks: query.get('allowWatchBookmarks') === 'true',
      sendInitialEvents: flag(query, 'sendInitialEvents'),
      timeoutSeconds: wholeNumber(query, 'timeoutSeconds'),
    },
    write: writerOf(resource),
  }),
});

const writers = new WeakMap<Resource, (entry: Entry) => string>();

/** One function per resource, so that all its plain watches share the text of an event. */
function writerOf(resource: Resource): (entry: Entry) => string {
  const known = writers.get(resource) ?? ((entry: Entry) => textOf(resource, entry));
  writers.set(resource, known);
  return known;
}

const create: Verb = ({ writes, decode }, { resource, namespace }, request, query) => {
  const warnings: string[] = [];
  const unknown = fieldValidationOf(query, 'CreateOptions');
  const draft = decode(resource, bodyOf(resource, request), { unknown, warnings });
  return warned(
    object(201, resource, writes.create(resource, namespace, draft, writeOptions(request, query))),
    warnings,
  );
};

const put: Verb = ({ writes, decode }, target, request, query) => {
  const { resource, namespace, name = '' } = target;
  const warnings: string[] = [];
  const unknown = fieldValidationOf(query, 'UpdateOptions');
  const draft = decode(resource, bodyOf(resource, request), { unknown, warnings });
  const make = (live: Draft | undefined): Draft => {
    checkUid({ resource, namespace, name }, draft.metadata.uid ?? '', live);
    return draft;
  };
  const written = writes.update({ resource, namespace, name }, partOf(target), make, writeOptions(request, query));
  return warned(object(written.created ? 201 : 200, resource, written.entry), warnings);
};

const patch: Verb = (context, target, request, query) => {
  const { resource, namespace, name = '' } = target;
  const { store, writes, decode } = context;
  const warnings: string[] = [];
  const unknown = fieldValidationOf(query, 'PatchOptions');
  const asked = { contentType: request.headers['content-type'], body: request.body };
  const patched = patcher(resource, asked, (body) => decode(resource, body, { unknown, warnings }));
  found(store, target);
  const make = (live: Draft | undefined): Draft => patched(live as Draft);
  const { entry } = writes.update({ resource, namespace, name }, partOf(target), make, writeOptions(request, query));
  return warned(object(200, resource, entry), warnings);
};

/** RFC 7234 section 5.5, as kubectl prints it. */
function warned(answer: Answer, warnings: readonly string[]): Answer {
  if (warnings.length === 0) return answer;
  const header = [...new Set(warnings)].map((text) => `299 - ${JSON.stringify(text)}`).join(', ');
  return { ...answer, headers: { ...answer.headers, warning: header } };
}

const remove: Verb = ({ writes, rulesOf }, { resource, namespace, name = '' }, request, query) => {
  const { entry, gone } = writes.remove({ resource, namespace, name }, deleteQuery(request, query));
  if (!gone || rulesOf(resource).returnsDeleted === true) return object(200, resource, entry);
  return json(200, deleted(resource, name, entry.object.metadata.uid ?? ''));
};

const removeAll: Verb = ({ store, writes, rulesOf }, { resource, namespace }, request, query) => {
  const selector = selectorOf(resource, rulesOf, query);
  const options = deleteQuery(request, query);
  const chosen = store
    .list(resource.collection, namespace === undefined ? '' : `${namespace}/`)
    .filter((entry) => selector?.(entry.object) ?? true);
  const removed = chosen.map(
    (entry) => writes.remove({ resource, namespace, name: entry.object.metadata.name ?? '' }, options).entry,
  );
  const head = JSON.stringify({
    kind: resource.listKind,
    apiVersion: groupVersionOf(resource),
    metadata: { resourceVersion: String(store.revision) },
  });
  return {
    status: 200,
    body: `${head.slice(0, -1)},"items":[${removed.map((entry) => itemText(resource, entry)).join(',')}]}`,
  };
};

const object = (status: number, resource: Resource, entry: Entry): Answer => ({
  status,
  body: textOf(resource, entry),
});
export const json = (status: number, body: JsonObject): Answer => ({ status, body: JSON.stringify(body) });

const partOf = ({ subresource }: Target): Part => subresource as Part;

function selectorOf(resource: Resource, rulesOf: RulesOf, query: URLSearchParams): Selector | undefined {
  const tests = parseFieldSelector(query.get('fieldSelector'));
  return both(
    parseLabelSelector(query.get('labelSelector')),
    fieldSelector(tests, resource.namespaced, rulesOf(resource).fields),
  );
}

const bodyOf = (resource: Resource, request: ApiRequest): JsonObject =>
  parseBody(resource.kind, request.body, mediaType(request.headers['content-type']));

function writeOptions(request: ApiRequest, query: URLSearchParams): WriteOptions {
  return { dryRun: dryRun(query.getAll('dryRun')), manager: managerOf(request, query) };
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
    dryRun: dryRun([...query.getAll('dryRun'), ...(Array.isArray(body['dryRun']) ? body['dryRun'].map(String) : [])]),
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
  throw badRequest(`invalid propagationPolicy ${JSON.stringify(text)}`);
}

function dryRun(values: readonly string[]): boolean {
  const wrong = values.find((value) => value !== 'All');
  if (wrong !== undefined) throw badRequest(`invalid dryRun ${JSON.stringify(wrong)}: only "All" is supported`);
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
