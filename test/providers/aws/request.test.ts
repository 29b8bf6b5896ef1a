import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rulesOf, securityGroupOf, zoneTypeOf } from '../../../providers/aws/convert.ts';
import type { Act, Ref, RuleOf } from '../../../providers/aws/model.ts';
import { permissionsOf, type Resolver, requestOf } from '../../../providers/aws/request.ts';
import type { Cidr } from '../../../src/core/provider.ts';

const ids: Resolver = {
  loadBalancer: ({ name }) => `lb/${name}`,
  targetGroup: ({ name }) => `tg/${name}`,
  securityGroup: ({ name }) => `sg-${name}`,
  listener: ({ port }) => `listener/${port}`,
};
const ref = (name: string): Ref => ({ resource: '', name });
const said = { target: 'x', reason: 'y' };

const cases: readonly { readonly name: string; readonly act: Act; readonly input: object }[] = [
  {
    name: 'a load balancer with addresses of its own',
    act: {
      ...said,
      kind: 'CreateLoadBalancer',
      loadBalancer: ref('web'),
      scheme: 'internet-facing',
      ipAddressType: 'dualstack',
      sourceNat: 'on',
      subnets: [{ id: 'subnet-1', eip: 'eipalloc-1', ipv6: '2001:db8::1', sourceNatPrefix: 'auto_assigned' }],
      securityGroups: [ref('a'), ref('b')],
      tags: { k: 'v' },
    },
    input: {
      Name: 'web',
      Type: 'network',
      Scheme: 'internet-facing',
      IpAddressType: 'dualstack',
      EnablePrefixForIpv6SourceNat: 'on',
      SubnetMappings: [
        {
          SubnetId: 'subnet-1',
          AllocationId: 'eipalloc-1',
          IPv6Address: '2001:db8::1',
          SourceNatIpv6Prefix: 'auto_assigned',
        },
      ],
      SecurityGroups: ['sg-a', 'sg-b'],
      Tags: [{ Key: 'k', Value: 'v' }],
    },
  },
  {
    name: 'a health check without a path has no matcher',
    act: {
      ...said,
      kind: 'ModifyTargetGroup',
      targetGroup: ref('g'),
      health: { protocol: 'TCP', port: 'traffic-port', interval: 10, timeout: 10, healthy: 3, unhealthy: 3 },
    },
    input: {
      TargetGroupArn: 'tg/g',
      HealthCheckProtocol: 'TCP',
      HealthCheckPort: 'traffic-port',
      HealthCheckIntervalSeconds: 10,
      HealthCheckTimeoutSeconds: 10,
      HealthyThresholdCount: 3,
      UnhealthyThresholdCount: 3,
    },
  },
  {
    name: 'a weighted forward',
    act: {
      ...said,
      kind: 'ModifyListener',
      listener: { loadBalancer: ref('web'), port: 443 },
      forward: [
        { group: ref('g'), weight: 9 },
        { group: ref('h'), weight: 1 },
      ],
    },
    input: {
      ListenerArn: 'listener/443',
      DefaultActions: [
        {
          Type: 'forward',
          ForwardConfig: {
            TargetGroups: [
              { TargetGroupArn: 'tg/g', Weight: 9 },
              { TargetGroupArn: 'tg/h', Weight: 1 },
            ],
          },
        },
      ],
    },
  },
  {
    name: 'reserved capacity of 0 is a reset',
    act: { ...said, kind: 'ModifyCapacityReservation', loadBalancer: ref('web'), units: 0 },
    input: { LoadBalancerArn: 'lb/web', ResetCapacityReservation: true },
  },
  {
    name: 'a pod outside the VPC is registered for all zones',
    act: {
      ...said,
      kind: 'RegisterTargets',
      targetGroup: ref('g'),
      targets: [
        { id: '10.0.0.1', port: 80 },
        { id: '100.64.0.1', port: 80, zone: 'all' },
      ],
    },
    input: {
      TargetGroupArn: 'tg/g',
      Targets: [
        { Id: '10.0.0.1', Port: 80 },
        { Id: '100.64.0.1', Port: 80, AvailabilityZone: 'all' },
      ],
    },
  },
];

for (const { name, act, input } of cases) {
  test(`request: ${name}`, () => assert.deepEqual(requestOf(act, ids), { service: 'elb', operation: act.kind, input }));
}

test('rules go to EC2 folded by protocol and range, and come back as they were', () => {
  const description = 'fairlead.dev/cluster=test';
  const rules: readonly RuleOf<Ref>[] = [
    { protocol: 'tcp', from: 80, to: 80, source: { cidr: '10.0.0.0/8' as Cidr }, description },
    { protocol: 'tcp', from: 80, to: 80, source: { cidr: '2001:db8::/32' as Cidr }, description },
    { protocol: 'tcp', from: 80, to: 80, source: { prefixList: 'pl-1' }, description },
    { protocol: 'udp', from: 53, to: 53, source: { group: ref('x') }, description },
    { protocol: 'icmp', from: 3, to: 4, source: { cidr: '0.0.0.0/0' as Cidr }, description },
  ];
  const permissions = permissionsOf(rules, ids);
  assert.equal(permissions.length, 3);
  const back = permissions.flatMap(rulesOf);
  assert.deepEqual(
    back,
    rules.map((rule) => ('group' in rule.source ? { ...rule, source: { group: 'sg-x' } } : rule)),
  );
});

test('what EC2 says of a group: all traffic has no ports, ranges are networks, ICMPv6 comes by number too', () => {
  const { rules } = securityGroupOf({
    GroupId: 'sg-1',
    IpPermissions: [
      { IpProtocol: '-1', UserIdGroupPairs: [{ GroupId: 'sg-1' }] },
      { IpProtocol: '58', FromPort: 2, ToPort: 0, Ipv6Ranges: [{ CidrIpv6: '2001:DB8:0:0::/32' }] },
    ],
  });
  assert.deepEqual(rules, [
    { protocol: '-1', from: -1, to: -1, source: { group: 'sg-1' }, description: '' },
    { protocol: 'icmpv6', from: 2, to: 0, source: { cidr: '2001:db8::/32' }, description: '' },
  ]);
});

for (const [zone, type] of [
  ['us-west-2a', 'availability-zone'],
  ['us-west-2-lax-1a', 'local-zone'],
  ['us-west-2-wl1-las-wlz-1', 'wavelength-zone'],
] as const) {
  test(`zone ${zone} is of type ${type}`, () => assert.equal(zoneTypeOf(zone, 'us-west-2'), type));
}
