/** Instances of nodes, as EC2 answers it (our fake), and from answers of our own where the fake cannot be told so. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Instance as Ec2Instance } from '@aws-sdk/client-ec2';
import { createClients } from '../../../providers/aws/client.ts';
import { createInstances, questionOf } from '../../../providers/aws/instances.ts';
import { failure } from '../../../src/core/errors.ts';
import type { Call, IpFamily, NodeRef } from '../../../src/core/provider.ts';
import { createRig } from '../../fake/aws/rig.ts';

interface Said {
  readonly fields: object;
  readonly message: string;
}

function callOf(said: Said[] = []): Call {
  const warn = (fields: object, message: string) => void said.push({ fields, message });
  const { signal } = new AbortController();
  return { signal, log: { debug() {}, info() {}, warn, error() {} }, limit: (fn) => fn() };
}
const node = (name: string, providerId?: string): NodeRef => ({
  name,
  addresses: [],
  ...(providerId === undefined ? {} : { providerId }),
});

/** The provider's part on the fake. */
function onFake(ipFamilies: readonly IpFamily[] = ['ipv4']) {
  const rig = createRig();
  const { region, endpoint, credentials, requestHandler } = rig.aws.clientOptions;
  const clients = createClients({ region, endpoint, credentials, requestHandler });
  const instances = createInstances({ clients, region, vpcId: rig.vpcId, ipFamilies });
  rig.aws.forget();
  return { ...rig, instances, operations: () => rig.aws.calls.map(({ operation }) => operation) };
}

test('aws instances: by zone and id, by id alone, and by a bare id; type, zone, region, zone id', async () => {
  const { instances, instanceIds, operations, answered } = onFake();
  const [first = ''] = instanceIds;
  const asked = [node('a', `aws:///eu-west-1a/${first}`), node('b', `aws:////${first}`), node('c', first)];
  const found = await answered(instances.find(asked, callOf()));
  const instance = found.get('a');
  assert.deepEqual([found.get('b'), found.get('c')], [instance, instance]);
  assert.equal(instance?.providerId, `aws:///eu-west-1a/${first}`);
  assert.deepEqual([instance.zone, instance.region, instance.shutdown], ['eu-west-1a', 'eu-west-1', false]);
  assert.notEqual(instance.type, '');
  assert.match(instance.labels?.['topology.k8s.aws/zone-id'] ?? '', /^euw1-az\d$/);
  assert.deepEqual(operations(), ['DescribeInstances', 'DescribeAvailabilityZones']);
  await answered(instances.find(asked, callOf()));
  assert.deepEqual(operations().slice(2), ['DescribeInstances'], 'zones are read once');
});

test('aws instances: 450 nodes by id and 450 by name, in requests of at most 200 values', async () => {
  const rig = onFake();
  const [subnetId = ''] = rig.subnetIds;
  const nodes = Array.from({ length: 900 }, (_, index) => {
    const address = `192.168.${1 + Math.floor(index / 250)}.${1 + (index % 250)}`;
    const name = `ip-${address.replaceAll('.', '-')}.eu-west-1.compute.internal`;
    const id = rig.aws.seed.instance({ subnetId, addresses: [address], privateDnsName: name });
    return index % 2 === 0 ? node(name, `aws:///eu-west-1a/${id}`) : node(name);
  });
  const found = await rig.answered(rig.instances.find(nodes, callOf()));
  assert.equal([...found.values()].filter((instance) => instance !== undefined).length, 900);
});

test('aws instances: addresses of all interfaces, then the public one and the names', async () => {
  const rig = onFake();
  const [subnetId = ''] = rig.subnetIds;
  const id = rig.aws.seed.instance({
    id: 'i-0f',
    subnetId,
    addresses: ['192.168.0.20', '192.168.0.21'],
    publicIp: '203.0.113.7',
    privateDnsName: 'ip-192-168-0-20.eu-west-1.compute.internal',
    interfaces: [{ addresses: ['192.168.0.30'] }],
  });
  const { instances, answered } = rig;
  const found = await answered(instances.find([node('a', id)], callOf()));
  const dns = 'ip-192-168-0-20.eu-west-1.compute.internal';
  assert.deepEqual(
    found.get('a')?.addresses.filter(({ type }) => type !== 'ExternalDNS'),
    [
      { type: 'InternalIP', address: '192.168.0.20' },
      { type: 'InternalIP', address: '192.168.0.21' },
      { type: 'InternalIP', address: '192.168.0.30' },
      { type: 'ExternalIP', address: '203.0.113.7' },
      { type: 'InternalDNS', address: dns },
      { type: 'Hostname', address: dns },
    ],
  );
});

const names: readonly { name: string; families: readonly IpFamily[]; want: readonly string[] }[] = [
  { name: 'IPv4', families: ['ipv4'], want: ['192.168.0.40'] },
  { name: 'IPv6', families: ['ipv6'], want: ['2001:db8::40'] },
  { name: 'IPv6 first', families: ['ipv6', 'ipv4'], want: ['2001:db8::40', '192.168.0.40'] },
  { name: 'IPv4 first', families: ['ipv4', 'ipv6'], want: ['192.168.0.40', '2001:db8::40'] },
];
for (const { name, families, want } of names) {
  test(`aws instances: NodeIPFamilies: ${name}`, async () => {
    const rig = onFake(families);
    const [subnetId = ''] = rig.subnetIds;
    const addresses = { addresses: ['192.168.0.40'], ipv6Addresses: ['2001:db8::40', '2001:db8::41'] };
    const id = rig.aws.seed.instance({ id: 'i-0e', subnetId, ...addresses });
    const found = await rig.answered(rig.instances.find([node('a', id)], callOf()));
    const internal = found.get('a')?.addresses.filter(({ type }) => type === 'InternalIP');
    assert.deepEqual(
      internal?.map(({ address }) => address),
      want,
    );
  });
}

test('aws instances: without a providerID by the private DNS name, in the VPC, or by the id that the name begins with', async () => {
  const rig = onFake();
  const { instances, answered, instanceIds, aws } = rig;
  const [first = '', second = ''] = instanceIds;
  const dns = aws.cloud.instances.get(first)?.privateDnsName ?? '';
  const found = await answered(
    instances.find([node(dns), node(`${second}.example.internal`), node('unknown.internal')], callOf()),
  );
  assert.equal(found.get(dns)?.providerId, `aws:///eu-west-1a/${first}`);
  assert.equal(found.get(`${second}.example.internal`)?.providerId, `aws:///eu-west-1b/${second}`);
  assert.deepEqual([found.has('unknown.internal'), found.get('unknown.internal')], [true, undefined], 'gone');
  const elsewhere = aws.seed.vpc({ id: 'vpc-0b', cidrs: ['10.0.0.0/16'] });
  const subnetId = aws.seed.subnet({ id: 'subnet-0b', vpcId: elsewhere, zone: 'eu-west-1a', cidr: '10.0.0.0/24' });
  aws.seed.instance({ id: 'i-0b', subnetId, addresses: ['10.0.0.5'], privateDnsName: dns });
  const again = await answered(instances.find([node(dns)], callOf()));
  assert.equal(again.get(dns)?.providerId, `aws:///eu-west-1a/${first}`, 'the one of another VPC does not count');
});

test('aws instances: two with one DNS name are neither', async () => {
  const { instances, answered, aws, subnetIds, instanceIds } = onFake();
  const dns = aws.cloud.instances.get(instanceIds[0] ?? '')?.privateDnsName ?? '';
  aws.seed.instance({ id: 'i-0d', subnetId: subnetIds[0] ?? '', addresses: ['192.168.0.50'], privateDnsName: dns });
  const said: Said[] = [];
  const found = await answered(instances.find([node(dns)], callOf(said)));
  assert.deepEqual(
    [found.has(dns), said.map(({ message }) => message)],
    [false, ['several instances have its DNS name']],
  );
});

const states = [
  { state: 'pending', gone: false, shutdown: false },
  { state: 'running', gone: false, shutdown: false },
  { state: 'stopping', gone: false, shutdown: false },
  { state: 'stopped', gone: false, shutdown: true },
  { state: 'shutting-down', gone: false, shutdown: false },
] as const;
for (const { state, shutdown } of states) {
  test(`aws instances: ${state}: there, ${shutdown ? '' : 'not '}shut down`, async () => {
    const { instances, answered, aws, instanceIds } = onFake();
    const [id = ''] = instanceIds;
    aws.seed.setInstance(id, state);
    const found = await answered(instances.find([node('a', id)], callOf()));
    assert.equal(found.get('a')?.shutdown, shutdown);
  });
}

test('aws instances: terminated, and one that never was, are gone', async () => {
  const { instances, answered, aws, instanceIds } = onFake();
  const [id = ''] = instanceIds;
  aws.seed.terminate(id);
  const found = await answered(
    instances.find([node('a', id), node('b', 'aws:///eu-west-1a/i-0123456789abcdef0')], callOf()),
  );
  assert.deepEqual(
    [...found],
    [
      ['a', undefined],
      ['b', undefined],
    ],
  );
});

test('aws instances: one unknown id among many costs nobody else the answer, and a malformed one is not gone', async () => {
  const { instances, answered, instanceIds } = onFake();
  const said: Said[] = [];
  const asked = [
    node('good', instanceIds[0]),
    node('missing', 'i-0123456789abcdef0'),
    node('bad', 'aws:///eu-west-1a/i-XYZ'),
    node('worse', 'aws:///eu-west-1a/vol-1'),
  ];
  const found = await answered(instances.find(asked, callOf(said)));
  assert.ok(found.get('good'));
  assert.deepEqual([...found.keys()], ['good', 'missing']);
  assert.deepEqual(
    said.map(({ fields }) => (fields as { node: string }).node),
    ['bad', 'worse'],
  );
});

test('aws instances: a Fargate node is the network interface that has the address in its name', async () => {
  const rig = onFake();
  const [subnetId = ''] = rig.subnetIds;
  const dns = 'ip-192-168-0-9.eu-west-1.compute.internal';
  rig.aws.seed.instance({ subnetId, addresses: ['192.168.0.9'], privateDnsName: dns });
  const name = `fargate-${dns}`;
  const providerId = `aws:///eu-west-1a/0a1b2c3d4e-5f/${name}`;
  const said: Said[] = [];
  const found = await rig.answered(
    rig.instances.find(
      [node(name, providerId), node('renamed', providerId), node('fargate-ip-192-168-0-77.x'), node('fargate-odd')],
      callOf(said),
    ),
  );
  const instance = found.get(name);
  assert.deepEqual([instance?.providerId, instance?.type, instance?.zone], [providerId, '', 'eu-west-1a']);
  assert.deepEqual(
    instance?.addresses.filter(({ type }) => type === 'InternalIP'),
    [{ type: 'InternalIP', address: '192.168.0.9' }],
  );
  assert.equal(instance?.labels?.['topology.k8s.aws/zone-id'], 'euw1-az1');
  assert.deepEqual(found.get('renamed'), instance);
  assert.deepEqual([found.has('fargate-ip-192-168-0-77.x'), found.get('fargate-ip-192-168-0-77.x')], [true, undefined]);
  assert.deepEqual([found.has('fargate-odd'), said], [false, []], 'without an address it is left alone');
  assert.deepEqual(rig.operations(), ['DescribeNetworkInterfaces', 'DescribeAvailabilityZones']);
});

test('aws instances: 450 nodes are three calls of at most 200, side by side, all pages read', async () => {
  const { instances, answered, aws, subnetIds } = onFake();
  const ids = Array.from({ length: 450 }, (_, n) =>
    aws.seed.instance({
      id: `i-${(0xa000 + n).toString(16)}`,
      subnetId: subnetIds[0] ?? '',
      addresses: [`192.168.${4 + (n >> 8)}.${n & 255}`],
    }),
  );
  const found = await answered(
    instances.find(
      ids.map((id) => node(id, `aws:///eu-west-1a/${id}`)),
      callOf(),
    ),
  );
  assert.equal([...found.values()].filter((instance) => instance !== undefined).length, 450);
  const described = aws.calls.filter(({ operation }) => operation === 'DescribeInstances');
  assert.equal(described.length, 3);
});

const failing: readonly { name: string; operation: string; code: string; kind: string | undefined }[] = [
  { name: 'throttled', operation: 'DescribeInstances', code: 'RequestLimitExceeded', kind: 'throttled' },
  { name: 'denied', operation: 'DescribeInstances', code: 'UnauthorizedOperation', kind: 'denied' },
  { name: 'down', operation: 'DescribeInstances', code: 'InternalError', kind: 'transient' },
  { name: 'zones throttled', operation: 'DescribeAvailabilityZones', code: 'RequestLimitExceeded', kind: 'throttled' },
  {
    name: 'zones denied: without the label',
    operation: 'DescribeAvailabilityZones',
    code: 'UnauthorizedOperation',
    kind: undefined,
  },
];
for (const { name, operation, code, kind } of failing) {
  test(`aws instances: ${name}: ${kind === undefined ? 'an answer' : 'an error, never an absence'}`, async () => {
    const { instances, answered, aws, instanceIds } = onFake();
    aws.fault = (call) => (call.operation === operation ? { as: { code } } : undefined);
    const answer = answered(instances.find([node('a', instanceIds[0])], callOf()));
    if (kind === undefined) {
      assert.equal((await answer).get('a')?.labels, undefined);
      return;
    }
    await assert.rejects(answer, { name: 'ProviderError', kind });
    aws.fault = () => undefined;
    assert.ok(
      (await answered(instances.find([node('a', instanceIds[0])], callOf()))).get('a')?.labels,
      'a failed read is not kept',
    );
  });
}

// Answers that the fake does not give.

function answering(rows: readonly Ec2Instance[], zones: 'known' | 'asked' = 'asked') {
  let asked = 0;
  const clients = {
    ec2: {
      describeInstances: async () => ({ Reservations: rows.map((row) => ({ Instances: [row] })) }),
      describeAvailabilityZones: async () => {
        asked += 1;
        if (zones === 'known') throw failure('FL_INTERNAL', 'nobody needs to ask');
        return { AvailabilityZones: [] };
      },
    },
  } as unknown as Parameters<typeof createInstances>[0]['clients'];
  return {
    instances: createInstances({ clients, region: 'r', vpcId: 'vpc-1', ipFamilies: ['ipv4', 'ipv6'] }),
    asked: () => asked,
  };
}

test('aws instances: interfaces count when they are in use, by card and device index; empty names are none', async () => {
  const eni = (index: number, ip: string, more: object = {}) => ({
    Status: 'in-use' as const,
    Attachment: { DeviceIndex: index },
    PrivateIpAddresses: [{ PrivateIpAddress: ip }],
    ...more,
  });
  const row: Ec2Instance = {
    InstanceId: 'i-1',
    State: { Name: 'running' },
    PrivateDnsName: '',
    PublicDnsName: '',
    NetworkInterfaces: [
      eni(1, '10.0.0.3', { Ipv6Addresses: [{ Ipv6Address: '2001:DB8:0::3' }] }),
      eni(0, '10.0.0.4', { Attachment: { DeviceIndex: 0, NetworkCardIndex: 1 } }),
      eni(2, '10.0.0.9', { Status: 'detaching' }),
      eni(0, '10.0.0.1', { Ipv6Addresses: [{ Ipv6Address: '2001:db8::1' }, { Ipv6Address: '2001:db8::2' }] }),
    ],
  };
  const found = await answering([row]).instances.find([node('a', 'i-1')], callOf());
  assert.deepEqual(
    found.get('a')?.addresses.map(({ type, address }) => `${type} ${address}`),
    ['10.0.0.1', '10.0.0.3', '10.0.0.4', '2001:db8::1', '2001:db8::3'].map((address) => `InternalIP ${address}`),
  );
});

test('aws instances: a zone id in the answer itself needs no question', async () => {
  const { instances, asked } = answering(
    [{ InstanceId: 'i-1', Placement: { AvailabilityZone: 'z', AvailabilityZoneId: 'use1-az4' } }],
    'known',
  );
  const found = await instances.find([node('a', 'i-1')], callOf());
  assert.deepEqual([found.get('a')?.labels, asked()], [{ 'topology.k8s.aws/zone-id': 'use1-az4' }, 0]);
});

const questions: readonly { id: string | undefined; name: string; want: object | undefined }[] = [
  { name: 'n', id: 'aws:///us-west-2a/i-0a', want: { id: 'i-0a' } },
  { name: 'n', id: 'aws:////i-0a', want: { id: 'i-0a' } },
  { name: 'n', id: 'aws://i-0a', want: { id: 'i-0a' } },
  { name: 'n', id: 'i-0a', want: { id: 'i-0a' } },
  { name: 'n', id: 'aws:///us-west-2a/', want: undefined },
  { name: 'n', id: 'aws:///us-west-2a/i-', want: undefined },
  { name: 'n', id: 'aws:///us-west-2a/x/i-0a', want: { id: 'i-0a' } },
  { name: 'i-0a', id: undefined, want: { id: 'i-0a' } },
  { name: 'i-0a.us-west-2.compute.internal', id: undefined, want: { id: 'i-0a' } },
  { name: 'ip-10-0-0-1.ec2.internal', id: undefined, want: { dnsName: 'ip-10-0-0-1.ec2.internal' } },
  { name: 'fargate-ip-10-0-0-1.ec2.internal', id: undefined, want: { address: '10.0.0.1' } },
];
for (const { name, id, want } of questions) {
  test(`aws instances: ${name} with ${id} is looked for ${JSON.stringify(want)}`, () =>
    assert.deepEqual(questionOf(node(name, id)), want));
}
