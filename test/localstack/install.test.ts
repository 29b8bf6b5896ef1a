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
import { ensureMoto, installMoto, motoPython, motoVersion } from '../../localstack/moto.ts';

const quiet = (): void => {};

test('the version of moto is the one that requirements.txt pins', () => {
  assert.equal(motoVersion('# why\nmoto[server]==1.2.3\nFlask==3.1.3\n'), '1.2.3');
  assert.equal(motoVersion(), '5.2.5');
  assert.throws(() => motoVersion('moto[server]>=5'), /no line "moto\[server\]==X\.Y\.Z"/);
});

test('without CI nothing is installed: moto is left out', async (t) => {
  const { env, runs } = fakePython(t);
  assert.equal(await ensureMoto(env), undefined);
  assert.deepEqual(runs(), []);
});

test('with CI=true moto is installed once, and then found', async (t) => {
  const { env, cache, runs } = fakePython(t);
  const python = await ensureMoto({ ...env, CI: 'true' });
  assert.equal(python, motoPython(env));
  assert.deepEqual(readdirSync(cache), ['moto-5.2.5']);
  assert.equal(runs().length, 2);
  assert.match(runs()[0] ?? '', /^-m venv .*moto-5\.2\.5\.\d+\.tmp$/);
  assert.match(runs()[1] ?? '', /^-m pip install .* -r .*localstack\/requirements\.txt$/);
  await ensureMoto({ ...env, CI: 'true' });
  assert.equal(runs().length, 2);
});

test('two at once: one installs, the other waits for it', async (t) => {
  const { env, runs } = fakePython(t);
  const [one, two] = await Promise.all([installMoto(env, quiet), installMoto(env, quiet)]);
  assert.equal(one, two);
  assert.equal(runs().length, 2);
});

test('a venv whose Python has gone is replaced', async (t) => {
  const { env, cache, runs } = fakePython(t);
  mkdirSync(join(cache, 'moto-5.2.5', 'lib'), { recursive: true });
  assert.equal(motoPython(env), undefined);
  await installMoto(env, quiet);
  assert.notEqual(motoPython(env), undefined);
  assert.equal(existsSync(join(cache, 'moto-5.2.5', 'lib')), false);
  assert.equal(runs().length, 2);
});

test('an installation that fails says what pip said and leaves no half venv and no lock', async (t) => {
  const { env, cache } = fakePython(t, 'no matching distribution');
  await assert.rejects(installMoto(env, quiet), /pip install .* ended with 3:\nno matching distribution/s);
  assert.deepEqual(readdirSync(cache), []);
});

test('without python3 the error says what to install, also under CI=true', async (t) => {
  const { env, folder } = fakePython(t);
  const nowhere = { ...env, PATH: join(folder, 'nothing'), CI: 'true' };
  await assert.rejects(ensureMoto(nowhere), /"python3" is not on the PATH: install Python 3\.10 or newer, with venv/);
});

/** A cache of its own and a `python3` that makes a venv with itself in it; its pip works, or fails with these words. */
function fakePython(t: TestContext, complaint = '') {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-moto-install-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const log = join(folder, 'log');
  const python = join(folder, 'bin', 'python3');
  mkdirSync(join(folder, 'bin'));
  const lines = [
    '#!/bin/sh',
    `echo "$@" >> ${log}`,
    `if [ "$2" = venv ]; then mkdir -p "$3/bin" && cp "${python}" "$3/bin/python"; exit; fi`,
    complaint === '' ? 'sleep 0.05' : `echo ${complaint} >&2; exit 3`,
  ];
  writeFileSync(python, `${lines.join('\n')}\n`);
  chmodSync(python, 0o755);
  const cache = join(folder, 'cache');
  return {
    folder,
    cache,
    env: { PATH: `${join(folder, 'bin')}:${process.env['PATH']}`, FAIRLEAD_CACHE: cache },
    runs: () => (existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : []),
  };
}
