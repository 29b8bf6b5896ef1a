/** kubectl, unchanged, against the sandbox. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createSandboxApi, type SandboxApi } from '../../../src/sandbox/api/server.ts';
import { systemClock } from '../../../src/work/clock.ts';
import { howToGetKube, kubePrograms } from '../../kube/build.ts';
import { leaveOut } from '../../left-out.ts';
import { widgetDefinition } from './parity-cases.ts';
import { merge, talkTo } from './world.ts';

interface Result {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

const program = await findKubectl();
const folder = mkdtempSync(join(tmpdir(), 'fairlead-kubectl-'));
const kubeconfig = join(folder, 'kubeconfig');
const env = { ...process.env, KUBECONFIG: kubeconfig, HOME: folder, KUBECACHEDIR: join(folder, 'cache'), EDITOR: '' };
let api: SandboxApi;

/** The one beside the real API server, else the machine's. */
async function findKubectl(): Promise<string | undefined> {
  const built = kubePrograms()?.kubectl;
  if (built !== undefined) return built;
  return await new Promise((resolve) =>
    execFile('kubectl', ['version', '--client'], (error) => resolve(error === null ? 'kubectl' : undefined)),
  );
}

function run(
  args: readonly string[],
  { input, editor }: { readonly input?: string; readonly editor?: string } = {},
): Promise<Result> {
  return new Promise((resolve) => {
    const child = execFile(
      program ?? '',
      [...args],
      { env: { ...env, ...(editor === undefined ? {} : { EDITOR: editor }) }, timeout: 60_000 },
      (error, out, err) => {
        resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : 1, out, err });
      },
    );
    child.stdin?.end(input ?? '');
  });
}

/** What it printed; it must have worked. */
async function kubectl(args: string, how: Parameters<typeof run>[1] = {}): Promise<string> {
  const { code, out, err } = await run(args.split(' '), how);
  assert.equal(code, 0, `kubectl ${args}: ${err}`);
  return out;
}

const manifest = (port: number, more = ''): string => `apiVersion: v1
kind: Service
metadata:
  name: web
  labels: {app: web}
spec:
  type: LoadBalancer
  selector: {app: web}
  ports: [{port: ${port}}]
${more}`;

/** The cells of the rows, by column. */
function table(text: string): readonly Record<string, string>[] {
  const [head = '', ...rows] = text.trimEnd().split('\n');
  const columns = [...head.matchAll(/\S+( \S+)*/g)].map(({ 0: name, index }) => ({ name, index }));
  return rows.map((row) =>
    Object.fromEntries(columns.map(({ name, index }, at) => [name, row.slice(index, columns[at + 1]?.index).trim()])),
  );
}

suite('kubectl', { timeout: 300_000 }, () => {
  before(async () => {
    api = createSandboxApi({ clock: systemClock });
    writeFileSync(kubeconfig, (await api.listen()).kubeconfig);
  });
  after(async () => {
    await api.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const it = (name: string, body: () => Promise<void>): void =>
    void test(name, async (t) => {
      if (program === undefined) return leaveOut(t, 'kubectl against the sandbox', howToGetKube);
      await body();
    });

  it('api-resources, api-versions, version', async () => {
    const rows = table(await kubectl('api-resources'));
    assert.deepEqual(
      rows.find(({ NAME }) => NAME === 'services'),
      { NAME: 'services', SHORTNAMES: 'svc', APIVERSION: 'v1', NAMESPACED: 'true', KIND: 'Service' },
    );
    assert.match(await kubectl('api-versions'), /^discovery\.k8s\.io\/v1$/m);
    assert.match(await kubectl('get --raw /version'), /"gitVersion":"v1\.37/);
  });

  it('apply: created, configured, unchanged, and what is left out goes', async () => {
    const apply = (text: string): Promise<string> => kubectl('apply -f -', { input: text });
    assert.match(await apply(manifest(80, '  sessionAffinity: ClientIP\n')), /service\/web created/);
    assert.match(await apply(manifest(81, '  sessionAffinity: ClientIP\n')), /service\/web configured/);
    assert.match(await apply(manifest(81, '  sessionAffinity: ClientIP\n')), /service\/web unchanged/);
    await apply(manifest(81));
    const { spec } = JSON.parse(await kubectl('get svc web -o json'));
    assert.deepEqual([spec.sessionAffinity, spec.ports.length, spec.ports[0].port], ['None', 1, 81]);
    const { code, err } = await run(['apply', '-f', '-'], { input: manifest(81).replace('selector', 'selectr') });
    assert.equal(code, 1);
    assert.match(err, /unknown field "spec.selectr"/);
  });

  it('apply --server-side: ownership, conflict, force', async () => {
    const apply = (args: string, text: string): Promise<Result> =>
      run(
        `apply --server-side ${args} -f -`.split(' ').filter((arg) => arg !== ''),
        { input: text },
      );
    assert.match((await apply('', manifest(81))).out, /serverside-applied/);
    const conflict = await apply(
      '--field-manager=other',
      manifest(81, '  sessionAffinity: None\n').replace('{app: web}\n  ports', '{app: db}\n  ports'),
    );
    assert.equal(conflict.code, 1);
    assert.match(conflict.err, /conflict with "kubectl".*\.spec\.selector/s);
    assert.equal((await apply('--field-manager=other --force-conflicts', manifest(81))).code, 0);
  });

  it('diff, dry runs', async () => {
    const { code, out } = await run(['diff', '-f', '-'], { input: manifest(99) });
    assert.equal(code, 1);
    assert.match(out, /^\+ .*port: 99$/m);
    assert.match(await kubectl('create service loadbalancer dry --tcp=80:80 --dry-run=server -o yaml'), /clusterIP:/);
    assert.equal((await run(['get', 'svc', 'dry'])).code, 1);
  });

  it('patch of three types, and of a subresource', async () => {
    await kubectl('patch svc web --type=strategic -p {"metadata":{"finalizers":["example.com/x"]}}');
    await kubectl('patch svc web --type=merge -p {"spec":{"externalTrafficPolicy":"Local"}}');
    await kubectl('patch svc web --type=json -p [{"op":"add","path":"/metadata/annotations/note","value":"x"}]');
    await kubectl(
      'patch svc web --subresource=status --type=merge -p {"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.7"}]}}}',
    );
    const { metadata, spec, status } = JSON.parse(await kubectl('get svc web -o json'));
    assert.deepEqual(
      [metadata.finalizers, metadata.annotations.note, spec.externalTrafficPolicy, status.loadBalancer.ingress[0].ip],
      [['example.com/x'], 'x', 'Local', '192.0.2.7'],
    );
    assert.ok(spec.healthCheckNodePort >= 30_000);
  });

  it('edit', async () => {
    const script = join(folder, 'editor.sh');
    writeFileSync(script, '#!/bin/sh\nsed -i "s/port: 81$/port: 83/" "$1"\n', { mode: 0o755 });
    assert.match(await kubectl('edit svc web', { editor: script }), /service\/web edited/);
    assert.equal(await kubectl('get svc web -o jsonpath={.spec.ports[0].port}'), '83');
  });

  it('get: tables, wide, names, selectors, sorting, pages', async () => {
    const [row] = table(await kubectl('get svc web -o wide'));
    assert.deepEqual(
      [row?.['TYPE'], row?.['EXTERNAL-IP'], row?.['SELECTOR']],
      ['LoadBalancer', '192.0.2.7', 'app=web'],
    );
    assert.match(row?.['PORT(S)'] ?? '', /^83:\d{5}\/TCP$/);
    assert.equal(await kubectl('get svc -l app=web -o name'), 'service/web\n');
    assert.equal(await kubectl('get svc -A --field-selector=spec.type=LoadBalancer -o name'), 'service/web\n');
    assert.equal(table(await kubectl('get ns --chunk-size=1 --sort-by=.metadata.name')).length, 4);
    assert.deepEqual(
      table(await kubectl('get all')).map(({ NAME }) => NAME),
      ['service/kubernetes', 'service/web'],
    );
  });

  it('describe, with its events', async () => {
    const { must } = talkTo(api.transport());
    const { metadata } = JSON.parse(await kubectl('get svc web -o json'));
    await must('POST', '/api/v1/namespaces/default/events', {
      metadata: { name: 'web.1' },
      involvedObject: { apiVersion: 'v1', kind: 'Service', namespace: 'default', name: 'web', uid: metadata.uid },
      reason: 'EnsuredLoadBalancer',
      message: 'Ensured load balancer',
      type: 'Normal',
      source: { component: 'service-controller' },
      firstTimestamp: '2026-01-01T00:00:00Z',
      lastTimestamp: '2026-01-01T00:00:00Z',
      count: 1,
    });
    const text = await kubectl('describe svc web');
    assert.match(text, /LoadBalancer Ingress:\s+192\.0\.2\.7/);
    assert.match(text, /Normal\s+EnsuredLoadBalancer.*service-controller\s+Ensured load balancer/);
    assert.match(await kubectl('get events'), /EnsuredLoadBalancer/);
    assert.match(await kubectl('describe ns default'), /Status:\s+Active/);
  });

  it('label and annotate, set and remove', async () => {
    await kubectl('label svc web tier=front');
    await kubectl('annotate svc web owner=me');
    assert.equal((await run(['label', 'svc', 'web', 'tier=back'])).code, 1, 'without --overwrite');
    await kubectl('label svc web tier-');
    const { metadata } = JSON.parse(await kubectl('get svc web -o json'));
    assert.deepEqual([metadata.labels, metadata.annotations.owner], [{ app: 'web' }, 'me']);
  });

  it('get -w shows changes as they come', async () => {
    const { must } = talkTo(api.transport());
    const child = spawn(program ?? '', ['get', 'svc', 'web', '-w'], { env });
    let text = '';
    child.stdout.on('data', (chunk) => {
      text += chunk;
    });
    try {
      // kubectl leaves out the first event, which is the state that it has printed, or a change before its watch began.
      for (let last = 8; text.split('\n').length <= 3; last += 1) {
        assert.ok(last < 108, `no change was shown:\n${text}`);
        const status = { loadBalancer: { ingress: [{ ip: `192.0.2.${last}` }] } };
        await must('PATCH', '/api/v1/namespaces/default/services/web/status', { status }, merge);
        await sleep(200);
      }
    } finally {
      child.kill('SIGTERM');
    }
    const [before, changed] = table(text).map((row) => row['EXTERNAL-IP']);
    assert.match(before ?? '', /^192\.0\.2\.\d+$/);
    assert.match(changed ?? '', /^192\.0\.2\.\d+$/);
    assert.notEqual(before, changed);
    await must(
      'PATCH',
      '/api/v1/namespaces/default/services/web/status',
      { status: { loadBalancer: { ingress: [{ ip: '192.0.2.8' }] } } },
      merge,
    );
  });

  it('wait for a condition, a path and a deletion', async () => {
    await kubectl('wait --for=jsonpath={.status.loadBalancer.ingress[0].ip}=192.0.2.8 svc/web --timeout=20s');
    const deleting = kubectl('delete svc web');
    const waiting = kubectl('wait --for=delete svc/web --timeout=20s');
    const { must } = talkTo(api.transport());
    await must('PATCH', '/api/v1/namespaces/default/services/web', { metadata: { finalizers: null } }, merge);
    await Promise.all([deleting, waiting]);
    assert.equal((await run(['get', 'svc', 'web'])).code, 1);
  });

  it('typed commands: create, expose, scale, set, run', async () => {
    await kubectl('create deployment app --image=nginx:1.27 --replicas=3 --port=80');
    await kubectl('expose deployment app --type=LoadBalancer --port=80 --target-port=8080');
    await kubectl('scale deployment app --replicas=5');
    await kubectl('set image deployment/app nginx=nginx:1.28');
    const { spec, metadata } = JSON.parse(await kubectl('get deployment app -o json'));
    assert.deepEqual(
      [spec.replicas, spec.template.spec.containers[0].image, metadata.generation],
      [5, 'nginx:1.28', 3],
    );
    const service = JSON.parse(await kubectl('get svc app -o json'));
    assert.deepEqual([service.spec.selector, service.spec.ports[0].targetPort], [{ app: 'app' }, 8080]);
    await kubectl('create configmap conf --from-literal=a=b');
    await kubectl('create secret generic hidden --from-literal=a=b');
    assert.equal(await kubectl('get secret hidden -o jsonpath={.data.a}'), 'Yg==');
    await kubectl('run pod --image=nginx');
    assert.equal(table(await kubectl('get pod pod'))[0]?.['STATUS'], 'Pending');
    await kubectl('create serviceaccount robot');
    assert.match(await kubectl('create token robot'), /^sandbox-/);
    assert.equal(await kubectl('auth can-i delete pods'), 'yes\n');
  });

  it('explain: built-in kinds and fields', async () => {
    assert.match(await kubectl('explain service.spec'), /loadBalancerClass\s+<string>/);
    assert.match(await kubectl('explain services.spec.ports.nodePort'), /FIELD: nodePort <integer>/);
  });

  it('custom kinds: established, explained, printed by their columns, checked', async () => {
    await kubectl('apply -f -', { input: JSON.stringify(widgetDefinition) });
    await kubectl('wait --for=condition=Established crd/widgets.parity.example.com --timeout=20s');
    assert.match(await kubectl('explain widget.spec'), /color\s+<string>/);
    const widget = (spec: object): string =>
      JSON.stringify({ apiVersion: 'parity.example.com/v1', kind: 'Widget', metadata: { name: 'w' }, spec });
    await kubectl('apply -f -', { input: widget({ color: 'red' }) });
    await kubectl('apply --server-side -f -', { input: widget({ color: 'blue' }) });
    assert.deepEqual(table(await kubectl('get wd')), [{ NAME: 'w', SIZE: '3' }]);
    assert.match(await kubectl('describe widget w'), /Color:\s+blue/);
    const { code, err } = await run(['apply', '-f', '-'], { input: widget({ color: 'green' }) });
    assert.equal(code, 1);
    assert.match(err, /spec\.color: Unsupported value: "green"/);
    await kubectl('delete crd widgets.parity.example.com');
    assert.equal((await run(['get', 'widgets'])).code, 1);
  });

  it('a namespace and what is in it', async () => {
    await kubectl('create namespace temporary');
    await kubectl('create configmap inside -n temporary --from-literal=a=b');
    await kubectl('create service clusterip inside -n temporary --tcp=80:80');
    await kubectl('delete namespace temporary --timeout=30s');
    assert.doesNotMatch(await kubectl('get ns'), /temporary/);
    assert.doesNotMatch(await kubectl('get cm -A'), /inside/);
  });

  it('delete by label, all at once, and cascading', async () => {
    await kubectl('label cm conf gone=yes');
    await kubectl('delete cm -l gone=yes');
    await kubectl('delete deployment,svc,secret,sa --all --cascade=foreground --timeout=30s');
    assert.equal(await kubectl('get deployment,secret,sa,cm -o name'), '');
    assert.equal(await kubectl('get svc -o name'), '');
  });

  it('errors say what the server said', async () => {
    const { err } = await run(['get', 'svc', 'nothing']);
    assert.match(err, /Error from server \(NotFound\): services "nothing" not found/);
    const { err: kinds } = await run(['get', 'gadgets']);
    assert.match(kinds, /the server doesn't have a resource type "gadgets"/);
    const invalid = await run(['create', 'service', 'nodeport', 'x', '--tcp=80:80', '--node-port=80']);
    assert.match(invalid.err, /spec\.ports\[0\]\.nodePort: Invalid value: 80: provided port is not in the valid range/);
  });
});
