import assert from 'node:assert/strict';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { installPackages, missingPackages } from '../../../src/sandbox/cluster/programs.ts';

const cases: readonly {
  readonly name: string;
  readonly there: readonly string[];
  readonly expected: readonly string[];
}[] = [
  { name: 'a bare machine', there: [], expected: ['iproute2', 'netcat-openbsd', 'nftables', 'util-linux'] },
  {
    name: 'all with a compiler',
    there: ['/usr/sbin/nft', '/sbin/ip', '/usr/bin/nsenter', '/usr/bin/setpriv', '/opt/bin/gcc'],
    expected: [],
  },
  {
    name: 'a shell that can reach the socket is enough for the plugin',
    there: ['/usr/sbin/nft', '/sbin/ip', '/usr/bin/nsenter', '/usr/bin/setpriv', '/usr/bin/socat'],
    expected: [],
  },
  {
    name: 'neither a compiler nor a program for sockets',
    there: ['/usr/sbin/nft', '/sbin/ip', '/usr/bin/nsenter', '/usr/bin/setpriv'],
    expected: ['netcat-openbsd'],
  },
];
for (const { name, there, expected } of cases) {
  test(`packages that lack: ${name}`, () => {
    assert.deepEqual(
      missingPackages({ PATH: '/opt/bin' }, (file) => there.includes(file)),
      expected,
    );
  });
}

/** A PATH whose apt-get notes its arguments and does what the script says. */
async function aptGet(t: TestContext, script: string) {
  const folder = await mkdtemp(join(tmpdir(), 'fairlead-apt-'));
  t.after(() => rm(folder, { recursive: true }));
  const log = join(folder, 'log');
  await writeFile(join(folder, 'apt-get'), `#!/bin/sh\necho "$DEBIAN_FRONTEND $*" >> ${log}\n${script}\n`);
  await chmod(join(folder, 'apt-get'), 0o755);
  const calls = async (): Promise<readonly string[]> => (await readFile(log, 'utf8')).trim().split('\n');
  return { env: { PATH: `${folder}:/usr/bin:/bin` }, calls, folder };
}
const install = 'noninteractive -qq install --yes --no-install-recommends nftables iproute2';

test('packages are installed without a question', async (t) => {
  const { env, calls } = await aptGet(t, 'exit 0');
  assert.equal(await installPackages(['nftables', 'iproute2'], env), true);
  assert.deepEqual(await calls(), [install]);
});

test('on a fresh machine the package lists are fetched first', async (t) => {
  const { env, calls } = await aptGet(
    t,
    'D=$(dirname "$0"); case "$*" in *update*) touch $D/lists;; *) test -e $D/lists;; esac',
  );
  assert.equal(await installPackages(['nftables', 'iproute2'], env), true);
  assert.deepEqual(await calls(), [install, 'noninteractive -qq update', install]);
});

test('what cannot be installed is told in the words of apt-get', async (t) => {
  const { env } = await aptGet(t, 'echo "E: no network" >&2; exit 100');
  await assert.rejects(installPackages(['nftables'], env), /^Error: apt-get install .* nftables: E: no network$/);
});
