import type { KubeObject } from '../core/objects.ts';
import type { ResourceName } from '../core/provider.ts';
import type { Timers } from '../work/clock.ts';
import { createDeadline } from './deadline.ts';
import { parse } from './json.ts';
import { type Client, textOf } from './request.ts';
import { pathOf } from './resource.ts';
import { trim } from './trim.ts';

/** Which objects of a kind. */
export interface Selection {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

export interface ListOptions extends Selection {
  readonly client: Client;
  readonly resource: ResourceName;
  readonly timers: Timers;
  readonly signal: AbortSignal;
  /** Objects per request (500): one page is what is parsed at a stretch. */
  readonly pageSize?: number;
}

export interface Listing<T> {
  /** Each with apiVersion and kind, like the objects of a watch. */
  readonly items: readonly T[];
  /** Where a watch goes on. */
  readonly resourceVersion: string;
}

const PAGE_SIZE = 500;
/** The transport has limits of its own; this one also holds where there is no socket. */
const PAGE_LIMIT_MS = 60_000;

/**
 * All objects, read in pages, as one consistent picture (a resourceVersion is not asked for: the newest state).
 * Rejects with ApiError; 410 when the pages took longer than the server keeps their version.
 */
export async function list<T extends KubeObject>(options: ListOptions): Promise<Listing<T>> {
  const items: T[] = [];
  for (let next: string | undefined; ; ) {
    const page = await readPage<T>(options, next);
    for (const item of page.items ?? []) items.push(trim(typed(item, page)));
    // Every page carries the version of the first, or, where the server had to move on, of its own: the last one counts.
    if (!page.metadata.continue) return { items, resourceVersion: page.metadata.resourceVersion };
    next = page.metadata.continue;
  }
}

/** Integers beyond 2^53 exist in custom resources only (counts of addresses); built-in kinds take the fast parser. */
export function parserFor({ group }: ResourceName): (text: string) => unknown {
  const isBuiltIn = !group.includes('.') || group.endsWith('.k8s.io');
  return isBuiltIn ? JSON.parse : parse;
}

interface Page<T> {
  readonly apiVersion: string;
  /** 'ServiceList' */
  readonly kind: string;
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items: readonly T[] | null;
}

async function readPage<T>(options: ListOptions, next: string | undefined): Promise<Page<T>> {
  const { client, resource, namespace, labelSelector, fieldSelector, pageSize = PAGE_SIZE } = options;
  const query = { limit: pageSize, continue: next, labelSelector, fieldSelector };
  const path = pathOf(resource, { ...(namespace === undefined ? {} : { namespace }), query });
  const deadline = createDeadline(
    options.signal,
    options.timers,
    PAGE_LIMIT_MS,
    () => new Error(`GET ${path}: no whole answer within ${PAGE_LIMIT_MS} ms`),
  );
  try {
    const body = await client.open({ method: 'GET', path, signal: deadline.signal });
    return parserFor(resource)(await textOf(body)) as Page<T>;
  } finally {
    deadline.end();
  }
}

/** kube-apiserver leaves apiVersion and kind out of the items of built-in lists. */
function typed<T extends KubeObject>(item: T, { apiVersion, kind }: Page<T>): T {
  if (item.kind !== undefined) return item;
  return Object.assign(item, { apiVersion, kind: kind.replace(/List$/, '') });
}
