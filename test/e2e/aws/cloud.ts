/** A test's own eyes on an AWS account: what it holds, read through the SDK and nothing of ours. */
import {
  DescribeInstancesCommand,
  DescribeNetworkInterfacesCommand,
  DescribeRouteTablesCommand,
  DescribeSecurityGroupsCommand,
  EC2Client,
  type IpPermission,
  RunInstancesCommand,
  TerminateInstancesCommand,
} from '@aws-sdk/client-ec2';
import {
  DescribeListenersCommand,
  DescribeLoadBalancerAttributesCommand,
  DescribeLoadBalancersCommand,
  DescribeTagsCommand,
  DescribeTargetGroupsCommand,
  DescribeTargetHealthCommand,
  ElasticLoadBalancingV2Client,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import type { Access } from '../../../localstack/access.ts';
import type { Seeded } from '../../../localstack/seed.ts';
import type { Scope } from '../../kube/cluster.ts';

/** Names in place of ARNs, everything sorted: two of these are equal when the accounts are. */
export interface Held {
  readonly loadBalancers: readonly HeldLoadBalancer[];
  readonly targetGroups: readonly HeldTargetGroup[];
  /** Those of the VPC, the seed's among them. */
  readonly securityGroups: readonly {
    readonly id: string;
    readonly name: string;
    readonly ingress: readonly string[];
  }[];
}
export interface HeldLoadBalancer {
  readonly arn: string;
  readonly name: string;
  readonly dnsName: string;
  readonly scheme: string;
  readonly type: string;
  readonly securityGroups: readonly string[];
  readonly subnets: readonly string[];
  readonly tags: Readonly<Record<string, string>>;
  /** 'TCP:80 -> name of the target group' */
  readonly listeners: readonly string[];
}
export interface HeldTargetGroup {
  readonly name: string;
  readonly protocol: string;
  readonly port: number;
  readonly type: string;
  readonly health: string;
  readonly tags: Readonly<Record<string, string>>;
  /** 'id:port' */
  readonly targets: readonly string[];
}

export interface Cloud {
  held(): Promise<Held>;
  /** 'destination interface', those to network interfaces only. */
  routes(): Promise<readonly string[]>;
  attributes(loadBalancerArn: string): Promise<Readonly<Record<string, string>>>;
  /** Another node's instance in the first subnet. */
  runInstance(): Promise<NewInstance>;
  terminate(id: string): Promise<void>;
  /** Of the primary network interface. */
  interfaceOf(instanceId: string): Promise<string>;
  /** Of that interface: moto keeps the instance's own apart from it. */
  sourceDestCheck(instanceId: string): Promise<boolean>;
}
export interface NewInstance {
  readonly id: string;
  readonly zone: string;
  readonly address: string;
  readonly privateDnsName: string;
}

export function createCloud(scope: Scope, access: Access, seeded: Seeded): Cloud {
  const { endpoint, region, accessKeyId, secretAccessKey } = access;
  const options = { endpoint, region, credentials: { accessKeyId, secretAccessKey } };
  const elb = new ElasticLoadBalancingV2Client(options);
  const ec2 = new EC2Client(options);
  scope.after(() => {
    elb.destroy();
    ec2.destroy();
  });

  async function tagsOf(arn: string): Promise<Readonly<Record<string, string>>> {
    const { TagDescriptions = [] } = await elb.send(new DescribeTagsCommand({ ResourceArns: [arn] }));
    return Object.fromEntries((TagDescriptions[0]?.Tags ?? []).map(({ Key = '', Value = '' }) => [Key, Value]).sort());
  }
  async function instanceOf(id: string) {
    const { Reservations = [] } = await ec2.send(new DescribeInstancesCommand({ InstanceIds: [id] }));
    return Reservations[0]?.Instances?.[0];
  }

  const primaryOf = async (id: string): Promise<string> =>
    (await instanceOf(id))?.NetworkInterfaces?.[0]?.NetworkInterfaceId ?? '';

  return {
    async held() {
      const { TargetGroups = [] } = await elb.send(new DescribeTargetGroupsCommand({}));
      const nameOf = new Map(
        TargetGroups.map(({ TargetGroupArn, TargetGroupName = '' }) => [TargetGroupArn, TargetGroupName]),
      );
      const targetGroups = await Promise.all(
        TargetGroups.map(async (group) => {
          const TargetGroupArn = group.TargetGroupArn ?? '';
          const { TargetHealthDescriptions = [] } = await elb.send(new DescribeTargetHealthCommand({ TargetGroupArn }));
          return {
            name: group.TargetGroupName ?? '',
            protocol: group.Protocol ?? '',
            port: group.Port ?? 0,
            type: group.TargetType ?? '',
            health: `${group.HealthCheckProtocol} ${group.HealthCheckPort} ${group.HealthCheckIntervalSeconds}s`,
            tags: await tagsOf(TargetGroupArn),
            targets: TargetHealthDescriptions.map(({ Target }) => `${Target?.Id}:${Target?.Port}`).sort(),
          };
        }),
      );
      const { LoadBalancers = [] } = await elb.send(new DescribeLoadBalancersCommand({}));
      const loadBalancers = await Promise.all(
        LoadBalancers.map(async (one) => {
          const LoadBalancerArn = one.LoadBalancerArn ?? '';
          const { Listeners = [] } = await elb.send(new DescribeListenersCommand({ LoadBalancerArn }));
          return {
            arn: LoadBalancerArn,
            name: one.LoadBalancerName ?? '',
            dnsName: one.DNSName ?? '',
            scheme: one.Scheme ?? '',
            type: one.Type ?? '',
            securityGroups: (one.SecurityGroups ?? []).toSorted(),
            subnets: (one.AvailabilityZones ?? []).map(({ SubnetId = '' }) => SubnetId).sort(),
            tags: await tagsOf(LoadBalancerArn),
            listeners: Listeners.map(({ Protocol, Port, DefaultActions = [] }) => {
              const [action] = DefaultActions;
              const arn = action?.TargetGroupArn ?? action?.ForwardConfig?.TargetGroups?.[0]?.TargetGroupArn;
              return `${Protocol}:${Port} -> ${nameOf.get(arn) ?? 'nothing'}`;
            }).sort(),
          };
        }),
      );
      const Filters = [{ Name: 'vpc-id', Values: [seeded.vpcId] }];
      const { SecurityGroups = [] } = await ec2.send(new DescribeSecurityGroupsCommand({ Filters }));
      const securityGroups = SecurityGroups.map(({ GroupId = '', GroupName = '', IpPermissions = [] }) => ({
        id: GroupId,
        name: GroupName,
        ingress: IpPermissions.flatMap(rulesOf).sort(),
      }));
      const byName = (a: { readonly name: string }, b: { readonly name: string }) => a.name.localeCompare(b.name);
      return {
        loadBalancers: loadBalancers.sort(byName),
        targetGroups: targetGroups.sort(byName),
        securityGroups: securityGroups.sort(byName),
      };
    },
    async routes() {
      const { RouteTables = [] } = await ec2.send(
        new DescribeRouteTablesCommand({ RouteTableIds: [seeded.routeTableId] }),
      );
      return (RouteTables[0]?.Routes ?? [])
        .filter(({ NetworkInterfaceId }) => NetworkInterfaceId !== undefined)
        .map(
          ({ DestinationCidrBlock, DestinationIpv6CidrBlock, NetworkInterfaceId }) =>
            `${DestinationCidrBlock ?? DestinationIpv6CidrBlock} ${NetworkInterfaceId}`,
        )
        .sort();
    },
    async attributes(LoadBalancerArn) {
      const { Attributes = [] } = await elb.send(new DescribeLoadBalancerAttributesCommand({ LoadBalancerArn }));
      return Object.fromEntries(Attributes.map(({ Key = '', Value = '' }) => [Key, Value]));
    },
    async runInstance() {
      const example = await instanceOf(seeded.instances[0]?.id ?? '');
      const { Instances = [] } = await ec2.send(
        new RunInstancesCommand({
          ImageId: example?.ImageId,
          InstanceType: 't3.medium',
          MinCount: 1,
          MaxCount: 1,
          SubnetId: seeded.subnetIds[0],
          SecurityGroupIds: [seeded.nodeSecurityGroupId],
        }),
      );
      const [{ InstanceId = '', Placement, PrivateIpAddress = '', PrivateDnsName = '' } = {}] = Instances;
      return {
        id: InstanceId,
        zone: Placement?.AvailabilityZone ?? '',
        address: PrivateIpAddress,
        privateDnsName: PrivateDnsName,
      };
    },
    terminate: async (id) => void (await ec2.send(new TerminateInstancesCommand({ InstanceIds: [id] }))),
    interfaceOf: primaryOf,
    async sourceDestCheck(id) {
      const NetworkInterfaceIds = [await primaryOf(id)];
      const { NetworkInterfaces = [] } = await ec2.send(new DescribeNetworkInterfacesCommand({ NetworkInterfaceIds }));
      return NetworkInterfaces[0]?.SourceDestCheck === true;
    },
  };
}

/** 'tcp 80-80 from 0.0.0.0/0 (description)' */
function rulesOf({ IpProtocol, FromPort, ToPort, IpRanges, Ipv6Ranges, UserIdGroupPairs }: IpPermission) {
  const from = [
    ...(IpRanges ?? []).map(({ CidrIp, Description }) => [CidrIp, Description]),
    ...(Ipv6Ranges ?? []).map(({ CidrIpv6, Description }) => [CidrIpv6, Description]),
    ...(UserIdGroupPairs ?? []).map(({ GroupId, Description }) => [GroupId, Description]),
  ];
  return from.map(
    ([source, text]) => `${IpProtocol} ${FromPort ?? ''}-${ToPort ?? ''} from ${source}${text ? ` (${text})` : ''}`,
  );
}
