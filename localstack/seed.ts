/**
 * What a cluster finds in an AWS account: a VPC with the subnets of the golden cases, an internet gateway, a tagged route
 * table, security groups, three instances and a certificate. Idempotent: everything is found again by its seed tag.
 */
import {
  AssociateRouteTableCommand,
  AttachInternetGatewayCommand,
  AuthorizeSecurityGroupIngressCommand,
  CreateInternetGatewayCommand,
  CreateRouteCommand,
  CreateRouteTableCommand,
  CreateSecurityGroupCommand,
  CreateSubnetCommand,
  CreateVpcCommand,
  DescribeImagesCommand,
  DescribeInstancesCommand,
  DescribeInternetGatewaysCommand,
  DescribeRouteTablesCommand,
  DescribeSecurityGroupsCommand,
  DescribeSubnetsCommand,
  DescribeVpcsCommand,
  EC2Client,
  type Instance,
  type ResourceType,
  RunInstancesCommand,
  type SecurityGroup,
  type Tag,
  type TagSpecification,
} from '@aws-sdk/client-ec2';
import type { Access } from './access.ts';
import { ensureCertificate } from './certificate.ts';

export interface SeedOptions extends Access {
  /** --cluster-name of the controller: subnets, route table, node group and instances carry its tag. */
  readonly cluster: string;
}
export interface Seeded {
  readonly vpcId: string;
  /** In the order of `subnets`. */
  readonly subnetIds: readonly string[];
  /** Not the VPC's main table; the subnets are associated, its default route leads to the internet gateway. */
  readonly routeTableId: string;
  readonly internetGatewayId: string;
  /** Of the instances; carries the cluster's tag. */
  readonly nodeSecurityGroupId: string;
  /** Named 'web': something to give to the annotation aws-load-balancer-security-groups. */
  readonly webSecurityGroupId: string;
  /** One per subnet, in their order. */
  readonly instances: readonly SeededInstance[];
  /** In ACM, for 'seed.example.com'. */
  readonly certificateArn: string;
}
export interface SeededInstance {
  readonly id: string;
  readonly zone: string;
  readonly address: string;
  /** What the Node of this instance is called where nodes are named by private DNS. */
  readonly privateDnsName: string;
}

const vpcCidr = '192.168.0.0/16';
/** Those of the golden cases; every zone has one. */
export const subnets = [
  { name: 'subnet-1', zone: 'a', cidr: '192.168.0.0/19' },
  { name: 'subnet-2', zone: 'b', cidr: '192.168.32.0/19' },
  { name: 'subnet-3', zone: 'c', cidr: '192.168.64.0/19' },
] as const;

/** Makes what is missing and changes nothing that is there. Rejects with the SDK's error. */
export async function seed({ cluster, ...access }: SeedOptions): Promise<Seeded> {
  const ec2 = new EC2Client({ endpoint: access.endpoint, region: access.region, credentials: credentialsOf(access) });
  const tags = tagger(cluster);
  try {
    const vpcId = await ensureVpc(ec2, tags);
    const internetGatewayId = await ensureInternetGateway(ec2, tags, vpcId);
    const subnetIds = await ensureSubnets(ec2, tags, vpcId, access.region);
    const routeTableId = await ensureRouteTable(ec2, tags, { vpcId, subnetIds, internetGatewayId });
    const nodeSecurityGroupId = await ensureSecurityGroup(ec2, tags, { vpcId, name: 'nodes', shared: true });
    const webSecurityGroupId = await ensureSecurityGroup(ec2, tags, { vpcId, name: 'web', shared: false });
    const instances = await ensureInstances(ec2, tags, { subnetIds, groupId: nodeSecurityGroupId });
    const certificateArn = await ensureCertificate(access, 'seed.example.com');
    return {
      vpcId,
      subnetIds,
      routeTableId,
      internetGatewayId,
      nodeSecurityGroupId,
      webSecurityGroupId,
      instances,
      certificateArn,
    };
  } finally {
    ec2.destroy();
  }
}

function credentialsOf({ accessKeyId, secretAccessKey, sessionToken }: Access) {
  return { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) };
}

/** The tag by which a thing is found again, and those that the controller looks for. */
function tagger(cluster: string) {
  const seedTag = (name: string): Tag => ({ Key: 'fairlead.dev/seed', Value: `${cluster}/${name}` });
  return {
    clusterTag: { Key: `kubernetes.io/cluster/${cluster}`, Value: 'owned' } as const satisfies Tag,
    filter: (name: string) => [{ Name: 'tag:fairlead.dev/seed', Values: [`${cluster}/${name}`] }],
    on: (type: ResourceType, name: string, more: readonly Tag[] = []): TagSpecification[] => [
      { ResourceType: type, Tags: [seedTag(name), { Key: 'Name', Value: name }, ...more] },
    ],
  };
}
type Tagger = ReturnType<typeof tagger>;

/** With an IPv6 block, so that dual-stack load balancers can be tried. */
async function ensureVpc(ec2: EC2Client, tags: Tagger): Promise<string> {
  const { Vpcs = [] } = await ec2.send(new DescribeVpcsCommand({ Filters: tags.filter('vpc') }));
  if (Vpcs[0] !== undefined) return known(Vpcs[0].VpcId);
  const { Vpc } = await ec2.send(
    new CreateVpcCommand({
      CidrBlock: vpcCidr,
      AmazonProvidedIpv6CidrBlock: true,
      TagSpecifications: tags.on('vpc', 'vpc'),
    }),
  );
  return known(Vpc?.VpcId);
}

async function ensureInternetGateway(ec2: EC2Client, tags: Tagger, vpcId: string): Promise<string> {
  const found = await ec2.send(new DescribeInternetGatewaysCommand({ Filters: tags.filter('gateway') }));
  let gateway = found.InternetGateways?.[0];
  if (gateway === undefined) {
    const made = new CreateInternetGatewayCommand({ TagSpecifications: tags.on('internet-gateway', 'gateway') });
    gateway = (await ec2.send(made)).InternetGateway;
  }
  const id = known(gateway?.InternetGatewayId);
  const isAttached = gateway?.Attachments?.some(({ VpcId }) => VpcId === vpcId) === true;
  if (!isAttached) await ec2.send(new AttachInternetGatewayCommand({ InternetGatewayId: id, VpcId: vpcId }));
  return id;
}

async function ensureSubnets(ec2: EC2Client, tags: Tagger, vpcId: string, region: string): Promise<readonly string[]> {
  const { Vpcs = [] } = await ec2.send(new DescribeVpcsCommand({ VpcIds: [vpcId] }));
  const ipv6 = Vpcs[0]?.Ipv6CidrBlockAssociationSet?.[0]?.Ipv6CidrBlock;
  const roles = ['kubernetes.io/role/elb', 'kubernetes.io/role/internal-elb'].map((Key) => ({ Key, Value: '1' }));
  const ids: string[] = [];
  for (const [index, { name, zone, cidr }] of subnets.entries()) {
    const { Subnets = [] } = await ec2.send(new DescribeSubnetsCommand({ Filters: tags.filter(name) }));
    if (Subnets[0] !== undefined) {
      ids.push(known(Subnets[0].SubnetId));
      continue;
    }
    const made = await ec2.send(
      new CreateSubnetCommand({
        VpcId: vpcId,
        AvailabilityZone: `${region}${zone}`,
        CidrBlock: cidr,
        ...(ipv6 === undefined ? {} : { Ipv6CidrBlock: subnetOf(ipv6, index) }),
        TagSpecifications: tags.on('subnet', name, [tags.clusterTag, ...roles]),
      }),
    );
    ids.push(known(made.Subnet?.SubnetId));
  }
  return ids;
}

/** The /64 with this number (at most 255) of a VPC's /56: '2600:1f16:0:ef00::/56', 1 -> '2600:1f16:0:ef01::/64'. */
export function subnetOf(vpc: string, index: number): string {
  const found = /^(.*?)00::\/56$/.exec(vpc);
  if (found === null) throw new Error(`${vpc} is no /56 as Amazon gives them to VPCs`);
  return `${found[1]}${index.toString(16).padStart(2, '0')}::/64`;
}

async function ensureRouteTable(
  ec2: EC2Client,
  tags: Tagger,
  at: { readonly vpcId: string; readonly subnetIds: readonly string[]; readonly internetGatewayId: string },
): Promise<string> {
  const found = await ec2.send(new DescribeRouteTablesCommand({ Filters: tags.filter('routes') }));
  let table = found.RouteTables?.[0];
  if (table === undefined) {
    const TagSpecifications = tags.on('route-table', 'routes', [tags.clusterTag]);
    table = (await ec2.send(new CreateRouteTableCommand({ VpcId: at.vpcId, TagSpecifications }))).RouteTable;
  }
  const id = known(table?.RouteTableId);
  if (table?.Routes?.some(({ DestinationCidrBlock }) => DestinationCidrBlock === '0.0.0.0/0') !== true) {
    const route = { RouteTableId: id, DestinationCidrBlock: '0.0.0.0/0', GatewayId: at.internetGatewayId };
    await ec2.send(new CreateRouteCommand(route));
  }
  const associated = new Set(table?.Associations?.map(({ SubnetId }) => SubnetId));
  for (const SubnetId of at.subnetIds) {
    if (!associated.has(SubnetId)) await ec2.send(new AssociateRouteTableCommand({ RouteTableId: id, SubnetId }));
  }
  return id;
}

async function ensureSecurityGroup(
  ec2: EC2Client,
  tags: Tagger,
  { vpcId, name, shared }: { readonly vpcId: string; readonly name: string; readonly shared: boolean },
): Promise<string> {
  const { SecurityGroups = [] } = await ec2.send(new DescribeSecurityGroupsCommand({ Filters: tags.filter(name) }));
  const group = SecurityGroups[0];
  const id = group?.GroupId ?? (await createSecurityGroup(ec2, tags, { vpcId, name, shared }));
  if (!hasRules(group)) await ec2.send(new AuthorizeSecurityGroupIngressCommand(ingressOf(id, shared)));
  return id;
}

async function createSecurityGroup(
  ec2: EC2Client,
  tags: Tagger,
  { vpcId, name, shared }: { readonly vpcId: string; readonly name: string; readonly shared: boolean },
): Promise<string> {
  const made = await ec2.send(
    new CreateSecurityGroupCommand({
      VpcId: vpcId,
      GroupName: name,
      Description: `Seed: ${name}`,
      TagSpecifications: tags.on('security-group', name, shared ? [tags.clusterTag] : []),
    }),
  );
  return known(made.GroupId);
}

function hasRules(group: SecurityGroup | undefined): boolean {
  return (group?.IpPermissions ?? []).length > 0;
}

/** Nodes reach each other; 'web' is open to everybody at 80 and 443. */
function ingressOf(id: string, shared: boolean) {
  if (shared) return { GroupId: id, IpPermissions: [{ IpProtocol: '-1', UserIdGroupPairs: [{ GroupId: id }] }] };
  const open = (port: number) => ({
    IpProtocol: 'tcp',
    FromPort: port,
    ToPort: port,
    IpRanges: [{ CidrIp: '0.0.0.0/0' }],
  });
  return { GroupId: id, IpPermissions: [open(80), open(443)] };
}

async function ensureInstances(
  ec2: EC2Client,
  tags: Tagger,
  { subnetIds, groupId }: { readonly subnetIds: readonly string[]; readonly groupId: string },
): Promise<readonly SeededInstance[]> {
  const instances: SeededInstance[] = [];
  let image: Promise<string> | undefined; // moto takes a second for this list
  for (const [index, SubnetId] of subnetIds.entries()) {
    const name = `node-${index + 1}`;
    const alive = { Name: 'instance-state-name', Values: ['pending', 'running', 'stopping', 'stopped'] };
    const found = await ec2.send(new DescribeInstancesCommand({ Filters: [...tags.filter(name), alive] }));
    let instance = found.Reservations?.[0]?.Instances?.[0];
    if (instance === undefined) {
      image ??= anyImage(ec2);
      instance = await runInstance(ec2, tags, { name, groupId, SubnetId, ImageId: await image });
    }
    instances.push({
      id: known(instance.InstanceId),
      zone: known(instance.Placement?.AvailabilityZone),
      address: known(instance.PrivateIpAddress),
      privateDnsName: known(instance.PrivateDnsName),
    });
  }
  return instances;
}

async function anyImage(ec2: EC2Client): Promise<string> {
  const { Images = [] } = await ec2.send(new DescribeImagesCommand({ Owners: ['amazon'], MaxResults: 5 }));
  return known(Images[0]?.ImageId);
}

async function runInstance(
  ec2: EC2Client,
  tags: Tagger,
  at: { readonly name: string; readonly groupId: string; readonly SubnetId: string; readonly ImageId: string },
): Promise<Instance> {
  const made = await ec2.send(
    new RunInstancesCommand({
      ImageId: at.ImageId,
      InstanceType: 't3.medium',
      MinCount: 1,
      MaxCount: 1,
      SubnetId: at.SubnetId,
      SecurityGroupIds: [at.groupId],
      TagSpecifications: tags.on('instance', at.name, [tags.clusterTag]),
    }),
  );
  return known(made.Instances?.[0]);
}

/** What the API always answers, though the SDK's types leave it open. */
function known<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('the AWS API left out an identifier of what it made');
  return value;
}
