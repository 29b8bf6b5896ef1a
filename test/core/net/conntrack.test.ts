import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConntrackEntry } from '../../../src/core/net/conntrack.ts';
import { decodeConntrackEntry, isWanted } from '../../../src/core/net/conntrack-decode.ts';
import { encodeConntrackDelete, encodeConntrackDump } from '../../../src/core/net/conntrack-encode.ts';
import { conntrackDeleteArgs, conntrackListArgs, parseConntrack } from '../../../src/core/net/conntrack-text.ts';
import { messagesOf } from '../../../src/core/net/netlink.ts';

const entry: ConntrackEntry = {
  family: 'ipv4',
  protocol: 17,
  original: { source: '10.64.1.2', destination: '172.30.0.1', sourcePort: 1001, destinationPort: 53 },
  reply: { source: '10.64.2.2', destination: '10.64.1.2', sourcePort: 5353, destinationPort: 1001 },
  id: 0x89ab_cdef,
  zone: 0,
};

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const tuple = (source: string, destination: string, ports: string): string =>
  `14000180 08000100 ${source} 08000200 ${destination} 1c000280 05000100 11000000 06000200 ${ports.slice(0, 4)}0000 06000300 ${ports.slice(4)}0000`;

test('a deletion is of the original tuple and the id', () => {
  const body = `02000000 34000180 ${tuple('0a400102', 'ac1e0001', '03e90035')} 08000c00 89abcdef`.replaceAll(' ', '');
  const bytes = encodeConntrackDelete([entry, { ...entry, zone: 5 }], 9);
  const [first, second] = messagesOf(bytes);
  assert.deepEqual([first?.type, first?.flags, first?.seq, second?.seq], [0x102, 5, 9, 10]);
  assert.equal(hex(bytes.subarray(first?.start, first?.end)), body);
  assert.equal(hex(bytes.subarray(second?.start, second?.end)), `${body}0600120000050000`);
});

test('an entry of a dump is read, whatever else it says', () => {
  const body =
    '02000000' +
    `34000180 ${tuple('0a400102', 'ac1e0001', '03e90035')} 34000280 ${tuple('0a400202', '0a400102', '14e903e9')}` +
    '08000300 0000018e 08000700 0000001e 08000c00 89abcdef';
  const payload = Buffer.from(body.replaceAll(' ', ''), 'hex');
  const header = Buffer.alloc(16);
  header.writeUInt32LE(16 + payload.length, 0);
  header.writeUInt16LE(0x100, 4);
  const datagram = Buffer.concat([header, payload]);
  const [message] = messagesOf(datagram);
  assert.deepEqual(message && decodeConntrackEntry(datagram, message), entry);
});

test('a dump asks the kernel for the protocol and the destination', () => {
  assert.equal(
    hex(encodeConntrackDump({ family: 'ipv4', protocol: 17, destination: '172.30.0.1', destinationPort: 53 }, 3)),
    (
      '4c000000 01010103 03000000 00000000 02000000 24000180 0c000180 08000200 ac1e0001' +
      '14000280 05000100 11000000 06000300 00350000 14001980 08000100 2a000000 08000200 00000000'
    ).replaceAll(' ', ''),
  );
});

test('what the kernel gives beyond the filter is not wanted', () => {
  const filter = { family: 'ipv4', protocol: 17 } as const;
  assert.equal(isWanted(entry, filter), true);
  assert.equal(isWanted(entry, { ...filter, destination: '172.30.0.1', destinationPort: 53 }), true);
  assert.equal(isWanted(entry, { ...filter, protocol: 6 }), false);
  assert.equal(isWanted(entry, { ...filter, destination: '172.30.0.2' }), false);
  assert.equal(isWanted(entry, { ...filter, destinationPort: 54 }), false);
  assert.equal(isWanted(entry, { ...filter, family: 'ipv6' }), false);
});

test('the list of conntrack is read line by line', () => {
  const text = [
    'udp      17 29 src=10.64.1.2 dst=172.30.0.1 sport=1001 dport=53 [UNREPLIED] src=10.64.2.2 dst=10.64.1.2 sport=5353 dport=1001 mark=0 use=1 id=2309737967',
    'icmp     1 29 src=10.0.0.1 dst=10.0.0.2 type=8 code=0 id=77 src=10.0.0.2 dst=10.0.0.1 type=0 code=0 id=77 mark=0 use=1 id=5',
    'conntrack v1.4.7 (conntrack-tools): 1 flow entries have been shown.',
    '',
  ].join('\n');
  assert.deepEqual(parseConntrack(text, 'ipv4')[0], entry);
  assert.equal(parseConntrack(text, 'ipv4').length, 2);
});

test('arguments name the whole original tuple', () => {
  assert.deepEqual(
    conntrackDeleteArgs({ ...entry, zone: 3 }).join(' '),
    '-D -f ipv4 -p udp --orig-src 10.64.1.2 --orig-dst 172.30.0.1 --orig-port-src 1001 --orig-port-dst 53 --zone 3',
  );
  assert.deepEqual(
    conntrackListArgs({ family: 'ipv6', protocol: 132, destination: 'fd00::1' }).join(' '),
    '-L -f ipv6 -p sctp -o id --orig-dst fd00::1',
  );
});
