import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import type { L2Advertisement } from '../../src/core/ipam/metallb.ts';
import type { IPAddressPool } from '../../src/core/ipam/pools.ts';
import { validate } from '../../src/core/ipam/validate.ts';
import type { KubeObject, Service } from '../../src/core/objects.ts';
import { ask, kubectl } from '../kube/ask.ts';
import { realApi } from '../kube/cluster.ts';

const deploy = join(import.meta.dirname, '..', '..', 'deploy');
const folder = join(deploy, 'examples');
const files = readdirSync(folder)
  .filter((name) => name.endsWith('.yaml'))
  .sort();
const objects: readonly KubeObject[] = files.flatMap((file) =>
  parseAllDocuments(readFileSync(join(folder, file), 'utf8')).map((document) => document.toJS() as KubeObject),
);
const ofKind = <T extends KubeObject>(kind: string) =>
  objects.filter((object) => object.kind === kind) as unknown as readonly T[];

test('each case that the documents promise has its example', () => {
  assert.deepEqual(files, [
    'dual-stack.yaml',
    'pool-by-namespace.yaml',
    'pools.yaml',
    'requested-address.yaml',
    'service.yaml',
    'shared-address.yaml',
  ]);
});

test('the pools of all examples together have no problem', () => {
  const problems = validate(
    {
      ipaddresspools: ofKind<IPAddressPool>('IPAddressPool'),
      l2advertisements: ofKind<L2Advertisement>('L2Advertisement'),
      namespaces: ofKind('Namespace'),
    },
    { namespace: 'metallb-system' },
  );
  assert.deepEqual(problems, []);
});

test('every example Service asks for our class, so that no other controller takes it', () => {
  const services = ofKind<Service>('Service');
  assert.ok(services.length >= 6);
  for (const { metadata, spec } of services) {
    assert.equal(spec.type, 'LoadBalancer', metadata.name);
    assert.equal(spec.loadBalancerClass, 'fairlead.dev/onprem', metadata.name);
  }
});

test('a real API server takes all examples at once, from the folder, on a cluster made as the README says', async (t) => {
  const api = await realApi(t, { serviceClusterIpRange: '10.96.0.0/16,fd00:10:96::/112' });
  if (api === undefined) return;
  const made = await kubectl(api, ['create', '-k', join(deploy, 'kustomize', 'overlays', 'onprem-with-metallb-crds')]);
  assert.equal(made.code, 0, made.stderr);
  const established = ['wait', '--for=condition=Established', '--timeout=30s', 'crd', '--all'];
  assert.equal((await kubectl(api, established)).code, 0);
  const applied = await kubectl(api, ['apply', '-f', folder]);
  assert.equal(applied.code, 0, applied.stderr);
  assert.equal(applied.stderr, '');
  assert.equal(applied.stdout.trim().split('\n').length, objects.length);
  const { spec } = (await ask(api, 'GET', '/api/v1/namespaces/default/services/both')).json as Service;
  assert.deepEqual(spec.ipFamilies, ['IPv4', 'IPv6']);
});
