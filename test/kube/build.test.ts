import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { buildKube, cacheFolder, ensureKube, kubePrograms, kubeVersion } from './build.ts';

const programs = ['etcd', 'kube-apiserver', 'kubectl'];
const quiet = (): void => {};

test('the version is the one that go.mod requires', () => {
  assert.equal(kubeVersion('require (\n\tk8s.io/api v0.37.2\n\tk8s.io/kubernetes v1.37.2 // indirect\n)'), '1.37.2');
  assert.match(kubeVersion(), /^\d+\.\d+\.\d+$/);
  assert.throws(() => kubeVersion('module kube'), /k8s\.io\/kubernetes/);
});

test('the cache folder: ours, then XDG, then below the home folder', () => {
  assert.equal(cacheFolder({ FAIRLEAD_CACHE: '/a', XDG_CACHE_HOME: '/b' }), '/a');
  assert.equal(cacheFolder({ XDG_CACHE_HOME: '/b' }), '/b/fairlead');
  assert.match(cacheFolder({ XDG_CACHE_HOME: '' }), /\/\.cache\/fairlead$/);
});

test('KUBEBUILDER_ASSETS wins over the cache and is never built into', async (t) => {
  const { env, folder, built } = fakeGo(t, 'fill');
  const assets = join(folder, 'assets');
  mkdirSync(assets);
  for (const name of programs) writeFileSync(join(assets, name), '');
  const given = { ...env, KUBEBUILDER_ASSETS: assets, CI: 'true' };
  assert.equal(kubePrograms(given)?.kubectl, join(assets, 'kubectl'));
  assert.equal((await ensureKube(given))?.apiserver, join(assets, 'kube-apiserver'));
  rmSync(join(assets, 'etcd'));
  assert.throws(() => kubePrograms(given), /KUBEBUILDER_ASSETS: ".*assets" has no etcd; name a folder with etcd, /);
  assert.deepEqual(built(), []);
});

test('without CI nothing is built: the programs are left out', async (t) => {
  const { env, built } = fakeGo(t, 'fill');
  assert.equal(await ensureKube(env), undefined);
  assert.deepEqual(built(), []);
});

test('with CI=true the programs are built, each once, and then found', async (t) => {
  const { env, cache, built } = fakeGo(t, 'fill');
  const found = await ensureKube({ ...env, CI: 'true' });
  assert.deepEqual(found, kubePrograms(env));
  assert.deepEqual(readdirSync(cache).sort(), programs);
  assert.equal(readFileSync(join(cache, 'etcd'), 'utf8'), 'go.etcd.io/etcd/server/v3\n');
  assert.equal(built().length, 3);
  await ensureKube({ ...env, CI: 'true' });
  assert.equal(built().length, 3);
});

test('only what is missing is built', async (t) => {
  const { env, cache, built } = fakeGo(t, 'fill');
  mkdirSync(cache, { recursive: true });
  writeFileSync(join(cache, 'kubectl'), 'here');
  await buildKube(env, quiet);
  assert.deepEqual(built().sort(), ['go.etcd.io/etcd/server/v3', 'k8s.io/kubernetes/cmd/kube-apiserver']);
  assert.equal(readFileSync(join(cache, 'kubectl'), 'utf8'), 'here');
});

test('two at once: one builds, the other waits for it', async (t) => {
  const { env, built } = fakeGo(t, 'fill');
  await Promise.all([buildKube(env, quiet), buildKube(env, quiet)]);
  assert.equal(built().length, 3);
});

test('the lock of a builder that died is taken over', async (t) => {
  const { env, cache, built } = fakeGo(t, 'fill');
  mkdirSync(cache, { recursive: true });
  writeFileSync(join(cache, 'building'), '4194305'); // above the kernel's largest process id
  await buildKube(env, quiet);
  assert.equal(built().length, 3);
});

test('a build that fails says what go said and leaves no half program and no lock', async (t) => {
  const { env, cache } = fakeGo(t, 'fail');
  await assert.rejects(buildKube(env, quiet), /go build .*ended with 3:\nno space left/s);
  assert.deepEqual(readdirSync(cache), []);
});

test('without go the error says what to install', async (t) => {
  const { env, folder } = fakeGo(t, 'fill');
  const nowhere = { ...env, PATH: join(folder, 'nothing') };
  await assert.rejects(
    buildKube(nowhere, quiet),
    /"go" is not on the PATH: install Go 1\.26 or newer, or set KUBEBUILDER_ASSETS/,
  );
});

/** A cache of its own and a `go` that writes its package's name where it should build to, or writes half and fails. */
function fakeGo(t: TestContext, how: 'fill' | 'fail') {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-build-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const log = join(folder, 'log');
  const go = join(folder, 'bin', 'go');
  mkdirSync(join(folder, 'bin'));
  const end = how === 'fail' ? 'echo no space left >&2; exit 3' : `echo "$6" >> ${log}; sleep 0.05`;
  writeFileSync(
    go,
    `#!/bin/sh\n[ "$CGO_ENABLED" = 0 ] && [ "$2" = -ldflags ] && [ "$4" = -o ] || exit 9\necho "$6" > "$5"\n${end}\n`,
  );
  chmodSync(go, 0o755);
  const env = { PATH: `${join(folder, 'bin')}:${process.env['PATH']}`, FAIRLEAD_CACHE: join(folder, 'cache') };
  return {
    env,
    folder,
    cache: join(folder, 'cache', `kube-${kubeVersion()}`),
    built: () => (existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : []),
  };
}
