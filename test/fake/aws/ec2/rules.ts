import type { IpPermission, SecurityGroupRule } from '@aws-sdk/client-ec2';
import type { Cloud } from '../cloud.ts';
import { AwsError, invalidValue } from '../error.ts';
import type { Given } from '../given.ts';
import { networkOf } from '../net.ts';
import type { Peer, Rule, SecurityGroup, Tags } from '../records.ts';

export type WantedRule = Omit<Rule, 'id' | 'tags'>;

const DESCRIPTION = /^[a-zA-Z0-9. _\-:/()#,@[\]+=&;{}!$*]*$/;

/** One rule for each range, group and prefix list of the permissions, with networks as EC2 stores them. */
export function rulesOf(
  cloud: Cloud,
  vpcId: string,
  permissions: readonly Given<IpPermission>[],
): readonly WantedRule[] {
  const rules = permissions.flatMap((permission) => {
    const ports = portsOf(permission);
    const peers = peersOf(cloud, vpcId, permission);
    if (peers.length === 0) throw invalidValue('A permission needs a source');
    return peers.map(({ description, ...peer }) => {
      if (description !== undefined && (description.length > 255 || !DESCRIPTION.test(description))) {
        throw invalidValue(`Invalid rule description: "${description}"`);
      }
      return { ...ports, ...peer, ...(description === undefined || description === '' ? {} : { description }) };
    });
  });
  const keys = rules.map(keyOf);
  if (new Set(keys).size < keys.length) throw invalidValue('The same permission must not appear multiple times');
  return rules;
}

/** What makes two rules the same: not their descriptions (trap 7). */
export function keyOf({ protocol, from, to, cidr, cidr6, groupId, prefixListId }: WantedRule): string {
  return [protocol, from, to, cidr, cidr6, groupId, prefixListId].join(' ');
}

function portsOf({
  IpProtocol,
  FromPort: from,
  ToPort: to,
}: Given<IpPermission>): Pick<Rule, 'protocol' | 'from' | 'to'> {
  if (IpProtocol === undefined)
    throw new AwsError('MissingParameter', 'The request must contain the parameter ipProtocol');
  const protocol = names[IpProtocol] ?? IpProtocol.toLowerCase();
  switch (protocol) {
    case '-1':
      return { protocol };
    case 'tcp':
    case 'udp':
      if (from === undefined || to === undefined || from < 0 || to > 65535 || from > to) {
        throw invalidValue(`Invalid value '${from}-${to}' for the ports of ${protocol}`);
      }
      return { protocol, from, to };
    case 'icmp':
    case 'icmpv6':
      if (from === undefined || to === undefined || from < -1 || to < -1 || from > 255 || to > 255) {
        throw invalidValue(`ICMP code and type '${from}, ${to}' are not valid`);
      }
      return { protocol, from, to };
    default:
      if (!/^\d+$/.test(protocol) || Number(protocol) > 255)
        throw invalidValue(`Invalid value '${IpProtocol}' for IP protocol`);
      return { protocol };
  }
}

/** EC2 shows the numbers of these as names. */
const names: Readonly<Record<string, string>> = { '6': 'tcp', '17': 'udp', '1': 'icmp', '58': 'icmpv6' };

type DescribedPeer = Peer & { readonly description?: string | undefined };

function peersOf(cloud: Cloud, vpcId: string, permission: Given<IpPermission>): readonly DescribedPeer[] {
  const { IpRanges = [], Ipv6Ranges = [], UserIdGroupPairs = [], PrefixListIds = [] } = permission;
  return [
    ...IpRanges.map(({ CidrIp, Description }) => ({ cidr: cidrOf(CidrIp, 'ipv4'), description: Description })),
    ...Ipv6Ranges.map(({ CidrIpv6, Description }) => ({ cidr6: cidrOf(CidrIpv6, 'ipv6'), description: Description })),
    ...UserIdGroupPairs.map(({ GroupId, UserId, GroupName, Description }) => {
      if (GroupName !== undefined) throw invalidValue('In a VPC, groups are named by id');
      if (UserId !== undefined && UserId !== cloud.account) throw invalidValue(`Account ${UserId} is not in the fake`);
      if (cloud.securityGroups.get(GroupId ?? '')?.vpcId !== vpcId) {
        throw new AwsError('InvalidGroup.NotFound', `The security group '${GroupId}' does not exist`);
      }
      return { groupId: GroupId ?? '', description: Description };
    }),
    ...PrefixListIds.map(({ PrefixListId, Description }) => {
      if (!cloud.prefixLists.has(PrefixListId ?? '')) {
        throw new AwsError('InvalidPrefixListID.NotFound', `The prefix list ID '${PrefixListId}' does not exist`);
      }
      return { prefixListId: PrefixListId ?? '', description: Description };
    }),
  ];
}

function cidrOf(text: string | undefined, family: 'ipv4' | 'ipv6'): string {
  const network = networkOf(text ?? '', family);
  if (network === undefined) throw invalidValue(`CIDR block ${text} is malformed`);
  return network;
}

/** For the quota: per family; what stands for addresses of both counts in both, a prefix list with all its entries. */
export function countRules(
  { prefixLists }: Cloud,
  rules: readonly WantedRule[],
): { readonly v4: number; readonly v6: number } {
  let v4 = 0;
  let v6 = 0;
  for (const { cidr, cidr6, prefixListId } of rules) {
    const weight = prefixListId === undefined ? 1 : (prefixLists.get(prefixListId) ?? 1);
    if (cidr6 === undefined) v4 += weight;
    if (cidr === undefined) v6 += weight;
  }
  return { v4, v6 };
}

/** As DescribeSecurityGroups shows them: one permission per protocol and ports. */
export function toPermissions({ account }: Cloud, rules: readonly Rule[]): IpPermission[] {
  const byPorts = new Map<string, Rule[]>();
  for (const rule of rules) {
    const key = [rule.protocol, rule.from, rule.to].join(' ');
    byPorts.set(key, [...(byPorts.get(key) ?? []), rule]);
  }
  return [...byPorts.values()].map((same) => {
    const { protocol, from, to } = same[0] as Rule;
    const text = ({ description }: Rule) => (description === undefined ? {} : { Description: description });
    return {
      IpProtocol: protocol,
      ...(from === undefined ? {} : { FromPort: from }),
      ...(to === undefined ? {} : { ToPort: to }),
      IpRanges: same.flatMap((rule) => (rule.cidr === undefined ? [] : [{ CidrIp: rule.cidr, ...text(rule) }])),
      Ipv6Ranges: same.flatMap((rule) => (rule.cidr6 === undefined ? [] : [{ CidrIpv6: rule.cidr6, ...text(rule) }])),
      UserIdGroupPairs: same.flatMap((rule) =>
        rule.groupId === undefined ? [] : [{ GroupId: rule.groupId, UserId: account, ...text(rule) }],
      ),
      PrefixListIds: same.flatMap((rule) =>
        rule.prefixListId === undefined ? [] : [{ PrefixListId: rule.prefixListId, ...text(rule) }],
      ),
    };
  });
}

export function toRuleView(
  { account }: Cloud,
  { id: groupId }: SecurityGroup,
  rule: Rule,
  isEgress: boolean,
  toTagSet: (tags: Tags) => { Key: string; Value: string }[],
): SecurityGroupRule {
  return {
    SecurityGroupRuleId: rule.id,
    GroupId: groupId,
    GroupOwnerId: account,
    IsEgress: isEgress,
    IpProtocol: rule.protocol,
    FromPort: rule.from ?? -1,
    ToPort: rule.to ?? -1,
    ...(rule.cidr === undefined ? {} : { CidrIpv4: rule.cidr }),
    ...(rule.cidr6 === undefined ? {} : { CidrIpv6: rule.cidr6 }),
    ...(rule.prefixListId === undefined ? {} : { PrefixListId: rule.prefixListId }),
    ...(rule.groupId === undefined ? {} : { ReferencedGroupInfo: { GroupId: rule.groupId, UserId: account } }),
    ...(rule.description === undefined ? {} : { Description: rule.description }),
    Tags: toTagSet(rule.tags),
  };
}
