import { encoded } from './decode.ts';
import type { JsonObject } from './json.ts';
import { groupVersionOf, type Resource } from './resources.ts';
import type { Entry } from './store.ts';

/** How the client wants objects: as they are, or cut down to their metadata. Tables are made in tables.ts. */
export type View =
  | { readonly as: 'object' }
  | { readonly as: 'metadata' }
  | { readonly as: 'table'; readonly include: 'None' | 'Metadata' | 'Object' };

/** `{"kind":"Service","apiVersion":"v1","metadata":...}`. */
export function textOf(resource: Resource, entry: Entry): string {
  return stamped(resource, converted(resource, entry));
}

/** An item of a list: objects of built-in kinds come without kind and apiVersion, custom ones with them. */
export function itemText(resource: Resource, entry: Entry): string {
  const text = converted(resource, entry);
  return resource.custom !== undefined ? stamped(resource, text) : text;
}

/** The object with kind and apiVersion, to be changed by a patch or shown in a table. */
export function objectOf(resource: Resource, entry: Entry): JsonObject {
  return JSON.parse(textOf(resource, entry)) as JsonObject;
}

function stamped(resource: Resource, text: string): string {
  const kind = `"kind":${JSON.stringify(resource.kind)}`;
  const version = `"apiVersion":${JSON.stringify(groupVersionOf(resource))}`;
  return `{${resource.custom !== undefined ? `${version},${kind}` : `${kind},${version}`}${text === '{}' ? '' : ','}${text.slice(1)}`;
}

function converted(resource: Resource, entry: Entry): string {
  return resource.group === 'events.k8s.io' ? JSON.stringify(encoded(resource, entry.object)) : entry.text;
}
