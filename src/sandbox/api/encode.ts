import { encoded } from './decode.ts';
import { type JsonObject, printJson } from './json.ts';
import type { Page } from './list.ts';
import { groupVersionOf, type Resource } from './resources.ts';
import { notAcceptable } from './status.ts';
import type { Entry } from './store.ts';
import { tableOf } from './table.ts';

/** How the client wants objects: whole, cut down to their metadata, or as the rows that kubectl prints. */
export interface View {
  /** `{"kind":"Service","apiVersion":"v1","metadata":...}`. */
  object(entry: Entry): string;
  list(page: Page): string;
  /** For the events of one watch. Views of whole objects share theirs, so that an event is serialised once. */
  event(): (entry: Entry) => string;
}

type As = 'Object' | 'PartialObjectMetadata' | 'Table';

/** The first kind of answer that the Accept header names and this server has. Throws 406. */
export function viewOf(
  resource: Resource,
  accept: string | undefined,
  { nowMs, includeObject }: { readonly nowMs: number; readonly includeObject: string | null },
): View {
  switch (wanted(accept)) {
    case 'Object':
      return plainView(resource);
    case 'PartialObjectMetadata':
      return partialView(resource);
    case 'Table':
      return tableView(
        resource,
        nowMs,
        includeObject === 'None' || includeObject === 'Object' ? includeObject : 'Metadata',
      );
  }
}

function wanted(accept: string | undefined): As {
  const offers = (accept ?? '').split(',').map((offer) => offer.split(';').map((part) => part.trim().toLowerCase()));
  for (const [type = '', ...parameters] of offers) {
    if (!['', '*/*', 'application/*', 'application/json'].includes(type)) continue;
    const as = parameters.find((one) => one.startsWith('as='))?.slice(3);
    const meta = parameters.includes('g=meta.k8s.io') && parameters.includes('v=v1');
    if (as === undefined) return 'Object';
    if (as === 'table' && meta) return 'Table';
    if ((as === 'partialobjectmetadata' || as === 'partialobjectmetadatalist') && meta) return 'PartialObjectMetadata';
  }
  const types = ['application/json', 'application/yaml', 'application/vnd.kubernetes.protobuf'];
  throw notAcceptable([...types, 'application/json;stream=watch', 'application/vnd.kubernetes.protobuf;stream=watch']);
}

const plainViews = new WeakMap<Resource, View>();

function plainView(resource: Resource): View {
  const known = plainViews.get(resource);
  if (known !== undefined) return known;
  const object = (entry: Entry): string => stamped(resource, textOf(resource, entry));
  const view: View = {
    object,
    // Objects of built-in kinds come without kind and apiVersion in a list, custom ones with them.
    list: (page) => listOf(resource, page, resource.custom === undefined ? (entry) => textOf(resource, entry) : object),
    event: () => object,
  };
  plainViews.set(resource, view);
  return view;
}

function partialView(resource: Resource): View {
  const object = ({ object: { metadata } }: Entry): string =>
    JSON.stringify({ kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata });
  const named = { ...resource, group: 'meta.k8s.io', version: 'v1', listKind: 'PartialObjectMetadataList' };
  return { object, list: (page) => listOf(named, page, object), event: () => object };
}

function tableView(resource: Resource, nowMs: number, include: 'None' | 'Metadata' | 'Object'): View {
  // Rows are made from the stored form: the table of events reads the core API's names.
  const kind = resource.custom === undefined ? resource.kind : '';
  const table = (entries: readonly Entry[], how: { readonly page?: Page; readonly noHeaders?: true }): string => {
    const objects = entries.map(({ object }) => ({
      kind: resource.kind,
      apiVersion: groupVersionOf(resource),
      ...object,
    }));
    const { page } = how;
    return printJson(
      tableOf(kind, objects, {
        now: nowMs,
        includeObject: include,
        ...(resource.custom === undefined ? {} : { columns: resource.custom.columns }),
        resourceVersion:
          page === undefined ? String(entries[0]?.object.metadata.resourceVersion ?? '') : String(page.revision),
        ...(page === undefined || page.continue === '' ? {} : { continue: page.continue }),
        ...(page?.remaining === undefined ? {} : { remainingItemCount: page.remaining }),
        ...(how.noHeaders === undefined ? {} : { noHeaders: how.noHeaders }),
      }),
    );
  };
  return {
    object: (entry) => table([entry], {}),
    list: (page) => table(page.entries, { page }),
    event: () => {
      let first = true;
      return (entry) => {
        const text = table([entry], first ? {} : { noHeaders: true });
        first = false;
        return text;
      };
    },
  };
}

function listOf(
  resource: Resource,
  { entries, revision, continue: token, remaining }: Page,
  item: (entry: Entry) => string,
): string {
  const metadata = {
    ...(token === '' && resource.custom === undefined ? {} : { continue: token }),
    ...(remaining === undefined ? {} : { remainingItemCount: remaining }),
    resourceVersion: String(revision),
  };
  const head = JSON.stringify({ kind: resource.listKind, apiVersion: groupVersionOf(resource), metadata });
  return `${head.slice(0, -1)},"items":[${entries.map(item).join(',')}]}`;
}

/** The object with kind and apiVersion, to be changed by a patch. */
export function documentOf(resource: Resource, object: Entry['object']): JsonObject {
  return { kind: resource.kind, apiVersion: groupVersionOf(resource), ...encoded(resource, object) };
}

function stamped(resource: Resource, text: string): string {
  const kind = `"kind":${JSON.stringify(resource.kind)}`;
  const version = `"apiVersion":${JSON.stringify(groupVersionOf(resource))}`;
  return `{${resource.custom === undefined ? `${kind},${version}` : `${version},${kind}`},${text.slice(1)}`;
}

const textOf = (resource: Resource, entry: Entry): string =>
  resource.group === 'events.k8s.io' ? printJson(encoded(resource, entry.object)) : entry.text;
