/** The overlays for AWS, held against the command line and on a real API server. */
import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { controllerFlags } from '../../src/cli/flag-table.ts';
import { parseFlags } from '../../src/cli/flags.ts';
import { ask, kubectl } from '../kube/ask.ts';
import { ensureKube, howToGetKube } from '../kube/build.ts';
import { type Api, realApi, serviceAccountToken } from '../kube/cluster.ts';
import { leaveOut } from '../left-out.ts';

const folder = join(import.meta.dirname, '..', '..', 'deploy', 'kustomize', 'overlays');
const overlays = {
  beside: join(folder, 'aws'),
  gates: join(folder, 'aws-with-readiness-gates'),
  whole: join(folder, 'aws-cloud-controller-manager'),
};

/** 'verb group/resource', of the cluster's role. */
const beside = [
  'create /events',
  'get /nodes',
  'get /pods',
  'get /services',
  'list /namespaces',
  'list /nodes',
  'list /pods',
  'list /services',
  'list discovery.k8s.io/endpointslices',
  'patch /events',
  'patch /pods/status',
  'patch /services/status',
  'watch /namespaces',
  'watch /nodes',
  'watch /pods',
  'watch /services',
  'watch discovery.k8s.io/endpointslices',
];
const nodes = ['delete /nodes', 'patch /nodes', 'patch /nodes/status'];

test('the overlays for AWS, as they are built', async (t) => {
  const programs = await ensureKube();
  if (programs === undefined) return leaveOut(t, 'real kube-apiserver', howToGetKube);
  const at = { kubectl: programs.kubectl, kubeconfig: '/nonexistent', folder: tmpdir() };
  const [aws, gates, whole] = await Promise.all([
    built(at, overlays.beside),
    built(at, overlays.gates),
    built(at, overlays.whole),
  ]);

  await t.test(
    'beside a cloud-controller-manager: one class, the service controller, no host network, any node',
    () => {
      const { containers, hostNetwork, affinity } = podOf(aws);
      assert.deepEqual(containers[0].args, [
        'controller',
        '--provider=aws',
        '--controllers=service',
        '--load-balancer-class=fairlead.dev/aws',
        '--cluster-name=$(CLUSTER_NAME)',
      ]);
      assert.equal(hostNetwork, undefined);
      assert.deepEqual(Object.keys(affinity), ['podAntiAffinity']);
    },
  );

  await t.test(
    'as the cloud-controller-manager: every controller, its Lease, the host network of the control plane',
    () => {
      const { containers, hostNetwork, affinity, tolerations } = podOf(whole);
      assert.deepEqual(containers[0].args, [
        'controller',
        '--provider=aws',
        '--controllers=*',
        '--load-balancer-class=fairlead.dev/aws',
        '--cluster-name=$(CLUSTER_NAME)',
        '--leader-elect-resource-name=cloud-controller-manager',
      ]);
      assert.equal(hostNetwork, true);
      assert.deepEqual(Object.keys(affinity).sort(), ['nodeAffinity', 'podAntiAffinity']);
      for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe'] as const)
        assert.equal(containers[0][probe].httpGet.host, '127.0.0.1');
      const keys = tolerations.map(({ key }) => key);
      for (const taint of ['not-ready', 'network-unavailable']) assert.ok(keys.includes(`node.kubernetes.io/${taint}`));
      assert.ok(keys.includes('node.cloudprovider.kubernetes.io/uninitialized'));
    },
  );

  await t.test('with readiness gates: the webhook, its Service, its certificate, and nothing else', () => {
    const before = aws.map(({ kind }) => kind);
    const added = gates.map(({ kind }) => kind).filter((kind) => !before.includes(kind));
    assert.deepEqual(added.sort(), ['MutatingWebhookConfiguration', 'Service']);
    const [container] = podOf(gates).containers;
    const flags = [
      '--webhook-cert-file=/etc/fairlead/webhook/tls.crt',
      '--webhook-key-file=/etc/fairlead/webhook/tls.key',
    ];
    assert.deepEqual(container.args, [...podOf(aws).containers[0].args, ...flags]);
    const { flags: parsed } = parseFlags(container.args.slice(1), controllerFlags, 0);
    assert.ok(container.ports.some((port) => port.containerPort === parsed['webhook-secure-port']));
  });

  for (const [name, objects] of Object.entries({ aws, gates, whole })) {
    await t.test(`${name}: the controller takes these flags`, () => {
      const args = podOf(objects).containers[0].args.slice(1);
      parseFlags(args, controllerFlags, 0); // throws for one that it does not know
    });

    await t.test(`${name}: a cluster must have been given its name, a region may`, () => {
      const refs = podOf(objects).containers[0].env.map(({ name: variable, valueFrom }) => {
        const { name: map, key, optional = false } = valueFrom.configMapKeyRef;
        return `${variable} ${map}/${key} ${optional}`;
      });
      assert.deepEqual(refs, ['CLUSTER_NAME fairlead-aws/cluster-name false', 'AWS_REGION fairlead-aws/region true']);
    });

    await t.test(`${name}: nothing of on-prem is left`, () => {
      assert.doesNotMatch(JSON.stringify(objects), /metallb|ipblock|onprem/);
    });
  }
});

for (const [name, path, rights, lease] of [
  ['aws', overlays.beside, beside, 'fairlead-controller'],
  ['aws-with-readiness-gates', overlays.gates, beside, 'fairlead-controller'],
  ['aws-cloud-controller-manager', overlays.whole, [...beside, ...nodes], 'cloud-controller-manager'],
] as const) {
  test(`overlay ${name} on a real API server`, async (t) => {
    const api = await realApi(t);
    if (api === undefined) return;

    await t.test('every object is taken, without a warning, on a cluster that never had MetalLB', async () => {
      const ran = await kubectl(api, ['apply', '-k', path]);
      assert.equal(ran.code, 0, ran.stderr);
      assert.equal(ran.stderr, '');
    });

    await t.test('the service account has the rights of the table and no other', async () => {
      assert.deepEqual(await rightsOf(api, 'default'), [...rights].sort());
      assert.deepEqual(
        (await rightsOf(api, 'kube-system')).filter((right) => right.includes('leases')),
        [
          'create coordination.k8s.io/leases',
          `get coordination.k8s.io/leases ${lease}`,
          `update coordination.k8s.io/leases ${lease}`,
          `watch coordination.k8s.io/leases ${lease}`,
        ],
      );
    });

    await t.test('its pods pass the Pod Security Standard of its namespace', async () => {
      const deployment = (await ask(api, 'GET', `${apps}/deployments/fairlead-controller`)).json as Manifest;
      const { metadata, spec } = deployment.spec?.template ?? {};
      const pod = { metadata: { ...metadata, name: 'controller-0' }, spec };
      const answer = await ask(api, 'POST', '/api/v1/namespaces/fairlead-system/pods?dryRun=All', pod);
      assert.equal(answer.status, 201, answer.text);
    });

    await t.test('delete -k leaves nothing of it', async () => {
      const ran = await kubectl(api, ['delete', '-k', path, '--wait=false']);
      assert.equal(ran.code, 0, ran.stderr);
      const role = '/apis/rbac.authorization.k8s.io/v1/clusterroles/fairlead-controller';
      for (const gone of [`${apps}/deployments/fairlead-controller`, role])
        assert.equal((await ask(api, 'GET', gone)).status, 404, gone);
    });
  });
}

const apps = '/apis/apps/v1/namespaces/fairlead-system';

interface Manifest {
  readonly kind: string;
  readonly spec?: { readonly template?: { readonly metadata?: object; readonly spec?: Pod } };
}
interface Probe {
  readonly httpGet: { readonly host?: string };
}
interface Pod {
  readonly hostNetwork?: boolean;
  readonly affinity: object;
  readonly tolerations: readonly { readonly key: string }[];
  readonly containers: readonly [
    {
      readonly args: readonly string[];
      readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
      readonly env: readonly {
        readonly name: string;
        readonly valueFrom: {
          readonly configMapKeyRef: { readonly name: string; readonly key: string; readonly optional?: boolean };
        };
      }[];
      readonly startupProbe: Probe;
      readonly livenessProbe: Probe;
      readonly readinessProbe: Probe;
    },
  ];
}

function podOf(objects: readonly Manifest[]): Pod {
  const pod = objects.find(({ kind }) => kind === 'Deployment')?.spec?.template?.spec;
  assert.ok(pod);
  return pod;
}

async function built(at: Pick<Api, 'kubectl' | 'kubeconfig' | 'folder'>, path: string): Promise<readonly Manifest[]> {
  const ran = await kubectl(at, ['kustomize', path]);
  assert.equal(ran.code, 0, ran.stderr);
  return parseAllDocuments(ran.stdout).map((document) => document.toJS() as Manifest);
}

/** What the controller's account may do in a namespace beyond what any account may: 'verb group/resource name'. */
async function rightsOf(api: Api, namespace: string): Promise<readonly string[]> {
  await ask(api, 'POST', '/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'nobody' } });
  const everybody = new Set(await rulesOf(api, await serviceAccountToken(api, 'default', 'nobody'), namespace));
  const token = await serviceAccountToken(api, 'fairlead-system', 'fairlead-controller');
  return (await rulesOf(api, token, namespace)).filter((rule) => !everybody.has(rule)).sort();
}

async function rulesOf(api: Api, token: string, namespace: string): Promise<readonly string[]> {
  const path = '/apis/authorization.k8s.io/v1/selfsubjectrulesreviews';
  const answer = await ask({ ...api, token }, 'POST', path, { spec: { namespace } });
  assert.equal(answer.status, 201, answer.text);
  const { resourceRules } = (answer.json as { status: { resourceRules: readonly Rule[] } }).status;
  return resourceRules.flatMap(({ apiGroups, resources, verbs, resourceNames = [''] }) =>
    apiGroups.flatMap((group) =>
      resources.flatMap((resource) =>
        verbs.flatMap((verb) => resourceNames.map((name) => `${verb} ${group}/${resource} ${name}`.trim())),
      ),
    ),
  );
}

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly resourceNames?: readonly string[];
}
