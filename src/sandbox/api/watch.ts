import { Readable } from 'node:stream';
import type { Clock } from '../../core/provider.ts';
import type { Timers } from '../../work/clock.ts';
import { type FieldError, invalidObject, notAllowed, unsupported } from './invalid.ts';
import { parseRevision } from './list.ts';
import { groupVersionOf, type Resource } from './resources.ts';
import type { Selector } from './selectors.ts';
import { expired, tooLargeVersion } from './status.ts';
import { type ApiStore, type Change, Entry, versioned } from './store.ts';

export interface WatchQuery {
  /** '' and '0' begin with what exists. */
  readonly resourceVersion: string;
  readonly resourceVersionMatch: string;
  readonly bookmarks: boolean;
  readonly sendInitialEvents: boolean | undefined;
  /** Undefined and 0: 30 to 60 minutes, as --min-request-timeout of a kube-apiserver gives. */
  readonly timeoutSeconds: number | undefined;
}

/** Makes the text of one object of an event: the same function for every watch that shares texts. */
export type Writer = (entry: Entry) => string;

export interface WatchOptions {
  readonly store: ApiStore;
  readonly clock: Clock & Timers;
  readonly random: () => number;
  readonly resource: Resource;
  readonly namespace: string | undefined;
  readonly selector: Selector | undefined;
  readonly query: WatchQuery;
  readonly write: Writer;
}

const bookmarkMs = 60_000;
/** The last bookmark comes this long before the end (cacher of apiserver). */
const farewellMs = 2_000;
const shortestMs = 1_800_000;
/** A client that does not read is dropped rather than kept in memory. */
const mostUnreadBytes = 256 * 2 ** 20;

/**
 * A watch: newline-separated JSON events, until the time is over or the reader goes. A version that is too old is an
 * ERROR event in an answer of 200, as kube-apiserver sends it. Throws 400, 422, 504.
 */
export function openWatch(options: WatchOptions): Readable {
  const { store, clock, resource, query } = options;
  checkQuery(query);
  const body = new Readable({ read() {}, highWaterMark: mostUnreadBytes });
  const asked = parseRevision(query.resourceVersion);
  if (asked > store.revision && query.sendInitialEvents === true) throw tooLargeVersion(asked, store.revision);
  const initial = query.sendInitialEvents ?? asked === 0;
  if (!initial && asked > 0 && store.since(resource.collection, asked) === undefined) {
    body.push(errorLine(asked, store.compacted));
    body.push(null);
    return body;
  }
  /** Events up to here are sent, or were before the version that the client began at. */
  let seen = initial ? store.revision : asked;
  const prefix = options.namespace === undefined ? '' : `${options.namespace}/`;
  const send = (change: Change): void => {
    if (change.revision <= seen || !change.now.key.startsWith(prefix)) return;
    seen = change.revision;
    const line = lineFor(change, options);
    if (line === undefined) return;
    body.push(line);
    if (body.readableLength > mostUnreadBytes) close();
  };
  const bookmark = (annotations?: Readonly<Record<string, string>>): void => {
    if (seen < store.revision) seen = store.revision;
    body.push(bookmarkLine(resource, seen, annotations));
  };

  if (initial) {
    for (const entry of store.list(resource.collection, prefix))
      if (options.selector === undefined || options.selector(entry.object))
        body.push(line('ADDED', options.write(entry)));
    if (query.sendInitialEvents === true && query.bookmarks) bookmark({ 'k8s.io/initial-events-end': 'true' });
  } else {
    for (const change of store.since(resource.collection, asked > 0 ? asked : store.revision) ?? []) send(change);
  }
  const unsubscribe = store.subscribe(resource.collection, send);

  const lifeMs =
    query.timeoutSeconds === undefined || query.timeoutSeconds <= 0
      ? shortestMs * (1 + options.random())
      : query.timeoutSeconds * 1000;
  let cancelBookmark = (): void => {};
  const armBookmark = (ms: number): void => {
    cancelBookmark = clock.after(ms, () => {
      bookmark();
      const leftMs = endMs - clock.monotonicMs() - farewellMs;
      if (leftMs > 0) armBookmark(Math.min(bookmarkMs, leftMs));
    });
  };
  const endMs = clock.monotonicMs() + lifeMs;
  if (query.bookmarks && lifeMs > farewellMs) armBookmark(Math.min(bookmarkMs, lifeMs - farewellMs));
  const cancelEnd = clock.after(lifeMs, () => {
    release();
    body.push(null);
  });
  const release = (): void => {
    unsubscribe();
    cancelEnd();
    cancelBookmark();
  };
  const close = (): void => {
    release();
    body.destroy();
  };
  body.once('close', release);
  return body;
}

/** Undefined when the change does not concern the watch. A change of what is selected turns into ADDED or DELETED. */
function lineFor(change: Change, { resource, selector, write }: WatchOptions): Buffer | undefined {
  if (selector === undefined) return shared(change, change.type, change.now, resource, write);
  const is = change.type !== 'DELETED' && selector(change.now.object);
  const was = change.before !== undefined && selector(change.before.object);
  if (is) return shared(change, was ? 'MODIFIED' : 'ADDED', change.now, resource, write);
  if (!was || change.before === undefined) return undefined;
  const last = change.type === 'DELETED' ? change.now : departed(change.before, change.revision);
  return shared(change, 'DELETED', last, resource, write);
}

/** Lines by change, resource, writer and type: an event is serialised once, however many watch it. */
const lines = new WeakMap<Change, Map<string, { readonly write: Writer; readonly line: Buffer }>>();

function shared(change: Change, type: string, entry: Entry, resource: Resource, write: Writer): Buffer {
  const made = lines.get(change) ?? new Map();
  lines.set(change, made);
  const name = `${type} ${groupVersionOf(resource)}`;
  const known = made.get(name);
  if (known?.write === write) return known.line;
  const fresh = line(type, write(entry));
  made.set(name, { write, line: fresh });
  return fresh;
}

/** What a watch sees of an object that its selector no longer chooses: the last chosen state, under the new version. */
const departed = (before: Entry, revision: number): Entry =>
  new Entry(before.key, revision, versioned(before.object, revision));

const line = (type: string, object: string): Buffer => Buffer.from(`{"type":"${type}","object":${object}}\n`);

/** The event that says that a version is no longer known. */
export function errorLine(asked: number, oldest: number): Buffer {
  return line('ERROR', JSON.stringify(expired(`too old resource version: ${asked} (${oldest})`).body));
}

function bookmarkLine(resource: Resource, revision: number, annotations?: Readonly<Record<string, string>>): Buffer {
  const object = {
    kind: resource.kind,
    apiVersion: groupVersionOf(resource),
    metadata: {
      resourceVersion: String(revision),
      ...(annotations === undefined ? {} : { annotations }),
    },
  };
  return line('BOOKMARK', JSON.stringify(object));
}

/** validateWatchOptions of apimachinery. */
function checkQuery({ resourceVersionMatch: match, sendInitialEvents }: WatchQuery): void {
  const errors: FieldError[] = [];
  if (sendInitialEvents !== undefined && match !== 'NotOlderThan')
    errors.push(
      notAllowed('resourceVersionMatch', 'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan'),
    );
  if (match !== '' && sendInitialEvents === undefined)
    errors.push(
      notAllowed(
        'resourceVersionMatch',
        'resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided',
      ),
    );
  if (match !== '' && match !== 'NotOlderThan')
    errors.push(unsupported('resourceVersionMatch', match, ['NotOlderThan']));
  if (errors.length > 0) throw invalidObject('meta.k8s.io', 'ListOptions', '', errors);
}
