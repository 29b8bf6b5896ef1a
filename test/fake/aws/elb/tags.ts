import type { AddTagsInput, DescribeTagsInput, RemoveTagsInput } from '@aws-sdk/client-elastic-load-balancing-v2';
import type { Cloud, Scope } from '../cloud.ts';
import { AwsError, invalid } from '../error.ts';
import type { Given } from '../given.ts';
import type { Tags } from '../records.ts';
import { notFound } from './find.ts';

const KEYS_AND_VALUES = /^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u;
const ARNS_PER_CALL = 20;

/** Checks tags as CreateX and AddTags do. */
export function tagsOf(
  given: readonly { readonly Key: string; readonly Value?: string | undefined }[] | undefined,
  cloud: Cloud,
): Tags {
  const tags: Record<string, string> = {};
  for (const { Key: key, Value: value = '' } of given ?? []) {
    if (key in tags) throw new AwsError('DuplicateTagKeys', `A tag key was specified more than once: ${key}`);
    if (key.length < 1 || key.length > 128 || !KEYS_AND_VALUES.test(key) || key.startsWith('aws:')) {
      throw invalid(`Tag key '${key}' is not valid`);
    }
    if (value.length > 256 || !KEYS_AND_VALUES.test(value)) throw invalid(`Tag value '${value}' is not valid`);
    tags[key] = value;
  }
  checkCount(tags, cloud);
  return tags;
}

function checkCount(tags: Tags, { settings }: Cloud): void {
  const own = Object.keys(tags).filter((key) => !key.startsWith('aws:')).length;
  if (own > settings.quotas.tagsPerResource) throw new AwsError('TooManyTags', `${own} tags on one resource`);
}

export function toTagList(tags: Tags): { Key: string; Value: string }[] {
  return Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));
}

export function addTags(scope: Scope, { ResourceArns, Tags: given }: Given<AddTagsInput>): object {
  const added = tagsOf(given, scope.cloud);
  if (given.length === 0) throw invalid('Tags is empty');
  const changes = resources(scope, ResourceArns).map(({ now, put }) => {
    const tags = { ...now, ...added };
    checkCount(tags, scope.cloud);
    return () => put(tags);
  });
  for (const change of changes) change();
  return {};
}

export function removeTags(scope: Scope, { ResourceArns, TagKeys }: Given<RemoveTagsInput>): object {
  for (const { now, put } of resources(scope, ResourceArns)) {
    put(Object.fromEntries(Object.entries(now).filter(([key]) => !TagKeys.includes(key))));
  }
  return {};
}

export function describeTags(scope: Scope, { ResourceArns }: Given<DescribeTagsInput>): object {
  return {
    TagDescriptions: resources(scope, ResourceArns).map(({ arn, seen }) => ({
      ResourceArn: arn,
      Tags: toTagList(seen),
    })),
  };
}

interface Resource {
  readonly arn: string;
  /** As the call sees them, and as they are: a write that looks a little back must not undo another one. */
  readonly seen: Tags;
  readonly now: Tags;
  put(tags: Tags): void;
}

function resources(scope: Scope, arns: readonly string[]): readonly Resource[] {
  if (arns.length === 0 || arns.length > ARNS_PER_CALL) {
    throw invalid(`ResourceArns: ${arns.length} items; 1 to ${ARNS_PER_CALL} are allowed`);
  }
  return arns.map((arn) => resourceOf(scope, arn));
}

function resourceOf({ cloud, atMs }: Scope, arn: string): Resource {
  const { loadBalancers, listeners, targetGroups } = cloud;
  for (const table of [loadBalancers, listeners, targetGroups]) {
    const seen = table.get(arn, atMs);
    if (seen === undefined) continue;
    const now = table.get(arn);
    return {
      arn,
      seen: seen.tags,
      now: now?.tags ?? {},
      put(tags) {
        if (now !== undefined) table.put(arn, { ...now, tags } as never);
      },
    };
  }
  throw notFound(arn);
}
