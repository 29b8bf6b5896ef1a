import { type FieldError, invalidObject, notAllowed, unsupported } from './invalid.ts';
import type { Resource } from './resources.ts';
import type { Selector } from './selectors.ts';
import { badRequest, expired, StatusError, tooLargeVersion } from './status.ts';
import type { ApiStore, Entry } from './store.ts';

/** The query of a list. */
export interface ListQuery {
  /** 0: everything at once. */
  readonly limit: number;
  readonly continue: string;
  readonly resourceVersion: string;
  readonly resourceVersionMatch: string;
}

export interface Page {
  readonly entries: readonly Entry[];
  /** Of the whole list: the same on each of its pages. */
  readonly revision: number;
  /** '' on the last page. */
  readonly continue: string;
  /** Only where no selector was given. */
  readonly remaining?: number;
}

/** Where a continued list goes on, inside its opaque token. Revision -1: at whatever revision is current. */
interface Continuation {
  readonly v: 'meta.k8s.io/v1';
  readonly rv: number;
  readonly start: string;
}

const tooOld =
  'The provided continue parameter is too old to display a consistent list result. You can start a new list without ' +
  'the continue parameter, or use the continue token in this response to retrieve the remainder of the results. ' +
  'Continuing with the provided token results in an inconsistent list - objects that were created, modified, or ' +
  'deleted between the time the first chunk was returned and now may show up in the list.';

/** One page of a list, consistent with its first page. Throws 400, 410 (with a usable token where there was one), 504. */
export function listPage(
  store: ApiStore,
  resource: Resource,
  {
    namespace,
    selector,
    query,
    staleBy = 0,
  }: {
    readonly namespace: string | undefined;
    readonly selector: Selector | undefined;
    readonly query: ListQuery;
    /** For a fault: the first page shows the world so many revisions ago, as far back as the log goes. */
    readonly staleBy?: number;
  },
): Page {
  checkMatch(query);
  const prefix = namespace === undefined ? '' : `${namespace}/`;
  const { from, revision } =
    query.continue === '' ? { from: '', revision: aged(store, startOf(store, query), staleBy) } : resume(store, query);
  const all =
    revision === store.revision
      ? store.list(resource.collection, prefix)
      : store.listAt(resource.collection, revision, prefix);
  if (all === undefined) throw expired(`The resourceVersion for the provided list is too old.`);
  const rest = from === '' ? all : all.filter((entry) => entry.key >= from);
  const limit = query.limit > 0 ? query.limit : Number.POSITIVE_INFINITY;
  const entries: Entry[] = [];
  let next = 0;
  for (; next < rest.length && entries.length < limit; next += 1) {
    const entry = rest[next] as Entry;
    if (selector === undefined || selector(entry.object)) entries.push(entry);
  }
  const last = rest[next - 1];
  if (next >= rest.length || last === undefined) return { entries, revision, continue: '' };
  return {
    entries,
    revision,
    continue: tokenOf({ v: 'meta.k8s.io/v1', rv: revision, start: `${last.key}\0` }),
    ...(selector === undefined ? { remaining: rest.length - next } : {}),
  };
}

/** `resourceVersion` as a number: '' and '0' are 0. Throws 400. */
export function parseRevision(text: string): number {
  if (text === '') return 0;
  if (!/^\d{1,15}$/.test(text))
    throw badRequest(
      `invalid resource version: resourceVersion: Invalid value: ${JSON.stringify(text)}: strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`,
    );
  return Number(text);
}

/** A token is only what this server gave out, so that any other gets 400. */
const tokenOf = (where: Continuation): string => Buffer.from(JSON.stringify(where)).toString('base64url');

function startOf(store: ApiStore, query: ListQuery): number {
  const asked = parseRevision(query.resourceVersion);
  if (asked > store.revision) throw tooLargeVersion(asked, store.revision);
  // Without a match rule, a version with a limit means exactly that version; alone it means 'not older than'.
  const exact =
    query.resourceVersionMatch === 'Exact' || (query.resourceVersionMatch === '' && query.limit > 0 && asked > 0);
  return exact ? asked : store.revision;
}

const aged = (store: ApiStore, revision: number, staleBy: number): number =>
  staleBy === 0 ? revision : Math.max(revision - staleBy, store.compacted);

function resume(store: ApiStore, query: ListQuery): { readonly from: string; readonly revision: number } {
  if (query.resourceVersion !== '' && query.resourceVersion !== '0')
    throw badRequest('specifying resource version is not allowed when using continue');
  const where = continuationOf(query.continue);
  if (where.rv < 0) return { from: where.start, revision: store.revision };
  if (where.rv < store.compacted) {
    const { body } = expired(tooOld);
    throw new StatusError({ ...body, metadata: { continue: tokenOf({ ...where, rv: -1 }) } });
  }
  return { from: where.start, revision: where.rv };
}

function continuationOf(token: string): Continuation {
  try {
    const where: unknown = JSON.parse(Buffer.from(token, 'base64url').toString());
    if (isContinuation(where)) return where;
  } catch {
    // Not JSON: answered like any other foreign token.
  }
  throw badRequest('invalid continue token: continue key is not valid');
}

function isContinuation(value: unknown): value is Continuation {
  if (typeof value !== 'object' || value === null) return false;
  const { v, rv, start } = value as Record<string, unknown>;
  return v === 'meta.k8s.io/v1' && Number.isSafeInteger(rv) && typeof start === 'string';
}

/** ValidateListOptions of apimachinery. */
function checkMatch(query: ListQuery): void {
  const { resourceVersionMatch: match, resourceVersion, continue: token } = query;
  const errors: FieldError[] = [];
  if (match === '') return;
  if (resourceVersion === '')
    errors.push(
      notAllowed('resourceVersionMatch', 'resourceVersionMatch is forbidden unless resourceVersion is provided'),
    );
  if (token !== '')
    errors.push(notAllowed('resourceVersionMatch', 'resourceVersionMatch is forbidden when continue is provided'));
  if (match !== 'Exact' && match !== 'NotOlderThan')
    errors.push(unsupported('resourceVersionMatch', match, ['Exact', 'NotOlderThan', '']));
  if (match === 'Exact' && resourceVersion === '0')
    errors.push(
      notAllowed('resourceVersionMatch', 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'),
    );
  if (errors.length > 0) throw invalidObject('meta.k8s.io', 'ListOptions', '', errors);
}
