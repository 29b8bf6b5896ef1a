import type { Catalogue, Resource } from './resources.ts';
import { noSuchResource } from './status.ts';

/** One request, transport-free: from an HTTP server or straight from a client of this process. */
export interface ApiRequest {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body?: string;
}

/** What the path of a request names, when it is about objects. */
export interface Target {
  readonly resource: Resource;
  /** Undefined: kinds of the cluster, or all namespaces. */
  readonly namespace: string | undefined;
  /** Undefined: the collection. */
  readonly name: string | undefined;
  /** '' for the object itself. */
  readonly subresource: string;
}

/** Undefined when the path is not below /api/VERSION or /apis/GROUP/VERSION. Throws 404 for an unknown resource. */
export function targetOf(catalogue: Catalogue, path: string): Target | undefined {
  const parts = path
    .split('/')
    .filter((part) => part !== '')
    .map(decodeURIComponent);
  const [root] = parts;
  const rest = root === 'api' ? parts.slice(2) : root === 'apis' ? parts.slice(3) : [];
  const group = root === 'api' ? '' : parts[1];
  const version = root === 'api' ? parts[1] : parts[2];
  if (rest.length === 0 || group === undefined || version === undefined) return undefined;
  if (!catalogue.serves(group, version)) return undefined;

  const within = rest[0] === 'namespaces' && rest.length > 2 && !isNamespaceSubresource(rest);
  const namespace = within ? rest[1] : undefined;
  const [plural, name, subresource = '', ...more] = within ? rest.slice(2) : rest;
  const resource = plural === undefined ? undefined : catalogue.find(group, version, plural);
  if (resource === undefined || more.length > 0) throw noSuchResource();
  if (resource.namespaced ? namespace === undefined && name !== undefined : within) throw noSuchResource();
  if (subresource !== '' && !resource.subresources.some((one) => one.name === subresource)) throw noSuchResource();
  return { resource, namespace, name, subresource };
}

/** /namespaces/NAME/status is about the namespace itself. */
const isNamespaceSubresource = (parts: readonly string[]): boolean =>
  parts.length === 3 && (parts[2] === 'status' || parts[2] === 'finalize');
