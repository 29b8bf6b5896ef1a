import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AwsClients, type ClientOptions, createClients } from '../../../providers/aws/client.ts';
import { isProviderError } from '../../../src/core/errors.ts';
import type { Call } from '../../../src/core/provider.ts';

interface Sent {
  readonly hostname: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}
interface Answer {
  readonly status?: number;
  readonly body: string;
}
type Limit = Parameters<Call['limit']>[1];

const credentials = { accessKeyId: 'AKIA', secretAccessKey: 'secret' };
const xml = (operation: string, inner: string): string =>
  `<${operation}Response><${operation}Result>${inner}</${operation}Result></${operation}Response>`;

/** Clients whose requests go to `answer`, with what was asked of the limiter. */
function rig(
  answer: (sent: Sent, signal: AbortSignal | undefined) => Answer | Promise<Answer>,
  more: Partial<ClientOptions> = {},
) {
  const sent: Sent[] = [];
  const limited: Limit[] = [];
  const requestHandler = {
    metadata: { handlerProtocol: 'http/1.1' },
    async handle(request: Sent, { abortSignal }: { readonly abortSignal?: AbortSignal } = {}) {
      sent.push(request);
      const { status = 200, body } = await answer(request, abortSignal);
      return { response: { statusCode: status, headers: {}, body: new TextEncoder().encode(body) } };
    },
    destroy() {},
    updateHttpClientConfig() {},
    httpHandlerConfigs: () => ({}),
  };
  const clients: AwsClients = createClients({ region: 'eu-west-1', credentials, requestHandler, ...more });
  const call = (signal: AbortSignal = new AbortController().signal): Call => ({
    signal,
    log: { debug() {}, info() {}, warn() {}, error() {} },
    limit: async (fn, how) => {
      limited.push(how);
      return await fn();
    },
  });
  return { clients, call, sent, limited };
}

async function failed(run: Promise<unknown>): Promise<unknown> {
  return await run.then(
    () => assert.fail('it did not fail'),
    (error: unknown) => error,
  );
}

test('a request of each service goes to its endpoint and comes back typed', async () => {
  const { clients, call, sent } = rig(({ hostname }) => {
    if (hostname.startsWith('ec2.')) {
      return {
        body: '<DescribeVpcsResponse><vpcSet><item><vpcId>vpc-1</vpcId></item></vpcSet></DescribeVpcsResponse>',
      };
    }
    if (hostname.startsWith('tagging.')) return { body: '{"ResourceTagMappingList":[{"ResourceARN":"arn:1"}]}' };
    return {
      body: xml(
        'DescribeLoadBalancers',
        '<LoadBalancers><member><LoadBalancerName>one</LoadBalancerName></member></LoadBalancers>',
      ),
    };
  });
  const { LoadBalancers } = await clients.elb.describeLoadBalancers({ Names: ['one'] }, call());
  const { Vpcs } = await clients.ec2.describeVpcs({ VpcIds: ['vpc-1'] }, call());
  const { ResourceTagMappingList } = await clients.tagging.getResources({}, call());
  assert.deepEqual(
    [LoadBalancers?.[0]?.LoadBalancerName, Vpcs?.[0]?.VpcId, ResourceTagMappingList?.[0]?.ResourceARN],
    ['one', 'vpc-1', 'arn:1'],
  );
  assert.deepEqual(
    sent.map(({ hostname }) => hostname),
    ['elasticloadbalancing.eu-west-1.amazonaws.com', 'ec2.eu-west-1.amazonaws.com', 'tagging.eu-west-1.amazonaws.com'],
  );
  assert.match(sent[0]?.body ?? '', /Action=DescribeLoadBalancers.*Names.member.1=one/);
  assert.match(sent[0]?.headers['authorization'] ?? '', /^AWS4-HMAC-SHA256 Credential=AKIA/);
});

test('each request asks the limiter by class, and what takes traffic off goes first', async () => {
  const { clients, call, limited } = rig(({ body }) => {
    const operation = new URLSearchParams(body).get('Action') ?? '';
    if (operation === 'DescribeSubnets')
      return { body: '<DescribeSubnetsResponse><subnetSet/></DescribeSubnetsResponse>' };
    return { body: xml(operation, '<TargetHealthDescriptions/>') };
  });
  const target = { TargetGroupArn: 'arn:tg', Targets: [{ Id: 'i-1' }] };
  await clients.elb.deregisterTargets(target, call());
  await clients.elb.registerTargets(target, call());
  await clients.elb.deleteListener({ ListenerArn: 'arn:l' }, call());
  await clients.elb.describeTargetHealth({ TargetGroupArn: 'arn:tg' }, call(), { priority: 0 });
  await clients.ec2.deleteSecurityGroup({ GroupId: 'sg-1' }, call());
  await clients.ec2.describeSubnets({}, call());
  assert.deepEqual(limited, [
    { class: 'elb.register', priority: 30 },
    { class: 'elb.register', priority: 20 },
    { class: 'elb.create', priority: 10 },
    { class: 'elb.describe', priority: 0 },
    { class: 'ec2.write', priority: 10 },
    { class: 'ec2.read', priority: 10 },
  ]);
});

test('an error of AWS is sent once and becomes a ProviderError with action and resource', async () => {
  const { clients, call, sent } = rig(() => ({
    status: 400,
    body: '<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>',
  }));
  const error = await failed(clients.elb.deleteLoadBalancer({ LoadBalancerArn: 'arn:lb' }, call()));
  assert.ok(isProviderError(error));
  assert.deepEqual(
    [error.kind, error.message, sent.length],
    ['throttled', 'elasticloadbalancing:DeleteLoadBalancer on arn:lb: Throttling: Rate exceeded', 1],
  );
});

test('an endpoint that speaks something else is transient, and no crash', async () => {
  for (const answer of [
    { status: 200, body: '<html><body>Welcome</body></html>' },
    { status: 500, body: '<html><body>Internal error' },
    { status: 502, body: 'Bad gateway' },
    { status: 200, body: '' },
    { status: 200, body: '{"not": "xml"}' },
  ]) {
    const { clients, call } = rig(() => answer);
    const error = await failed(clients.elb.describeLoadBalancers({}, call()));
    assert.ok(isProviderError(error) && error.kind === 'transient', `${answer.body}: ${error}`);
  }
});

test('an empty list of AWS is absence', async () => {
  const { clients, call } = rig(({ hostname }) => ({
    body: hostname.startsWith('ec2.')
      ? '<DescribeSecurityGroupsResponse><securityGroupInfo/></DescribeSecurityGroupsResponse>'
      : xml('DescribeLoadBalancers', '<LoadBalancers/>'),
  }));
  assert.deepEqual((await clients.elb.describeLoadBalancers({}, call())).LoadBalancers, []);
  assert.deepEqual((await clients.ec2.describeSecurityGroups({}, call())).SecurityGroups, []);
});

test('an aborted call rejects with its reason, before and while it is sent', async () => {
  const reason = new Error('leadership lost');
  const before = rig(() => ({ body: '' }));
  assert.equal(
    await failed(before.clients.elb.describeLoadBalancers({}, before.call(AbortSignal.abort(reason)))),
    reason,
  );
  assert.equal(before.sent.length, 0);
  const controller = new AbortController();
  const during = rig(
    (_, signal) =>
      new Promise((_resolve, reject) => {
        signal?.addEventListener('abort', () => reject(new DOMException('aborted', 'AbortError')));
        controller.abort(reason);
      }),
  );
  assert.equal(await failed(during.clients.elb.describeLoadBalancers({}, during.call(controller.signal))), reason);
});

test('requests are told to the observer with how they ended', async () => {
  const seen: string[] = [];
  let count = 0;
  const { clients, call } = rig(
    () => {
      count += 1;
      return count === 1
        ? { body: xml('DescribeLoadBalancers', '<LoadBalancers/>') }
        : { status: 400, body: '<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>' };
    },
    { begun: (operation) => (code) => void seen.push(`${operation} ${code}`) },
  );
  await clients.elb.describeLoadBalancers({}, call());
  await failed(clients.elb.describeLoadBalancers({}, call()));
  assert.deepEqual(seen, ['DescribeLoadBalancers ok', 'DescribeLoadBalancers AccessDenied']);
});
