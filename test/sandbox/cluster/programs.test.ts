import assert from 'node:assert/strict';
import { test } from 'node:test';
import { missingPackages } from '../../../src/sandbox/cluster/programs.ts';

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
