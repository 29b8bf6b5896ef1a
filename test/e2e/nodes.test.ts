/**
 * The node controllers and node IPAM on a real API server, with the memory cloud: under the rights of `base` and the
 * component node-rights and no others, so that a right that is missing shows as a refusal.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createMemoryCloud, type MemoryCloud } from '../../providers/memory/cloud.ts';
import { memoryModule } from '../../providers/memory/index.ts';
import type { Machine } from '../../providers/memory/machines.ts';
import { createLeader, type End } from '../../src/controllers/leader.ts';
import { blockOf } from '../../src/core/net/cidr.ts';
import type { Condition, KubeObject, Node, Taint } from '../../src/core/objects.ts';
import type { Cidr } from '../../src/core/provider.ts';
import { httpTransport, loadKubeConfig } from '../../src/kube/config.ts';
import { createClient } from '../../src/kube/request.ts';
import { createMetrics } from '../../src/obs/metrics.ts';
import { systemClock } from '../../src/work/clock.ts';
import { ask, kubectl } from '../kube/ask.ts';
import { type Api, realApi, serviceAccountToken } from '../kube/cluster.ts';
import { eventually, must } from './world.ts';

const kustomize = join(import.meta.dirname, '..', '..', 'deploy', 'kustomize');
const PATIENCE_MS = 60_000;
const uninitialized: Taint = {
  key: 'node.cloudprovider.kubernetes.io/uninitialized',
  value: 'true',
  effect: 'NoSchedule',
};
const SHUTDOWN = 'node.cloudprovider.kubernetes.io/shutdown';
/** A Node is deleted when it is older than a minute: for the controller these are. */
const oldClock = { ...systemClock, now: () => Date.now() + 120_000 };

test('nodes on a real API server, under the rights of the manifests', async (t) => {
  const api = await realApi(t);
  if (api === undefined) return;
  await install(api);
  const cloud = createMemoryCloud({ clock: systemClock });
  const controller = await startController(t, api, cloud);

  await t.test('a new node is initialised: providerID, labels, addresses, and the taint goes last', async () => {
    cloud.putMachine(machine('a', { labels: { 'my.org/rack': '7' } }));
    await register(api, 'a', {
      labels: { mine: 'x' },
      taints: [uninitialized, { key: 'theirs', effect: 'NoExecute' }],
    });
    await eventually(async () => assert.deepEqual(taintsOf(await get(api, 'a')), ['theirs']), PATIENCE_MS);
    const { spec, metadata, status } = await get(api, 'a');
    assert.equal(spec.providerID, 'memory://m-a');
    assert.deepEqual(metadata.labels, {
      'beta.kubernetes.io/instance-type': 'small',
      'failure-domain.beta.kubernetes.io/region': 'r1',
      'failure-domain.beta.kubernetes.io/zone': 'z1',
      mine: 'x',
      'my.org/rack': '7',
      'node.kubernetes.io/instance-type': 'small',
      'topology.kubernetes.io/region': 'r1',
      'topology.kubernetes.io/zone': 'z1',
    });
    assert.deepEqual(status?.addresses, [
      { type: 'InternalIP', address: '10.0.0.1' },
      { type: 'Hostname', address: 'a' },
    ]);
    await eventually(async () => assert.ok((await eventsOf(api, 'a')).includes('Synced')), PATIENCE_MS);
  });

  await t.test('two InternalIPs of two families arrive both, and a change of one of them too', async () => {
    const two = (ip: string) => [
      { type: 'InternalIP' as const, address: ip },
      { type: 'InternalIP' as const, address: 'fd00::7' },
    ];
    cloud.putMachine(machine('dual', { addresses: two('10.0.0.7') }));
    await register(api, 'dual', { annotations: { 'alpha.kubernetes.io/provided-node-ip': 'fd00::7,10.0.0.7' } });
    const internal = async () =>
      ((await get(api, 'dual')).status?.addresses ?? []).flatMap(({ type, address }) =>
        type === 'InternalIP' ? [address] : [],
      );
    await eventually(async () => assert.deepEqual(await internal(), ['fd00::7', '10.0.0.7']), PATIENCE_MS);
    await must(
      ask(api, 'PATCH', node('dual'), { metadata: { annotations: { 'alpha.kubernetes.io/provided-node-ip': null } } }),
    );
    cloud.putMachine(machine('dual', { addresses: two('10.0.0.8') }));
    await eventually(async () => assert.deepEqual((await internal()).sort(), ['10.0.0.8', 'fd00::7']), PATIENCE_MS);
  });

  await t.test('a node IP that the cloud does not have: told, and the taint stays', async () => {
    cloud.putMachine(machine('wrong'));
    await register(api, 'wrong', { annotations: { 'alpha.kubernetes.io/provided-node-ip': '10.9.9.9' } });
    await eventually(
      async () => assert.ok((await eventsOf(api, 'wrong')).includes('InvalidProvidedNodeIP')),
      PATIENCE_MS,
    );
    assert.ok(taintsOf(await get(api, 'wrong')).includes(uninitialized.key));
  });

  await t.test('every node got a pod CIDR of each family, and the API server has no two alike', async () => {
    await eventually(async () => {
      const all = (await list(api)).map(({ spec }) => spec.podCIDRs ?? []);
      assert.equal(all.length, 3);
      for (const family of [0, 1]) assert.equal(new Set(all.map((cidrs) => cidrs[family])).size, 3);
      assert.ok(all.every(([v4 = '', v6 = '']) => v4.startsWith('10.244.') && v6.startsWith('fd00:10:244:')));
    }, PATIENCE_MS);
  });

  await t.test('no block is left: told; a node that goes leaves its own to the one that waits', async () => {
    for (const name of ['b', 'c']) {
      cloud.putMachine(machine(name));
      await register(api, name, {});
    }
    const waiting = await eventually(async () => {
      const without = (await list(api)).filter(({ spec }) => spec.podCIDRs === undefined);
      assert.equal(without.length, 1);
      return without[0]?.metadata.name ?? '';
    }, PATIENCE_MS);
    await eventually(async () => assert.ok((await eventsOf(api, waiting)).includes('CIDRNotAvailable')), PATIENCE_MS);
    await must(ask(api, 'DELETE', node('wrong')));
    await eventually(async () => assert.equal((await get(api, waiting)).spec.podCIDRs?.length, 2), PATIENCE_MS);
  });

  await t.test('switched off: the shutdown taint comes, and goes when the node is ready again', async () => {
    cloud.putMachine(machine('b', { state: 'stopped' }));
    await ready(api, 'b', 'Unknown');
    await eventually(async () => assert.ok(taintsOf(await get(api, 'b')).includes(SHUTDOWN)), PATIENCE_MS);
    cloud.putMachine(machine('b'));
    await ready(api, 'b', 'True');
    await eventually(async () => assert.ok(!taintsOf(await get(api, 'b')).includes(SHUTDOWN)), PATIENCE_MS);
    assert.ok((await eventsOf(api, 'b')).includes('NodeShutdown'));
  });

  await t.test('gone and not ready: deleted; gone and ready, or of another cloud: kept', async () => {
    await must(
      ask(api, 'POST', '/api/v1/nodes', { metadata: { name: 'theirs' }, spec: { providerID: 'gce://p/z/n' } }),
    );
    await ready(api, 'theirs', 'False');
    cloud.putMachine(machine('a', { state: 'terminated' }));
    cloud.putMachine(machine('c', { state: 'terminated' }));
    await ready(api, 'c', 'Unknown');
    await eventually(async () => assert.equal((await ask(api, 'GET', node('c'))).status, 404), PATIENCE_MS);
    await eventually(async () => assert.ok((await eventsOf(api, 'c')).includes('DeletingNode')), PATIENCE_MS);
    assert.deepEqual((await list(api)).map(({ metadata }) => metadata.name).sort(), ['a', 'b', 'dual', 'theirs']);
  });

  await t.test('nothing was refused, and what is settled is not written again', async () => {
    const written = controller.writes();
    await new Promise((resolve) => setTimeout(resolve, 3000)); // a few passes: each period is a second
    assert.deepEqual(controller.writes().slice(written.length), []);
    assert.ok(written.length > 10);
    assert.deepEqual(controller.refused(), []);
    assert.equal(controller.end(), undefined);
  });

  await t.test('base alone can change no node', async () => {
    const gone = await kubectl(api, ['delete', 'clusterrolebinding', 'fairlead-controller-nodes']);
    assert.equal(gone.code, 0, gone.stderr);
    for (const [verb, what] of [
      ['patch', 'nodes'],
      ['delete', 'nodes'],
      ['patch', 'nodes/status'],
    ] as const) {
      const [resource = '', subresource] = what.split('/');
      const sub = subresource === undefined ? [] : [`--subresource=${subresource}`];
      const subject = '--as=system:serviceaccount:fairlead-system:fairlead-controller';
      const { stdout } = await kubectl(api, ['auth', 'can-i', verb, resource, ...sub, subject]);
      assert.equal(stdout, 'no\n', `${verb} ${what}`);
    }
  });
});

function machine(name: string, more: Partial<Machine> = {}): Machine {
  const addresses = [{ type: 'InternalIP' as const, address: '10.0.0.1' }];
  return { name, id: `m-${name}`, type: 'small', zone: 'z1', region: 'r1', addresses, state: 'running', ...more };
}

async function install(api: Api): Promise<void> {
  for (const args of [
    ['create', '-k', join(kustomize, 'components', 'metallb-crds')],
    ['apply', '-k', join(kustomize, 'base')],
    ['apply', '-k', join(kustomize, 'components', 'node-rights')],
  ]) {
    const { code, stderr } = await kubectl(api, args);
    assert.equal(code, 0, `kubectl ${args.join(' ')}: ${stderr}`);
  }
}

interface Controller {
  /** 'PATCH /api/v1/nodes/a' that were taken, without Lease and Events. */
  writes(): readonly string[];
  /** The same of 401 and 403. */
  refused(): readonly string[];
  end(): End | Error | undefined;
}

async function startController(t: TestContext, api: Api, cloud: MemoryCloud): Promise<Controller> {
  const token = await serviceAccountToken(api, 'fairlead-system', 'fairlead-controller');
  const kubeconfig = api.writeKubeconfig({ name: 'fairlead-controller', token });
  const inner = httpTransport(loadKubeConfig({ kubeconfig, env: {} }), { env: {} });
  const answers: { readonly what: string; readonly status: number }[] = [];
  const client = createClient({
    clock: systemClock,
    transport: {
      ...inner,
      close: () => inner.close(),
      async send(request) {
        const response = await inner.send(request);
        const { method, path } = request;
        answers.push({ what: `${method} ${path.split('?')[0]}`, status: response.status });
        return response;
      },
    },
  });
  const leader = createLeader({
    client,
    clock: oldClock,
    random: Math.random,
    log: { debug() {}, info() {}, warn() {}, error() {} },
    metrics: createMetrics({ provider: 'memory' }),
    module: memoryModule(cloud),
    providerConfig: undefined,
    cluster: 'e2e',
    identity: 'one_uuid',
    node: { concurrency: 4, statusConcurrency: 0, statusFrequencyMs: 1000 },
    lifecycle: { monitorPeriodMs: 1000 },
    ipam: {
      ranges: [
        { range: blockOf('10.244.0.0/22' as Cidr), maskSize: 24 },
        { range: blockOf('fd00:10:244::/48' as Cidr), maskSize: 64 },
      ],
      excluded: [],
    },
  });
  const stopping = new AbortController();
  let end: End | Error | undefined;
  const run = leader.run(stopping.signal).then(
    (how) => {
      end = how;
    },
    (error: Error) => {
      end = error;
    },
  );
  t.after(async () => {
    stopping.abort(new Error('the test has ended'));
    await run;
    client.close();
  });
  return {
    writes: () =>
      answers
        .filter(({ what, status }) => !what.startsWith('GET') && status < 300 && !/\/(leases|events)\b/.test(what))
        .map(({ what }) => what),
    refused: () => answers.filter(({ status }) => status === 401 || status === 403).map(({ what }) => what),
    end: () => end,
  };
}

const node = (name: string) => `/api/v1/nodes/${name}`;
const get = async (api: Api, name: string) => (await must(ask(api, 'GET', node(name)))) as Node;
const list = async (api: Api) => ((await must(ask(api, 'GET', '/api/v1/nodes'))) as { items: readonly Node[] }).items;
const taintsOf = ({ spec }: Node) =>
  (spec.taints ?? []).map(({ key }) => key).filter((key) => !key.startsWith('node.kubernetes.io/'));

/** As a kubelet does. */
async function register(
  api: Api,
  name: string,
  {
    taints = [uninitialized],
    ...metadata
  }: { readonly taints?: readonly Taint[]; readonly labels?: object; readonly annotations?: object },
): Promise<void> {
  await must(ask(api, 'POST', '/api/v1/nodes', { metadata: { name, ...metadata }, spec: { taints } }));
  await ready(api, name, 'True', { addresses: [{ type: 'Hostname', address: name }] });
}

async function ready(api: Api, name: string, status: Condition['status'], more: object = {}): Promise<void> {
  await must(
    ask(api, 'PATCH', `${node(name)}/status`, { status: { conditions: [{ type: 'Ready', status }], ...more } }),
  );
}

async function eventsOf(api: Api, name: string): Promise<readonly string[]> {
  const { items } = (await must(ask(api, 'GET', '/api/v1/namespaces/default/events'))) as {
    items: readonly (KubeObject & {
      readonly reason: string;
      readonly involvedObject: { readonly kind: string; readonly name: string };
    })[];
  };
  return items
    .filter(({ involvedObject }) => involvedObject.kind === 'Node' && involvedObject.name === name)
    .map(({ reason }) => reason);
}
