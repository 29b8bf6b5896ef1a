import type { Readable } from 'node:stream';
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

export interface ListOptions<T = KubeObject> extends Selection {
  readonly client: Client;
  readonly resource: ResourceName;
  readonly timers: Timers;
  readonly signal: AbortSignal;
  /**
   * Objects per request (500): one page is what is parsed at a stretch. 0: all in one answer, parsed as it comes; a third of
   * the time of pages, for a server that answers from its cache, as it does for built-in kinds since Kubernetes 1.31.
   */
  readonly pageSize?: number;
  /** What is kept of each object, taken as it is parsed: the whole ones never pile up. */
  readonly reduce?: (object: T) => T;
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
export async function list<T extends KubeObject>(options: ListOptions<T>): Promise<Listing<T>> {
  const { reduce = (object: T): T => object } = options;
  const items: T[] = [];
  if (options.pageSize === 0) {
    const resourceVersion = await readAll<T>(options, (item) => void items.push(reduce(item)));
    return { items, resourceVersion };
  }
  for (let next: string | undefined; ; ) {
    const page = await readPage<T>(options, next);
    for (const item of page.items ?? []) items.push(reduce(trim(typed(item, page))));
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

async function readPage<T>(options: ListOptions<T>, next: string | undefined): Promise<Page<T>> {
  const { resource, pageSize = PAGE_SIZE } = options;
  return await request(options, { limit: pageSize, continue: next }, async (body) => {
    return parserFor(resource)(await textOf(body)) as Page<T>;
  });
}

async function request<T, R>(
  { client, resource, namespace, labelSelector, fieldSelector, timers, signal }: ListOptions<T>,
  query: Readonly<Record<string, string | number | undefined>>,
  use: (body: Readable) => Promise<R>,
): Promise<R> {
  const path = pathOf(resource, {
    ...(namespace === undefined ? {} : { namespace }),
    query: { ...query, labelSelector, fieldSelector },
  });
  const deadline = createDeadline(
    signal,
    timers,
    PAGE_LIMIT_MS,
    () => new Error(`GET ${path}: no whole answer within ${PAGE_LIMIT_MS} ms`),
  );
  try {
    return await use(await client.open({ method: 'GET', path, signal: deadline.signal }));
  } finally {
    deadline.end();
  }
}

/** Characters that are parsed at a stretch: some 2 ms. */
const PIECE = 256 * 1024;
const ITEMS = '"items":[';
/** How the server writes the end of one item and the start of the next; within a text its quotes would be escaped. */
const BETWEEN = '},{"metadata":{';

/** Gives each item as it comes, and returns the version. An answer in another form is parsed as a whole. */
async function readAll<T extends KubeObject>(options: ListOptions<T>, on: (item: T) => void): Promise<string> {
  const parseText = parserFor(options.resource);
  return await request(options, {}, async (body) => {
    let head: Page<T> | undefined; // the list without its items, once its beginning has come
    let opening = '';
    let rest = '';
    let enough = PIECE;
    const take = (page: Page<T>, items: readonly T[]): void => {
      for (const item of items) on(trim(typed(item, page)));
    };
    for await (const chunk of body) {
      rest += chunk as string;
      if (rest.length < enough) continue;
      if (head === undefined) {
        const at = rest.indexOf(ITEMS);
        if (at < 0) continue;
        opening = rest.slice(0, at + ITEMS.length);
        head = parseText(`${opening}]}`) as Page<T>;
        rest = rest.slice(at + ITEMS.length);
      }
      const end = rest.lastIndexOf(BETWEEN);
      const items = end < 0 ? undefined : itemsIn(rest.slice(0, end + 1), parseText);
      if (items === undefined) {
        // The place was inside of an item: a longer piece ends elsewhere.
        enough = 2 * rest.length;
        continue;
      }
      enough = PIECE;
      rest = rest.slice(end + 2);
      take(head, items as readonly T[]);
    }
    const last = parseText(`${opening}${rest}`) as Page<T>;
    take(last, last.items ?? []);
    return last.metadata.resourceVersion;
  });
}

function itemsIn(text: string, parseText: (text: string) => unknown): readonly unknown[] | undefined {
  try {
    return parseText(`[${text}]`) as readonly unknown[];
  } catch {
    return undefined; // not whole items; what cannot be parsed at all fails with the rest
  }
}

/** kube-apiserver leaves apiVersion and kind out of the items of built-in lists. */
function typed<T extends KubeObject>(item: T, { apiVersion, kind }: Page<T>): T {
  if (item.kind !== undefined) return item;
  return Object.assign(item, { apiVersion, kind: kind.replace(/List$/, '') });
}
