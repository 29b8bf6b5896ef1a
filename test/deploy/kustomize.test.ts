import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { controllerFlags, flagProblems } from '../../src/cli/flag-table.ts';
import { parseFlags } from '../../src/cli/flags.ts';
import { ask, kubectl } from '../kube/ask.ts';
import { ensureKube, howToGetKube } from '../kube/build.ts';
import { type Api, realApi, serviceAccountToken } from '../kube/cluster.ts';
import { leaveOut } from '../left-out.ts';

const folder = join(import.meta.dirname, '..', '..', 'deploy', 'kustomize');
const base = join(folder, 'base');
const kinds = join(folder, 'components', 'metallb-crds');
const subject = 'system:serviceaccount:fairlead-system:fairlead-controller';

/** The RBAC tables of docs: namespace ('' = the whole cluster), group, resources, verbs, and the only names. */
interface Right {
  readonly namespace: string;
  readonly group: string;
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly names?: readonly string[];
}
const metallbKinds = [
  'bfdprofiles',
  'bgpadvertisements',
  'bgppeers',
  'communities',
  'configurationstates',
  'ipaddresspools',
  'l2advertisements',
  'servicebgpstatuses',
  'servicel2statuses',
];
const every = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];
const rights: readonly Right[] = [
  { namespace: '', group: '', resources: ['services'], verbs: ['get', 'list', 'watch'] },
  { namespace: '', group: '', resources: ['services/status'], verbs: ['patch'] },
  { namespace: '', group: '', resources: ['nodes'], verbs: ['get', 'list', 'watch'] },
  { namespace: '', group: '', resources: ['namespaces'], verbs: ['list', 'watch'] },
  { namespace: '', group: 'discovery.k8s.io', resources: ['endpointslices'], verbs: ['list', 'watch'] },
  { namespace: '', group: '', resources: ['events'], verbs: ['create', 'patch'] },
  { namespace: '', group: 'metallb.io', resources: metallbKinds, verbs: ['list', 'watch'] },
  { namespace: '', group: 'fairlead.dev', resources: ['ipblocks'], verbs: every },
  { namespace: 'kube-system', group: 'coordination.k8s.io', resources: ['leases'], verbs: ['create'] },
  {
    namespace: 'kube-system',
    group: 'coordination.k8s.io',
    resources: ['leases'],
    verbs: ['get', 'update', 'watch'],
    names: ['fairlead-controller'],
  },
  { namespace: 'metallb-system', group: 'metallb.io', resources: ['ipaddresspools/status'], verbs: ['patch'] },
  {
    namespace: 'metallb-system',
    group: 'metallb.io',
    resources: ['configurationstates', 'configurationstates/status'],
    verbs: ['create', 'patch'],
  },
  { namespace: 'metallb-system', group: '', resources: ['pods'], verbs: ['list', 'watch'] },
  { namespace: 'metallb-system', group: '', resources: ['configmaps'], verbs: ['create'] },
  {
    namespace: 'metallb-system',
    group: '',
    resources: ['configmaps'],
    verbs: ['get', 'patch'],
    names: ['fairlead-last-good-pools'],
  },
];

test('the kustomize base on a real API server', async (t) => {
  const api = await realApi(t);
  if (api === undefined) return;
  const run = (...args: string[]) => kubectl(api, args);

  await t.test('every base, component and overlay builds', async () => {
    for (const group of ['components', 'overlays']) {
      for (const name of readdirSync(join(folder, group))) {
        const ran = await run('kustomize', join(folder, group, name));
        assert.equal(ran.code, 0, `${group}/${name}: ${ran.stderr}`);
      }
    }
  });

  await t.test('base holds none of the kinds of MetalLB, neither a namespace of theirs', async () => {
    const objects = await built(api, base);
    assert.deepEqual(
      objects.filter(({ kind }) => kind === 'CustomResourceDefinition').map(({ metadata }) => metadata.name),
      ['ipblocks.fairlead.dev'],
    );
    assert.deepEqual(
      objects.filter(({ kind }) => kind === 'Namespace').map(({ metadata }) => metadata.name),
      ['fairlead-system'],
    );
  });

  await t.test('create -k brings the kinds, and a second one refuses every object and changes none', async () => {
    const first = await run('create', '-k', kinds);
    assert.equal(first.code, 0, first.stderr);
    const before = await foreignObjects(api);
    assert.equal(before.length, 10);
    const second = await run('create', '-k', kinds);
    assert.equal(second.code, 1);
    assert.equal(second.stderr.match(/AlreadyExists/g)?.length, 10);
    assert.deepEqual(await foreignObjects(api), before);
  });

  await t.test('apply -k takes every object of base, warns about none, and leaves those kinds alone', async () => {
    const before = await foreignObjects(api);
    const ran = await run('apply', '-k', base);
    assert.equal(ran.code, 0, ran.stderr);
    assert.equal(ran.stderr, '');
    assert.equal(ran.stdout.trim().split('\n').length, (await built(api, base)).length);
    assert.deepEqual(await foreignObjects(api), before);
    const versions = ['get', '-k', base, '-o', 'jsonpath={.items[*].metadata.resourceVersion}'] as const;
    const { stdout } = await run(...versions);
    assert.equal((await run('apply', '-k', base)).code, 0);
    assert.equal((await run(...versions)).stdout, stdout, 'a second apply writes nothing');
  });

  await t.test('the pods of the Deployment pass the restricted Pod Security Standard', async () => {
    const path = '/apis/apps/v1/namespaces/fairlead-system/deployments/fairlead-controller';
    const deployment = (await ask(api, 'GET', path)).json as { spec: { template: { metadata: object; spec: object } } };
    const { metadata, spec } = deployment.spec.template;
    const pod = (more: object) => ({ metadata: { ...metadata, name: 'controller-0' }, spec: { ...spec, ...more } });
    const pods = '/api/v1/namespaces/fairlead-system/pods?dryRun=All';
    const answer = await ask(api, 'POST', pods, pod({}));
    assert.equal(answer.status, 201, answer.text);
    assert.equal((await ask(api, 'POST', pods, pod({ hostNetwork: true }))).status, 403, 'the standard is enforced');
  });

  await t.test('kubectl auth can-i: yes to each verb of the tables', async () => {
    const questions = rights.flatMap(({ namespace, group, resources, verbs, names = [''] }) =>
      resources.flatMap((resource) =>
        verbs.flatMap((verb) => names.map((name) => ({ namespace, group, resource, verb, name }))),
      ),
    );
    const no: string[] = [];
    await each(4, questions, async ({ namespace, group, resource, verb, name }) => {
      const [plural, subresource] = resource.split('/') as [string, string | undefined];
      const what = `${group === '' ? plural : `${plural}.${group}`}${name === '' ? '' : `/${name}`}`;
      const where = namespace === '' ? ['--all-namespaces'] : ['--namespace', namespace];
      const sub = subresource === undefined ? [] : ['--subresource', subresource];
      const ran = await run('auth', 'can-i', verb, what, ...where, ...sub, `--as=${subject}`);
      if (ran.stdout !== 'yes\n') no.push(`${verb} ${what} ${where} ${sub}: ${ran.stdout}${ran.stderr}`);
    });
    assert.deepEqual(no, []);
  });

  const nobody = { metadata: { name: 'nobody' } };
  assert.equal((await ask(api, 'POST', '/api/v1/namespaces/default/serviceaccounts', nobody)).status, 201);
  const token = await serviceAccountToken(api, 'fairlead-system', 'fairlead-controller');
  for (const namespace of ['default', 'fairlead-system', 'kube-system', 'metallb-system']) {
    await t.test(`in ${namespace} the service account has the rights of the tables and no other`, async () => {
      const expected = rights.filter((right) => right.namespace === '' || right.namespace === namespace);
      assert.deepEqual(await rightsIn(api, token, namespace), expected.flatMap(spread).sort());
    });
  }

  await t.test('secrets, and whatever else is not listed, are forbidden', async () => {
    const controller = { ...api, token };
    const forbidden: readonly [string, string, object?][] = [
      ['GET', '/api/v1/secrets'],
      ['GET', '/api/v1/namespaces/fairlead-system/secrets'],
      ['GET', '/api/v1/namespaces/metallb-system/secrets'],
      ['GET', '/api/v1/namespaces/metallb-system/configmaps/other'],
      ['GET', '/api/v1/namespaces/metallb-system/configmaps'],
      ['GET', '/api/v1/namespaces/default/pods'],
      ['PATCH', '/api/v1/namespaces/default/services/any', {}],
      ['PATCH', '/api/v1/nodes/any', {}],
      ['DELETE', '/api/v1/nodes/any'],
      ['PATCH', '/apis/metallb.io/v1beta1/namespaces/metallb-system/ipaddresspools/any', {}],
      ['PATCH', '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/cloud-controller-manager', {}],
      ['POST', '/apis/coordination.k8s.io/v1/namespaces/default/leases', { metadata: { name: 'fairlead-controller' } }],
    ];
    for (const [method, path, body] of forbidden) {
      assert.equal((await ask(controller, method, path, body)).status, 403, `${method} ${path}`);
    }
    assert.equal((await ask(controller, 'GET', '/api/v1/services')).status, 200);
  });

  await t.test('delete -k base leaves the pools and their kinds', async () => {
    const pools = '/apis/metallb.io/v1beta1/namespaces/metallb-system/ipaddresspools';
    const pool = { metadata: { name: 'kept' }, spec: { addresses: ['192.0.2.0/24'] } };
    const made = await ask(api, 'POST', pools, { apiVersion: 'metallb.io/v1beta1', kind: 'IPAddressPool', ...pool });
    assert.equal(made.status, 201, made.text);
    const ran = await run('delete', '-k', base, '--wait=false');
    assert.equal(ran.code, 0, ran.stderr);
    assert.equal((await ask(api, 'GET', `${pools}/kept`)).status, 200);
  });
});

test('the overlays change what their names say and nothing else', async (t) => {
  const programs = await ensureKube();
  if (programs === undefined) return leaveOut(t, 'real kube-apiserver', howToGetKube);
  const api: Kubectl = { kubectl: programs.kubectl, kubeconfig: '/nonexistent', folder: tmpdir() };
  const original = await built(api, base);
  const argsOf = (objects: readonly Manifest[]) => containerOf(objects).args;

  await t.test('base runs beside a cloud-controller-manager: one class, one controller, no host network', () => {
    assert.deepEqual(argsOf(original), [
      'controller',
      '--provider=onprem',
      '--controllers=service',
      '--load-balancer-class=fairlead.dev/onprem',
    ]);
    const { hostNetwork } = original.find(({ kind }) => kind === 'Deployment')?.spec?.template?.spec ?? {};
    assert.equal(hostNetwork, undefined);
  });

  await t.test('the controller takes these flags, and the manifests name what its defaults name', () => {
    const container = containerOf(original);
    const input = parseFlags(container.args?.slice(1) ?? [], controllerFlags, 0);
    assert.deepEqual(flagProblems(input), []);
    const { flags } = input;
    assert.deepEqual(container.ports, [{ name: 'health', containerPort: flags['secure-port'] }]);
    const lease = rights.find(({ group, names }) => group === 'coordination.k8s.io' && names !== undefined);
    assert.deepEqual(lease?.names, [flags['leader-elect-resource-name']]);
    assert.equal(lease?.namespace, flags['leader-elect-resource-namespace']);
    assert.ok(rights.some(({ namespace }) => namespace === flags['metallb-namespace']));
  });

  await t.test('onprem-classless adds Services without a class', async () => {
    const objects = await built(api, join(folder, 'overlays', 'onprem-classless'));
    assert.equal(argsOf(objects)?.at(-1), '--load-balancer-class=none,fairlead.dev/onprem');
    assert.deepEqual(JSON.parse(JSON.stringify(objects).replace('class=none,', 'class=')), original);
  });

  await t.test('onprem-with-metallb-crds is base and the component', async () => {
    const objects = await built(api, join(folder, 'overlays', 'onprem-with-metallb-crds'));
    assert.deepEqual(objects.map(idOf).sort(), [...original, ...(await built(api, kinds))].map(idOf).sort());
  });
});

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly spec?: { readonly template?: { readonly spec?: PodSpec } };
}
interface PodSpec {
  readonly hostNetwork?: boolean;
  readonly containers: readonly { readonly args?: readonly string[]; readonly ports?: readonly object[] }[];
}

function idOf({ kind, metadata }: Manifest): string {
  return `${kind} ${metadata.namespace ?? ''}/${metadata.name}`;
}

function containerOf(objects: readonly Manifest[]) {
  const container = objects.find(({ kind }) => kind === 'Deployment')?.spec?.template?.spec?.containers[0];
  assert.ok(container);
  return container;
}

type Kubectl = Pick<Api, 'kubectl' | 'kubeconfig' | 'folder'>;

async function built(api: Kubectl, path: string): Promise<readonly Manifest[]> {
  const ran = await kubectl(api, ['kustomize', path]);
  assert.equal(ran.code, 0, ran.stderr);
  return parseAllDocuments(ran.stdout).map((document) => document.toJS() as Manifest);
}

/** What the component made, as the server has it now; what moves by itself (a definition's conditions) left out. */
async function foreignObjects(api: Api): Promise<readonly unknown[]> {
  const ran = await kubectl(api, ['get', '-k', kinds, '-o', 'json']);
  assert.equal(ran.code, 0, ran.stderr);
  const { items } = JSON.parse(ran.stdout) as { items: { metadata: object; spec: unknown }[] };
  return items.map(({ metadata, spec }) => ({ metadata: { ...metadata, resourceVersion: '' }, spec }));
}

/** Every right that a token has in a namespace, beyond those that any service account has. */
async function rightsIn(api: Api, token: string, namespace: string): Promise<readonly string[]> {
  const own = await rulesOf(api, token, namespace);
  const everybody = new Set(await rulesOf(api, await serviceAccountToken(api, 'default', 'nobody'), namespace));
  return own.filter((rule) => !everybody.has(rule)).sort();
}

async function rulesOf(api: Api, token: string, namespace: string): Promise<readonly string[]> {
  const path = '/apis/authorization.k8s.io/v1/selfsubjectrulesreviews';
  const answer = await ask({ ...api, token }, 'POST', path, { spec: { namespace } });
  assert.equal(answer.status, 201, answer.text);
  const { resourceRules, nonResourceRules, incomplete } = (answer.json as { status: Rules }).status;
  assert.equal(incomplete, false);
  return [
    ...resourceRules.flatMap(({ apiGroups, resources, verbs, resourceNames = [''] }) =>
      apiGroups.flatMap((group) => spread({ namespace, group, resources, verbs, names: resourceNames })),
    ),
    ...nonResourceRules.flatMap(({ verbs, nonResourceURLs }) =>
      verbs.flatMap((v) => nonResourceURLs.map((u) => `${v} ${u}`)),
    ),
  ];
}

interface Rules {
  readonly resourceRules: readonly {
    readonly verbs: readonly string[];
    readonly apiGroups: readonly string[];
    readonly resources: readonly string[];
    readonly resourceNames?: readonly string[];
  }[];
  readonly nonResourceRules: readonly {
    readonly verbs: readonly string[];
    readonly nonResourceURLs: readonly string[];
  }[];
  readonly incomplete: boolean;
}

/** One line per verb, resource and name: 'get coordination.k8s.io/leases fairlead-controller'. */
function spread({ group, resources, verbs, names = [''] }: Right): readonly string[] {
  return resources.flatMap((resource) =>
    verbs.flatMap((verb) => names.map((name) => `${verb} ${group}/${resource} ${name}`)),
  );
}

/** `work` for each item, `limit` of them at once. */
async function each<T>(limit: number, items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const rest = items.values();
  await Promise.all(
    Array.from({ length: limit }, async () => {
      for (const item of rest) await work(item);
    }),
  );
}
