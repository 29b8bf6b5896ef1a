import type {
  DescribeInstancesCommandOutput,
  DescribeNetworkInterfacesCommandOutput,
  DescribeRouteTablesCommandOutput,
  DescribeSecurityGroupsCommandOutput,
  DescribeSubnetsCommandOutput,
} from '@aws-sdk/client-ec2';
import type {
  DescribeListenerCertificatesCommandOutput,
  DescribeListenersCommandOutput,
  DescribeLoadBalancerAttributesCommandOutput,
  DescribeLoadBalancersCommandOutput,
  DescribeTagsCommandOutput,
  DescribeTargetGroupsCommandOutput,
  DescribeTargetHealthCommandOutput,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import type { GetResourcesCommandOutput } from '@aws-sdk/client-resource-groups-tagging-api';

export interface Ids {
  readonly vpc: string;
  readonly subnets: readonly string[];
  readonly table: string;
  readonly nodes: string;
  readonly instances: readonly string[];
  readonly certificate: string;
  /** What earlier steps have made. */
  readonly made: Record<string, string>;
}

/** One call, and what of its answer the provider looks at. */
export interface Step {
  readonly name: string;
  readonly service: 'elb' | 'ec2' | 'tagging';
  readonly operation: string;
  readonly input: (ids: Ids) => object;
  readonly save?: (output: never) => Record<string, string>;
  /** Absent: only whether it works. */
  readonly look?: (output: never) => unknown;
  /** They are known not to agree. */
  readonly differs?: {
    /** The only place in what is looked at: '0.state'. Absent: all of it. */
    readonly member?: string;
    /** `undefined` where it is missing. */
    readonly fake: unknown;
    readonly moto: unknown;
    readonly why: string;
  };
}

const tag = (Key: string, Value: string) => ({ Key, Value });
const marks = [tag('fairlead.dev/cluster', 'diff'), tag('fairlead.dev/service-uid', 'u-1')];
const sorted = <T>(items: readonly T[] | undefined) => [...(items ?? [])].map((item) => JSON.stringify(item)).sort();

const lookBalancers = ({ LoadBalancers = [] }: DescribeLoadBalancersCommandOutput) =>
  LoadBalancers.map((one) => ({
    name: one.LoadBalancerName,
    state: one.State?.Code,
    scheme: one.Scheme,
    type: one.Type,
    ipAddressType: one.IpAddressType,
    subnets: sorted(one.AvailabilityZones?.map(({ SubnetId, ZoneName }) => [SubnetId, ZoneName])),
    securityGroups: sorted(one.SecurityGroups),
    hasHost: (one.DNSName?.length ?? 0) > 0,
  }));

const lookGroups = ({ TargetGroups = [] }: DescribeTargetGroupsCommandOutput) =>
  TargetGroups.map((one) => ({
    name: one.TargetGroupName,
    protocol: one.Protocol,
    port: one.Port,
    type: one.TargetType,
    family: one.IpAddressType,
    health: [one.HealthCheckProtocol, one.HealthCheckPort, one.HealthCheckPath, one.Matcher?.HttpCode],
    times: [one.HealthCheckIntervalSeconds, one.HealthCheckTimeoutSeconds],
    thresholds: [one.HealthyThresholdCount, one.UnhealthyThresholdCount],
    users: one.LoadBalancerArns ?? [],
  }));

const lookListeners = ({ Listeners = [] }: DescribeListenersCommandOutput) =>
  Listeners.map((one) => ({
    port: one.Port,
    protocol: one.Protocol,
    certificates: one.Certificates?.map(({ CertificateArn }) => CertificateArn) ?? [],
    policy: one.SslPolicy,
    alpn: one.AlpnPolicy ?? [],
    group: one.DefaultActions?.[0]?.TargetGroupArn,
  }));

const lookHealth = ({ TargetHealthDescriptions = [] }: DescribeTargetHealthCommandOutput) =>
  sorted(
    TargetHealthDescriptions.map(({ Target, TargetHealth }) => [
      Target?.Id,
      Target?.Port,
      TargetHealth?.State,
      TargetHealth?.Reason,
    ]),
  );

const lookRules = ({ SecurityGroups = [] }: DescribeSecurityGroupsCommandOutput) =>
  SecurityGroups.map((one) => ({
    name: one.GroupName,
    description: one.Description,
    rules: sorted(
      one.IpPermissions?.flatMap(({ IpProtocol, FromPort, ToPort, IpRanges = [], UserIdGroupPairs = [] }) => [
        ...IpRanges.map(({ CidrIp, Description }) => [IpProtocol, FromPort, ToPort, CidrIp, Description]),
        ...UserIdGroupPairs.map(({ GroupId, Description }) => [IpProtocol, FromPort, ToPort, GroupId, Description]),
      ]),
    ),
    tags: sorted(one.Tags),
  }));

const lookRoutes = ({ RouteTables = [] }: DescribeRouteTablesCommandOutput) =>
  RouteTables.flatMap(({ Routes = [] }) =>
    sorted(
      Routes.filter(({ DestinationCidrBlock }) => DestinationCidrBlock?.startsWith('10.') === true).map((one) => [
        one.DestinationCidrBlock,
        one.InstanceId,
        one.State,
        one.Origin,
      ]),
    ),
  );

const securityGroups: readonly Step[] = [
  {
    name: 'a security group with tags',
    service: 'ec2',
    operation: 'CreateSecurityGroup',
    input: ({ vpc }) => ({
      GroupName: 'k8s-a',
      Description: '[k8s] Managed SecurityGroup for LoadBalancer',
      VpcId: vpc,
      TagSpecifications: [{ ResourceType: 'security-group', Tags: marks }],
    }),
    save: ({ GroupId }: { GroupId: string }) => ({ sg: GroupId }),
  },
  {
    name: 'a security group whose name is taken',
    service: 'ec2',
    operation: 'CreateSecurityGroup',
    input: ({ vpc }) => ({ GroupName: 'k8s-a', Description: 'd', VpcId: vpc }),
  },
  {
    name: 'rules from ranges and from a group',
    service: 'ec2',
    operation: 'AuthorizeSecurityGroupIngress',
    input: ({ made, nodes }) => ({
      GroupId: made['sg'],
      IpPermissions: [
        { IpProtocol: 'tcp', FromPort: 80, ToPort: 80, IpRanges: [{ CidrIp: '10.0.0.0/8', Description: 'ours' }] },
        { IpProtocol: 'udp', FromPort: 53, ToPort: 54, UserIdGroupPairs: [{ GroupId: nodes, Description: 'ours' }] },
      ],
    }),
  },
  {
    name: 'a rule that is there with another description',
    service: 'ec2',
    operation: 'AuthorizeSecurityGroupIngress',
    input: ({ made }) => ({
      GroupId: made['sg'],
      IpPermissions: [
        { IpProtocol: 'tcp', FromPort: 80, ToPort: 80, IpRanges: [{ CidrIp: '10.0.0.0/8', Description: 'theirs' }] },
      ],
    }),
  },
  {
    name: 'a rule of a range with host bits',
    service: 'ec2',
    operation: 'AuthorizeSecurityGroupIngress',
    input: ({ made }) => ({
      GroupId: made['sg'],
      IpPermissions: [{ IpProtocol: 'tcp', FromPort: 81, ToPort: 81, IpRanges: [{ CidrIp: '172.16.0.1/16' }] }],
    }),
  },
  {
    name: 'the rules of a group',
    service: 'ec2',
    operation: 'DescribeSecurityGroups',
    input: ({ made }) => ({ GroupIds: [made['sg']] }),
    look: lookRules,
    differs: {
      member: '0.rules.1',
      fake: '["tcp",81,81,"172.16.0.0/16",null]',
      moto: '["tcp",81,81,"172.16.0.1/16",null]',
      why: 'EC2 stores the network of a range',
    },
  },
  {
    name: 'groups by tag',
    service: 'ec2',
    operation: 'DescribeSecurityGroups',
    input: ({ vpc }) => ({
      Filters: [
        { Name: 'tag:fairlead.dev/cluster', Values: ['diff'] },
        { Name: 'vpc-id', Values: [vpc] },
      ],
    }),
    look: ({ SecurityGroups = [] }: DescribeSecurityGroupsCommandOutput) =>
      SecurityGroups.map(({ GroupId }) => GroupId),
  },
  {
    name: 'a group that does not exist',
    service: 'ec2',
    operation: 'DescribeSecurityGroups',
    input: () => ({ GroupIds: ['sg-0123456789abcdef0'] }),
  },
  {
    name: 'revoking a rule that is not there',
    service: 'ec2',
    operation: 'RevokeSecurityGroupIngress',
    input: ({ made }) => ({
      GroupId: made['sg'],
      IpPermissions: [{ IpProtocol: 'tcp', FromPort: 99, ToPort: 99, IpRanges: [{ CidrIp: '10.0.0.0/8' }] }],
    }),
  },
  {
    name: 'revoking a rule without saying its description',
    service: 'ec2',
    operation: 'RevokeSecurityGroupIngress',
    input: ({ made }) => ({
      GroupId: made['sg'],
      IpPermissions: [{ IpProtocol: 'tcp', FromPort: 80, ToPort: 80, IpRanges: [{ CidrIp: '10.0.0.0/8' }] }],
    }),
  },
  {
    name: 'tags of a group',
    service: 'ec2',
    operation: 'CreateTags',
    input: ({ made }) => ({ Resources: [made['sg']], Tags: [tag('x', '1')] }),
  },
  {
    name: 'tags of a group taken away',
    service: 'ec2',
    operation: 'DeleteTags',
    input: ({ made }) => ({ Resources: [made['sg']], Tags: [{ Key: 'x' }] }),
  },
];

const loadBalancers: readonly Step[] = [
  {
    name: 'a load balancer',
    service: 'elb',
    operation: 'CreateLoadBalancer',
    input: ({ made, subnets }) => ({
      Name: 'k8s-a',
      Type: 'network',
      Scheme: 'internal',
      IpAddressType: 'ipv4',
      SubnetMappings: subnets.map((SubnetId) => ({ SubnetId })),
      SecurityGroups: [made['sg']],
      Tags: marks,
    }),
    save: ({ LoadBalancers = [] }: DescribeLoadBalancersCommandOutput) => ({
      lb: LoadBalancers[0]?.LoadBalancerArn ?? '',
    }),
    look: lookBalancers,
    differs: {
      member: '0.state',
      fake: 'active',
      moto: 'provisioning',
      why: 'the fake takes no time for it unless told to',
    },
  },
  {
    name: 'the same load balancer once more',
    service: 'elb',
    operation: 'CreateLoadBalancer',
    input: ({ made, subnets }) => ({
      Name: 'k8s-a',
      Type: 'network',
      Scheme: 'internal',
      SubnetMappings: subnets.map((SubnetId) => ({ SubnetId })),
      SecurityGroups: [made['sg']],
      Tags: [],
    }),
    look: ({ LoadBalancers = [] }: DescribeLoadBalancersCommandOutput) =>
      LoadBalancers[0]?.LoadBalancerArn === '<lb>' ? '<lb>' : 'another',
    differs: { fake: '<lb>', moto: 'another', why: 'moto makes a second load balancer of that name' },
  },
  {
    name: 'the load balancer by name',
    service: 'elb',
    operation: 'DescribeLoadBalancers',
    input: () => ({ Names: ['k8s-a'] }),
    look: lookBalancers,
  },
  {
    name: 'a load balancer that does not exist',
    service: 'elb',
    operation: 'DescribeLoadBalancers',
    input: () => ({ Names: ['none'] }),
  },
  {
    name: 'tags of a load balancer',
    service: 'elb',
    operation: 'DescribeTags',
    input: ({ made }) => ({ ResourceArns: [made['lb']] }),
    look: ({ TagDescriptions = [] }: DescribeTagsCommandOutput) => TagDescriptions.map(({ Tags }) => sorted(Tags)),
  },
  {
    name: 'attributes of a load balancer',
    service: 'elb',
    operation: 'ModifyLoadBalancerAttributes',
    input: ({ made }) => ({
      LoadBalancerArn: made['lb'],
      Attributes: [{ Key: 'load_balancing.cross_zone.enabled', Value: 'true' }],
    }),
  },
  {
    name: 'attributes of a load balancer, read',
    service: 'elb',
    operation: 'DescribeLoadBalancerAttributes',
    input: ({ made }) => ({ LoadBalancerArn: made['lb'] }),
    look: ({ Attributes = [] }: DescribeLoadBalancerAttributesCommandOutput) =>
      Attributes.find(({ Key }) => Key === 'load_balancing.cross_zone.enabled')?.Value,
  },
  {
    name: 'fewer subnets',
    service: 'elb',
    operation: 'SetSubnets',
    input: ({ made, subnets }) => ({ LoadBalancerArn: made['lb'], Subnets: subnets.slice(0, 2) }),
  },
  {
    name: 'other security groups',
    service: 'elb',
    operation: 'SetSecurityGroups',
    input: ({ made, nodes }) => ({ LoadBalancerArn: made['lb'], SecurityGroups: [made['sg'], nodes] }),
  },
];

const targets: readonly Step[] = [
  {
    name: 'a target group',
    service: 'elb',
    operation: 'CreateTargetGroup',
    input: ({ vpc }) => ({
      Name: 'k8s-g',
      Protocol: 'TCP',
      Port: 30080,
      VpcId: vpc,
      TargetType: 'instance',
      IpAddressType: 'ipv4',
      HealthCheckProtocol: 'TCP',
      HealthCheckPort: 'traffic-port',
      HealthCheckIntervalSeconds: 10,
      HealthCheckTimeoutSeconds: 10,
      HealthyThresholdCount: 3,
      UnhealthyThresholdCount: 3,
      Tags: marks,
    }),
    save: ({ TargetGroups = [] }: DescribeTargetGroupsCommandOutput) => ({ tg: TargetGroups[0]?.TargetGroupArn ?? '' }),
    look: lookGroups,
  },
  {
    name: 'the same target group once more',
    service: 'elb',
    operation: 'CreateTargetGroup',
    input: ({ vpc }) => ({
      Name: 'k8s-g',
      Protocol: 'TCP',
      Port: 30080,
      VpcId: vpc,
      TargetType: 'instance',
      HealthCheckProtocol: 'TCP',
      HealthCheckIntervalSeconds: 10,
      HealthCheckTimeoutSeconds: 10,
      HealthyThresholdCount: 3,
      UnhealthyThresholdCount: 3,
    }),
    differs: {
      fake: 'ok',
      moto: 'error DuplicateTargetGroupNameException',
      why: 'moto refuses every name that exists',
    },
  },
  {
    name: 'another target group under its name',
    service: 'elb',
    operation: 'CreateTargetGroup',
    input: ({ vpc }) => ({ Name: 'k8s-g', Protocol: 'UDP', Port: 1, VpcId: vpc, TargetType: 'instance' }),
  },
  {
    name: 'targets before there is a listener',
    service: 'elb',
    operation: 'RegisterTargets',
    input: ({ made, instances }) => ({
      TargetGroupArn: made['tg'],
      Targets: instances.slice(0, 2).map((Id) => ({ Id, Port: 30080 })),
    }),
  },
  {
    name: 'health before there is a listener',
    service: 'elb',
    operation: 'DescribeTargetHealth',
    input: ({ made }) => ({ TargetGroupArn: made['tg'] }),
    look: lookHealth,
    differs: {
      fake: ['["<i1>",30080,"unused","Target.NotInUse"]', '["<i2>",30080,"unused","Target.NotInUse"]'],
      moto: ['["<i1>",30080,"healthy",null]', '["<i2>",30080,"healthy",null]'],
      why: 'in moto a target is healthy at once',
    },
  },
  {
    name: 'deregistering what was never registered',
    service: 'elb',
    operation: 'DeregisterTargets',
    input: ({ made, instances }) => ({ TargetGroupArn: made['tg'], Targets: [{ Id: instances[2], Port: 30080 }] }),
    differs: { fake: 'ok', moto: 'error InvalidTargetException', why: 'AWS lets it succeed (DeregisterTargets)' },
  },
  {
    name: 'a health check by HTTP',
    service: 'elb',
    operation: 'ModifyTargetGroup',
    input: ({ made }) => ({
      TargetGroupArn: made['tg'],
      HealthCheckProtocol: 'HTTP',
      HealthCheckPort: '32000',
      HealthCheckPath: '/healthz',
      HealthCheckIntervalSeconds: 10,
      HealthCheckTimeoutSeconds: 6,
      HealthyThresholdCount: 2,
      UnhealthyThresholdCount: 2,
      Matcher: { HttpCode: '200-399' },
    }),
    look: lookGroups,
    differs: { member: '0.health.3', fake: '200-399', moto: null, why: 'moto loses the codes of a TCP group' },
  },
];

const listeners: readonly Step[] = [
  {
    name: 'a listener',
    service: 'elb',
    operation: 'CreateListener',
    input: ({ made }) => ({
      LoadBalancerArn: made['lb'],
      Protocol: 'TCP',
      Port: 80,
      DefaultActions: [{ Type: 'forward', TargetGroupArn: made['tg'] }],
      Tags: marks,
    }),
    save: ({ Listeners = [] }: DescribeListenersCommandOutput) => ({ listener: Listeners[0]?.ListenerArn ?? '' }),
    look: lookListeners,
    differs: {
      member: '0.policy',
      fake: undefined,
      moto: 'ELBSecurityPolicy-2016-08',
      why: 'moto has an SSL policy on every listener',
    },
  },
  {
    name: 'a second group',
    service: 'elb',
    operation: 'CreateTargetGroup',
    input: ({ vpc }) => ({ Name: 'k8s-h', Protocol: 'UDP', Port: 53, VpcId: vpc, TargetType: 'ip', Tags: marks }),
    save: ({ TargetGroups = [] }: DescribeTargetGroupsCommandOutput) => ({
      udp: TargetGroups[0]?.TargetGroupArn ?? '',
    }),
    look: lookGroups,
  },
  {
    name: 'a TLS listener',
    service: 'elb',
    operation: 'CreateListener',
    input: ({ made, certificate }) => ({
      LoadBalancerArn: made['lb'],
      Protocol: 'TLS',
      Port: 443,
      SslPolicy: 'ELBSecurityPolicy-2016-08',
      Certificates: [{ CertificateArn: certificate }],
      DefaultActions: [{ Type: 'forward', TargetGroupArn: made['tg'] }],
    }),
    save: ({ Listeners = [] }: DescribeListenersCommandOutput) => ({ tls: Listeners[0]?.ListenerArn ?? '' }),
    look: lookListeners,
  },
  {
    name: 'certificates of a TLS listener',
    service: 'elb',
    operation: 'DescribeListenerCertificates',
    input: ({ made }) => ({ ListenerArn: made['tls'] }),
    look: ({ Certificates = [] }: DescribeListenerCertificatesCommandOutput) =>
      Certificates.map(({ CertificateArn }) => CertificateArn),
  },
  {
    name: 'listeners of the load balancer',
    service: 'elb',
    operation: 'DescribeListeners',
    input: ({ made }) => ({ LoadBalancerArn: made['lb'] }),
    look: (output: DescribeListenersCommandOutput) =>
      lookListeners(output).map(({ port, protocol }) => [port, protocol]),
  },
  {
    name: 'health behind a listener',
    service: 'elb',
    operation: 'DescribeTargetHealth',
    input: ({ made }) => ({ TargetGroupArn: made['tg'] }),
    look: lookHealth,
  },
  {
    name: 'a target taken out',
    service: 'elb',
    operation: 'DeregisterTargets',
    input: ({ made, instances }) => ({ TargetGroupArn: made['tg'], Targets: [{ Id: instances[1], Port: 30080 }] }),
  },
  {
    name: 'health after that',
    service: 'elb',
    operation: 'DescribeTargetHealth',
    input: ({ made }) => ({ TargetGroupArn: made['tg'] }),
    look: lookHealth,
  },
  {
    name: 'groups of the load balancer',
    service: 'elb',
    operation: 'DescribeTargetGroups',
    input: ({ made }) => ({ TargetGroupArns: [made['tg']] }),
    look: ({ TargetGroups = [] }: DescribeTargetGroupsCommandOutput) => TargetGroups[0]?.LoadBalancerArns,
    differs: {
      member: '1',
      fake: undefined,
      moto: '<lb>',
      why: 'moto lists a load balancer once per listener',
    },
  },
  {
    name: 'a group in use cannot go',
    service: 'elb',
    operation: 'DeleteTargetGroup',
    input: ({ made }) => ({ TargetGroupArn: made['tg'] }),
  },
  {
    name: 'what carries our tags',
    service: 'tagging',
    operation: 'GetResources',
    input: () => ({ TagFilters: [{ Key: 'fairlead.dev/cluster', Values: ['diff'] }] }),
    look: ({ ResourceTagMappingList = [] }: GetResourcesCommandOutput) =>
      sorted(ResourceTagMappingList.map(({ ResourceARN }) => ResourceARN?.replace(/^.*security-group\//, ''))),
    differs: {
      fake: ['"<lb>"', '"<listener>"', '"<sg>"', '"<tg>"', '"<udp>"'],
      moto: ['"<lb>"', '"<sg>"', '"<tg>"', '"<udp>"'],
      why: 'moto leaves listeners out',
    },
  },
  {
    name: 'the tags of what is named by its ARN',
    service: 'tagging',
    operation: 'GetResources',
    input: ({ made }) => ({ ResourceARNList: [made['lb'], made['tg']] }),
    look: ({ ResourceTagMappingList = [] }: GetResourcesCommandOutput) =>
      sorted(ResourceTagMappingList.map(({ ResourceARN, Tags = [] }) => `${ResourceARN} ${Tags.length > 0}`)),
  },
];

const network: readonly Step[] = [
  {
    name: 'subnets of the VPC',
    service: 'ec2',
    operation: 'DescribeSubnets',
    input: ({ vpc }) => ({ Filters: [{ Name: 'vpc-id', Values: [vpc] }] }),
    look: ({ Subnets = [] }: DescribeSubnetsCommandOutput) =>
      sorted(Subnets.map((one) => [one.SubnetId, one.AvailabilityZone, one.CidrBlock])),
  },
  {
    name: 'a route to an instance',
    service: 'ec2',
    operation: 'CreateRoute',
    input: ({ table, instances }) => ({
      RouteTableId: table,
      DestinationCidrBlock: '10.1.0.0/24',
      InstanceId: instances[0],
    }),
  },
  {
    name: 'a route that is there',
    service: 'ec2',
    operation: 'CreateRoute',
    input: ({ table, instances }) => ({
      RouteTableId: table,
      DestinationCidrBlock: '10.1.0.0/24',
      InstanceId: instances[1],
    }),
  },
  {
    name: 'a route is replaced',
    service: 'ec2',
    operation: 'ReplaceRoute',
    input: ({ table, instances }) => ({
      RouteTableId: table,
      DestinationCidrBlock: '10.1.0.0/24',
      InstanceId: instances[2],
    }),
  },
  {
    name: 'routes of the table',
    service: 'ec2',
    operation: 'DescribeRouteTables',
    input: ({ table }) => ({ RouteTableIds: [table] }),
    look: lookRoutes,
  },
  {
    name: 'a route goes',
    service: 'ec2',
    operation: 'DeleteRoute',
    input: ({ table }) => ({ RouteTableId: table, DestinationCidrBlock: '10.1.0.0/24' }),
  },
  {
    name: 'a route that has gone',
    service: 'ec2',
    operation: 'DeleteRoute',
    input: ({ table }) => ({ RouteTableId: table, DestinationCidrBlock: '10.1.0.0/24' }),
  },
  {
    name: 'a route table that does not exist',
    service: 'ec2',
    operation: 'DescribeRouteTables',
    input: () => ({ RouteTableIds: ['rtb-0123456789abcdef0'] }),
  },
  {
    name: 'an instance',
    service: 'ec2',
    operation: 'DescribeInstances',
    input: ({ instances }) => ({ InstanceIds: [instances[0]] }),
    look: ({ Reservations = [] }: DescribeInstancesCommandOutput) =>
      Reservations.flatMap(({ Instances = [] }) =>
        Instances.map((one) => [
          one.InstanceId,
          one.State?.Name,
          one.Placement?.AvailabilityZone,
          one.NetworkInterfaces?.map((each) => [
            each.Attachment?.DeviceIndex,
            each.PrivateIpAddresses?.[0]?.PrivateIpAddress,
          ]),
        ]),
      ),
  },
  {
    name: 'an instance that does not exist',
    service: 'ec2',
    operation: 'DescribeInstances',
    input: () => ({ InstanceIds: ['i-0123456789abcdef0'] }),
  },
  {
    name: 'an id that is none',
    service: 'ec2',
    operation: 'DescribeInstances',
    input: () => ({ InstanceIds: ['node-1'] }),
    differs: {
      fake: 'error InvalidInstanceID.Malformed',
      moto: 'error InvalidInstanceID.NotFound',
      why: 'moto does not look at the form of ids',
    },
  },
  {
    name: 'interfaces of a group',
    service: 'ec2',
    operation: 'DescribeNetworkInterfaces',
    input: ({ instances }) => ({ Filters: [{ Name: 'attachment.instance-id', Values: [instances[0]] }] }),
    look: ({ NetworkInterfaces = [] }: DescribeNetworkInterfacesCommandOutput) =>
      NetworkInterfaces.map((one) => [one.SubnetId, one.SourceDestCheck, one.Groups?.map(({ GroupId }) => GroupId)]),
  },
  {
    name: 'the source/destination check of an instance',
    service: 'ec2',
    operation: 'ModifyInstanceAttribute',
    input: ({ instances }) => ({ InstanceId: instances[0], SourceDestCheck: { Value: false } }),
  },
];

/** What one of the two refuses; from here on their states are not the same. */
const strict: readonly Step[] = [
  {
    name: 'a load balancer whose name is longer than 32 characters',
    service: 'elb',
    operation: 'CreateLoadBalancer',
    input: ({ subnets }) => ({ Name: 'a'.repeat(33), Type: 'network', Scheme: 'internal', Subnets: subnets }),
    differs: { fake: 'error ValidationError', moto: 'ok', why: 'moto does not check names' },
  },
  {
    name: 'a load balancer in a subnet that does not exist',
    service: 'elb',
    operation: 'CreateLoadBalancer',
    input: () => ({ Name: 'k8s-b', Type: 'network', Scheme: 'internal', Subnets: ['subnet-0123456789abcdef0'] }),
    differs: {
      fake: 'error SubnetNotFoundException',
      moto: 'error InvalidSubnetID.NotFound',
      why: 'moto lets the error of EC2 through',
    },
  },
  {
    name: 'a load balancer with a security group that does not exist',
    service: 'elb',
    operation: 'CreateLoadBalancer',
    input: ({ subnets }) => ({
      Name: 'k8s-c',
      Type: 'network',
      Scheme: 'internal',
      Subnets: subnets,
      SecurityGroups: ['sg-0123456789abcdef0'],
    }),
    differs: { fake: 'error InvalidSecurityGroupException', moto: 'ok', why: 'moto does not check security groups' },
  },
  {
    name: 'an instance that does not exist',
    service: 'elb',
    operation: 'RegisterTargets',
    input: ({ made }) => ({ TargetGroupArn: made['tg'], Targets: [{ Id: 'i-0123456789abcdef0', Port: 30080 }] }),
    differs: { fake: 'error InvalidTargetException', moto: 'ok', why: 'moto registers anything' },
  },
  {
    name: 'attributes of a target group that do not exist',
    service: 'elb',
    operation: 'ModifyTargetGroupAttributes',
    input: ({ made }) => ({ TargetGroupArn: made['tg'], Attributes: [{ Key: 'bogus', Value: '1' }] }),
    differs: { fake: 'error ValidationError', moto: 'ok', why: 'moto takes any key' },
  },
  {
    name: 'the longest deregistration delay',
    service: 'elb',
    operation: 'ModifyTargetGroupAttributes',
    input: ({ made }) => ({
      TargetGroupArn: made['tg'],
      Attributes: [{ Key: 'deregistration_delay.timeout_seconds', Value: '3600' }],
    }),
    differs: { fake: 'ok', moto: 'error ValidationError', why: 'moto has a lower limit than the 3600 s of AWS' },
  },
  {
    name: 'a second listener on its port',
    service: 'elb',
    operation: 'CreateListener',
    input: ({ made }) => ({
      LoadBalancerArn: made['lb'],
      Protocol: 'UDP',
      Port: 80,
      DefaultActions: [{ Type: 'forward', TargetGroupArn: made['udp'] }],
    }),
    differs: { fake: 'error DuplicateListenerException', moto: 'ok', why: 'moto does not check ports' },
  },
  {
    name: 'a group of another protocol',
    service: 'elb',
    operation: 'CreateListener',
    input: ({ made }) => ({
      LoadBalancerArn: made['lb'],
      Protocol: 'TCP',
      Port: 81,
      DefaultActions: [{ Type: 'forward', TargetGroupArn: made['udp'] }],
    }),
    differs: { fake: 'error IncompatibleProtocolsException', moto: 'ok', why: 'moto does not compare protocols' },
  },
  {
    name: 'TCP becomes UDP',
    service: 'elb',
    operation: 'ModifyListener',
    input: ({ made }) => ({
      ListenerArn: made['listener'],
      Protocol: 'UDP',
      Port: 53,
      DefaultActions: [{ Type: 'forward', TargetGroupArn: made['udp'] }],
    }),
    differs: {
      fake: 'ok',
      moto: 'error UnsupportedProtocolException',
      why: 'moto changes listeners of the protocols of ALBs only, and leaves the new port behind',
    },
  },
  {
    name: 'one subnet',
    service: 'elb',
    operation: 'SetSubnets',
    input: ({ made, subnets }) => ({ LoadBalancerArn: made['lb'], Subnets: subnets.slice(0, 1) }),
    differs: {
      fake: 'ok',
      moto: 'error InvalidConfigurationRequestException',
      why: 'moto has the two zones that ALBs need',
    },
  },
  {
    name: 'no security groups',
    service: 'elb',
    operation: 'SetSecurityGroups',
    input: ({ made }) => ({ LoadBalancerArn: made['lb'], SecurityGroups: [] }),
    differs: { fake: 'error ValidationError', moto: 'ok', why: 'moto takes the last group away' },
  },
];

const end: readonly Step[] = [
  {
    name: 'a listener goes',
    service: 'elb',
    operation: 'DeleteListener',
    input: ({ made }) => ({ ListenerArn: made['listener'] }),
  },
  {
    name: 'a listener that has gone',
    service: 'elb',
    operation: 'DeleteListener',
    input: ({ made }) => ({ ListenerArn: made['listener'] }),
  },
  {
    name: 'a security group in use cannot go',
    service: 'ec2',
    operation: 'DeleteSecurityGroup',
    input: ({ made }) => ({ GroupId: made['sg'] }),
    differs: { fake: 'error DependencyViolation', moto: 'ok', why: 'moto has no network interfaces of NLBs' },
  },
  {
    name: 'the load balancer goes with its listeners',
    service: 'elb',
    operation: 'DeleteLoadBalancer',
    input: ({ made }) => ({ LoadBalancerArn: made['lb'] }),
  },
  {
    name: 'a load balancer that has gone',
    service: 'elb',
    operation: 'DeleteLoadBalancer',
    input: ({ made }) => ({ LoadBalancerArn: made['lb'] }),
  },
  {
    name: 'its target group goes at once',
    service: 'elb',
    operation: 'DeleteTargetGroup',
    input: ({ made }) => ({ TargetGroupArn: made['tg'] }),
  },
  {
    name: 'health of a group that has gone',
    service: 'elb',
    operation: 'DescribeTargetHealth',
    input: ({ made }) => ({ TargetGroupArn: made['tg'] }),
  },
  {
    name: 'a target group that has gone',
    service: 'elb',
    operation: 'DeleteTargetGroup',
    input: ({ made }) => ({ TargetGroupArn: made['tg'] }),
    differs: {
      fake: 'ok',
      moto: 'error TargetGroupNotFoundException',
      why: 'the only error of DeleteTargetGroup in AWS is ResourceInUse',
    },
  },
];

/** One story, in order: what a Service's load balancer goes through, and the errors that the provider must know. */
export const steps: readonly Step[] = [
  ...securityGroups,
  ...loadBalancers,
  ...targets,
  ...listeners,
  ...network,
  ...strict,
  ...end,
];
