import type { FakeAws } from './aws.ts';

/** Ids of what `seedWorld` puts into an account. */
export interface SeededWorld {
  readonly vpcId: string;
  /** One per zone. */
  readonly subnetIds: readonly string[];
  readonly routeTableId: string;
  /** Of the nodes; tagged for the cluster. */
  readonly nodeGroupId: string;
  readonly instanceIds: readonly string[];
  readonly certificateArn: string;
}

const SUBNETS = ['192.168.0.0/19', '192.168.32.0/19', '192.168.64.0/19'] as const;

/** The network of a small cluster, as localstack/seed.ts makes it: one VPC, a subnet and a node in each zone, all tagged. */
export function seedWorld({ seed, region }: FakeAws, cluster: string): SeededWorld {
  const owned = { [`kubernetes.io/cluster/${cluster}`]: 'owned' };
  const vpcId = seed.vpc({ id: 'vpc-0a', tags: { Name: cluster } });
  const subnetIds = SUBNETS.map((cidr, index) =>
    seed.subnet({
      id: `subnet-0${index + 1}`,
      vpcId,
      cidr,
      zone: `${region}${'abc'.charAt(index)}`,
      tags: {
        Name: `${cluster}-${index + 1}`,
        'kubernetes.io/role/elb': '1',
        'kubernetes.io/role/internal-elb': '1',
        [`kubernetes.io/cluster/${cluster}`]: 'shared',
      },
    }),
  );
  const routeTableId = seed.routeTable({ id: 'rtb-0a', vpcId, main: true, subnets: subnetIds, tags: owned });
  const nodeGroupId = seed.securityGroup({ id: 'sg-0a', vpcId, name: `${cluster}-nodes`, tags: owned });
  const instanceIds = subnetIds.map((subnetId, index) =>
    seed.instance({
      id: `i-0${index + 1}`,
      subnetId,
      addresses: [`192.168.${index * 32}.10`],
      groups: [nodeGroupId],
      tags: { ...owned, Name: `${cluster}-node-${index + 1}` },
    }),
  );
  return { vpcId, subnetIds, routeTableId, nodeGroupId, instanceIds, certificateArn: seed.certificate() };
}
