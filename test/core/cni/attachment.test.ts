import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Attachment, attachmentText, nameOf, parseAttachment } from '../../../src/core/cni/attachment.ts';
import { parseReservation, reservationText, reservedAddress } from '../../../src/core/cni/host-local.ts';
import { compareHostPorts, hostPortsOf, portClash } from '../../../src/core/cni/hostports.ts';

const attachment: Attachment = {
  state: 'ready',
  bootId: 'b',
  network: 'net',
  containerId: 'abc',
  ifname: 'eth0',
  netns: '/run/netns/x',
  pod: { namespace: 'shop', name: 'web', uid: 'u' },
  link: { name: 'fl00000000001', index: 100_001 },
  addresses: ['10.64.1.2', 'fd00::2'],
  portMappings: [
    { hostPort: 80, containerPort: 8080, protocol: 'TCP' },
    { hostPort: 53, containerPort: 53, protocol: 'UDP', hostIP: '0.0.0.0' },
    { hostPort: 443, containerPort: 8443, protocol: 'TCP', hostIP: '192.0.2.1' },
  ],
};

test('what is written is read back', () => assert.deepEqual(parseAttachment(attachmentText(attachment)), attachment));

test('a file that was cut off anywhere is no attachment', () => {
  const text = attachmentText(attachment);
  for (let length = 0; length < text.length; length += 1)
    assert.equal(parseAttachment(text.slice(0, length)), undefined);
});

for (const [name, text] of [
  ['nothing', ''],
  ['null', 'null\n'],
  ['a list', '[]\n'],
  ['an unknown format', `${JSON.stringify({ ...attachment, format: 2 })}\n`],
  ['an address that is none', `${JSON.stringify({ ...attachment, format: 1, addresses: ['x'] })}\n`],
  ['a container id that is none', `${JSON.stringify({ ...attachment, format: 1, containerId: '../x' })}\n`],
  ['no addresses', `${JSON.stringify({ ...attachment, format: 1, addresses: undefined })}\n`],
] as const)
  test(`${name} is no attachment`, () => assert.equal(parseAttachment(text), undefined));

test('host ports: each family that both have; 0.0.0.0 is every address of one family', () => {
  assert.deepEqual([...hostPortsOf(attachment)].sort(compareHostPorts), [
    { protocol: 'UDP', hostPort: 53, podIP: '10.64.1.2', podPort: 53 },
    { protocol: 'TCP', hostPort: 80, podIP: '10.64.1.2', podPort: 8080 },
    { protocol: 'TCP', hostPort: 80, podIP: 'fd00::2', podPort: 8080 },
    { hostIP: '192.0.2.1', protocol: 'TCP', hostPort: 443, podIP: '10.64.1.2', podPort: 8443 },
  ]);
});

test('ports clash at one address, or where one of both has all', () => {
  const port = { protocol: 'TCP', hostPort: 80, podIP: '10.64.1.2', podPort: 80 } as const;
  assert.ok(portClash(port, { ...port, podIP: '10.64.1.3' }));
  assert.ok(portClash(port, { ...port, hostIP: '192.0.2.1' }));
  assert.ok(!portClash({ ...port, hostIP: '192.0.2.2' }, { ...port, hostIP: '192.0.2.1' }));
  assert.ok(!portClash(port, { ...port, protocol: 'UDP' }));
  assert.ok(!portClash(port, { ...port, podIP: 'fd00::2' }));
});

test('it is called by its pod where that is known', () => {
  assert.equal(nameOf(attachment), 'pod shop/web (eth0)');
  assert.equal(nameOf({ containerId: 'abc', ifname: 'net1' }), 'container abc (net1)');
});

test('address files are those of host-local, old ones too; an empty one is nobody', () => {
  assert.equal(reservationText('abc', 'eth0'), 'abc\r\neth0');
  assert.deepEqual(parseReservation('abc\r\neth0'), { containerId: 'abc', ifname: 'eth0' });
  assert.deepEqual(parseReservation('abc\n'), { containerId: 'abc' });
  assert.equal(parseReservation(''), undefined);
  assert.deepEqual(['10.64.1.2', 'fd00::2', 'lock', 'last_reserved_ip.0', '10.64.1'].map(reservedAddress), [
    '10.64.1.2',
    'fd00::2',
    undefined,
    undefined,
    undefined,
  ]);
});
