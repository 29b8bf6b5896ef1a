import type {
  AuthorizeSecurityGroupIngressRequest,
  CreateSecurityGroupRequest,
  DeleteSecurityGroupRequest,
  DescribeSecurityGroupRulesRequest,
  DescribeSecurityGroupsRequest,
  RevokeSecurityGroupIngressRequest,
} from '@aws-sdk/client-ec2';
import { type Cloud, interfacesAt, reachable, type Scope } from '../cloud.ts';
import { AwsError, invalidValue } from '../error.ts';
import type { Given } from '../given.ts';
import type { Rule, SecurityGroup, Tags } from '../records.ts';
import { select, tagValues, toTagSet } from './filters.ts';
import { countRules, keyOf, rulesOf, toPermissions, toRuleView, type WantedRule } from './rules.ts';
import { specifiedTags } from './tags.ts';

const TEXT = /^[a-zA-Z0-9 ._\-:/()#,@[\]+=&;{}!$*]{1,255}$/;

export function createSecurityGroup(scope: Scope, input: Given<CreateSecurityGroupRequest>): object {
  const { cloud } = scope;
  const { GroupName: name, Description: description, VpcId: vpcId } = input;
  if (!TEXT.test(name) || name.startsWith('sg-'))
    throw invalidValue(`Value (${name}) for parameter GroupName is invalid`);
  if (!TEXT.test(description)) throw invalidValue(`Value (${description}) for parameter GroupDescription is invalid`);
  if (vpcId === undefined) throw new AwsError('VPCIdNotSpecified', 'No default VPC for this user');
  if (cloud.vpcs.get(vpcId) === undefined)
    throw new AwsError('InvalidVpcID.NotFound', `The vpc ID '${vpcId}' does not exist`);
  const siblings = cloud.securityGroups.values().filter((group) => group.vpcId === vpcId);
  if (name === 'default' || siblings.some((group) => group.name === name)) {
    throw new AwsError('InvalidGroup.Duplicate', `The security group '${name}' already exists for VPC '${vpcId}'`);
  }
  const limit = cloud.settings.quotas.securityGroupsPerVpc;
  if (siblings.length >= limit) {
    throw new AwsError(
      'SecurityGroupLimitExceeded',
      `The maximum number of security groups for VPC '${vpcId}' has been reached`,
    );
  }
  const tags = specifiedTags(cloud, input.TagSpecifications, 'security-group');
  const group: SecurityGroup = {
    id: `sg-${cloud.hex(17)}`,
    vpcId,
    name,
    description,
    ingress: [],
    egress: [{ id: `sgr-${cloud.hex(17)}`, protocol: '-1', cidr: '0.0.0.0/0', tags: {} }],
    tags,
  };
  cloud.securityGroups.put(group.id, group);
  return { GroupId: group.id, SecurityGroupArn: arnOf(cloud, group.id), Tags: toTagSet(tags) };
}

function arnOf({ region, account }: Cloud, id: string): string {
  return `arn:aws:ec2:${region}:${account}:security-group/${id}`;
}

/** DependencyViolation while an interface has it or a rule of another group names it. */
export function deleteSecurityGroup(scope: Scope, { GroupId, GroupName }: Given<DeleteSecurityGroupRequest>): object {
  const { cloud } = scope;
  if (GroupId === undefined) throw invalidValue(`In a VPC, groups are named by id, not '${GroupName}'`);
  const group = groupOf(scope, GroupId);
  if (group.name === 'default')
    throw new AwsError('CannotDelete', `the specified group: "${GroupId}" name: "default" cannot be deleted by a user`);
  const isHeld = interfacesAt(cloud, cloud.nowMs()).some(({ groups }) => groups.includes(GroupId));
  const isNamed = cloud.securityGroups
    .values()
    .some(
      ({ id, ingress, egress }) => id !== GroupId && [...ingress, ...egress].some((rule) => rule.groupId === GroupId),
    );
  if (isHeld || isNamed) {
    throw new AwsError('DependencyViolation', `resource ${GroupId} has a dependent object`);
  }
  cloud.securityGroups.remove(GroupId);
  return { Return: true, GroupId };
}

function groupOf(scope: Scope, id: string | undefined): SecurityGroup {
  if (id === undefined) throw new AwsError('MissingParameter', 'The request must contain the parameter groupId');
  if (!id.startsWith('sg-')) throw new AwsError('InvalidGroupId.Malformed', `Invalid id: "${id}" (expecting "sg-...")`);
  const found = reachable(scope.cloud.securityGroups, id, scope);
  if (found === undefined) throw new AwsError('InvalidGroup.NotFound', `The security group '${id}' does not exist`);
  return found;
}

export function describeSecurityGroups({ cloud, atMs }: Scope, input: Given<DescribeSecurityGroupsRequest>): object {
  if (input.GroupNames !== undefined) throw invalidValue('In a VPC, use the filter group-name');
  const { items, next } = select({
    all: cloud.securityGroups.values(atMs),
    idOf: ({ id }) => id,
    ids: input.GroupIds,
    notFound: 'InvalidGroup.NotFound',
    pattern: /^sg-/,
    malformed: 'InvalidGroupId.Malformed',
    filters: input.Filters,
    maxResults: input.MaxResults,
    nextToken: input.NextToken,
    values({ id, vpcId, name, description, ingress, tags }, filter) {
      switch (filter) {
        case 'group-id':
          return [id];
        case 'group-name':
          return [name];
        case 'vpc-id':
          return [vpcId];
        case 'description':
          return [description];
        case 'owner-id':
          return [cloud.account];
        case 'ip-permission.group-id':
          return ingress.map(({ groupId }) => groupId);
        case 'ip-permission.cidr':
          return ingress.map(({ cidr }) => cidr);
        default:
          return tagValues(tags, filter);
      }
    },
  });
  return {
    SecurityGroups: items.map((group) => ({
      GroupId: group.id,
      GroupName: group.name,
      Description: group.description,
      VpcId: group.vpcId,
      OwnerId: cloud.account,
      SecurityGroupArn: arnOf(cloud, group.id),
      IpPermissions: toPermissions(cloud, group.ingress),
      IpPermissionsEgress: toPermissions(cloud, group.egress),
      Tags: toTagSet(group.tags),
    })),
    ...(next === undefined ? {} : { NextToken: next }),
  };
}

export function describeSecurityGroupRules(
  { cloud, atMs }: Scope,
  input: Given<DescribeSecurityGroupRulesRequest>,
): object {
  interface Entry {
    readonly group: SecurityGroup;
    readonly rule: Rule;
    readonly isEgress: boolean;
  }
  const all = cloud.securityGroups
    .values(atMs)
    .flatMap((group): readonly Entry[] => [
      ...group.ingress.map((rule) => ({ group, rule, isEgress: false })),
      ...group.egress.map((rule) => ({ group, rule, isEgress: true })),
    ]);
  const { items, next } = select({
    all,
    idOf: ({ rule }) => rule.id,
    ids: input.SecurityGroupRuleIds,
    notFound: 'InvalidSecurityGroupRuleId.NotFound',
    filters: input.Filters,
    maxResults: input.MaxResults,
    nextToken: input.NextToken,
    values({ group, rule }, filter) {
      switch (filter) {
        case 'group-id':
          return [group.id];
        case 'security-group-rule-id':
          return [rule.id];
        default:
          return tagValues(rule.tags, filter);
      }
    },
  });
  return {
    SecurityGroupRules: items.map(({ group, rule, isEgress }) => toRuleView(cloud, group, rule, isEgress, toTagSet)),
    ...(next === undefined ? {} : { NextToken: next }),
  };
}

/** All rules of the request or none. */
export function authorizeSecurityGroupIngress(
  scope: Scope,
  input: Given<AuthorizeSecurityGroupIngressRequest>,
): object {
  const { cloud } = scope;
  const group = groupOf(scope, input.GroupId);
  checkShorthand(input);
  const wanted = rulesOf(cloud, group.vpcId, input.IpPermissions ?? []);
  if (wanted.length === 0)
    throw new AwsError('MissingParameter', 'The request must contain the parameter ipPermissions');
  const there = new Set(group.ingress.map(keyOf));
  const twice = wanted.find((rule) => there.has(keyOf(rule)));
  if (twice !== undefined) {
    throw new AwsError('InvalidPermission.Duplicate', `the specified rule "${words(twice)}" already exists`);
  }
  const limit = cloud.settings.quotas.rulesPerSecurityGroup;
  const { v4, v6 } = countRules(cloud, [...group.ingress, ...wanted]);
  if (v4 > limit || v6 > limit) {
    throw new AwsError(
      'RulesPerSecurityGroupLimitExceeded',
      `The maximum number of rules per security group has been reached.`,
    );
  }
  const tags: Tags = specifiedTags(cloud, input.TagSpecifications, 'security-group-rule');
  const added = wanted.map((rule): Rule => ({ ...rule, id: `sgr-${cloud.hex(17)}`, tags }));
  cloud.securityGroups.put(group.id, { ...group, ingress: [...group.ingress, ...added] });
  return { Return: true, SecurityGroupRules: added.map((rule) => toRuleView(cloud, group, rule, false, toTagSet)) };
}

function words({ cidr, cidr6, groupId, prefixListId, protocol, from, to }: WantedRule): string {
  return `peer: ${cidr ?? cidr6 ?? groupId ?? prefixListId}, ${protocol}, from port: ${from}, to port: ${to}, ALLOW`;
}

/** The other way to name one rule, which we do not use. */
function checkShorthand(
  input: Given<AuthorizeSecurityGroupIngressRequest> | Given<RevokeSecurityGroupIngressRequest>,
): void {
  const { CidrIp, IpProtocol, FromPort, ToPort, GroupName, SourceSecurityGroupName, SourceSecurityGroupOwnerId } =
    input;
  const given = [CidrIp, IpProtocol, FromPort, ToPort, GroupName, SourceSecurityGroupName, SourceSecurityGroupOwnerId];
  if (given.some((value) => value !== undefined)) throw invalidValue('Rules are named in IpPermissions or by id');
}

/** By id, or by what a rule allows; the description need not fit. A rule that is not there fails the whole request. */
export function revokeSecurityGroupIngress(scope: Scope, input: Given<RevokeSecurityGroupIngressRequest>): object {
  const { cloud } = scope;
  const group = groupOf(scope, input.GroupId);
  checkShorthand(input);
  if ((input.IpPermissions === undefined) === (input.SecurityGroupRuleIds === undefined)) {
    throw new AwsError('InvalidParameterCombination', 'Either ipPermissions or securityGroupRuleIds are wanted');
  }
  const gone = new Set(input.SecurityGroupRuleIds ?? idsOf(cloud, group, input.IpPermissions ?? []));
  for (const id of gone) {
    if (!group.ingress.some((rule) => rule.id === id)) {
      throw new AwsError('InvalidSecurityGroupRuleId.NotFound', `The security group rule ID '${id}' does not exist`);
    }
  }
  cloud.securityGroups.put(group.id, { ...group, ingress: group.ingress.filter(({ id }) => !gone.has(id)) });
  return { Return: true, UnknownIpPermissions: [] };
}

function idsOf(
  cloud: Cloud,
  { vpcId, ingress }: SecurityGroup,
  permissions: NonNullable<Given<RevokeSecurityGroupIngressRequest>['IpPermissions']>,
): readonly string[] {
  return rulesOf(cloud, vpcId, permissions).map((wanted) => {
    const found = ingress.find((rule) => keyOf(rule) === keyOf(wanted));
    if (found === undefined) {
      throw new AwsError('InvalidPermission.NotFound', 'The specified rule does not exist in this security group.');
    }
    return found.id;
  });
}
