import { createClients } from '../../../providers/aws/client.ts';
import { parseConfig } from '../../../providers/aws/config.ts';
import type { Act, Desired, Observed } from '../../../providers/aws/model.ts';
import { createStacks, type Stacks } from '../../../providers/aws/stacks.ts';
import type { LoadBalancerSpec } from '../../../src/core/provider.ts';
import { createFakeAws, type FakeAws } from '../../fake/aws/aws.ts';
import type { Settings } from '../../fake/aws/settings.ts';
import { type SeededWorld, seedWorld } from '../../fake/aws/world.ts';
import { createVirtualClock, type VirtualClock } from '../../fake/clock.ts';
import { exampleSpecs, type Harness, type Specs } from '../contract.ts';

export interface AwsHarness extends Harness<Desired, Observed, Act> {
  readonly clock: VirtualClock;
  readonly aws: FakeAws;
  readonly world: SeededWorld;
  /** The provider as it runs now; another one after a restart. */
  stacks(): Stacks;
}

export const CLUSTER = 'contract';

/** The AWS provider on a fake account with these manners, for the contract suite and for tests of its own. */
export async function awsHarness(
  manners: Partial<Settings> & { readonly config?: object; readonly random?: () => number } = {},
): Promise<AwsHarness> {
  const { config = {}, ...settings } = manners;
  const clock = createVirtualClock();
  const aws = createFakeAws({ clock, ...settings });
  const world = seedWorld(aws, CLUSTER);
  await clock.advance(60_000); // it was there long before we came
  let stacks = start();
  function start(): Stacks {
    return createStacks({
      clients: createClients(aws.clientOptions),
      clock,
      settings: { ...parseConfig(config).settings, cluster: CLUSTER },
      region: aws.region,
      vpcId: world.vpcId,
    });
  }
  return {
    clock,
    aws,
    world,
    stacks: () => stacks,
    parts: stacks.parts,
    async restart() {
      await clock.advance(15_000); // the lease of who crashed has to end first
      stacks = start();
      return stacks.parts;
    },
    async foreign() {
      const { latencyMs, lagMs } = aws.settings;
      aws.configure({ latencyMs: 0, lagMs: {} }); // they have been there for long
      await putForeign(aws, world);
      aws.configure({ latencyMs, lagMs });
    },
    snapshot: () => withoutRanges(aws.snapshot() as Snapshot),
    failReads(on) {
      aws.fault = on
        ? ({ write }) => (write ? undefined : { as: { code: 'InternalFailure', status: 500 } })
        : () => undefined;
    },
    advance: (ms) => clock.advance(ms),
  };
}

/** `exampleSpecs` on the instances of the fake's network. */
export function awsSpecs({ instanceIds }: Pick<SeededWorld, 'instanceIds'>): Specs {
  const on = (spec: LoadBalancerSpec): LoadBalancerSpec => ({
    ...spec,
    targets: instanceIds.map((id, index) => ({
      id: `aws:///eu-west-1${'abc'.charAt(index)}/${id}`,
      node: `node-${index + 1}`,
      address: `192.168.${index * 32}.10`,
      zone: `eu-west-1${'abc'.charAt(index)}`,
    })),
  });
  const { first, changed, other, invalid } = exampleSpecs();
  return {
    first: on(first),
    changed: on(changed),
    other: on(other),
    invalid: [
      ...invalid.map(({ spec, field }) => ({ spec: on(spec), field })),
      {
        spec: { ...on(first), options: { 'service.beta.kubernetes.io/aws-load-balancer-scheme': 'public' } },
        field: 'service.beta.kubernetes.io/aws-load-balancer-scheme',
      },
      {
        spec: { ...on(first), options: { 'service.beta.kubernetes.io/aws-load-balancer-subnets': 'subnet-0123' } },
        field: 'service.beta.kubernetes.io/aws-load-balancer-subnets',
      },
    ],
  };
}

/** Of other clusters, for the same Service; of nobody; and of somebody who uses the same cluster tag as all Kubernetes tools. */
async function putForeign(
  { call }: FakeAws,
  { vpcId, subnetIds, instanceIds, nodeGroupId }: SeededWorld,
): Promise<void> {
  const { uid } = exampleSpecs().first;
  const tagsOf = (tags: Readonly<Record<string, string>>) =>
    Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));
  const owners: Readonly<Record<string, Readonly<Record<string, string>>>> = {
    untagged: {},
    kops: { [`kubernetes.io/cluster/${CLUSTER}`]: 'owned' },
    elsewhere: {
      'fairlead.dev/cluster': 'elsewhere',
      'fairlead.dev/service-uid': uid,
      'fairlead.dev/resource': 'LoadBalancer',
    },
    lbc: {
      'elbv2.k8s.aws/cluster': CLUSTER,
      'service.k8s.aws/stack': 'default/theirs',
      'service.k8s.aws/resource': 'LoadBalancer',
    },
  };
  for (const [name, tags] of Object.entries(owners)) {
    const { GroupId } = (await call('ec2', 'CreateSecurityGroup', {
      GroupName: `foreign-${name}`,
      Description: name,
      VpcId: vpcId,
      TagSpecifications: [{ ResourceType: 'security-group', Tags: tagsOf({ ...tags, Name: name }) }],
    })) as { readonly GroupId: string };
    const { LoadBalancers } = (await call('elb', 'CreateLoadBalancer', {
      Name: `k8s-foreign-${name}`,
      Type: 'network',
      Scheme: 'internal',
      SubnetMappings: subnetIds.map((SubnetId) => ({ SubnetId })),
      SecurityGroups: [GroupId],
      ...(Object.keys(tags).length === 0 ? {} : { Tags: tagsOf(tags) }),
    })) as { readonly LoadBalancers: readonly { readonly LoadBalancerArn: string }[] };
    const { TargetGroups } = (await call('elb', 'CreateTargetGroup', {
      Name: `k8s-foreign-${name}`,
      Protocol: 'TCP',
      Port: 30_080,
      VpcId: vpcId,
      TargetType: 'instance',
      ...(Object.keys(tags).length === 0 ? {} : { Tags: tagsOf(tags) }),
    })) as { readonly TargetGroups: readonly { readonly TargetGroupArn: string }[] };
    await call('elb', 'CreateListener', {
      LoadBalancerArn: LoadBalancers[0]?.LoadBalancerArn,
      Protocol: 'TCP',
      Port: 80,
      DefaultActions: [{ Type: 'forward', TargetGroupArn: TargetGroups[0]?.TargetGroupArn }],
    });
    await call('elb', 'RegisterTargets', {
      TargetGroupArn: TargetGroups[0]?.TargetGroupArn,
      Targets: instanceIds.map((Id) => ({ Id })),
    });
    await call('ec2', 'AuthorizeSecurityGroupIngress', {
      GroupId: nodeGroupId,
      IpPermissions: [
        {
          IpProtocol: 'tcp',
          FromPort: 30_080,
          ToPort: 30_080,
          UserIdGroupPairs: [
            { GroupId, Description: name === 'lbc' ? 'elbv2.k8s.aws/targetGroupBinding=shared' : name },
          ],
        },
      ],
    });
  }
}

interface Snapshot {
  readonly securityGroups: readonly {
    readonly ingress: readonly {
      readonly from: number;
      readonly to: number;
      readonly description?: string;
      readonly group?: string;
    }[];
  }[];
}

/**
 * Which ports a node lets in from the backend group depends on what was served since the first Service: the range grows and
 * goes with the last one (diff/node-access.ts). That it is open, and only to that group, stays in.
 */
function withoutRanges(snapshot: Snapshot): object {
  const open = (rule: Snapshot['securityGroups'][number]['ingress'][number]): object =>
    rule.group?.startsWith('k8s-fairlead-') === true && rule.description === `fairlead.dev/cluster=${CLUSTER}`
      ? { ...rule, from: 'some', to: 'some' }
      : rule;
  return {
    ...snapshot,
    securityGroups: snapshot.securityGroups.map(({ ingress, ...group }) => ({
      ...group,
      ingress: [...new Map(ingress.map((rule) => [JSON.stringify(open(rule)), open(rule)])).values()],
    })),
  };
}

/** Lets virtual time pass until it ends. */
export async function driven<T>({ clock }: Pick<AwsHarness, 'clock'>, run: Promise<T>): Promise<T> {
  let done = false;
  run
    .finally(() => {
      done = true;
    })
    .catch(() => {});
  while (!done) {
    await new Promise((resolve) => setImmediate(resolve));
    if (!done) await clock.advance(10);
  }
  return await run;
}
