import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { actions, type Policy, policy, type Statement } from '../../providers/aws/iam.ts';
import { operations } from '../../providers/aws/operations.ts';

const providers = join(import.meta.dirname, '..', '..', 'providers', 'aws');
const services = Object.keys(operations) as readonly (keyof typeof operations)[];

for (const service of services) {
  test(`every operation of the client for ${service} has its IAM actions, and the other way round`, () => {
    assert.deepEqual(Object.keys(actions[service]).sort(), Object.keys(operations[service]).sort());
  });

  test(`every operation of ${service} that is allowed is called somewhere`, () => {
    const lists = /(^|[/])(operations|iam|model|annotation-table)[.]ts$|^sdk[/]/; // they name operations, and call none
    const text = globSync('**/*.ts', { cwd: providers })
      .filter((file) => !lists.test(file))
      .map((file) => readFileSync(join(providers, file), 'utf8'))
      .join('\n');
    const unused = Object.keys(actions[service]).filter((operation) => {
      const method = `${operation.charAt(0).toLowerCase()}${operation.slice(1)}`;
      return !new RegExp(`[.]${method}\\b|'(${method}|${operation})'`).test(text);
    });
    assert.deepEqual(unused, []);
  });
}

test('an operation is allowed by its own action first', () => {
  const names = { elb: 'elasticloadbalancing', ec2: 'ec2', tagging: 'tag' } as const;
  for (const service of services)
    for (const [operation, [own]] of Object.entries(actions[service]))
      assert.equal(own, `${names[service]}:${operation}`);
});

test('every action of the table is in the policy, and the policy has no other', () => {
  const table = new Set(Object.values(actions).flatMap((service) => Object.values(service).flat()));
  const allowed = new Set(policy().Statement.flatMap(({ Action }) => Action));
  assert.deepEqual([...allowed].sort(), [...table].sort());
  for (const action of allowed) assert.doesNotMatch(action, /\*/);
});

test('only reads, and changes of what the cluster has anyway, are allowed without a condition', () => {
  const free = policy().Statement.filter(({ Condition }) => Condition === undefined);
  assert.deepEqual(
    free.map(({ Sid, Resource }) => `${Sid} ${Resource}`),
    [
      'Read *',
      'CreateInVpc arn:aws:ec2:*:*:vpc/*',
      'ClusterSecurityGroup arn:aws:ec2:*:*:security-group/*',
      'ClusterRouteTable arn:aws:ec2:*:*:route-table/*',
      'ClusterNetworkInterface arn:aws:ec2:*:*:network-interface/*',
    ],
  );
  for (const action of free[0]?.Action ?? []) assert.match(action, /:(Describe|Get)/);
});

const cases = [
  { name: 'a create with our tag', action: 'elasticloadbalancing:CreateLoadBalancer', request: ours(), allowed: true },
  { name: 'a create without it', action: 'elasticloadbalancing:CreateLoadBalancer', request: {}, allowed: false },
  { name: 'a change of ours', action: 'elasticloadbalancing:SetSubnets', resource: ours(), allowed: true },
  { name: 'a change of a stranger', action: 'elasticloadbalancing:SetSubnets', resource: {}, allowed: false },
  { name: 'the deletion of ours', action: 'ec2:DeleteSecurityGroup', resource: ours(), allowed: true },
  { name: "the deletion of a node's group", action: 'ec2:DeleteSecurityGroup', resource: {}, allowed: false },
  { name: 'tags on a stranger', action: 'elasticloadbalancing:AddTags', request: ours(), allowed: false },
  {
    name: 'tags of a create',
    action: 'elasticloadbalancing:AddTags',
    request: ours(),
    context: { 'elasticloadbalancing:CreateAction': 'CreateListener' },
    allowed: true,
  },
  {
    name: 'tags on what the AWS Load Balancer Controller made',
    action: 'elasticloadbalancing:AddTags',
    request: ours(),
    resource: { 'elbv2.k8s.aws/cluster': 'one' },
    allowed: true,
  },
  {
    name: 'the deletion of what the AWS Load Balancer Controller made',
    action: 'elasticloadbalancing:DeleteLoadBalancer',
    resource: { 'elbv2.k8s.aws/cluster': 'one' },
    allowed: false,
  },
] as const satisfies readonly Asked[];

interface Asked {
  readonly name: string;
  readonly action: string;
  readonly request?: Readonly<Record<string, string>>;
  readonly resource?: Readonly<Record<string, string>>;
  readonly context?: Readonly<Record<string, string>>;
  readonly allowed: boolean;
}

for (const asked of cases as readonly Asked[]) {
  test(`the policy ${asked.allowed ? 'allows' : 'refuses'} ${asked.name}`, () => {
    assert.equal(isAllowed(policy(), asked), asked.allowed);
    assert.equal(isAllowed(policy({ cluster: 'one' }), asked), asked.allowed);
    const other = isAllowed(policy({ cluster: 'two' }), asked);
    assert.equal(other, false, 'the policy of another cluster allows nothing of it');
  });
}

test('the policy of a partition names it in every ARN', () => {
  const resources = policy({ partition: 'aws-cn' }).Statement.map(({ Resource }) => Resource);
  for (const resource of resources) assert.match(resource, /^(\*|arn:aws-cn:.*)$/);
});

test('it fits into a managed policy (6,144 characters without white space), and its Sids are words', () => {
  for (const made of [policy(), policy({ cluster: 'c'.repeat(100), partition: 'aws-us-gov' })]) {
    assert.ok(JSON.stringify(made).length <= 6144, `${JSON.stringify(made).length}`);
    const ids = made.Statement.map(({ Sid }) => Sid);
    assert.equal(new Set(ids).size, ids.length);
    for (const id of ids) assert.match(id, /^[A-Za-z0-9]+$/);
  }
});

function ours(): Readonly<Record<string, string>> {
  return { 'fairlead.dev/cluster': 'one' };
}

/** What IAM decides, for the operators that the policy uses. */
function isAllowed({ Statement }: Policy, asked: Asked): boolean {
  const keys = new Map<string, string>(Object.entries(asked.context ?? {}));
  for (const [key, value] of Object.entries(asked.request ?? {})) keys.set(`aws:RequestTag/${key}`, value);
  for (const [key, value] of Object.entries(asked.resource ?? {})) keys.set(`aws:ResourceTag/${key}`, value);
  return Statement.some((one) => one.Action.includes(asked.action) && one.Resource === '*' && holds(one, keys));
}

function holds({ Condition = {} }: Statement, keys: ReadonlyMap<string, string>): boolean {
  return Object.entries(Condition).every(([operator, wanted]) =>
    Object.entries(wanted).every(([key, value]) => {
      const given = keys.get(key);
      if (operator === 'Null') return (given === undefined) === (value === 'true');
      assert.equal(operator, 'StringEquals');
      return given !== undefined && [value].flat().includes(given);
    }),
  );
}
