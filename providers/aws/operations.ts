/** What the limiter counts apart: AWS has a bucket per account and region for each, and EC2 one per operation. */
export type ApiClass = 'elb.register' | 'elb.create' | 'elb.describe' | 'ec2.read' | 'ec2.write' | 'tagging';

/**
 * Who goes first within a class: a target that must go before one that may come, both before what is built, and all
 * before an audit.
 */
export const priority = { deregister: 30, register: 20, write: 10, read: 10, audit: 0 } as const;

/** Every operation that we call, by service: its class. The policy in docs/providers/aws.md is made from the same names. */
export const operations = {
  elb: {
    AddListenerCertificates: 'elb.create',
    AddTags: 'elb.create',
    CreateListener: 'elb.create',
    CreateLoadBalancer: 'elb.create',
    CreateTargetGroup: 'elb.create',
    DeleteListener: 'elb.create',
    DeleteLoadBalancer: 'elb.create',
    DeleteTargetGroup: 'elb.create',
    DeregisterTargets: 'elb.register',
    DescribeAccountLimits: 'elb.describe',
    DescribeCapacityReservation: 'elb.describe',
    DescribeListenerAttributes: 'elb.describe',
    DescribeListenerCertificates: 'elb.describe',
    DescribeListeners: 'elb.describe',
    DescribeLoadBalancerAttributes: 'elb.describe',
    DescribeLoadBalancers: 'elb.describe',
    DescribeTags: 'elb.describe',
    DescribeTargetGroupAttributes: 'elb.describe',
    DescribeTargetGroups: 'elb.describe',
    DescribeTargetHealth: 'elb.describe',
    ModifyCapacityReservation: 'elb.create',
    ModifyListener: 'elb.create',
    ModifyListenerAttributes: 'elb.create',
    ModifyLoadBalancerAttributes: 'elb.create',
    ModifyTargetGroup: 'elb.create',
    ModifyTargetGroupAttributes: 'elb.create',
    RegisterTargets: 'elb.register',
    RemoveListenerCertificates: 'elb.create',
    RemoveTags: 'elb.create',
    SetIpAddressType: 'elb.create',
    SetSecurityGroups: 'elb.create',
    SetSubnets: 'elb.create',
  },
  ec2: {
    AuthorizeSecurityGroupIngress: 'ec2.write',
    CreateRoute: 'ec2.write',
    CreateSecurityGroup: 'ec2.write',
    CreateTags: 'ec2.write',
    DeleteRoute: 'ec2.write',
    DeleteSecurityGroup: 'ec2.write',
    DeleteTags: 'ec2.write',
    DescribeAvailabilityZones: 'ec2.read',
    DescribeInstances: 'ec2.read',
    DescribeNetworkInterfaces: 'ec2.read',
    DescribeRouteTables: 'ec2.read',
    DescribeSecurityGroups: 'ec2.read',
    DescribeSubnets: 'ec2.read',
    DescribeVpcs: 'ec2.read',
    ModifyNetworkInterfaceAttribute: 'ec2.write',
    ReplaceRoute: 'ec2.write',
    RevokeSecurityGroupIngress: 'ec2.write',
  },
  tagging: { GetResources: 'tagging' },
} as const satisfies Record<string, Record<string, ApiClass>>;

/**
 * What every answer of a read has, be it empty. An endpoint that speaks something else gives an answer without it, and that
 * must not look like absence.
 */
export const proofs: Readonly<Record<string, string>> = {
  DescribeAccountLimits: 'Limits',
  DescribeAvailabilityZones: 'AvailabilityZones',
  DescribeInstances: 'Reservations',
  DescribeListenerAttributes: 'Attributes',
  DescribeListenerCertificates: 'Certificates',
  DescribeListeners: 'Listeners',
  DescribeLoadBalancerAttributes: 'Attributes',
  DescribeLoadBalancers: 'LoadBalancers',
  DescribeNetworkInterfaces: 'NetworkInterfaces',
  DescribeRouteTables: 'RouteTables',
  DescribeSecurityGroups: 'SecurityGroups',
  DescribeSubnets: 'Subnets',
  DescribeTags: 'TagDescriptions',
  DescribeTargetGroupAttributes: 'Attributes',
  DescribeTargetGroups: 'TargetGroups',
  DescribeTargetHealth: 'TargetHealthDescriptions',
  DescribeVpcs: 'Vpcs',
  GetResources: 'ResourceTagMappingList',
};

export type ServiceName = keyof typeof operations;
export type OperationOf<S extends ServiceName> = keyof (typeof operations)[S] & string;

/** Its default place in the order of its class. */
export function priorityOf(operation: string): number {
  switch (operation) {
    case 'DeregisterTargets':
      return priority.deregister;
    case 'RegisterTargets':
      return priority.register;
    default:
      return operation.startsWith('Describe') || operation === 'GetResources' ? priority.read : priority.write;
  }
}
