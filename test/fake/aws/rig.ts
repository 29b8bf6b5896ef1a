import { EC2 } from '@aws-sdk/client-ec2';
import { ElasticLoadBalancingV2 } from '@aws-sdk/client-elastic-load-balancing-v2';
import { ResourceGroupsTaggingAPI } from '@aws-sdk/client-resource-groups-tagging-api';
import { createVirtualClock, type VirtualClock } from '../clock.ts';
import { createFakeAws, type FakeAws } from './aws.ts';
import type { Settings } from './settings.ts';
import { type SeededWorld, seedWorld } from './world.ts';

/** The fake behind the real clients of the SDK. */
export interface Rig extends SeededWorld {
  readonly clock: VirtualClock;
  readonly aws: FakeAws;
  readonly elb: ElasticLoadBalancingV2;
  readonly ec2: EC2;
  readonly tagging: ResourceGroupsTaggingAPI;
  /** A load balancer in all subnets; returns its ARN. */
  balancer(name: string, more?: object): Promise<string>;
  /** A TCP target group of instances on port 80, checked every 10 s; returns its ARN. */
  group(name: string, more?: object): Promise<string>;
  /** TCP on the port; returns its ARN. */
  listener(balancer: string, group: string, port?: number): Promise<string>;
  /** 'state reason' of each target, by id. */
  health(group: string): Promise<Readonly<Record<string, string>>>;
  /** Waits for an answer that needs time. */
  answered<T>(answer: Promise<T>): Promise<T>;
}

export function createRig(settings: Partial<Settings> & { readonly random?: () => number } = {}): Rig {
  const clock = createVirtualClock();
  const aws = createFakeAws({ clock, ...settings });
  const world = seedWorld(aws, 'test');
  const elb = new ElasticLoadBalancingV2(aws.clientOptions);
  return {
    ...world,
    clock,
    aws,
    elb,
    ec2: new EC2(aws.clientOptions),
    tagging: new ResourceGroupsTaggingAPI(aws.clientOptions),
    async balancer(name, more = {}) {
      const Subnets = [...world.subnetIds];
      const made = await elb.createLoadBalancer({ Name: name, Type: 'network', Scheme: 'internal', Subnets, ...more });
      return made.LoadBalancers?.[0]?.LoadBalancerArn ?? '';
    },
    async group(name, more = {}) {
      const made = await elb.createTargetGroup({
        Name: name,
        Protocol: 'TCP',
        Port: 80,
        VpcId: world.vpcId,
        HealthCheckIntervalSeconds: 10,
        HealthyThresholdCount: 3,
        UnhealthyThresholdCount: 2,
        ...more,
      });
      return made.TargetGroups?.[0]?.TargetGroupArn ?? '';
    },
    async listener(balancer, group, port = 80) {
      const DefaultActions = [{ Type: 'forward' as const, TargetGroupArn: group }];
      const made = await elb.createListener({ LoadBalancerArn: balancer, Protocol: 'TCP', Port: port, DefaultActions });
      return made.Listeners?.[0]?.ListenerArn ?? '';
    },
    async health(group) {
      const { TargetHealthDescriptions = [] } = await elb.describeTargetHealth({ TargetGroupArn: group });
      return Object.fromEntries(
        TargetHealthDescriptions.map(({ Target, TargetHealth }) => [
          Target?.Id ?? '',
          [TargetHealth?.State, TargetHealth?.Reason].filter(Boolean).join(' '),
        ]),
      );
    },
    async answered(answer) {
      let done = false;
      const end = answer.finally(() => {
        done = true;
      });
      end.catch(() => {}); // awaited below
      await clock.settle();
      if (!done) await clock.run(() => done, { maxMs: 600_000 });
      return await end;
    },
  };
}
