import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { environment, nodeFlags } from '../../deploy/build.ts';
import { agentFlags, agentOptions, agentProblems } from '../../src/cli/agent-flags.ts';
import { parseFlags } from '../../src/cli/flags.ts';
import { ask, kubectl } from '../kube/ask.ts';
import { ensureKube, howToGetKube } from '../kube/build.ts';
import { realApi, serviceAccountToken } from '../kube/cluster.ts';
import { leaveOut } from '../left-out.ts';

const root = join(import.meta.dirname, '..', '..');
const overlay = join(root, 'deploy', 'kustomize', 'overlays', 'agent');

interface Container {
  readonly args: readonly string[];
  readonly env: readonly {
    readonly name: string;
    readonly valueFrom: { readonly configMapKeyRef?: { name: string } };
  }[];
  readonly startupProbe: Probe;
  readonly readinessProbe: Probe;
  readonly livenessProbe: Probe;
  readonly securityContext: object;
  readonly volumeMounts: readonly { readonly mountPath: string }[];
}
interface Probe {
  readonly httpGet: { readonly host: string; readonly port: number; readonly path: string };
}
interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly data?: Readonly<Record<string, string>>;
  readonly spec: {
    readonly template: { readonly spec: { readonly hostNetwork: boolean; readonly containers: readonly [Container] } };
  };
}

test('the DaemonSet: its flags are flags, its probes ask where the agent answers, its rights are the few it needs', async (t) => {
  const programs = await ensureKube();
  if (programs === undefined) return leaveOut(t, 'real kube-apiserver', howToGetKube);
  const place = { kubectl: programs.kubectl, kubeconfig: '/nonexistent', folder: tmpdir() };
  const ran = await kubectl(place, ['kustomize', overlay]);
  assert.equal(ran.code, 0, ran.stderr);
  const objects = parseAllDocuments(ran.stdout).map((document) => document.toJS() as Manifest);
  const config = objects.find(({ kind }) => kind === 'ConfigMap');
  assert.equal(config?.data?.['parts'], 'proxy,cni,routes');
  const { spec } = objects.find(({ kind }) => kind === 'DaemonSet')?.spec.template ?? {};
  const [container] = spec?.containers ?? [];
  assert.ok(container !== undefined);
  assert.equal(spec?.hostNetwork, true);
  const { name } = container.env.find((one) => one.name === 'PARTS')?.valueFrom.configMapKeyRef ?? {};
  assert.equal(name, config?.metadata.name, 'kustomize follows the hash in the name');
  const args = container.args.map((arg) => arg.replace('$(PARTS)', config?.data?.['parts'] ?? ''));
  assert.equal(args[0], 'agent');
  const input = parseFlags(args.slice(1), agentFlags, 0);
  assert.deepEqual(agentProblems(input), []);
  const { readyz, sysctlRoot } = agentOptions(input.flags);
  for (const probe of [container.startupProbe, container.readinessProbe, container.livenessProbe])
    assert.deepEqual({ host: probe.httpGet.host, port: probe.httpGet.port }, readyz);
  const mounts = container.volumeMounts.map(({ mountPath }) => mountPath);
  assert.ok(mounts.includes(`${sysctlRoot}/net`));
  for (const folder of ['cni-conf-dir', 'cni-bin-dir', 'cni-networks-dir'])
    assert.ok(mounts.includes(input.flags[folder] as string), folder);
  assert.ok(mounts.some((mount) => (input.flags['cni-state-dir'] as string).startsWith(mount)));
  assert.ok(mounts.some((mount) => (input.flags['cni-socket'] as string).startsWith(mount)));
  assert.deepEqual(container.securityContext, {
    runAsUser: 0,
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'], add: ['NET_ADMIN', 'NET_RAW', 'NET_BIND_SERVICE'] },
  });
});

test('the rights of the agent on a real API server: read what it needs, tell events, nothing else', async (t) => {
  const api = await realApi(t);
  if (api === undefined) return;
  const applied = await kubectl(api, ['apply', '-k', overlay]);
  assert.equal(applied.code, 0, applied.stderr);
  assert.equal(applied.stderr, '');
  // As the DaemonSet's controller would: the namespace must let such pods in.
  const path = '/apis/apps/v1/namespaces/fairlead-node/daemonsets/fairlead-agent';
  const { metadata, spec } = (
    (await ask(api, 'GET', path)).json as { spec: { template: { metadata: object; spec: object } } }
  ).spec.template;
  const pod = { metadata: { ...metadata, name: 'agent-0' }, spec };
  const made = await ask(api, 'POST', '/api/v1/namespaces/fairlead-node/pods?dryRun=All', pod);
  assert.equal(made.status, 201, made.text);
  const token = await serviceAccountToken(api, 'fairlead-node', 'fairlead-agent');
  const agent = { ...api, token };
  for (const path of [
    '/api/v1/services',
    '/api/v1/nodes',
    '/api/v1/pods?fieldSelector=spec.nodeName%3Dn1',
    '/apis/discovery.k8s.io/v1/endpointslices',
    '/apis/networking.k8s.io/v1/servicecidrs',
    '/apis/networking.k8s.io/v1/networkpolicies',
  ])
    assert.equal((await ask(agent, 'GET', path)).status, 200, path);
  for (const [method, path, body] of [
    ['GET', '/api/v1/secrets'],
    ['GET', '/api/v1/configmaps'],
    ['GET', '/api/v1/namespaces/default/services/kubernetes'],
    ['PATCH', '/api/v1/nodes/n1', {}],
    ['PATCH', '/api/v1/namespaces/default/services/kubernetes', {}],
    ['DELETE', '/api/v1/namespaces/default/pods/any'],
  ] as const)
    assert.equal((await ask(agent, method, path, body)).status, 403, `${method} ${path}`);
  const event = {
    metadata: { name: 'any.1', namespace: 'default' },
    involvedObject: { kind: 'Service', namespace: 'default', name: 'kubernetes' },
  };
  assert.equal((await ask(agent, 'POST', '/api/v1/namespaces/default/events', event)).status, 201);
});

test('the image runs the bundle with the same flags of Node as its launcher', () => {
  const file = readFileSync(join(root, 'deploy/images/agent.Dockerfile'), 'utf8');
  const entrypoint = /^ENTRYPOINT (.+)$/m.exec(file)?.[1] ?? 'null';
  assert.deepEqual(JSON.parse(entrypoint), ['node', ...nodeFlags, '/fairlead/fairlead.js']);
  for (const setting of environment) assert.ok(/^ENV .*$/m.exec(file)?.[0].split(' ').includes(setting), setting);
});
