/**
 * Beside an existing cloud-controller-manager, as deploy/kustomize installs us: the controller as a process of its own,
 * with the Deployment's own arguments and a token of its ServiceAccount, on a real API server with RBAC. It is refused
 * nothing, it touches nothing that is not its own, and it can be left again.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { KubeObject, Service } from '../../src/core/objects.ts';
import { ask, kubectl } from '../kube/ask.ts';
import { type Api, freePort, realApi, serviceAccountToken } from '../kube/cluster.ts';
import { type Guarded, guarded, type Running } from '../kube/guard.ts';
import { eventually, METALLB, must } from './world.ts';

const repository = join(import.meta.dirname, '..', '..');
const main = join(repository, 'src', 'main.ts');
const kustomize = join(repository, 'deploy', 'kustomize');
const CLASS = 'fairlead.dev/onprem';
const OWN = 'fairlead.dev/load-balancer';
const STANDARD = 'service.kubernetes.io/load-balancer-cleanup';
/** A process starts, and a lease of 15 s runs out, on a machine that has other work too. */
const PATIENCE_MS = 60_000;

test('as a sidecar it is refused nothing, leaves what is not its own, and can be left', async (t) => {
  const api = await realApi(t);
  if (api === undefined) return;
  await install(api);
  const args = await argsOf(api);
  assert.deepEqual(args, [
    'controller',
    '--provider=onprem',
    '--controllers=service',
    '--load-balancer-class=fairlead.dev/onprem',
  ]);
  const token = await serviceAccountToken(api, 'fairlead-system', 'fairlead-controller');
  const kubeconfig = api.writeKubeconfig({ name: 'fairlead-controller', token });
  const guard = guarded('fairlead-sidecar-');
  t.after(() => guard.close());
  const run = (name: string) => startController(guard, name, args, kubeconfig);
  const foreign = await foreignServices(api);

  await t.test('it serves its class: addresses, changes, deletion, pools and their state, events', async () => {
    const one = await run('one');
    await one.leads();
    await must(ask(api, 'POST', pools, pool(['10.77.0.0/29'])));
    for (const name of ['a', 'b', 'c']) await create(api, name);
    for (const [index, name] of ['a', 'b', 'c'].entries()) await shows(api, name, [`10.77.0.${index}`]);
    await edit(api, 'a', { metadata: { annotations: { 'metallb.io/loadBalancerIPs': '10.77.0.7' } } });
    await shows(api, 'a', ['10.77.0.7']);
    await edit(api, 'b', { metadata: { annotations: { 'metallb.io/loadBalancerIPs': 'nonsense' } } });
    await edit(api, 'b', { metadata: { annotations: { 'metallb.io/loadBalancerIPs': null } } });
    await must(ask(api, 'DELETE', services('c')));
    await eventually(async () => assert.equal((await ask(api, 'GET', services('c'))).status, 404), PATIENCE_MS);
    await must(ask(api, 'PATCH', `${pools}/default`, { spec: { addresses: ['10.99.0.0/29'] } })); // refused: it is in use
    await eventually(async () => {
      const { status } = (await must(ask(api, 'GET', `${states}/controller`))) as { status: { result: string } };
      assert.equal(status.result, 'Invalid');
    }, PATIENCE_MS);
    await must(ask(api, 'PATCH', `${pools}/default`, { spec: { addresses: ['10.77.0.0/29', '10.78.0.0/29'] } }));
    await eventually(async () => {
      const { status } = (await must(ask(api, 'GET', `${pools}/default`))) as { status: Record<string, number> };
      assert.deepEqual([status['assignedIPv4'], status['availableIPv4']], [2, 14]);
    }, PATIENCE_MS);
    for (const [namespace, reason] of [
      ['default', 'IPAllocated'],
      [METALLB, 'PoolNotTaken'],
    ] as const) {
      await eventually(async () => {
        const { items } = (await must(ask(api, 'GET', `/api/v1/namespaces/${namespace}/events`))) as {
          items: readonly { readonly reason: string }[];
        };
        assert.ok(
          items.some((event) => event.reason === reason),
          `${namespace}: no ${reason}`,
        );
      }, PATIENCE_MS);
    }
    await nothingRefused(one);
  });

  await t.test('a second replica stands by, ready and without a refusal, and takes over at SIGTERM', async () => {
    const [one] = processes;
    const two = await run('two');
    await two.ready();
    await nothingRefused(two);
    one?.program.signal('SIGTERM');
    assert.equal(await one?.program.ended, 'exit 0');
    await two.leads();
    await create(api, 'd');
    await eventually(async () => assert.equal((await addressesOf(api, 'd')).length, 1), PATIENCE_MS);
    assert.deepEqual(await addressesOf(api, 'a'), ['10.77.0.7']);
    await must(ask(api, 'DELETE', services('d')));
    await eventually(async () => assert.equal((await ask(api, 'GET', services('d'))).status, 404), PATIENCE_MS);
    await nothingRefused(two);
  });

  await t.test(
    'Services of the cloud-controller-manager and of other classes are byte for byte what they were',
    async () => {
      assert.equal(await snapshot(api), foreign);
    },
  );

  await t.test('while a controller runs, leaving is refused and says how to stop it', async () => {
    const { code, output } = await fairlead(guard, 'gc-early', [
      'gc',
      '--release-all',
      '--delete',
      '--yes',
      `--kubeconfig=${api.kubeconfig}`,
    ]);
    assert.equal(code, 'exit 2');
    assert.match(
      output,
      /holds the Lease kube-system\/fairlead-controller.*scale deployment fairlead-controller --replicas=0/,
    );
    assert.equal((await reserved(api)).length, 2);
  });

  await t.test(
    'fairlead gc --release-all --delete --yes: finalizers and blocks go, addresses and conditions stay',
    async () => {
      for (const { program } of processes) program.signal('SIGTERM');
      for (const { program } of processes) assert.equal(await program.ended, 'exit 0');
      const before = await Promise.all(['a', 'b'].map((name) => get(api, name)));
      const dry = await fairlead(guard, 'gc-dry', ['gc', '--release-all', `--kubeconfig=${api.kubeconfig}`]);
      assert.equal(dry.code, 'exit 0');
      assert.match(dry.output, /nothing was changed/);
      assert.deepEqual(await Promise.all(['a', 'b'].map((name) => get(api, name))), before);
      const done = await fairlead(guard, 'gc', [
        'gc',
        '--release-all',
        '--delete',
        '--yes',
        `--kubeconfig=${api.kubeconfig}`,
      ]);
      assert.equal(done.code, 'exit 0', done.output);
      const after = await Promise.all(['a', 'b'].map((name) => get(api, name)));
      for (const [index, service] of after.entries()) {
        assert.deepEqual(before[index]?.metadata.finalizers, [OWN]);
        assert.deepEqual([service.metadata.finalizers, service.status], [undefined, before[index]?.status]);
      }
      assert.deepEqual(await reserved(api), []);
      assert.equal(await snapshot(api), foreign);
      const deleted = await kubectl(api, ['delete', 'service', 'a', 'b', '--timeout=20s']);
      assert.equal(deleted.code, 0, deleted.stderr);
    },
  );

  await t.test('the counter of refusals works: without its rights it counts them', async () => {
    const gone = await kubectl(api, ['delete', 'clusterrolebinding', 'fairlead-controller']);
    assert.equal(gone.code, 0, gone.stderr);
    const three = await run('three');
    await eventually(async () => assert.ok((await three.answers()).some(([code]) => code === '403')), PATIENCE_MS);
  });
});

// The cluster.

const pools = `/apis/metallb.io/v1beta1/namespaces/${METALLB}/ipaddresspools`;
const states = `/apis/metallb.io/v1beta1/namespaces/${METALLB}/configurationstates`;
const services = (name: string) => `/api/v1/namespaces/default/services/${name}`;
const pool = (addresses: readonly string[]) => ({
  apiVersion: 'metallb.io/v1beta1',
  kind: 'IPAddressPool',
  metadata: { namespace: METALLB, name: 'default' },
  spec: { addresses },
});

/** MetalLB's kinds as somebody else installed them, then our base, as its README says. */
async function install(api: Api): Promise<void> {
  for (const args of [
    ['create', '-k', join(kustomize, 'components', 'metallb-crds')],
    ['apply', '-k', join(kustomize, 'base')],
    ['wait', '--for=condition=Established', '--timeout=30s', 'crd', '--all'],
  ]) {
    const { code, stderr } = await kubectl(api, args);
    assert.equal(code, 0, `kubectl ${args.join(' ')}: ${stderr}`);
  }
}

async function argsOf(api: Api): Promise<readonly string[]> {
  const path = '/apis/apps/v1/namespaces/fairlead-system/deployments/fairlead-controller';
  const deployment = (await must(ask(api, 'GET', path))) as {
    spec: { template: { spec: { containers: readonly { readonly args: readonly string[] }[] } } };
  };
  return deployment.spec.template.spec.containers[0]?.args ?? [];
}

/** What a cloud-controller-manager serves, also one that is on its way out, and what nobody here serves. */
async function foreignServices(api: Api): Promise<string> {
  const make = async (name: string, spec: object, manager: string, ingress?: string) => {
    const query = `?fieldManager=${manager}`;
    const ports = [{ port: 80 }];
    const body = { metadata: { name, finalizers: [STANDARD] }, spec: { type: 'LoadBalancer', ports, ...spec } };
    await must(ask(api, 'POST', `/api/v1/namespaces/default/services${query}`, body));
    if (ingress === undefined) return;
    const status = { loadBalancer: { ingress: [{ ip: ingress }] } };
    await must(ask(api, 'PATCH', `${services(name)}/status${query}`, { status }));
  };
  await make('ccm', {}, 'cloud-controller-manager', '203.0.113.1');
  await make('ccm-waiting', {}, 'cloud-controller-manager');
  await make('ccm-leaving', {}, 'cloud-controller-manager', '203.0.113.2');
  await make('ccm-was-one', { type: 'NodePort' }, 'cloud-controller-manager');
  await make('other', { loadBalancerClass: 'other.dev/lb' }, 'other-controller', '203.0.113.3');
  await must(ask(api, 'DELETE', services('ccm-leaving')));
  return await snapshot(api);
}

async function snapshot(api: Api): Promise<string> {
  const names = ['ccm', 'ccm-waiting', 'ccm-leaving', 'ccm-was-one', 'other'];
  const all = await Promise.all(names.map((name) => get(api, name)));
  const { items } = (await must(ask(api, 'GET', '/api/v1/namespaces/default/events'))) as {
    items: readonly { readonly involvedObject: { readonly name: string } }[];
  };
  return JSON.stringify([all, items.filter(({ involvedObject }) => names.includes(involvedObject.name))]);
}

async function create(api: Api, name: string): Promise<void> {
  const spec = { type: 'LoadBalancer', loadBalancerClass: CLASS, ports: [{ port: 80 }] };
  await must(ask(api, 'POST', '/api/v1/namespaces/default/services', { metadata: { name }, spec }));
}
const edit = async (api: Api, name: string, body: object) => await must(ask(api, 'PATCH', services(name), body));
const get = async (api: Api, name: string) => (await must(ask(api, 'GET', services(name)))) as Service;
const addressesOf = async (api: Api, name: string) =>
  ((await get(api, name)).status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => ip ?? []);
const shows = async (api: Api, name: string, addresses: readonly string[]) =>
  await eventually(async () => assert.deepEqual(await addressesOf(api, name), addresses), PATIENCE_MS);

async function reserved(api: Api): Promise<readonly string[]> {
  const { items } = (await must(ask(api, 'GET', '/apis/fairlead.dev/v1alpha1/ipblocks'))) as {
    items: readonly (KubeObject & { readonly spec: { readonly addresses?: object } })[];
  };
  return items.flatMap(({ spec }) => Object.keys(spec.addresses ?? {}));
}

// The processes.

interface Process {
  readonly program: Running;
  leads(): Promise<void>;
  ready(): Promise<void>;
  /** [code, method] of every request to the API server that was answered, and how often. */
  answers(): Promise<readonly (readonly [code: string, method: string, count: number])[]>;
  /** All of its log. */
  log(): string;
}
const processes: Process[] = [];

async function startController(
  guard: Guarded,
  name: string,
  args: readonly string[],
  kubeconfig: string,
): Promise<Process> {
  const port = await freePort(); // two replicas have one host here
  const more = [`--kubeconfig=${kubeconfig}`, `--secure-port=${port}`, '--log-level=debug'];
  const program = guard.start(name, process.execPath, [main, ...args, ...more]);
  const page = async (path: string) => {
    if (program.end !== undefined) throw new Error(`${name} ended (${program.end}):\n${program.log()}`);
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(10_000) });
    return { status: answer.status, text: await answer.text() };
  };
  const made: Process = {
    program,
    log: () => readFileSync(join(guard.folder, `${name}.log`), 'utf8'),
    leads: () =>
      eventually(async () => {
        const { text } = await page('/metrics');
        assert.match(text, /leader_election_master_status\{name="fairlead-controller"\} 1/, program.log());
      }, PATIENCE_MS),
    ready: () => eventually(async () => assert.equal((await page('/readyz')).status, 200), PATIENCE_MS),
    async answers() {
      const { text } = await page('/metrics');
      const lines = text.matchAll(/^rest_client_requests_total\{code="([^"]*)",method="([^"]*)",[^}]*\} (\d+)$/gm);
      return [...lines].map(([, code = '', method = '', count]) => [code, method, Number(count)] as const);
    },
  };
  processes.push(made);
  return made;
}

async function nothingRefused({ answers, log }: Process): Promise<void> {
  const all = await answers();
  assert.ok(
    all.some(([code, method]) => code === '200' && method === 'GET'),
    'the counters count',
  );
  assert.deepEqual(
    all.filter(([code]) => code === '401' || code === '403'),
    [],
  );
  assert.doesNotMatch(log(), /FL_KUBE_DENIED|[Ff]orbidden/);
}

async function fairlead(guard: Guarded, name: string, args: readonly string[]) {
  const program = guard.start(name, process.execPath, [main, ...args]);
  const code = await program.ended;
  return { code, output: program.log() };
}
