/** kubectl with the sandbox's OpenAPI documents, in front of a real kube-apiserver, against kubectl with the server's own. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { after, test } from 'node:test';
import { generate } from '../../../deploy/openapi.ts';
import { openApiDocument, openApiIndex, type ServedKind } from '../../../src/sandbox/api/openapi.ts';
import { ask, kubectl } from '../../kube/ask.ts';
import { howToGetKube } from '../../kube/build.ts';
import { type Api, findRealApi } from '../../kube/cluster.ts';
import { whenServed } from './json.ts';
import { things } from './things.ts';

const api = await findRealApi({ after });
const skip =
  api === undefined ? `no kube-apiserver: ${howToGetKube}` : api.kubectl === undefined ? 'no kubectl' : false;

const kind = (name: string, plural: string, namespaced = true): ServedKind => ({
  kind: name,
  plural,
  namespaced,
  subresources: ['status'],
});
const crdSchema = things.spec.versions[0]?.schema.openAPIV3Schema as object;

const served: Readonly<Record<string, readonly ServedKind[]>> = {
  '/v1': [
    kind('Service', 'services'),
    kind('Node', 'nodes', false),
    kind('Namespace', 'namespaces', false),
    kind('Pod', 'pods'),
    kind('ConfigMap', 'configmaps'),
    kind('Secret', 'secrets'),
    kind('Endpoints', 'endpoints'),
    kind('ServiceAccount', 'serviceaccounts'),
    kind('Event', 'events'),
  ],
  'apps/v1': [kind('Deployment', 'deployments'), kind('DaemonSet', 'daemonsets')],
  'discovery.k8s.io/v1': [kind('EndpointSlice', 'endpointslices')],
  'coordination.k8s.io/v1': [kind('Lease', 'leases')],
  'events.k8s.io/v1': [kind('Event', 'events')],
  'apiextensions.k8s.io/v1': [kind('CustomResourceDefinition', 'customresourcedefinitions', false)],
  'x.io/v1': [{ ...kind('Thing', 'things'), crdSchema }],
};

interface Patched {
  readonly type: string;
  readonly path: string;
  readonly body: unknown;
}

/** A server that passes all on, but answers /openapi/v3 with our documents if it is told to; it notes the patches. */
async function proxy(
  real: Api,
  documents: 'ours' | 'theirs',
): Promise<{ readonly url: string; readonly patches: Patched[] }> {
  const patches: Patched[] = [];
  const ca = readFileSync(real.caFile);
  const server = createServer((asked, answer) => {
    const path = (asked.url ?? '').replace(/[?].*/, '');
    if (documents === 'ours' && path.startsWith('/openapi/v3')) return openApi(path, answer);
    void pass(asked, answer);
  });

  function openApi(path: string, answer: ServerResponse): void {
    const document = path === '/openapi/v3' ? openApiIndex(Object.keys(served).map(versionOf)) : documentAt(path);
    answer.writeHead(document === undefined ? 404 : 200, { 'Content-Type': 'application/json' });
    answer.end(JSON.stringify(document ?? {}));
  }

  async function pass(asked: IncomingMessage, answer: ServerResponse): Promise<void> {
    const body = Buffer.concat(await asked.toArray());
    const type = asked.headers['content-type'] ?? '';
    if (asked.method === 'PATCH') patches.push({ type, path: asked.url ?? '', body: JSON.parse(body.toString()) });
    const { host: _host, ...headers } = asked.headers;
    // kubectl keeps its token to itself where there is no TLS.
    const authorization = `Bearer ${real.token}`;
    const sent = request(
      `${real.url}${asked.url}`,
      { method: asked.method, headers: { ...headers, authorization }, ca },
      (response) => {
        answer.writeHead(response.statusCode ?? 500, response.headers);
        response.pipe(answer);
      },
    );
    sent.on('error', (error) => answer.destroy(error));
    sent.end(body);
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  after(() => server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, patches };
}

function versionOf(groupVersion: string): { readonly group: string; readonly version: string } {
  const [group = '', version = ''] = groupVersion.split('/');
  return { group, version };
}

function documentAt(path: string): object | undefined {
  const groupVersion = path.replace(/^\/openapi\/v3\/(api\/|apis\/)/, '').replace(/^v1$/, '/v1');
  const { group, version } = versionOf(groupVersion);
  return openApiDocument(group, version, served[groupVersion] ?? []);
}

test('kubectl with our OpenAPI documents', { skip }, async (t) => {
  const real = api as Api;
  await ask(real, 'POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', things);
  await whenServed((path) => ask(real, 'GET', path), '/apis/x.io/v1/namespaces/default/things');
  const { url, patches } = await proxy(real, 'ours');
  const ours = { ...real, kubeconfig: real.writeKubeconfig({ name: 'ours', url }), folder: `${real.folder}/ours` };
  const seen = await proxy(real, 'theirs');

  const run = async (where: typeof ours, args: readonly string[], stdin = ''): Promise<string> => {
    const ran = await kubectl(where, args, stdin);
    assert.equal(ran.code, 0, `kubectl ${args.join(' ')}: ${ran.stderr}${ran.stdout}`);
    return ran.stdout;
  };

  for (const resource of [
    'services',
    'nodes',
    'pods',
    'endpointslices',
    'leases',
    'deployments',
    'daemonsets',
    'configmaps',
    'namespaces',
    'serviceaccounts',
    'events --api-version=events.k8s.io/v1',
    'events --api-version=v1',
    'customresourcedefinitions',
    'things.x.io',
  ]) {
    await t.test(`explain ${resource} names the same fields with the same types`, async () => {
      const args = ['explain', ...resource.split(' '), '--recursive'];
      const [mine, theirs] = [await run(ours, args), await run(real as typeof ours, args)];
      assert.deepEqual(fieldsIn(mine), fieldsIn(theirs));
    });
  }

  await t.test('explain says what a field is', async () => {
    assert.match(await run(ours, ['explain', 'service.spec.loadBalancerClass']), /Which implementation serves it/);
  });

  const manifest = (name: string, image: string, ports: readonly number[], extra: object = {}) =>
    JSON.stringify({
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name, finalizers: ports.map((port) => `x.io/p${port}`) },
      spec: {
        selector: { matchLabels: { a: 'b' } },
        template: {
          metadata: { labels: { a: 'b' } },
          spec: {
            containers: [
              { name: 'c', image, ports: ports.map((containerPort) => ({ containerPort })) },
              { name: 'd', image: 'd' },
            ],
            tolerations: [{ operator: 'Exists' }],
            ...extra,
          },
        },
      },
    });

  await t.test('apply makes the same patches', async () => {
    const theirs = {
      ...real,
      kubeconfig: real.writeKubeconfig({ name: 'seen', url: seen.url }),
      folder: `${real.folder}/seen`,
    };
    for (const [where, name] of [
      [ours, 'mine'],
      [theirs, 'other'],
    ] as const) {
      await run(
        where,
        ['apply', '-f', '-'],
        manifest(name, 'i:1', [80, 81], { volumes: [{ name: 'v', emptyDir: {} }] }),
      );
      await run(
        where,
        ['apply', '-f', '-'],
        manifest(name, 'i:2', [81, 82], { volumes: [{ name: 'v', hostPath: { path: '/' } }] }),
      );
    }
    const [mine, other] = [patches, seen.patches].map((list) => JSON.stringify(list).replaceAll(/mine|other/g, 'NAME'));
    assert.ok(patches.length === 1 && patches[0]?.type === 'application/strategic-merge-patch+json', mine);
    assert.equal(mine, other);
  });

  await t.test('apply of a custom resource makes a merge patch, and unknown fields are refused', async () => {
    const thing = (en: string) =>
      JSON.stringify({ apiVersion: 'x.io/v1', kind: 'Thing', metadata: { name: 't' }, spec: { must: 'a', en } });
    await run(ours, ['apply', '-f', '-'], thing('A'));
    await run(ours, ['apply', '-f', '-'], thing('B'));
    assert.equal(patches.at(-1)?.type, 'application/merge-patch+json');
    const refused = await kubectl(ours, ['apply', '-f', '-'], thing('B').replace('"en"', '"nope"'));
    assert.match(refused.stderr, /unknown field "spec.nope"/);
  });

  await t.test('server-side apply and a dry run pass', async () => {
    await run(ours, ['apply', '--server-side', '-f', '-'], manifest('ssa', 'i:1', [80]));
    assert.match(
      await run(ours, ['apply', '--dry-run=server', '-f', '-'], manifest('dry', 'i:1', [80])),
      /server dry run/,
    );
  });
});

/** Names and types of the fields: the lines below FIELDS. */
function fieldsIn(explained: string): readonly string[] {
  const lines = explained.split('\n');
  return lines.slice(lines.findIndex((line) => line.startsWith('FIELDS')) + 1).filter((line) => line.trim() !== '');
}

test('openapi.json is what this kube-apiserver publishes', { skip }, async () => {
  const text = await generate(async (path) => (await ask(api as Api, 'GET', `/openapi/v3/${path}`)).json);
  const file = readFileSync(new URL('../../../src/sandbox/api/openapi.json', import.meta.url), 'utf8');
  assert.equal(file, text, 'run node deploy/openapi.ts against this server');
});
