import type { KubeObject } from '../core/objects.ts';
import type { ResourceName } from '../core/provider.ts';
import { parserFor, type Selection } from './list.ts';
import { apiErrorOf, type Client, linesOf } from './request.ts';
import { pathOf } from './resource.ts';
import { trim } from './trim.ts';

export type WatchEvent<T> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: T }
  /** Nothing changed up to here: only `metadata.resourceVersion` is filled. */
  | { readonly type: 'BOOKMARK'; readonly object: KubeObject };

export interface WatchOptions extends Selection {
  readonly client: Client;
  readonly resource: ResourceName;
  /** From a list, or from the last event seen. */
  readonly resourceVersion: string;
  /** The server ends the watch after this time. Whole seconds. */
  readonly timeoutSeconds: number;
  readonly signal: AbortSignal;
}

/**
 * The events after a version, in the server's order, until the server ends the watch. An ERROR event is thrown as
 * ApiError (410: the version is too old), a broken connection as what the transport says.
 */
export async function* watch<T extends KubeObject>(options: WatchOptions): AsyncGenerator<WatchEvent<T>, void> {
  const { client, resource, signal } = options;
  const parse = parserFor(resource);
  const body = await client.open({ method: 'GET', path: pathFor(options), signal, exempt: true, stream: true });
  for await (const line of linesOf(body)) {
    if (line === '') continue;
    const event = parse(line) as { readonly type: string; readonly object: T };
    if (event.type === 'ERROR') throw apiErrorOf(event.object);
    yield { type: event.type, object: trim(event.object) } as WatchEvent<T>;
  }
}

function pathFor({ resource, namespace, labelSelector, fieldSelector, ...options }: WatchOptions): string {
  return pathOf(resource, {
    ...(namespace === undefined ? {} : { namespace }),
    query: {
      watch: true,
      allowWatchBookmarks: true,
      resourceVersion: options.resourceVersion,
      timeoutSeconds: options.timeoutSeconds,
      labelSelector,
      fieldSelector,
    },
  });
}
