import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import * as onprem from '../../providers/onprem/index.ts';
import { crdFiles } from '../../src/cli/assets.ts';
import { readManifests } from '../../src/cli/manifest.ts';
import { runCli } from '../../src/cli/run.ts';
import { putAll } from '../../src/cli/world.ts';
import { createLeader } from '../../src/controllers/leader.ts';
import type { Service } from '../../src/core/objects.ts';
import { createLog } from '../../src/obs/log.ts';
import { createMetrics } from '../../src/obs/metrics.ts';
import { systemClock } from '../../src/work/clock.ts';
import { type Api, sandboxApi } from '../kube/cluster.ts';
import { fakeTerminal } from './terminal.ts';

let api: Api;
const stop = new AbortController();
let running: Promise<unknown> = Promise.resolve();
const ends: (() => void | Promise<void>)[] = [];

const manifests = (text: string) => readManifests(['-'], fakeTerminal({ stdin: text }));
const service = (name: string, annotations = '{}') =>
  `apiVersion: v1\nkind: Service\nmetadata: {name: ${name}, annotations: ${annotations}}\nspec: {type: LoadBalancer, ports: [{port: 80}]}\n---\n`;
const pool = (range: string) =>
  `apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: default, namespace: metallb-system}\nspec: {addresses: [${range}]}\n---\n`;

before(async () => {
  // Not the hook of node:test: inside of `before` that would end with it.
  api = await sandboxApi({ after: (end) => void ends.push(end) });
  const client = api.client();
  await putAll(client, await readManifests(await crdFiles(), fakeTerminal()), stop.signal);
  await putAll(
    client,
    await manifests(`${pool('10.9.0.0/30')}${service('a')}${service('b', '{metallb.io/loadBalancerIPs: 10.9.0.3}')}`),
    stop.signal,
  );
  running = createLeader({
    client: api.client(),
    clock: systemClock,
    random: Math.random,
    log: createLog({ level: 'error', destination: { write: () => {} } }),
    metrics: createMetrics(),
    module: onprem,
    providerConfig: {},
    cluster: 'test',
    identity: 'tester_1',
    lease: {
      namespace: 'kube-system',
      name: 'fairlead-controller',
      leaseDurationMs: 15_000,
      renewDeadlineMs: 10_000,
      retryPeriodMs: 2000,
    },
    service: { defaultClass: false, driftCheckPeriodMs: 600_000, deleteOrphans: false, takeoverFieldManagers: [] },
  }).run(stop.signal);
  await until(
    'both Services have an address',
    async () => (await addresses()).filter((one) => one !== undefined).length === 2,
  );
});
after(async () => {
  stop.abort();
  await running;
  for (const end of ends) await end();
});

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 400; tries += 1) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  assert.fail(`never: ${what}`);
}

async function services(): Promise<readonly Service[]> {
  const list = await api.client().call<{ readonly items: readonly Service[] }>({
    method: 'GET',
    path: '/api/v1/namespaces/default/services',
    signal: new AbortController().signal,
  });
  return list.items;
}
const addresses = async () =>
  (await services())
    .filter(({ spec }) => spec.type === 'LoadBalancer')
    .map(({ status }) => status?.loadBalancer?.ingress?.[0]?.ip);

async function cli(...argv: string[]) {
  const terminal = fakeTerminal();
  const code = await runCli([...argv, `--kubeconfig=${api.kubeconfig}`], terminal);
  return { code, out: terminal.out(), err: terminal.err() };
}

test('status shows leader, Services and pools, as a table and as JSON', async () => {
  const { code, out } = await cli('status');
  assert.equal(code, 0);
  assert.match(out, /^leader: tester_1\n/);
  assert.match(out, /NAMESPACE +NAME +ADDRESSES +POOL +STATE +AGE\n/);
  assert.match(out, /default +a +10\.9\.0\.0 +default +Serving /);
  await until('the pool status is written', async () => (await cli('status')).out.includes('default   2 '));
  const json = JSON.parse((await cli('status', '-o', 'json')).out) as {
    services: { name: string; addresses: string[] }[];
    pools: object[];
  };
  assert.deepEqual(
    json.services.map(({ name, addresses: all }) => [name, all]),
    [
      ['a', ['10.9.0.0']],
      ['b', ['10.9.0.3']],
    ],
  );
  assert.deepEqual(json.pools, [{ name: 'default', addresses: ['10.9.0.0/30'], assigned: 2, available: 2 }]);
});

test('why shows each pool with its rule, and who holds the address that was asked for', async () => {
  const { code, out } = await cli('why', 'svc/b');
  assert.equal(code, 0);
  assert.match(out, /^default\/b\n {2}ours: yes\n {2}state: Serving\n/);
  assert.match(out, / {2}10\.9\.0\.3: pool default, held by default\/b\n/);
  assert.match(out, /POOL +CANDIDATE +FREE IPV4 +FREE IPV6 +RULE\ndefault +yes +2 /);
  const json = JSON.parse((await cli('why', 'svc/default/a', '-o', 'json')).out) as { addresses: { pools: object[] } };
  assert.equal(json.addresses.pools.length, 1);
});

test('why of a Service that is not there, and without one, are usage errors', async () => {
  assert.match((await cli('why', 'svc/nope')).err, /there is no Service default\/nope/);
  assert.equal((await cli('why', 'svc/nope')).code, 2);
  assert.equal((await cli('why')).code, 2);
});

test('plan svc/NAME of a live Service that is served has nothing to do, and writes nothing', async () => {
  const before = (await services()).map(({ metadata }) => metadata.resourceVersion);
  const { code, out } = await cli('plan', 'svc/a');
  assert.deepEqual([code, out], [0, 'default/a: 10.9.0.0\n  nothing to do\n']);
  assert.deepEqual(
    (await services()).map(({ metadata }) => metadata.resourceVersion),
    before,
  );
});

test('plan of a file over the cluster takes what is free there', async () => {
  const terminal = fakeTerminal({ stdin: service('c') });
  assert.equal(await runCli(['plan', '-f', '-', `--kubeconfig=${api.kubeconfig}`], terminal), 0);
  assert.match(terminal.out(), /^default\/c: 10\.9\.0\.1\n {2}reserve 10\.9\.0\.1/);
});

test('plan of a pool edit names every address and Service that it would touch', async () => {
  const terminal = fakeTerminal({ stdin: pool('10.9.0.0/31') });
  assert.equal(await runCli(['plan', '-f', '-', `--kubeconfig=${api.kubeconfig}`], terminal), 2);
  assert.match(terminal.out(), /not taken: .*allow-shrink/);
  assert.match(terminal.out(), /10\.9\.0\.3 of default is in no pool any more, used by default\/b/);
  const renamed = fakeTerminal({ stdin: pool('10.9.0.0/29') });
  assert.equal(await runCli(['plan', '-f', '-', `--kubeconfig=${api.kubeconfig}`], renamed), 0);
  assert.match(renamed.out(), /no address in use is touched/);
});

test('gc finds nothing to do while every reservation has its Service', async () => {
  assert.deepEqual(await cli('gc'), { code: 0, out: 'nothing to clean up\n', err: '' });
});

test('gc --release-all shows first, refuses while a controller leads, and asks before it deletes', async () => {
  const shown = await cli('gc', '--release-all');
  assert.equal(shown.code, 0);
  assert.match(
    shown.out,
    /remove-finalizer default\/a: [\s\S]*delete-block 10\.9\.0\.0-30|delete-block 10\.9\.0\.0-24/,
  );
  assert.match(shown.out, /nothing was changed\. Add --delete to do it\./);
  const early = await cli('gc', '--release-all', '--delete', '--yes');
  assert.equal(early.code, 2);
  assert.match(early.err, /tester_1 holds the Lease kube-system\/fairlead-controller: stop the controller first/);
  stop.abort();
  await running;
  const mute = await cli('gc', '--release-all', '--delete');
  assert.equal(mute.code, 2);
  assert.match(mute.err, /no terminal to ask on; add --yes/);
  const done = await cli('gc', '--release-all', '--delete', '--yes');
  assert.equal(done.code, 0, done.err);
  const left = (await services()).filter(({ spec }) => spec.type === 'LoadBalancer');
  assert.deepEqual(
    left.map(({ metadata }) => metadata.finalizers ?? []),
    [[], []],
  );
  assert.deepEqual(
    left.map(({ status }) => status?.loadBalancer?.ingress?.[0]?.ip),
    ['10.9.0.0', '10.9.0.3'],
  );
  assert.deepEqual(await cli('gc', '--release-all'), { code: 0, out: 'nothing to clean up\n', err: '' });
});

test('a cluster that does not answer is a failure with the reason, exit 1', async () => {
  const terminal = fakeTerminal();
  assert.equal(await runCli(['status', '--master=http://127.0.0.1:1', '--kubeconfig='], terminal), 2);
  const refused = fakeTerminal();
  assert.equal(await runCli(['status', '--master=http://127.0.0.1:1'], refused), 1);
  assert.match(refused.err(), /ECONNREFUSED/);
});
