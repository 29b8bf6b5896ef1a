/**
 * Readiness gates on a real API server, which calls the webhook of controllers in processes of their own, with the rights of
 * deploy/kustomize/overlays/aws and the configuration of deploy/kustomize/components/readiness-gates.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { test } from 'node:test';
import type { Condition, Pod, Service } from '../../src/core/objects.ts';
import { GATES_ANNOTATION } from '../../src/core/readiness/gates.ts';
import { type Certificate, createAuthority } from '../fake/certificates.ts';
import { ask, kubectl } from '../kube/ask.ts';
import { type Api, freePort, realApi, serviceAccountToken } from '../kube/cluster.ts';
import { type Guarded, guarded } from '../kube/guard.ts';
import { eventually, must } from './world.ts';

const repository = join(import.meta.dirname, '..', '..');
const main = join(repository, 'src', 'main.ts');
const provider = join(import.meta.dirname, 'gated-provider.ts');
const CLASS = 'fake.dev/lb';
const GATE = 'test.dev/web';
/** Processes start on a machine with other work, and certificates are looked at every 10 s. */
const PATIENCE_MS = 60_000;

test('readiness gates, from the webhook that the API server calls to the conditions of pods', async (t) => {
  const api = await realApi(t);
  if (api === undefined) return;
  const guard = guarded('fairlead-readiness-');
  t.after(() => guard.close());
  await install(api);
  const token = await serviceAccountToken(api, 'fairlead-system', 'fairlead-controller');
  const setting = {
    api,
    guard,
    kubeconfig: api.writeKubeconfig({ name: 'fairlead-controller', token }),
    health: join(guard.folder, 'health.json'),
  };
  writeFileSync(setting.health, '{}');
  await makeNamespace(api, 'shop', { 'elbv2.k8s.aws/pod-readiness-gate-inject': 'enabled' });
  await makeNamespace(api, 'plain', {});
  const authority = createAuthority();
  const one = await startController(setting, 'one', authority.issue('fairlead-webhook'));
  await point(api, one.port, authority.cert);

  await t.test('a pod made before its Service is served has no gate, one made afterwards has it', async () => {
    assert.deepEqual(gatesOf(await makePod(api, 'shop/early')), []);
    await serve(api, 'shop/web');
    await eventually(async () => {
      const pod = await makePod(api, 'shop/');
      assert.deepEqual([gatesOf(pod), pod.metadata.annotations?.[GATES_ANNOTATION]], [[GATE], GATE]);
    }, PATIENCE_MS);
  });

  await t.test('pods of other namespaces and without the labels have none', async () => {
    await serve(api, 'plain/web');
    assert.deepEqual(gatesOf(await makePod(api, 'plain/')), []);
    assert.deepEqual(gatesOf(await makePod(api, 'shop/', { app: 'db' })), []);
  });

  await t.test('a gate that the pod has already is not added twice, its own ones stay', async () => {
    const pod = await makePod(api, 'shop/', { app: 'web' }, ['example.com/mine', GATE]);
    assert.deepEqual(gatesOf(pod), ['example.com/mine', GATE]);
  });

  await t.test('the condition follows the health of the target', async () => {
    const { metadata } = await makePod(api, 'shop/p');
    await live(api, 'shop/p', '10.0.0.1');
    await shows(api, 'shop/p', 'Unknown NotRegistered');
    writeFileSync(setting.health, JSON.stringify({ [GATE]: { '10.0.0.1': 'healthy' } }));
    await shows(api, 'shop/p', 'True Test.healthy');
    const pod = await getPod(api, 'shop/p');
    assert.equal(pod.metadata.uid, metadata.uid);
    assert.equal(pod.status?.conditions?.find(({ type }) => type === 'ContainersReady')?.status, 'True');
  });

  await t.test('another certificate, of another authority, is taken up without a restart', async () => {
    const other = createAuthority();
    one.use(other.issue('fairlead-webhook'));
    await point(api, one.port, other.cert);
    await eventually(async () => assert.deepEqual(gatesOf(await makePod(api, 'shop/')), [GATE]), PATIENCE_MS);
    assert.match(one.log(), /certificate replaced/);
  });

  const second = createAuthority();
  const two = await startController(setting, 'two', second.issue('fairlead-webhook'));

  await t.test('a replica that does not lead answers as well', async () => {
    await point(api, two.port, second.cert);
    await eventually(async () => assert.deepEqual(gatesOf(await makePod(api, 'shop/')), [GATE]), PATIENCE_MS);
    assert.doesNotMatch(two.log(), /"msg":"leading"/);
  });

  await t.test('the next leader goes on, and lets pods go whose Service is deleted', async () => {
    await one.stop();
    await makePod(api, 'shop/q');
    await live(api, 'shop/q', '10.0.0.2');
    await shows(api, 'shop/q', 'Unknown NotRegistered');
    await must(ask(api, 'DELETE', pathOf('services', 'shop/web')));
    await shows(api, 'shop/q', 'True LoadBalancerGone');
    await eventually(
      async () => assert.equal((await ask(api, 'GET', pathOf('services', 'shop/web'))).status, 404),
      PATIENCE_MS,
    );
  });

  await t.test('nothing was refused for lack of rights', () => {
    for (const { log } of [one, two]) assert.doesNotMatch(log(), /FL_KUBE_DENIED|[Ff]orbidden/);
  });

  await t.test('while no controller runs pods are created all the same', async () => {
    await two.stop();
    assert.deepEqual(gatesOf(await makePod(api, 'shop/alone')), []);
  });
});

// The cluster.

const pathOf = (plural: string, name: string, subresource = '') => {
  const [namespace, plain = ''] = name.split('/');
  return `/api/v1/namespaces/${namespace}/${plural}${plain === '' ? '' : `/${plain}`}${subresource}`;
};
const getPod = async (api: Api, name: string) => (await must(ask(api, 'GET', pathOf('pods', name)))) as Pod;
const gatesOf = ({ spec }: Pod) => (spec?.readinessGates ?? []).map(({ conditionType }) => conditionType);

/** The AWS overlay with the component, as the README says. */
async function install(api: Api): Promise<void> {
  const folder = join(api.folder, 'overlay');
  mkdirSync(folder);
  const to = (path: string) => relative(folder, join(repository, 'deploy', 'kustomize', path));
  const kustomization = {
    apiVersion: 'kustomize.config.k8s.io/v1beta1',
    kind: 'Kustomization',
    resources: [to('overlays/aws')],
    components: [to('components/readiness-gates')],
  };
  writeFileSync(join(folder, 'kustomization.yaml'), JSON.stringify(kustomization));
  const { code, stderr } = await kubectl(api, ['apply', '-k', folder]);
  assert.equal(code, 0, stderr);
}

/** The webhook of this process instead of the Service's, which needs a network; everything else as it is installed. */
async function point(api: Api, port: number, authority: string): Promise<void> {
  const clientConfig = {
    url: `https://127.0.0.1:${port}/mutate-v1-pod`,
    caBundle: Buffer.from(authority).toString('base64'),
  };
  const path = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/fairlead-readiness-gates';
  const { webhooks } = (await must(ask(api, 'GET', path))) as { webhooks: readonly object[] };
  await must(ask(api, 'PATCH', path, { webhooks: webhooks.map((one) => ({ ...one, clientConfig })) }));
}

async function makeNamespace(api: Api, name: string, labels: object): Promise<void> {
  await must(ask(api, 'POST', '/api/v1/namespaces', { metadata: { name, labels } }));
}

async function serve(api: Api, name: string): Promise<void> {
  const [namespace = '', plain] = name.split('/');
  const spec = {
    type: 'LoadBalancer',
    loadBalancerClass: CLASS,
    selector: { app: 'web' },
    ports: [{ port: 80 }],
  };
  await must(ask(api, 'POST', pathOf('services', `${namespace}/`), { metadata: { name: plain }, spec }));
  await eventually(async () => {
    const { metadata, status } = (await must(ask(api, 'GET', pathOf('services', name)))) as Service;
    assert.equal(status?.loadBalancer?.ingress?.length, 1);
    assert.equal(metadata.annotations?.[GATES_ANNOTATION], `${metadata.uid}:${GATE}`);
  }, PATIENCE_MS);
}

/** As the API server has it after the webhook. Without a name after the slash the server makes one up. */
async function makePod(
  api: Api,
  name: string,
  labels: object = { app: 'web' },
  gates: readonly string[] = [],
): Promise<Pod> {
  const [namespace = '', plain = ''] = name.split('/');
  const body = {
    metadata: { ...(plain === '' ? { generateName: 'web-' } : { name: plain }), labels },
    spec: {
      containers: [{ name: 'c', image: 'registry.example.org/c' }],
      ...(gates.length === 0 ? {} : { readinessGates: gates.map((conditionType) => ({ conditionType })) }),
    },
  };
  return (await must(ask(api, 'POST', pathOf('pods', `${namespace}/`), body))) as Pod;
}

/** What a kubelet says of a pod whose containers run. */
async function live(api: Api, name: string, ip: string): Promise<void> {
  const conditions = [{ type: 'ContainersReady', status: 'True' }];
  const status = { phase: 'Running', podIP: ip, podIPs: [{ ip }], conditions };
  await must(ask(api, 'PATCH', pathOf('pods', name, '/status'), { status }, { patch: 'strategic' }));
}

async function shows(api: Api, name: string, expected: string): Promise<void> {
  await eventually(async () => {
    const { status } = await getPod(api, name);
    const found = status?.conditions?.find(({ type }: Condition) => type === GATE);
    assert.equal(`${found?.status} ${found?.reason}`, expected);
  }, PATIENCE_MS);
}

// The processes.

async function startController(
  { guard, kubeconfig, health }: { readonly guard: Guarded; readonly kubeconfig: string; readonly health: string },
  name: string,
  certificate: Certificate,
) {
  const at = (file: string) => join(guard.folder, `${name}-${file}`);
  const use = ({ cert, key }: Certificate) => {
    writeFileSync(at('tls.key'), key);
    writeFileSync(at('tls.crt'), cert);
  };
  use(certificate);
  writeFileSync(at('cloud.yaml'), JSON.stringify({ health }));
  const [port, healthPort] = [await freePort(), await freePort()];
  const program = guard.start(name, process.execPath, [
    main,
    'controller',
    `--provider=${provider}`,
    `--cloud-config=${at('cloud.yaml')}`,
    '--controllers=service',
    `--load-balancer-class=${CLASS}`,
    `--kubeconfig=${kubeconfig}`,
    `--secure-port=${healthPort}`,
    `--webhook-cert-file=${at('tls.crt')}`,
    `--webhook-key-file=${at('tls.key')}`,
    '--webhook-bind-address=127.0.0.1',
    `--webhook-secure-port=${port}`,
  ]);
  await eventually(async () => {
    assert.equal(program.end, undefined, program.log());
    const { status } = await fetch(`http://127.0.0.1:${healthPort}/readyz`, { signal: AbortSignal.timeout(5000) });
    assert.equal(status, 200);
  }, PATIENCE_MS);
  return {
    port,
    use,
    log: () => readFileSync(join(guard.folder, `${name}.log`), 'utf8'),
    async stop() {
      program.signal('SIGTERM');
      assert.equal(await program.ended, 'exit 0', program.log());
    },
  };
}
