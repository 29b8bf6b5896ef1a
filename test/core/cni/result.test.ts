import assert from 'node:assert/strict';
import { test } from 'node:test';
import { appended, type CniResult, emptyResult, parsePrevResult, resultObject } from '../../../src/core/cni/result.ts';
import { type CniVersion, cniVersions, versionAnswer } from '../../../src/core/cni/versions.ts';

const result: CniResult = {
  interfaces: [
    { name: 'fl1', mac: '0a:59:0a:40:01:02', mtu: 1500 },
    { name: 'eth0', mac: '0a:58:0a:40:01:02', mtu: 1500, sandbox: '/run/netns/x' },
  ],
  ips: [
    { interface: 1, address: '10.64.1.2/32', gateway: '10.64.1.1' },
    { interface: 1, address: 'fd00::2/128', gateway: 'fd00::1' },
  ],
  routes: [
    { dst: '0.0.0.0/0', gw: '10.64.1.1', priority: 5 },
    { dst: '::/0', gw: 'fd00::1' },
  ],
  dns: { nameservers: ['10.96.0.10'] },
};

const early = (cniVersion: string) => ({
  cniVersion,
  ip4: { ip: '10.64.1.2/32', gateway: '10.64.1.1', routes: [{ dst: '0.0.0.0/0', gw: '10.64.1.1' }] },
  ip6: { ip: 'fd00::2/128', gateway: 'fd00::1', routes: [{ dst: '::/0', gw: 'fd00::1' }] },
  dns: { nameservers: ['10.96.0.10'] },
});
const withoutMtu = [
  { name: 'fl1', mac: '0a:59:0a:40:01:02' },
  { name: 'eth0', mac: '0a:58:0a:40:01:02', sandbox: '/run/netns/x' },
];
const plainRoutes = [
  { dst: '0.0.0.0/0', gw: '10.64.1.1' },
  { dst: '::/0', gw: 'fd00::1' },
];
const middle = (cniVersion: string) => ({
  cniVersion,
  interfaces: withoutMtu,
  ips: [
    { version: '4', ...result.ips[0] },
    { version: '6', ...result.ips[1] },
  ],
  routes: plainRoutes,
  dns: result.dns,
});
const expected: Readonly<Record<CniVersion, object>> = {
  '0.1.0': early('0.1.0'),
  '0.2.0': early('0.2.0'),
  '0.3.0': middle('0.3.0'),
  '0.3.1': middle('0.3.1'),
  '0.4.0': middle('0.4.0'),
  '1.0.0': { cniVersion: '1.0.0', interfaces: withoutMtu, ips: result.ips, routes: plainRoutes, dns: result.dns },
  '1.1.0': { cniVersion: '1.1.0', ...result },
};
for (const version of cniVersions) {
  test(`a result of ${version} has what the version knows`, () =>
    assert.deepEqual(resultObject(version, result), expected[version]));

  test(`a result of ${version} is read back as far as the version goes`, () => {
    const read = parsePrevResult(JSON.parse(JSON.stringify(resultObject(version, result))), '1.0.0');
    assert.deepEqual(resultObject(version, read ?? emptyResult), expected[version]);
  });
}

test('no result is none, also as null; an empty one is empty', () => {
  assert.equal(parsePrevResult(undefined, '1.0.0'), undefined);
  assert.equal(parsePrevResult(null, '1.0.0'), undefined);
  assert.deepEqual(parsePrevResult({}, '1.0.0'), emptyResult);
});

test('ours goes behind what was there, and its indexes move along', () => {
  const before: CniResult = { ...emptyResult, interfaces: [{ name: 'dummy0' }], dns: { domain: 'x' } };
  const both = appended(before, { ...result, dns: {} });
  assert.deepEqual(
    both.ips.map((ip) => ip.interface),
    [2, 2],
  );
  assert.deepEqual(both.dns, { domain: 'x' });
  assert.deepEqual(appended(emptyResult, result), result);
});

test('VERSION names all seven', () => {
  assert.deepEqual(JSON.parse(versionAnswer('0.4.0')), { cniVersion: '0.4.0', supportedVersions: [...cniVersions] });
});
