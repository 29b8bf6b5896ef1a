import type { CreateTagsRequest, DeleteTagsRequest, TagSpecification } from '@aws-sdk/client-ec2';
import { type Cloud, reachable, type Scope } from '../cloud.ts';
import { AwsError, invalidValue } from '../error.ts';
import type { Given } from '../given.ts';
import type { Tags } from '../records.ts';
import type { Table } from '../table.ts';

/** The tags of a create call; the only resource type that they may be for is what it creates. */
export function specifiedTags(
  cloud: Cloud,
  given: readonly Given<TagSpecification>[] | undefined,
  resourceType: string,
): Tags {
  const tags: Record<string, string> = {};
  for (const { ResourceType, Tags: list = [] } of given ?? []) {
    if (ResourceType !== resourceType)
      throw invalidValue(`'${ResourceType}' is not a valid taggable resource type for this operation`);
    for (const { Key, Value } of list) Object.assign(tags, checked(Key, Value, tags));
  }
  checkCount(cloud, tags);
  return tags;
}

function checked(key: string | undefined, value: string | undefined, others: Tags): Tags {
  if (key === undefined || key === '' || key.length > 127 || key.startsWith('aws:')) {
    throw invalidValue(`Tag key '${key}' is not valid`);
  }
  if (key in others) throw invalidValue(`Tag key '${key}' is given twice`);
  if (value !== undefined && value.length > 255)
    throw invalidValue(`Tag value exceeds the maximum length of 255 characters`);
  return { [key]: value ?? '' };
}

function checkCount({ settings }: Cloud, tags: Tags): void {
  const limit = settings.quotas.tagsPerResource;
  if (Object.keys(tags).length > limit)
    throw new AwsError('TagLimitExceeded', `More than ${limit} tags on one resource`);
}

export function createTags(scope: Scope, { Resources, Tags: given }: Given<CreateTagsRequest>): object {
  const added: Record<string, string> = {};
  for (const { Key, Value } of given) Object.assign(added, checked(Key, Value, added));
  changeAll(scope, Resources, (tags) => ({ ...tags, ...added }));
  return {};
}

/** With a value only where the tag has that value; without tags: all of them (EC2 DeleteTags). */
export function deleteTags(scope: Scope, { Resources, Tags: given }: Given<DeleteTagsRequest>): object {
  changeAll(scope, Resources, (tags) =>
    Object.fromEntries(
      Object.entries(tags).filter(
        ([key, value]) =>
          given !== undefined &&
          !given.some(({ Key, Value }) => Key === key && (Value === undefined || Value === value)),
      ),
    ),
  );
  return {};
}

function changeAll(scope: Scope, ids: readonly string[], change: (tags: Tags) => Tags): void {
  const { cloud } = scope;
  const changes = ids.map((id) => {
    const table = tableOf(cloud, id);
    const record = table === undefined ? undefined : reachable(table, id, scope);
    if (table === undefined || record === undefined) throw new AwsError(missing(id), `The ID '${id}' does not exist`);
    const tags = change(record.tags);
    checkCount(cloud, tags);
    return () => table.put(id, { ...record, tags });
  });
  for (const apply of changes) apply();
}

function tableOf(cloud: Cloud, id: string): Table<{ readonly tags: Tags }> | undefined {
  const tables: Readonly<Record<string, unknown>> = {
    vpc: cloud.vpcs,
    subnet: cloud.subnets,
    rtb: cloud.routeTables,
    sg: cloud.securityGroups,
    eni: cloud.interfaces,
    i: cloud.instances,
    eipalloc: cloud.addresses,
  };
  return tables[id.split('-', 1)[0] ?? ''] as Table<{ readonly tags: Tags }> | undefined;
}

function missing(id: string): string {
  const codes: Readonly<Record<string, string>> = {
    vpc: 'InvalidVpcID.NotFound',
    subnet: 'InvalidSubnetID.NotFound',
    rtb: 'InvalidRouteTableID.NotFound',
    sg: 'InvalidGroup.NotFound',
    eni: 'InvalidNetworkInterfaceID.NotFound',
    i: 'InvalidInstanceID.NotFound',
    eipalloc: 'InvalidAllocationID.NotFound',
  };
  return codes[id.split('-', 1)[0] ?? ''] ?? 'InvalidID';
}
