/** What the controller may do in an AWS account, out of what it calls. `node deploy/iam.ts` writes it as a policy. */
import { LBC_TAG, TAG } from './names.ts';
import type { OperationOf, ServiceName } from './operations.ts';

type Action = `${'ec2' | 'elasticloadbalancing' | 'iam' | 'tag'}:${string}`;

/** What Elastic Load Balancing reads in the caller's name before it makes or moves an interface (its API permissions guide). */
const interfaceReads = [
  'ec2:DescribeAccountAttributes',
  'ec2:DescribeAddresses',
  'ec2:DescribeInternetGateways',
  'ec2:DescribeSecurityGroups',
  'ec2:DescribeSubnets',
  'ec2:DescribeVpcs',
  'ec2:GetSecurityGroupsForVpc', // without it CreateLoadBalancer is AccessDenied where groups are shared (LBC #3917)
] as const;
const targetReads = ['ec2:DescribeInstances', 'ec2:DescribeVpcs'] as const;

/** Operation that we call -> the actions that AWS checks for it, its own first. A create sends tags, so it tags too. */
export const actions = {
  elb: {
    AddListenerCertificates: ['elasticloadbalancing:AddListenerCertificates'],
    AddTags: ['elasticloadbalancing:AddTags'],
    CreateListener: ['elasticloadbalancing:CreateListener', 'elasticloadbalancing:AddTags'],
    CreateLoadBalancer: [
      'elasticloadbalancing:CreateLoadBalancer',
      'elasticloadbalancing:AddTags',
      'iam:CreateServiceLinkedRole', // the first load balancer of an account makes it
      ...interfaceReads,
    ],
    CreateTargetGroup: ['elasticloadbalancing:CreateTargetGroup', 'elasticloadbalancing:AddTags', 'ec2:DescribeVpcs'],
    DeleteListener: ['elasticloadbalancing:DeleteListener'],
    DeleteLoadBalancer: ['elasticloadbalancing:DeleteLoadBalancer'],
    DeleteTargetGroup: ['elasticloadbalancing:DeleteTargetGroup'],
    DeregisterTargets: ['elasticloadbalancing:DeregisterTargets'],
    DescribeAccountLimits: ['elasticloadbalancing:DescribeAccountLimits'],
    DescribeCapacityReservation: ['elasticloadbalancing:DescribeCapacityReservation'],
    DescribeListenerAttributes: ['elasticloadbalancing:DescribeListenerAttributes'],
    DescribeListenerCertificates: ['elasticloadbalancing:DescribeListenerCertificates'],
    DescribeListeners: ['elasticloadbalancing:DescribeListeners'],
    DescribeLoadBalancerAttributes: ['elasticloadbalancing:DescribeLoadBalancerAttributes'],
    DescribeLoadBalancers: ['elasticloadbalancing:DescribeLoadBalancers'],
    DescribeTags: ['elasticloadbalancing:DescribeTags'],
    DescribeTargetGroupAttributes: ['elasticloadbalancing:DescribeTargetGroupAttributes'],
    DescribeTargetGroups: ['elasticloadbalancing:DescribeTargetGroups'],
    DescribeTargetHealth: ['elasticloadbalancing:DescribeTargetHealth'],
    ModifyCapacityReservation: ['elasticloadbalancing:ModifyCapacityReservation'],
    ModifyListener: ['elasticloadbalancing:ModifyListener'],
    ModifyListenerAttributes: ['elasticloadbalancing:ModifyListenerAttributes'],
    ModifyLoadBalancerAttributes: ['elasticloadbalancing:ModifyLoadBalancerAttributes'],
    ModifyTargetGroup: ['elasticloadbalancing:ModifyTargetGroup'],
    ModifyTargetGroupAttributes: ['elasticloadbalancing:ModifyTargetGroupAttributes'],
    RegisterTargets: ['elasticloadbalancing:RegisterTargets', ...targetReads],
    RemoveListenerCertificates: ['elasticloadbalancing:RemoveListenerCertificates'],
    RemoveTags: ['elasticloadbalancing:RemoveTags'],
    SetIpAddressType: ['elasticloadbalancing:SetIpAddressType'],
    SetSecurityGroups: ['elasticloadbalancing:SetSecurityGroups', 'ec2:GetSecurityGroupsForVpc'],
    SetSubnets: ['elasticloadbalancing:SetSubnets', ...interfaceReads],
  },
  ec2: {
    AuthorizeSecurityGroupIngress: ['ec2:AuthorizeSecurityGroupIngress'],
    CreateRoute: ['ec2:CreateRoute'],
    CreateSecurityGroup: ['ec2:CreateSecurityGroup', 'ec2:CreateTags'],
    CreateTags: ['ec2:CreateTags'],
    DeleteRoute: ['ec2:DeleteRoute'],
    DeleteSecurityGroup: ['ec2:DeleteSecurityGroup'],
    DeleteTags: ['ec2:DeleteTags'],
    DescribeAvailabilityZones: ['ec2:DescribeAvailabilityZones'],
    DescribeInstances: ['ec2:DescribeInstances'],
    DescribeNetworkInterfaces: ['ec2:DescribeNetworkInterfaces'],
    DescribeRouteTables: ['ec2:DescribeRouteTables'],
    DescribeSecurityGroups: ['ec2:DescribeSecurityGroups'],
    DescribeSubnets: ['ec2:DescribeSubnets'],
    DescribeVpcs: ['ec2:DescribeVpcs'],
    ModifyNetworkInterfaceAttribute: ['ec2:ModifyNetworkInterfaceAttribute'],
    ReplaceRoute: ['ec2:ReplaceRoute'],
    RevokeSecurityGroupIngress: ['ec2:RevokeSecurityGroupIngress'],
  },
  tagging: { GetResources: ['tag:GetResources'] },
} as const satisfies { readonly [S in ServiceName]: Readonly<Record<OperationOf<S>, readonly [Action, ...Action[]]>> };

/** Where an action is allowed; the conditions are in `statements`. */
type Scope =
  /** Everywhere: reads have no resource to limit them to. */
  | 'read'
  /** Only with our tag in the request. */
  | 'create'
  /** Tags of a create, of what carries our tag, and of what the AWS Load Balancer Controller made. */
  | 'tag'
  /** Only what carries our tag. */
  | 'ours'
  /** The cluster's own, which carries nothing of ours: groups of nodes, route tables, instances. */
  | 'cluster'
  | 'role';

function scopeOf(action: Action): Scope {
  const name = action.slice(action.indexOf(':') + 1);
  if (action === 'iam:CreateServiceLinkedRole') return 'role';
  if (/^(Describe|Get)/.test(name)) return 'read';
  if (/^(AddTags|CreateTags)$/.test(name)) return 'tag';
  if (clusterResources[action] !== undefined) return 'cluster';
  return name.startsWith('Create') ? 'create' : 'ours';
}

/** Actions on what is not ours -> the kind of resource. */
const clusterResources: Readonly<Record<string, string>> = {
  'ec2:AuthorizeSecurityGroupIngress': 'security-group',
  'ec2:RevokeSecurityGroupIngress': 'security-group',
  'ec2:CreateRoute': 'route-table',
  'ec2:DeleteRoute': 'route-table',
  'ec2:ReplaceRoute': 'route-table',
  'ec2:ModifyNetworkInterfaceAttribute': 'network-interface',
};

export interface Statement {
  readonly Sid: string;
  readonly Effect: 'Allow';
  readonly Action: readonly string[];
  readonly Resource: string;
  readonly Condition?: Condition;
}
export interface Policy {
  readonly Version: '2012-10-17';
  readonly Statement: readonly Statement[];
}

export interface PolicyOptions {
  /** 'aws' (the default), 'aws-cn' or 'aws-us-gov'. */
  readonly partition?: string;
  /** Only what this cluster made; absent: what Fairlead made for any cluster of the account. */
  readonly cluster?: string;
}

/** The policy for everything that `actions` lists; the same text every time. */
export function policy({ partition = 'aws', cluster }: PolicyOptions = {}): Policy {
  const all = [
    ...new Set(Object.values(actions).flatMap((service) => Object.values(service).flat() as Action[])),
  ].sort();
  const of = (...scopes: readonly Scope[]) => all.filter((action) => scopes.includes(scopeOf(action)));
  const arn = (kind: string) => `arn:${partition}:ec2:*:*:${kind}/*`;
  const inRequest = carries('aws:RequestTag', TAG.cluster, cluster);
  const clusterActions = Object.groupBy(of('cluster'), (action) => clusterResources[action] ?? '');
  return {
    Version: '2012-10-17',
    Statement: [
      allow('Read', of('read'), '*'),
      allow('ServiceLinkedRole', of('role'), '*', [
        { StringEquals: { 'iam:AWSServiceName': 'elasticloadbalancing.amazonaws.com' } },
      ]),
      allow('Create', of('create'), '*', [inRequest]),
      // A group is made in a VPC, which is a resource of the call too and takes no tag.
      allow('CreateInVpc', ['ec2:CreateSecurityGroup'], arn('vpc')),
      allow('TagWhatIsCreated', ['elasticloadbalancing:AddTags'], '*', [
        inRequest,
        { StringEquals: { 'elasticloadbalancing:CreateAction': operationsOf('elasticloadbalancing', of('create')) } },
      ]),
      allow('TagGroupsThatAreCreated', ['ec2:CreateTags'], arn('security-group'), [
        inRequest,
        { StringEquals: { 'ec2:CreateAction': operationsOf('ec2', of('create')) } },
      ]),
      allow('ChangeOurs', of('ours', 'tag'), '*', [carries('aws:ResourceTag', TAG.cluster, cluster)]),
      // With --aws-adopt-lbc. Without it this statement can go.
      allow('AdoptFromLoadBalancerController', of('tag'), '*', [carries('aws:ResourceTag', LBC_TAG.cluster, cluster)]),
      ...Object.entries(clusterActions).map(([kind, some = []]) => allow(`Cluster${camel(kind)}`, some, arn(kind))),
    ],
  };
}

type Condition = Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>;

/** That a tag has this value; without one, that it is there, which is said by Null and 'false'. */
function carries(where: 'aws:RequestTag' | 'aws:ResourceTag', key: string, value: string | undefined): Condition {
  const name = `${where}/${key}`;
  return value === undefined ? { Null: { [name]: 'false' } } : { StringEquals: { [name]: value } };
}

/** All conditions must hold. */
function allow(
  Sid: string,
  Action: readonly string[],
  Resource: string,
  conditions: readonly Condition[] = [],
): Statement {
  const Condition: Record<string, Readonly<Record<string, string | readonly string[]>>> = {};
  for (const [operator, keys] of conditions.flatMap((each) => Object.entries(each)))
    Condition[operator] = { ...Condition[operator], ...keys };
  return { Sid, Effect: 'Allow', Action, Resource, ...(conditions.length === 0 ? {} : { Condition }) };
}

/** 'elasticloadbalancing:CreateListener' -> 'CreateListener', of one service. */
function operationsOf(service: string, list: readonly Action[]): readonly string[] {
  return list.filter((action) => action.startsWith(`${service}:`)).map((action) => action.slice(service.length + 1));
}

/** 'route-table' -> 'RouteTable': a Sid takes letters and digits only. */
function camel(text: string): string {
  return text.replaceAll(/(?:^|-)([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
