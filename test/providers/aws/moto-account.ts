import {
  AuthorizeSecurityGroupIngressCommand,
  CreateSecurityGroupCommand,
  DeleteSecurityGroupCommand,
  DescribeSecurityGroupsCommand,
  EC2Client,
  RevokeSecurityGroupIngressCommand,
  type SecurityGroup,
} from '@aws-sdk/client-ec2';
import { ElasticLoadBalancingV2 } from '@aws-sdk/client-elastic-load-balancing-v2';
import type { Access } from '../../../localstack/access.ts';
import type { Seeded } from '../../../localstack/seed.ts';
import { createClients } from '../../../providers/aws/client.ts';
import { parseConfig } from '../../../providers/aws/config.ts';
import type { Act, Desired, Observed } from '../../../providers/aws/model.ts';
import { createStacks, type Stacks } from '../../../providers/aws/stacks.ts';
import type { Target } from '../../../src/core/provider.ts';
import { createVirtualClock } from '../../fake/clock.ts';
import type { Harness } from '../contract.ts';

/** A seeded account of moto, used again after each try: seeding takes longer than most tries. */
export interface MotoAccount {
  readonly access: Access;
  readonly seeded: Seeded;
}

export const CLUSTER = 'contract';

/** The provider on moto, on a virtual clock: only the server's own work takes time, and it settles at once. */
export function motoHarness({ access, seeded }: MotoAccount, release: () => void): Harness<Desired, Observed, Act> {
  const clock = createVirtualClock();
  const raw = rawOf(access);
  let isFailing = false;
  const own = (stacks: Stacks): Stacks['parts'] => ({
    ...stacks.parts,
    plan: (spec) => stacks.parts.plan({ ...spec, targets: targetsIn(seeded) }),
  });
  const start = (): Stacks['parts'] =>
    own(
      createStacks({
        clients: createClients({
          region: access.region,
          endpoint: access.endpoint,
          credentials: credentialsOf(access),
          begun: (operation) => {
            if (isFailing && /^(Describe|Get)/.test(operation)) throw new Error('reads fail');
            return () => {};
          },
        }),
        clock,
        settings: { ...parseConfig({}).settings, cluster: CLUSTER },
        region: access.region,
        vpcId: seeded.vpcId,
      }),
    );
  return {
    parts: start(),
    async restart() {
      await clock.advance(15_000);
      return start();
    },
    foreign: () => raw.foreign(seeded),
    snapshot: () => raw.snapshot(seeded),
    failReads(on) {
      isFailing = on;
    },
    advance: (ms) => clock.advance(ms),
    async close() {
      await raw.clean(seeded);
      raw.close();
      release();
    },
  };
}

const credentialsOf = ({ accessKeyId, secretAccessKey }: Access) => ({ accessKeyId, secretAccessKey });

/** The instances of this account, whatever the suite's specs say: ids are moto's to choose. */
function targetsIn({ instances }: Seeded): readonly Target[] {
  return instances
    .map(({ id, zone, address }, index) => ({ id: `aws:///${zone}/${id}`, node: `node-${index + 1}`, address, zone }))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}

function rawOf(access: Access) {
  const client = { region: access.region, endpoint: access.endpoint, credentials: credentialsOf(access) };
  const elb = new ElasticLoadBalancingV2(client);
  const ec2 = new EC2Client(client);

  async function everything() {
    const { LoadBalancers = [] } = await elb.describeLoadBalancers({});
    const { TargetGroups = [] } = await elb.describeTargetGroups({});
    const { SecurityGroups = [] } = await ec2.send(new DescribeSecurityGroupsCommand({}));
    return { LoadBalancers, TargetGroups, SecurityGroups };
  }

  return {
    async snapshot({ instances }: Seeded): Promise<object> {
      const { LoadBalancers, TargetGroups, SecurityGroups } = await everything();
      const groupNames = new Map(SecurityGroups.map(({ GroupId, GroupName }) => [GroupId, GroupName]));
      const targetNames = new Map(
        TargetGroups.map(({ TargetGroupArn, TargetGroupName }) => [TargetGroupArn, TargetGroupName]),
      );
      const tagsOf = async (arn: string | undefined) => {
        const { TagDescriptions = [] } = await elb.describeTags({ ResourceArns: [arn ?? ''] });
        return pairs(TagDescriptions[0]?.Tags);
      };
      return {
        loadBalancers: await Promise.all(
          LoadBalancers.map(async (one) => ({
            name: one.LoadBalancerName,
            scheme: one.Scheme,
            groups: (one.SecurityGroups ?? []).map((id) => groupNames.get(id)).sort(),
            zones: (one.AvailabilityZones ?? []).map(({ ZoneName }) => ZoneName).sort(),
            tags: await tagsOf(one.LoadBalancerArn),
            listeners: ((await elb.describeListeners({ LoadBalancerArn: one.LoadBalancerArn ?? '' })).Listeners ?? [])
              .map(
                ({ Port, Protocol, DefaultActions = [] }) =>
                  `${Protocol} ${Port} ${DefaultActions.map(({ TargetGroupArn }) => targetNames.get(TargetGroupArn))}`,
              )
              .sort(),
          })),
        ).then(byName),
        targetGroups: await Promise.all(
          TargetGroups.map(async (group) => ({
            name: group.TargetGroupName,
            protocol: group.Protocol,
            port: group.Port,
            health: [group.HealthCheckProtocol, group.HealthCheckPort, group.HealthCheckIntervalSeconds],
            tags: await tagsOf(group.TargetGroupArn),
            targets: (
              (await elb.describeTargetHealth({ TargetGroupArn: group.TargetGroupArn ?? '' }))
                .TargetHealthDescriptions ?? []
            )
              .map(({ Target }) => `node ${instances.findIndex(({ id }) => id === Target?.Id)}:${Target?.Port}`)
              .sort(),
          })),
        ).then(byName),
        securityGroups: byName(
          SecurityGroups.map((group) => ({
            name: group.GroupName,
            tags: pairs(group.Tags),
            rules: rulesOf(group, groupNames),
          })),
        ),
      };
    },
    async foreign({ vpcId, subnetIds, instances, nodeSecurityGroupId }: Seeded): Promise<void> {
      const { GroupId = '' } = await ec2.send(
        new CreateSecurityGroupCommand({ GroupName: 'foreign', Description: 'foreign', VpcId: vpcId }),
      );
      for (const [name, cluster] of [
        ['foreign-none', undefined],
        ['foreign-other', 'elsewhere'],
      ] as const) {
        const Tags = [
          { Key: `kubernetes.io/cluster/${CLUSTER}`, Value: 'owned' },
          ...(cluster === undefined ? [] : [{ Key: 'fairlead.dev/cluster', Value: cluster }]),
        ];
        const { LoadBalancers = [] } = await elb.createLoadBalancer({
          Name: `k8s-${name}`,
          Type: 'network',
          Scheme: 'internal',
          Subnets: [...subnetIds],
          SecurityGroups: [GroupId],
          Tags,
        });
        const { TargetGroups = [] } = await elb.createTargetGroup({
          Name: `k8s-${name}`,
          Protocol: 'TCP',
          Port: 30_080,
          VpcId: vpcId,
          Tags,
        });
        const group = TargetGroups[0]?.TargetGroupArn;
        await elb.createListener({
          LoadBalancerArn: LoadBalancers[0]?.LoadBalancerArn,
          Protocol: 'TCP',
          Port: 80,
          DefaultActions: [{ Type: 'forward', TargetGroupArn: group }],
        });
        await elb.registerTargets({
          TargetGroupArn: group,
          Targets: instances.map(({ id }) => ({ Id: id, Port: 30_080 })),
        });
      }
      await ec2.send(
        new AuthorizeSecurityGroupIngressCommand({
          GroupId: nodeSecurityGroupId,
          IpPermissions: [
            {
              IpProtocol: 'tcp',
              FromPort: 30_080,
              ToPort: 30_080,
              UserIdGroupPairs: [{ GroupId, Description: 'elbv2.k8s.aws/targetGroupBinding=shared' }],
            },
          ],
        }),
      );
    },
    async clean({ nodeSecurityGroupId }: Seeded): Promise<void> {
      const { LoadBalancers, TargetGroups, SecurityGroups } = await everything();
      for (const { LoadBalancerArn } of LoadBalancers) await elb.deleteLoadBalancer({ LoadBalancerArn });
      for (const { TargetGroupArn } of TargetGroups) await elb.deleteTargetGroup({ TargetGroupArn });
      const nodes = SecurityGroups.find(({ GroupId }) => GroupId === nodeSecurityGroupId);
      const foreign = (nodes?.IpPermissions ?? []).filter(({ UserIdGroupPairs = [] }) =>
        UserIdGroupPairs.some(({ GroupId }) => GroupId !== nodeSecurityGroupId),
      );
      for (const permission of foreign) {
        await ec2.send(
          new RevokeSecurityGroupIngressCommand({ GroupId: nodeSecurityGroupId, IpPermissions: [permission] }),
        );
      }
      for (const { GroupId, GroupName = '' } of SecurityGroups) {
        if (/^(k8s-|foreign)/.test(GroupName)) await ec2.send(new DeleteSecurityGroupCommand({ GroupId }));
      }
    },
    close() {
      elb.destroy();
      ec2.destroy();
    },
  };
}

function rulesOf(
  { IpPermissions = [] }: SecurityGroup,
  names: ReadonlyMap<string | undefined, string | undefined>,
): readonly string[] {
  const rules = IpPermissions.flatMap(({ IpProtocol, FromPort, ToPort, IpRanges = [], UserIdGroupPairs = [] }) => [
    ...IpRanges.map(({ CidrIp }) => `${IpProtocol} ${FromPort}-${ToPort} ${CidrIp}`),
    ...UserIdGroupPairs.map(({ GroupId, Description }) => {
      const source = names.get(GroupId) ?? GroupId ?? '';
      // The range that the backend group may reach grows with what was served (diff/node-access.ts).
      return source.startsWith('k8s-fairlead-')
        ? `${IpProtocol} some ${source}`
        : `${IpProtocol} ${FromPort}-${ToPort} ${source} ${Description}`;
    }),
  ]);
  return [...new Set(rules)].sort();
}

const pairs = (
  tags: readonly { readonly Key?: string | undefined; readonly Value?: string | undefined }[] = [],
): readonly string[] => tags.map(({ Key, Value }) => `${Key}=${Value}`).sort();

function byName<T extends { readonly name: string | undefined }>(rows: readonly T[]): readonly T[] {
  return rows.toSorted((a, b) => ((a.name ?? '') < (b.name ?? '') ? -1 : 1));
}
