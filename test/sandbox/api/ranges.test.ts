/** What Services and nodes share: addresses, node ports, pod CIDRs. Never given twice, never lost. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createWorld, type Json, merge, services } from './world.ts';

const small = { serviceCidrs: ['10.0.0.0/29', 'fd00::/125'], nodePorts: [30_000, 30_005] } as const;

const type = fc.constantFrom('ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName');
const spec = fc.record({
  type,
  policy: fc.constantFrom('SingleStack', 'PreferDualStack'),
  local: fc.boolean(),
  ports: fc.integer({ min: 1, max: 2 }),
  asked: fc.option(fc.integer({ min: 29_999, max: 30_006 }), { nil: undefined }),
});
type Spec = typeof spec extends fc.Arbitrary<infer Value> ? Value : never;
const step = fc.record({
  name: fc.constantFrom('a', 'b', 'c', 'd'),
  what: fc.constantFrom('put', 'put', 'type', 'delete', 'dry'),
  spec,
});

function body(name: string, { type: kind, policy, local, ports, asked }: Spec): object {
  const outside = kind === 'ExternalName';
  const numbered = kind === 'NodePort' || kind === 'LoadBalancer';
  return {
    metadata: { name },
    spec: {
      type: kind,
      ...(outside ? { externalName: 'example.com' } : { ipFamilyPolicy: policy }),
      ...(numbered && local ? { externalTrafficPolicy: 'Local' } : {}),
      ports: Array.from({ length: ports }, (_, index) => ({
        name: `p${index}`,
        port: 80 + index,
        ...(numbered && index === 0 && asked !== undefined ? { nodePort: asked } : {}),
      })),
    },
  };
}

test('no address and no port belongs to two Services, and after the last has gone all are free again', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), fc.integer(), async (steps, seed) => {
      const { ask, must } = createWorld({ ...small, seed });
      for (const { name, what, spec: wanted } of steps) {
        if (what === 'put') await ask('PUT', `${services}/${name}`, body(name, wanted));
        else if (what === 'dry') await ask('PUT', `${services}/${name}?dryRun=All`, body(name, wanted));
        else if (what === 'type')
          await ask(
            'PATCH',
            `${services}/${name}`,
            { spec: { type: wanted.type, externalName: wanted.type === 'ExternalName' ? 'example.com' : null } },
            merge,
          );
        else await ask('DELETE', `${services}/${name}`);
        distinct((await must('GET', services)).items);
      }
      await must('DELETE', services);
      // Every port of the range, and as many addresses as it has, can be had at once.
      for (let port = 30_000; port <= 30_005; port += 1)
        await must(
          'POST',
          services,
          body(`s${port}`, { type: 'NodePort', policy: 'SingleStack', local: false, ports: 1, asked: port }),
        );
      assert.equal((await must('GET', services)).items.length, 6);
    }),
    { numRuns: 60 },
  );
});

function distinct(items: readonly Json[]): void {
  const addresses = items.flatMap(({ spec: { clusterIPs = [] } }) => clusterIPs.filter((ip: string) => ip !== 'None'));
  assert.equal(new Set(addresses).size, addresses.length, `addresses ${addresses}`);
  const ports = items.flatMap(({ metadata, spec: { ports: list = [], healthCheckNodePort } }) => {
    const own = new Set<number>(list.flatMap(({ nodePort }: Json) => nodePort ?? []));
    if (healthCheckNodePort !== undefined)
      assert.ok(!own.has(healthCheckNodePort), `${metadata.name}: ${healthCheckNodePort} twice`);
    return [...own, ...(healthCheckNodePort === undefined ? [] : [healthCheckNodePort])];
  });
  assert.equal(new Set(ports).size, ports.length, `ports ${ports}`);
}

test('a full range is said to be full, and changes nothing', async () => {
  const { ask, must } = createWorld(small);
  const nodePort = (name: string): object =>
    body(name, { type: 'NodePort', policy: 'SingleStack', local: false, ports: 2, asked: undefined });
  // The kubernetes Service has one of the six addresses already.
  for (const name of ['a', 'b', 'c']) await must('POST', services, nodePort(name));
  const ports = await ask('POST', services, nodePort('d'));
  assert.deepEqual(
    [ports.status, ports.body.message],
    [500, 'Internal error occurred: failed to allocate a nodePort: range is full'],
  );
  for (const name of ['d', 'e'])
    await must(
      'POST',
      services,
      body(name, { type: 'ClusterIP', policy: 'SingleStack', local: false, ports: 1, asked: undefined }),
    );
  const addresses = await ask(
    'POST',
    services,
    body('f', { type: 'ClusterIP', policy: 'SingleStack', local: false, ports: 1, asked: undefined }),
  );
  assert.equal(addresses.status, 500);
  assert.match(addresses.body.message, /failed to allocate a serviceIP for Service "f": range is full/);
  await must('DELETE', `${services}/a`);
  await must('POST', services, nodePort('d2'));
});

test('the lower part of a range is kept for those who ask for it', async () => {
  const { must } = createWorld({ nodePorts: [30_000, 30_063] });
  const given: number[] = [];
  for (let index = 0; index < 48; index += 1) {
    const {
      spec: { ports },
    } = await must(
      'POST',
      services,
      body(`s${index}`, { type: 'NodePort', policy: 'SingleStack', local: false, ports: 1, asked: undefined }),
    );
    given.push(ports[0].nodePort);
  }
  assert.ok(Math.min(...given) >= 30_016, 'the upper part first');
  const {
    spec: { ports },
  } = await must(
    'POST',
    services,
    body('more', { type: 'NodePort', policy: 'SingleStack', local: false, ports: 1, asked: undefined }),
  );
  assert.ok(ports[0].nodePort < 30_016, 'then the lower part');
});

test('nodes get the lowest free pod CIDR of each family, and give it back', async () => {
  const { must, ask } = createWorld({
    podCidrs: [
      { cidr: '10.244.0.0/22', prefixLength: 24 },
      { cidr: 'fd00:10::/62', prefixLength: 64 },
    ],
  });
  const node = (name: string, spec: object = {}): object => ({ metadata: { name }, spec });
  const create = async (name: string, spec?: object): Promise<Json> =>
    (await must('POST', '/api/v1/nodes', node(name, spec))).spec;
  await must('POST', '/api/v1/nodes?dryRun=All', node('dry'));
  await ask('POST', '/api/v1/nodes', node('bad', { taints: [{ key: 'a', effect: 'Never' }] }));
  assert.deepEqual(
    (await create('a')).podCIDRs,
    ['10.244.0.0/24', 'fd00:10::/64'],
    'neither a dry run nor a refusal takes any',
  );
  assert.deepEqual((await create('own', { podCIDR: '10.244.1.0/24' })).podCIDRs, ['10.244.1.0/24']);
  const second = await create('b');
  assert.deepEqual([second.podCIDR, second.podCIDRs], ['10.244.2.0/24', ['10.244.2.0/24', 'fd00:10:0:1::/64']]);
  await create('c');
  assert.equal((await create('d')).podCIDRs, undefined, 'there are none left');
  await must('DELETE', '/api/v1/nodes/a');
  assert.deepEqual((await create('e')).podCIDRs, ['10.244.0.0/24', 'fd00:10::/64']);
});
