import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { ConntrackOptions } from '../../src/agent/proxy/options.ts';
import { conntrackSettings, createSysctls, enableForwarding } from '../../src/agent/sysctl.ts';

const defaults: ConntrackOptions = {
  maxPerCore: 32_768,
  min: 131_072,
  tcpEstablishedSeconds: 86_400,
  tcpCloseWaitSeconds: 3600,
  tcpBeLiberal: false,
  udpSeconds: 0,
  udpStreamSeconds: 0,
};

/** A folder that stands for /proc/sys, with these files; what was logged. */
function fakeKernel(t: TestContext, files: Readonly<Record<string, string>>) {
  const root = mkdtempSync(join(tmpdir(), 'fairlead-sysctl-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  const warned: string[] = [];
  const log = {
    debug() {},
    info() {},
    error() {},
    warn: (fields: object) => void warned.push((fields as { setting: string }).setting),
  };
  const text = (name: string): string => readFileSync(join(root, name), 'utf8').trim();
  return { root, warned, text, sysctls: createSysctls({ root, log }) };
}

const limits: readonly { name: string; options: Partial<ConntrackOptions>; cores: number; most: number | undefined }[] =
  [
    { name: 'few cores get the least', options: {}, cores: 2, most: 131_072 },
    { name: 'more cores get more', options: {}, cores: 8, most: 262_144 },
    { name: 'very many cores are capped', options: {}, cores: 128, most: 1_048_576 },
    { name: 'a least above the cap was asked for', options: { min: 2_000_000 }, cores: 2, most: 2_000_000 },
    {
      name: 'zero per core leaves the limit alone, whatever the least is',
      options: { maxPerCore: 0 },
      cores: 8,
      most: undefined,
    },
  ];
for (const { name, options, cores, most } of limits) {
  test(`conntrack limit: ${name}`, () => {
    const settings = conntrackSettings({ ...defaults, ...options }, cores);
    assert.equal(settings.find((one) => one.name === 'net/netfilter/nf_conntrack_max')?.value, most);
    const buckets = settings.find((one) => one.name === 'net/netfilter/nf_conntrack_buckets')?.value;
    assert.equal(buckets, most === undefined ? undefined : most / 4);
  });
}

test('conntrack time-outs: zero leaves a value as it is, the others are set', () => {
  const names = (options: Partial<ConntrackOptions>) =>
    conntrackSettings({ ...defaults, maxPerCore: 0, ...options }, 1).map(({ name, value }) => [name.slice(27), value]);
  assert.deepEqual(names({}), [
    ['tcp_timeout_established', 86_400],
    ['tcp_timeout_close_wait', 3600],
  ]);
  assert.deepEqual(
    names({
      tcpEstablishedSeconds: 0,
      tcpCloseWaitSeconds: 0,
      tcpBeLiberal: true,
      udpSeconds: 30,
      udpStreamSeconds: 180,
    }),
    [
      ['tcp_be_liberal', 1],
      ['udp_timeout', 30],
      ['udp_timeout_stream', 180],
    ],
  );
});

test('a setting is written once, a limit is only raised', async (t) => {
  const { sysctls, text } = fakeKernel(t, { 'net/a': '5\n', 'net/b': '9\n' });
  assert.equal(await sysctls.write({ name: 'net/a', value: 7 }), 'set');
  assert.equal(await sysctls.write({ name: 'net/a', value: 7 }), 'same');
  assert.equal(await sysctls.write({ name: 'net/b', value: 7, atLeast: true }), 'same');
  assert.deepEqual([text('net/a'), text('net/b')], ['7', '9']);
});

test('a setting that does not exist or may not be written is a warning and no failure', async (t) => {
  const { root, sysctls, warned } = fakeKernel(t, { 'net/folder/x': '1\n' });
  assert.equal(await sysctls.write({ name: 'net/missing', value: 1 }), 'absent');
  // A folder refuses to be written for root too, unlike a file without rights.
  chmodSync(join(root, 'net/folder'), 0o500);
  assert.equal(await sysctls.write({ name: 'net/folder', value: 1 }), 'refused');
  assert.deepEqual(warned, ['net/missing', 'net/folder']);
});

test('forwarding of IPv6 keeps the routes from router advertisements', async (t) => {
  const { sysctls, text } = fakeKernel(t, {
    'net/ipv4/ip_forward': '0\n',
    'net/ipv6/conf/all/forwarding': '0\n',
    'net/ipv6/conf/default/accept_ra': '1\n',
    'net/ipv6/conf/eth0/accept_ra': '1\n',
    'net/ipv6/conf/eth1.5/accept_ra': '0\n',
  });
  await enableForwarding(sysctls, { ipv4: true, ipv6: true, interfaces: ['eth0', 'eth1.5', 'gone'] });
  assert.equal(text('net/ipv4/ip_forward'), '1');
  assert.equal(text('net/ipv6/conf/all/forwarding'), '1');
  assert.equal(text('net/ipv6/conf/default/accept_ra'), '2');
  assert.equal(text('net/ipv6/conf/eth0/accept_ra'), '2');
  assert.equal(text('net/ipv6/conf/eth1.5/accept_ra'), '0', 'somebody switched it off');
});

test('where IPv6 is forwarded already, nothing of it is touched', async (t) => {
  const { sysctls, text } = fakeKernel(t, {
    'net/ipv6/conf/all/forwarding': '1\n',
    'net/ipv6/conf/eth0/accept_ra': '1\n',
  });
  await enableForwarding(sysctls, { ipv4: false, ipv6: true, interfaces: ['eth0'] });
  assert.equal(text('net/ipv6/conf/eth0/accept_ra'), '1');
});
