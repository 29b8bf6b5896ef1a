import { z } from 'zod';
import { failure } from '../../src/core/errors.ts';
import type { IpFamily } from '../../src/core/provider.ts';
import { parseIni } from './ini.ts';
import type { Settings } from './model.ts';

/** Everything that the provider was started with. */
export interface Config {
  /** Absent: by environment or instance metadata. */
  readonly region?: string;
  /** Absent: that of the instance on which we run. */
  readonly vpc?: { readonly id: string } | { readonly tags: Readonly<Record<string, string>> };
  /** [Global] RoleARN: assumed with the credentials that the SDK finds. */
  readonly roleArn?: string;
  /** [Global] RouteTableID: pod routes go there. Absent: into every table with the cluster's tag. */
  readonly routeTableId?: string;
  /** [Global] NodeIPFamilies, in its order. */
  readonly nodeIpFamilies: readonly IpFamily[];
  /** `cluster` is KubernetesClusterID where that is given. */
  readonly settings: Omit<Settings, 'cluster'> & { readonly cluster?: string };
  /** What of the cloud config has no effect here; to be said once. */
  readonly warnings: readonly string[];
}

const id = (prefix: string) =>
  z.string().regex(new RegExp(`^${prefix}-[0-9a-z]+$`), `is no id, which starts with ${prefix}-`);
const tags = z.record(
  z.string().min(1, 'has an empty key').max(128, 'has a key of more than 128 characters'),
  z.string().max(256),
);

/** What the command line hands on (src/cli/provider-config.ts): flags by name, and the file's text. */
const schema = z.strictObject({
  cloudConfig: z.strictObject({ file: z.string(), text: z.string() }).optional(),
  'aws-region': z
    .string()
    .regex(/^[a-z]{2,}(-[a-z]+)+-\d+$/, 'is no region, such as eu-west-1')
    .optional(),
  'aws-vpc-id': id('vpc').optional(),
  'aws-vpc-tags': tags.optional(),
  'aws-adopt-lbc': z.boolean().default(false),
  'aws-publish-when-healthy': z.boolean().default(false),
  'aws-allow-targets-outside-vpc': z.boolean().default(false),
  'aws-load-balancer-security-groups': z.boolean().default(true),
  'aws-tcp-udp-listeners': z.boolean().default(true),
  'max-targets-per-target-group': z.number().int().min(1).optional(),
  'backend-security-group': id('sg').optional(),
  'default-load-balancer-scheme': z.enum(['internal', 'internet-facing']).default('internal'),
  'default-ssl-policy': z.string().min(1).default('ELBSecurityPolicy-2016-08'),
  'default-tags': tags.default({}),
  'default-target-type': z.enum(['instance', 'ip']).default('instance'),
  'disable-restricted-sg-rules': z.boolean().default(false),
  'enable-backend-security-group': z.boolean().default(true),
  'external-managed-tags': z.array(z.string()).default([]),
});

/** The provider's section of the config. Throws FL_AWS_CONFIG, which lists every problem. */
export function parseConfig(config: unknown): Config {
  const parsed = schema.safeParse(config ?? {});
  if (!parsed.success) {
    throw invalid(parsed.error.issues.map(({ path, message }) => `${flagAt(path)} ${message}`));
  }
  const flags = parsed.data;
  const problems: string[] = [];
  const file = flags.cloudConfig === undefined ? { warnings: [] } : readCloudConfig(flags.cloudConfig, problems);
  const reserved = Object.keys(flags['default-tags']).filter((key) =>
    /^(aws:|kubernetes\.io\/cluster\/|fairlead\.dev\/)/.test(key),
  );
  for (const key of reserved) problems.push(`--default-tags: ${JSON.stringify(key)} is not yours to set`);
  if (file.vpc !== undefined && flags['aws-vpc-id'] !== undefined && file.vpc !== flags['aws-vpc-id']) {
    problems.push(`--aws-vpc-id says ${flags['aws-vpc-id']}, and the cloud config ${file.vpc}`);
  }
  if (problems.length > 0) throw invalid(problems);
  const vpcId = flags['aws-vpc-id'] ?? file.vpc;
  const vpcTags = flags['aws-vpc-tags'];
  const vpc = vpcId === undefined ? (vpcTags === undefined ? undefined : { tags: vpcTags }) : { id: vpcId };
  const { clusterId, roleArn, routeTableId } = file;
  const region = flags['aws-region'];
  return {
    ...(region === undefined ? {} : { region }),
    ...(vpc === undefined ? {} : { vpc }),
    ...(roleArn === undefined ? {} : { roleArn }),
    ...(routeTableId === undefined ? {} : { routeTableId }),
    nodeIpFamilies: file.families ?? ['ipv4'],
    settings: {
      ...(clusterId === undefined ? {} : { cluster: clusterId }),
      defaultScheme: flags['default-load-balancer-scheme'],
      defaultTargetType: flags['default-target-type'],
      securityGroups: flags['aws-load-balancer-security-groups'],
      backendSecurityGroup: flags['enable-backend-security-group']
        ? ((flags['backend-security-group'] as `sg-${string}` | undefined) ?? 'auto')
        : 'off',
      restrictedRules: !flags['disable-restricted-sg-rules'],
      tcpUdp: flags['aws-tcp-udp-listeners'],
      defaultSslPolicy: flags['default-ssl-policy'],
      defaultTags: sorted(flags['default-tags']),
      externalManagedTags: flags['external-managed-tags'],
      adoptLbc: flags['aws-adopt-lbc'],
      waitForHealthyTarget: flags['aws-publish-when-healthy'],
      allowOutsideVpc: flags['aws-allow-targets-outside-vpc'],
      ...(flags['max-targets-per-target-group'] === undefined
        ? {}
        : { maxTargetsPerGroup: flags['max-targets-per-target-group'] }),
    },
    warnings: file.warnings,
  };
}

interface CloudConfig {
  vpc?: string;
  roleArn?: string;
  routeTableId?: string;
  clusterId?: string;
  families?: IpFamily[];
  readonly warnings: string[];
}

/** Keys of the in-tree provider that we do not read, in lower case: what does their work here. */
const unsupported: Readonly<Record<string, string>> = {
  zone: 'regions come from --aws-region or the instance',
  subnetid: 'subnets come from tags, or from the annotation of a Service',
  kubernetesclustertag: 'use KubernetesClusterID',
  disablesecuritygroupingress:
    'security groups are per load balancer; --aws-load-balancer-security-groups=false does without',
  elbsecuritygroup: 'use the annotation aws-load-balancer-security-groups',
  clusterserviceloadbalancerhealthprobemode: 'health checks are set by annotation',
  clusterservicesharedloadbalancerhealthprobeport: 'health checks are set by annotation',
  clusterservicesharedloadbalancerhealthprobepath: 'health checks are set by annotation',
  disablestrictzonecheck: 'zones are those of the subnets',
};

/** The in-tree provider's file, as people have it. */
function readCloudConfig(
  { file, text }: { readonly file: string; readonly text: string },
  problems: string[],
): CloudConfig {
  const { entries, problems: broken } = parseIni(text);
  const config: CloudConfig = { warnings: [] };
  const wrong = (line: number, what: string) => void problems.push(`${file}: line ${line}: ${what}`);
  for (const problem of broken) problems.push(`${file}: ${problem}`);
  for (const { section, key, value, line } of entries) {
    const name = `[${section}] ${key}`;
    if (section.toLowerCase() === 'serviceoverride') {
      config.warnings.push(
        `${file}: ${name} is not supported: use AWS_ENDPOINT_URL or AWS_ENDPOINT_URL_EC2 and the like`,
      );
      continue;
    }
    if (section.toLowerCase() !== 'global') {
      wrong(line, `there is no section [${section}]; it has [Global] and [ServiceOverride]`);
      continue;
    }
    switch (key.toLowerCase()) {
      case 'vpc':
        if (/^vpc-[0-9a-z]+$/.test(value)) config.vpc = value;
        else wrong(line, `${name}: ${JSON.stringify(value)} is no id of a VPC`);
        break;
      case 'routetableid':
        if (/^rtb-[0-9a-z]+$/.test(value)) config.routeTableId = value;
        else wrong(line, `${name}: ${JSON.stringify(value)} is no id of a route table`);
        break;
      case 'rolearn':
        if (/^arn:[\w-]+:iam::\d{12}:role\/.+$/.test(value)) config.roleArn = value;
        else wrong(line, `${name}: ${JSON.stringify(value)} is no ARN of a role`);
        break;
      case 'kubernetesclusterid':
        config.clusterId = value;
        break;
      case 'nodeipfamilies':
        for (const word of value.split(',')) {
          const family = word.trim().toLowerCase();
          if (family !== 'ipv4' && family !== 'ipv6')
            wrong(line, `${name}: ${JSON.stringify(word.trim())} is neither ipv4 nor ipv6`);
          else config.families = [...(config.families ?? []), family];
        }
        break;
      default: {
        const instead = unsupported[key.toLowerCase()];
        if (instead === undefined) wrong(line, `there is no key ${name}`);
        else config.warnings.push(`${file}: ${name} is not supported and has no effect: ${instead}`);
      }
    }
  }
  return config;
}

function flagAt(path: readonly PropertyKey[]): string {
  const [flag = '', ...rest] = path.map(String);
  return `--${[flag, ...rest].join('.')}`;
}

function sorted(record: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function invalid(problems: readonly string[]): Error {
  return failure('FL_AWS_CONFIG', problems.join('; '));
}
