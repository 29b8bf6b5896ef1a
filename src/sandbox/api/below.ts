import { json } from './answer.ts';
import { found, type Verb } from './context.ts';
import { mediaType, parseBody } from './decode.ts';
import { invalidObject, required } from './invalid.ts';
import { at, clone, type Draft, type JsonObject, rfc3339 } from './json.ts';
import { patchDocument } from './patch.ts';
import { writeOptions } from './query.ts';
import type { Resource } from './resources.ts';
import { tokenRequest } from './reviews.ts';
import type { ApiRequest } from './route.ts';
import { scaled, scaleOf } from './scale.ts';
import { conflict } from './status.ts';

/** GET, PUT and PATCH of `scale`. */
export const scale: Verb = (context, target, request, query) => {
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
export const createBelow: Verb = (context, target, request, query) => {
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
