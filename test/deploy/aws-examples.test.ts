import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { parseConfig } from '../../providers/aws/config.ts';
import { createInterpret } from '../../providers/aws/interpret.ts';
import type { Desired } from '../../providers/aws/model.ts';
import { plan } from '../../providers/aws/plan.ts';
import type { Service } from '../../src/core/objects.ts';
import { desiredOf } from '../../src/core/service/desired.ts';
import { ask, kubectl } from '../kube/ask.ts';
import { realApi } from '../kube/cluster.ts';

const folder = join(import.meta.dirname, '..', '..', 'deploy', 'examples', 'aws');
const settings = { ...parseConfig({}).settings, cluster: 'examples' };

/** As an API server completes it: an IPv4 cluster, node ports where they are wanted. */
function completed({ metadata, spec }: Service): Service {
  const hasNodePorts = spec.allocateLoadBalancerNodePorts !== false;
  return {
    metadata: { ...metadata, namespace: 'default', uid: `uid-of-${metadata.name}`, resourceVersion: '1' },
    spec: {
      ...spec,
      clusterIPs: ['10.96.0.9'],
      ipFamilies: ['IPv4'],
      ...(spec.externalTrafficPolicy === 'Local' ? { healthCheckNodePort: 32_000 } : {}),
      ports: (spec.ports ?? []).map((port, index) => ({
        protocol: 'TCP',
        targetPort: port.port,
        ...(hasNodePorts ? { nodePort: 31_000 + index } : {}),
        ...port,
      })),
    },
  } as Service;
}

const planned = new Map<string, Desired>(); // file -> what it asks for
for (const file of readdirSync(folder).sort()) {
  const services = parseAllDocuments(readFileSync(join(folder, file), 'utf8')).map((one) => one.toJS() as Service);

  test(`deploy/examples/aws/${file} asks for our class and for nothing that is not understood`, () => {
    assert.equal(services.length, 1);
    for (const service of services) {
      assert.equal(service.spec.type, 'LoadBalancer');
      assert.equal(service.spec.loadBalancerClass, 'fairlead.dev/aws');
      const world = { cluster: 'examples', interpret: createInterpret(settings), members: [], slices: () => [] };
      const { spec, shortfalls, warnings } = desiredOf(completed(service), world);
      const desired = plan(spec, settings);
      const said = warnings.filter(({ reason }) => reason !== 'UnAvailableLoadBalancer'); // this world has no nodes
      assert.deepEqual([shortfalls, said, desired.shortfalls, desired.warnings], [[], [], [], []]);
      planned.set(file, desired);
    }
  });
}

test('each example is what its comment says', () => {
  const of = (file: string): Desired => planned.get(file) as Desired;
  assert.deepEqual(
    [...planned.keys()],
    ['client-addresses.yaml', 'dns.yaml', 'dual-stack.yaml', 'internet-tls-to-pods.yaml', 'service.yaml'],
  );
  assert.deepEqual([of('service.yaml').scheme, of('service.yaml').targetType], ['keep', 'instance']);
  assert.deepEqual(
    of('dns.yaml').ports.map(({ listener }) => listener.protocol),
    ['TCP_UDP'],
  );
  assert.deepEqual(of('dns.yaml').sources, ['10.0.0.0/8']);
  assert.equal(of('dual-stack.yaml').ipAddressType, 'dualstack');
  const shop = of('internet-tls-to-pods.yaml');
  assert.deepEqual([shop.scheme, shop.targetType], ['internet-facing', 'ip']);
  assert.deepEqual(
    shop.ports.map(({ listener }) => listener.protocol),
    ['TLS'],
  );
  const mail = of('client-addresses.yaml');
  assert.deepEqual([mail.eips.length, mail.trafficPolicy], [2, 'local']);
  assert.deepEqual(mail.subnets, ['public-a', 'public-b']);
});

test('a real API server takes all of them at once, from the folder', async (t) => {
  const api = await realApi(t);
  if (api === undefined) return;
  const applied = await kubectl(api, ['apply', '-f', folder]);
  assert.equal(applied.code, 0, applied.stderr);
  assert.equal(applied.stderr, '');
  const mail = (await ask(api, 'GET', '/api/v1/namespaces/default/services/mail')).json as Service;
  assert.ok((mail.spec.healthCheckNodePort ?? 0) > 0);
});
