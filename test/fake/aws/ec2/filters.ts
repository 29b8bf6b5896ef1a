import type { Filter } from '@aws-sdk/client-ec2';
import { AwsError, invalidValue } from '../error.ts';
import type { Given } from '../given.ts';
import { pageOf } from '../paging.ts';
import type { Tags } from '../records.ts';

/** Filter name -> the values that a record has for it; undefined for a filter that the operation does not know. */
export type Values<T> = (record: T, filter: string) => readonly (string | undefined)[] | undefined;

/** Values of all filters of one request. */
const VALUES_PER_CALL = 200;

export interface Selection<T> {
  readonly all: readonly T[];
  readonly idOf: (record: T) => string;
  /** Asked for by id: one that is not there is an error of this code. */
  readonly ids?: readonly string[] | undefined;
  readonly notFound: string;
  /** Ids that do not look like this are `malformed`. */
  readonly pattern?: RegExp;
  readonly malformed?: string;
  readonly filters?: readonly Given<Filter>[] | undefined;
  readonly values: Values<T>;
  readonly maxResults?: number | undefined;
  readonly nextToken?: string | undefined;
}

/** Ids, filters and pages as all Describe operations of EC2 have them. Without MaxResults everything comes at once. */
export function select<T>(selection: Selection<T>): { readonly items: readonly T[]; readonly next?: string } {
  const { all, idOf, ids, filters = [], values, maxResults, nextToken } = selection;
  if (maxResults !== undefined && (maxResults < 5 || maxResults > 1000)) {
    throw invalidValue(`MaxResults ${maxResults} is not between 5 and 1000`);
  }
  if (filters.flatMap(({ Values: wanted = [] }) => wanted).length > VALUES_PER_CALL) {
    throw new AwsError('FilterLimitExceeded', `The maximum number of filter values is ${VALUES_PER_CALL}`);
  }
  const tests = filters.map((filter) => testOf(filter, values));
  const chosen = ids === undefined || ids.length === 0 ? all : byIds(selection, ids);
  const matching = tests.length === 0 ? chosen : chosen.filter((record) => tests.every((test) => test(record)));
  return pageOf(matching, idOf, {
    size: maxResults ?? Number.POSITIVE_INFINITY,
    marker: nextToken,
    bad: () => invalidValue('The token is not valid'),
  });
}

function byIds<T>({ all, idOf, notFound, pattern, malformed }: Selection<T>, ids: readonly string[]): readonly T[] {
  const known = new Map(all.map((record) => [idOf(record), record]));
  const bad = pattern === undefined ? [] : ids.filter((id) => !pattern.test(id));
  if (bad.length > 0) throw new AwsError(malformed ?? notFound, `Invalid id: "${bad.join(', ')}"`);
  const missing = ids.filter((id) => !known.has(id));
  if (missing.length > 0) throw new AwsError(notFound, `The ID '${missing.join(', ')}' does not exist`);
  return [...new Set(ids)].flatMap((id) => known.get(id) ?? []);
}

function testOf<T>({ Name: name = '', Values: wanted = [] }: Given<Filter>, values: Values<T>): (record: T) => boolean {
  if (wanted.length === 0) throw invalidValue(`The filter '${name}' has no values`);
  const matchers = wanted.map(matcherOf);
  return (record) => {
    const has = values(record, name);
    if (has === undefined) throw invalidValue(`The filter '${name}' is invalid`);
    return has.some((value) => value !== undefined && matchers.some((matches) => matches(value)));
  };
}

/** `*` stands for any characters, `?` for one; a backslash takes the meaning away. */
function matcherOf(wanted: string): (value: string) => boolean {
  if (!/[*?\\]/.test(wanted)) return (value) => value === wanted;
  const source = wanted.replace(/\\?[\s\S]/g, (token) => {
    if (token === '*') return '.*';
    if (token === '?') return '.';
    return token.slice(-1).replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&');
  });
  const pattern = new RegExp(`^${source}$`, 's');
  return (value) => pattern.test(value);
}

/** The filters on tags, the same everywhere; undefined for any other. */
export function tagValues(tags: Tags, filter: string): readonly (string | undefined)[] | undefined {
  if (filter === 'tag-key') return Object.keys(tags);
  return filter.startsWith('tag:') ? [tags[filter.slice('tag:'.length)]] : undefined;
}

export function toTagSet(tags: Tags): { Key: string; Value: string }[] {
  return Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));
}
