import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Config, parseConfig } from '../../../providers/aws/config.ts';
import { isProviderError } from '../../../src/core/errors.ts';

const defaults: Config = {
  nodeIpFamilies: ['ipv4'],
  settings: {
    defaultScheme: 'internal',
    defaultTargetType: 'instance',
    securityGroups: true,
    backendSecurityGroup: 'auto',
    restrictedRules: true,
    tcpUdp: true,
    defaultSslPolicy: 'ELBSecurityPolicy-2016-08',
    defaultTags: {},
    externalManagedTags: [],
    adoptLbc: false,
    waitForHealthyTarget: false,
    allowOutsideVpc: false,
  },
  warnings: [],
};
const set = (settings: Partial<Config['settings']>): Config => ({
  ...defaults,
  settings: { ...defaults.settings, ...settings },
});
const file = (text: string) => ({ cloudConfig: { file: 'cloud.conf', text } });

const good: readonly { readonly name: string; readonly config: unknown; readonly want: Config }[] = [
  { name: 'nothing', config: undefined, want: defaults },
  {
    name: 'region and VPC by flag',
    config: { 'aws-region': 'us-gov-west-1', 'aws-vpc-id': 'vpc-1a' },
    want: { ...defaults, region: 'us-gov-west-1', vpc: { id: 'vpc-1a' } },
  },
  {
    name: 'a VPC by tags',
    config: { 'aws-vpc-tags': { Name: 'prod' } },
    want: { ...defaults, vpc: { tags: { Name: 'prod' } } },
  },
  {
    name: 'an id goes before tags',
    config: { 'aws-vpc-id': 'vpc-1', 'aws-vpc-tags': { Name: 'prod' } },
    want: { ...defaults, vpc: { id: 'vpc-1' } },
  },
  {
    name: 'the flags of the AWS Load Balancer Controller',
    config: {
      'default-tags': { team: 'net', env: 'x' },
      'external-managed-tags': ['cost'],
      'default-ssl-policy': 'ELBSecurityPolicy-TLS13-1-2-2021-06',
      'default-target-type': 'ip',
      'default-load-balancer-scheme': 'internet-facing',
      'disable-restricted-sg-rules': true,
      'backend-security-group': 'sg-9',
      'max-targets-per-target-group': 100,
    },
    want: set({
      defaultTags: { env: 'x', team: 'net' },
      externalManagedTags: ['cost'],
      defaultSslPolicy: 'ELBSecurityPolicy-TLS13-1-2-2021-06',
      defaultTargetType: 'ip',
      defaultScheme: 'internet-facing',
      restrictedRules: false,
      backendSecurityGroup: 'sg-9',
      maxTargetsPerGroup: 100,
    }),
  },
  {
    name: 'no backend security group, whichever is named',
    config: { 'enable-backend-security-group': false, 'backend-security-group': 'sg-9' },
    want: set({ backendSecurityGroup: 'off' }),
  },
  {
    name: 'a cloud config of the in-tree provider',
    config: file(
      '; made by kops\n[global]\nVPC = "vpc-0ab" # ours\nroutetableid=rtb-1\nRoleARN = arn:aws:iam::123456789012:role/ccm\n' +
        'KubernetesClusterID = prod\nNodeIPFamilies = ipv6\nNodeIPFamilies=ipv4\n',
    ),
    want: {
      ...set({ cluster: 'prod' }),
      vpc: { id: 'vpc-0ab' },
      routeTableId: 'rtb-1',
      roleArn: 'arn:aws:iam::123456789012:role/ccm',
      nodeIpFamilies: ['ipv6', 'ipv4'],
    },
  },
  {
    name: 'keys of the in-tree provider that do nothing here are named, with what does their work',
    config: file('[Global]\nZone = eu-west-1a\nDisableSecurityGroupIngress\n[ServiceOverride "1"]\nURL = http://x\n'),
    want: {
      ...defaults,
      warnings: [
        'cloud.conf: [Global] Zone is not supported and has no effect: regions come from --aws-region or the instance',
        'cloud.conf: [Global] DisableSecurityGroupIngress is not supported and has no effect: security groups are per load balancer; --aws-load-balancer-security-groups=false does without',
        'cloud.conf: [ServiceOverride] URL is not supported: use AWS_ENDPOINT_URL or AWS_ENDPOINT_URL_EC2 and the like',
      ],
    },
  },
];

for (const { name, config, want } of good) test(`config: ${name}`, () => assert.deepEqual(parseConfig(config), want));

const bad: readonly { readonly name: string; readonly config: unknown; readonly says: readonly RegExp[] }[] = [
  {
    name: 'wrong values of flags, all at once',
    config: { 'aws-region': 'nowhere', 'aws-vpc-id': 'prod', 'default-target-type': 'pod' },
    says: [/--aws-region is no region/, /--aws-vpc-id is no id, which starts with vpc-/, /--default-target-type/],
  },
  { name: 'an unknown member', config: { region: 'x' }, says: [/region/] },
  {
    name: 'tags that are ours',
    config: { 'default-tags': { 'fairlead.dev/cluster': 'x', 'kubernetes.io/cluster/y': 'owned' } },
    says: [/--default-tags: "fairlead.dev\/cluster" is not yours/, /"kubernetes.io\/cluster\/y"/],
  },
  {
    name: 'a cloud config that is broken in many ways',
    config: file(
      'VPC=vpc-1\n[Global]\nVPC = prod\nRoleARN = admin\n= x\nVpcc = vpc-1\nNodeIPFamilies = ipv5\n[Globbal]\nA=b\n',
    ),
    says: [
      /cloud.conf: line 1: VPC stands before any \[Section\]/,
      /line 3: \[Global\] VPC: "prod" is no id/,
      /line 4: \[Global\] RoleARN: "admin" is no ARN/,
      /line 5: "= x" is neither/,
      /line 6: there is no key \[Global\] Vpcc/,
      /line 7: \[Global\] NodeIPFamilies: "ipv5"/,
      /line 9: there is no section \[Globbal\]/,
    ],
  },
  {
    name: 'two VPCs',
    config: { ...file('[Global]\nVPC=vpc-2'), 'aws-vpc-id': 'vpc-1' },
    says: [/--aws-vpc-id says vpc-1, and the cloud config vpc-2/],
  },
];

for (const { name, config, says } of bad) {
  test(`config refuses ${name}`, () => {
    assert.throws(
      () => parseConfig(config),
      (error: unknown) => {
        assert.ok(isProviderError(error) && error.code === 'FL_AWS_CONFIG');
        for (const text of says) assert.match(error.message, text);
        return true;
      },
    );
  });
}
