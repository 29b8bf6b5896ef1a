import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cniFlags, cniOptions } from '../../src/cli/cni-flags.ts';
import { parseFlags } from '../../src/cli/flags.ts';

const openRoute = async (): Promise<never> => {
  throw new Error('not in this test');
};
const options = (...argv: readonly string[]) =>
  cniOptions(parseFlags(argv, cniFlags, 0).flags, { shim: '/x/fairlead-netlink', openRoute });

test("without flags: where runtimes look, the node's MTU, masquerading to outside", () => {
  assert.deepEqual(options(), {
    confDir: '/etc/cni/net.d',
    confFile: '05-fairlead.conflist',
    binDir: '/opt/cni/bin',
    plugin: 'fairlead',
    socket: '/run/fairlead/cni.sock',
    shim: '/x/fairlead-netlink',
    network: 'fairlead',
    chained: [],
    stateDir: '/var/lib/fairlead/cni',
    networksDir: '/var/lib/cni/networks',
    mtu: 0,
    encapsulation: 0,
    masquerade: true,
    nonMasqueradeCidrs: [],
    openRoute,
  });
});

test('each flag is taken', () => {
  const { encapsulation, chained, nonMasqueradeCidrs, masquerade, mtu, shim } = options(
    '--cni-encapsulation=vxlan',
    '--cni-chain=[{"type":"bandwidth","capabilities":{"bandwidth":true}}]',
    '--cni-non-masquerade-cidrs=10.0.0.0/8,fd00::/8',
    '--cni-masquerade=false',
    '--cni-mtu=1400',
    '--cni-shim=/opt/shim.sh',
  );
  assert.deepEqual(
    { encapsulation, chained, nonMasqueradeCidrs, masquerade, mtu, shim },
    {
      encapsulation: 50,
      chained: [{ type: 'bandwidth', capabilities: { bandwidth: true } }],
      nonMasqueradeCidrs: ['10.0.0.0/8', 'fd00::/8'],
      masquerade: false,
      mtu: 1400,
      shim: '/opt/shim.sh',
    },
  );
  assert.equal(options('--cni-encapsulation=28').encapsulation, 28);
});

for (const [argument, text] of [
  ['--cni-conf-file=fairlead.conf', /is not the name of a conflist/],
  ['--cni-plugin-name=../fairlead', /is not a name/],
  ['--cni-network-name=a/b', /is not a name/],
  ['--cni-chain={}', /is not a list of plugins/],
  ['--cni-chain=[{}]', /is not a list of plugins/],
  ['--cni-chain=[', /is not JSON/],
  ['--cni-mtu=100', /is below 576/],
  ['--cni-encapsulation=gre', /is none of none, ipip, vxlan, vxlan6/],
  ['--cni-non-masquerade-cidrs=10.0.0.0', /has "10[.]0[.]0[.]0", which is no CIDR/],
] as const)
  test(`${argument} is refused`, () => assert.throws(() => options(argument), text));
