import type { Access } from './access.ts';
import { type Seeded, subnets } from './seed.ts';

/** Lines for a shell: what to export, and, as comments, what is there. */
export function exportsOf(
  { endpoint, region, accessKeyId, secretAccessKey, sessionToken }: Access,
  seeded: Seeded,
): string {
  const variables = {
    AWS_ENDPOINT_URL: endpoint,
    AWS_REGION: region,
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    ...(sessionToken ? { AWS_SESSION_TOKEN: sessionToken } : {}),
  };
  const things = [
    ['VPC', seeded.vpcId],
    ...seeded.subnetIds.map((id, index) => [
      'subnet',
      `${id} ${subnets[index]?.cidr} ${region}${subnets[index]?.zone}`,
    ]),
    ['route table', seeded.routeTableId],
    ['internet gateway', seeded.internetGatewayId],
    ['security group', `${seeded.nodeSecurityGroupId} nodes`],
    ['security group', `${seeded.webSecurityGroupId} web`],
    ...seeded.instances.map(({ id, zone, privateDnsName }) => ['node', `${privateDnsName} aws:///${zone}/${id}`]),
    ['certificate', seeded.certificateArn],
  ];
  return [
    ...Object.entries(variables).map(([name, value]) => `export ${name}=${quoted(value)}`),
    ...things.map(([what, value]) => `# ${what}: ${value}`),
    `# fairlead controller --provider=aws --aws-vpc-id=${seeded.vpcId}`,
    '',
  ].join('\n');
}

function quoted(value: string): string {
  return /^[\w./:@-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`;
}
