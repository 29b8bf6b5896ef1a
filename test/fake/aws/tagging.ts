import type { GetResourcesInput } from '@aws-sdk/client-resource-groups-tagging-api';
import type { Cloud, Scope } from './cloud.ts';
import { AwsError } from './error.ts';
import type { Given } from './given.ts';
import { pageOf } from './paging.ts';
import type { Tags } from './records.ts';

/** Whatever carries a tag, of both services. */
export function getResources({ cloud, atMs }: Scope, input: Given<GetResourcesInput>): object {
  const { TagFilters = [], ResourceTypeFilters, ResourcesPerPage, ResourceARNList, PaginationToken } = input;
  if (ResourceARNList !== undefined) {
    const others = ['TagFilters', 'ResourceTypeFilters', 'ResourcesPerPage', 'TagsPerPage', 'PaginationToken'] as const;
    const other = others.find((key) => input[key] !== undefined);
    if (other !== undefined) throw bad(`ResourceARNList cannot be specified with ${other}`);
    if (ResourceARNList.length > 100) throw bad('ResourceARNList has at most 100 ARNs');
    return answer(taggedAmong(cloud, atMs, new Set(ResourceARNList)));
  }
  if (TagFilters.length > 50 || TagFilters.some(({ Values = [] }) => Values.length > 20)) {
    throw bad('At most 50 tag filters with 20 values each');
  }
  if (input.TagsPerPage !== undefined) throw bad('TagsPerPage is not in the fake');
  if (ResourcesPerPage !== undefined && (ResourcesPerPage < 1 || ResourcesPerPage > 100)) {
    throw bad(`ResourcesPerPage ${ResourcesPerPage} is not between 1 and 100`);
  }
  const matching = taggedAt(cloud, atMs).filter(
    ({ arn, tags }) =>
      (ResourceTypeFilters?.some((type) => isOfType(arn, type)) ?? true) &&
      TagFilters.every(
        ({ Key = '', Values = [] }) => Key in tags && (Values.length === 0 || Values.includes(tags[Key] ?? '')),
      ),
  );
  const { items, next } = pageOf(matching, ({ arn }) => arn, {
    size: ResourcesPerPage ?? cloud.settings.resourcesPerPage,
    marker: PaginationToken === '' ? undefined : PaginationToken,
    bad: () => new AwsError('PaginationTokenExpiredException', 'The token is not valid'),
  });
  return answer(items, next);
}

/** The last page has an empty token. */
function answer(items: readonly Tagged[], next = ''): object {
  return {
    PaginationToken: next,
    ResourceTagMappingList: items.map(({ arn, tags }) => ({
      ResourceARN: arn,
      Tags: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })),
    })),
  };
}

interface Tagged {
  readonly arn: string;
  readonly tags: Tags;
}

/** By its id, for those that are asked for one by one are many. */
function taggedAmong(cloud: Cloud, atMs: number, arns: ReadonlySet<string>): readonly Tagged[] {
  const found = [...arns].map(
    (arn): Tagged | undefined =>
      cloud.loadBalancers.get(arn, atMs) ?? cloud.targetGroups.get(arn, atMs) ?? cloud.listeners.get(arn, atMs),
  );
  const others = found.includes(undefined) ? taggedAt(cloud, atMs).filter(({ arn }) => /:ec2:/.test(arn)) : [];
  return [...found.flatMap((one) => one ?? []), ...others.filter(({ arn }) => arns.has(arn))].filter(
    ({ tags }) => Object.keys(tags).length > 0,
  );
}

function taggedAt(cloud: Cloud, atMs: number): readonly Tagged[] {
  const ec2 = (type: string, id: string, tags: Tags): Tagged => ({
    arn: `arn:aws:ec2:${cloud.region}:${cloud.account}:${type}/${id}`,
    tags,
  });
  const all = [
    ...cloud.loadBalancers.values(atMs),
    ...cloud.listeners.values(atMs),
    ...cloud.targetGroups.values(atMs),
    ...cloud.vpcs.values(atMs).map(({ id, tags }) => ec2('vpc', id, tags)),
    ...cloud.subnets.values(atMs).map(({ id, tags }) => ec2('subnet', id, tags)),
    ...cloud.routeTables.values(atMs).map(({ id, tags }) => ec2('route-table', id, tags)),
    ...cloud.securityGroups.values(atMs).map(({ id, tags }) => ec2('security-group', id, tags)),
    ...cloud.instances.values(atMs).map(({ id, tags }) => ec2('instance', id, tags)),
  ];
  return all.filter(({ tags }) => Object.keys(tags).length > 0);
}

/** `service[:type]`, as it stands in the ARN. */
function isOfType(arn: string, filter: string): boolean {
  const [service, type] = filter.split(':');
  const parts = arn.split(':');
  return parts[2] === service && (type === undefined || parts[5] === type || parts[5]?.startsWith(`${type}/`) === true);
}

function bad(message: string): AwsError {
  return new AwsError('InvalidParameterException', message);
}
