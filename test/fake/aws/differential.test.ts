import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EC2 } from '@aws-sdk/client-ec2';
import { ElasticLoadBalancingV2 } from '@aws-sdk/client-elastic-load-balancing-v2';
import { ResourceGroupsTaggingAPI } from '@aws-sdk/client-resource-groups-tagging-api';
import type { Seeded } from '../../../localstack/seed.ts';
import { type Account, moto } from '../../localstack/moto.ts';
import { createVirtualClock } from '../clock.ts';
import { createFakeAws } from './aws.ts';
import { type Ids, type Step, steps } from './differential/steps.ts';

/** Both sides have the same network under the same ids; what the steps create has its own on each. */
interface Side {
  readonly clients: Readonly<Record<string, object>>;
  readonly ids: Ids;
}

test('moto and the fake answer the same calls alike, but for the differences that are listed with their reasons', async (t) => {
  const server = await moto(t);
  if (server === undefined) return;
  const account = await server.account(t);
  const seeded = await account.seed('diff');
  const sides = { fake: fakeSide(seeded, account), moto: motoSide(seeded, account) };
  const unknown: string[] = [];
  const known: string[] = [];
  for (const step of steps) {
    const [fake, real] = [await play(step, sides.fake), await play(step, sides.moto)];
    const found = compare(step, fake, real);
    if (found !== undefined) unknown.push(found);
    else if (step.differs !== undefined) known.push(`${step.name}: ${step.differs.why}`);
  }
  assert.deepEqual(unknown, [], unknown.join('\n\n'));
  t.diagnostic(`${steps.length} calls; ${known.length} known differences:`);
  for (const line of known) t.diagnostic(line);
});

function fakeSide(seeded: Seeded, { id, access: { region } }: Account): Side {
  const aws = createFakeAws({ clock: createVirtualClock(), region, account: id, healthyAfterMs: 0, drainMs: 0 });
  const { seed } = aws;
  const vpcId = seed.vpc({ id: seeded.vpcId });
  for (const [index, subnet] of seeded.subnetIds.entries()) {
    const zone = `${region}${'abc'.charAt(index)}`;
    seed.subnet({ id: subnet, vpcId, zone, cidr: `192.168.${index * 32}.0/19` });
  }
  seed.routeTable({ id: seeded.routeTableId, vpcId, subnets: seeded.subnetIds });
  seed.securityGroup({ id: seeded.nodeSecurityGroupId, vpcId, name: 'nodes' });
  seed.securityGroup({ id: seeded.webSecurityGroupId, vpcId, name: 'web' });
  for (const [index, instance] of seeded.instances.entries()) {
    const subnetId = seeded.subnetIds[index] ?? '';
    seed.instance({ id: instance.id, subnetId, addresses: [instance.address], groups: [seeded.nodeSecurityGroupId] });
  }
  seed.certificate(seeded.certificateArn);
  const options = aws.clientOptions;
  return {
    clients: {
      elb: new ElasticLoadBalancingV2(options),
      ec2: new EC2(options),
      tagging: new ResourceGroupsTaggingAPI(options),
    },
    ids: idsOf(seeded),
  };
}

function motoSide(seeded: Seeded, { access: { endpoint, region, accessKeyId, secretAccessKey } }: Account): Side {
  const options = { endpoint, region, credentials: { accessKeyId, secretAccessKey }, maxAttempts: 1 };
  return {
    clients: {
      elb: new ElasticLoadBalancingV2(options),
      ec2: new EC2(options),
      tagging: new ResourceGroupsTaggingAPI(options),
    },
    ids: idsOf(seeded),
  };
}

function idsOf(seeded: Seeded): Ids {
  return {
    vpc: seeded.vpcId,
    subnets: seeded.subnetIds,
    table: seeded.routeTableId,
    nodes: seeded.nodeSecurityGroupId,
    instances: seeded.instances.map(({ id }) => id),
    certificate: seeded.certificateArn,
    made: {},
  };
}

/** What the step shows: the error's name, or what it looks at of the output, with names in place of ids. */
async function play({ name, service, operation, input, save, look = () => 'ok' }: Step, side: Side): Promise<unknown> {
  const { clients, ids } = side;
  const client = clients[service] as Readonly<Record<string, (input: object) => Promise<object>>>;
  const call = client[`${operation.charAt(0).toLowerCase()}${operation.slice(1)}`];
  if (call === undefined) throw new TypeError(`${name}: the SDK has no ${operation}`);
  try {
    const output = await call.call(client, input(ids));
    if (save !== undefined) Object.assign(ids.made, save(output as never));
    return plain(look(named(output, ids) as never));
  } catch (error) {
    if (!(error instanceof Error) || !('$metadata' in error)) throw error;
    return `error ${error.name}`;
  }
}

/** Names first, so that what is sorted afterwards has one order on both sides. */
function named(output: object, { made, instances, subnets, nodes, certificate }: Ids): unknown {
  const names: Readonly<Record<string, string>> = {
    ...made,
    ...Object.fromEntries(instances.map((id, index) => [`i${index + 1}`, id])),
    ...Object.fromEntries(subnets.map((id, index) => [`subnet${index + 1}`, id])),
    nodes,
    certificate,
  };
  let text = JSON.stringify(output);
  for (const [name, id] of Object.entries(names)) text = text.replaceAll(id, `<${name}>`);
  return JSON.parse(text);
}

function plain(value: unknown): unknown {
  return value === undefined ? null : JSON.parse(JSON.stringify(value));
}

function compare({ name, differs }: Step, fake: unknown, real: unknown): string | undefined {
  const show = (value: unknown) => JSON.stringify(value);
  const report = (what: string, one: unknown, other: unknown) =>
    `${name}: ${what}\n  fake ${show(one)}\n  moto ${show(other)}`;
  if (differs === undefined) return show(fake) === show(real) ? undefined : report('an unknown difference', fake, real);
  const { member } = differs;
  const [left, right] = member === undefined ? [fake, real] : [take(fake, member), take(real, member)];
  if (show(left) === show(right)) return report('is listed as a difference, and there is none', left, right);
  if (show(left) !== show(differs.fake) || show(right) !== show(differs.moto)) {
    return report(`differs otherwise than listed (${show(differs.fake)}, ${show(differs.moto)})`, left, right);
  }
  if (member === undefined || show(fake) === show(real)) return undefined;
  return report('an unknown difference beside the listed one', fake, real);
}

/** Takes the value at '0.state' out of it. */
function take(from: unknown, member: string): unknown {
  const path = member.split('.');
  const last = path.pop() ?? '';
  const holder = path.reduce<unknown>((value, key) => (value as Record<string, unknown> | undefined)?.[key], from);
  if (typeof holder !== 'object' || holder === null) return undefined;
  const value = (holder as Record<string, unknown>)[last];
  if (Array.isArray(holder)) holder.splice(Number(last), 1);
  else delete (holder as Record<string, unknown>)[last];
  return value;
}
