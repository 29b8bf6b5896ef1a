import assert from 'node:assert/strict';
import { test } from 'node:test';
import { evaluate, viewOf } from '../../../src/core/proxy/evaluate.ts';
import type { HostPort } from '../../../src/core/proxy/host-ports.ts';
import { keyText } from '../../../src/core/proxy/schema.ts';
import { createSnapshot } from '../../../src/core/proxy/snapshot.ts';
import { address, commit, context, fakeTable, lines, model, planner, slice } from './fixture.ts';
import { outcomeText } from './world.ts';

const snapshot = createSnapshot(context);
const pod = (ports: readonly HostPort[], more: { readonly key?: string; readonly podIps?: readonly string[] } = {}) =>
  snapshot.hostPorts({
    key: 'hostport:1',
    created: '2026-01-01T00:00:00Z',
    podIps: ['10.64.1.5', 'fd64:1::5'],
    ports,
    ...more,
  });

const TCP: HostPort = { protocol: 'tcp', hostPort: 8443, containerPort: 443 };

const keys = (made: ReturnType<typeof pod>) =>
  (['ip', 'ip6'] as const).flatMap((family) =>
    made[family].flatMap(({ frontends }) => frontends.map(({ key }) => keyText('masq-vips', key, family))),
  );

test('without hostIP: every address of the node, and 127.0.0.1 for the node itself', () => {
  assert.deepEqual(keys(pod([TCP])), [
    '10.0.0.1 . tcp . 8443',
    '192.168.7.1 . tcp . 8443',
    '127.0.0.1 . tcp . 8443',
    'fd00::1 . tcp . 8443',
    'fd07::1 . tcp . 8443',
  ]);
});

test('hostIP: one address, one family, or the loopback', () => {
  const at = (hostIp: string) => keys(pod([{ ...TCP, hostIp }]));
  assert.deepEqual(at('192.168.7.1'), ['192.168.7.1 . tcp . 8443']);
  assert.deepEqual(at('127.0.0.1'), ['127.0.0.1 . tcp . 8443']);
  assert.deepEqual(at('0.0.0.0'), ['10.0.0.1 . tcp . 8443', '192.168.7.1 . tcp . 8443', '127.0.0.1 . tcp . 8443']);
  assert.deepEqual(at('::'), ['fd00::1 . tcp . 8443', 'fd07::1 . tcp . 8443']);
  assert.deepEqual(at('::1'), []);
});

test('a bad port or address is told, the others work', () => {
  const made = pod([
    TCP,
    { ...TCP, hostPort: 0 },
    { ...TCP, hostPort: 1, containerPort: 70_000 },
    { ...TCP, hostPort: 2, hostIp: 'x' },
    { ...TCP, hostPort: 3, hostIp: '::1' },
  ]);
  assert.equal(keys(made).length, 5);
  assert.deepEqual(
    made.problems.map(({ message }) => message),
    [
      'hostPorts[1].hostPort: 0 must be a whole number from 1 to 65535',
      'hostPorts[2].containerPort: 70000 must be a whole number from 1 to 65535',
      'hostPorts[3].hostIP: "x" is not an IP address; only 127.0.0.1 of the loopback addresses works',
      'hostPorts[4].hostIP: "::1" is a loopback address; only 127.0.0.1 of the loopback addresses works',
    ],
  );
});

test('clients keep their address, only 127.0.0.1 and the pod itself are masqueraded', () => {
  const from = planner();
  const made = pod([TCP]);
  from.plan([[made.key, made]]);
  const view = viewOf(from.elements(), 'ip');
  const surroundings = {
    isNodeAddress: (bytes: string) => ['127.0.0.1', '10.0.0.1', '192.168.7.1'].map(address).includes(bytes),
    isPod: (bytes: string) => bytes.startsWith('\x0a@'),
    masqueradeAll: false,
    masqueradePods: false,
  };
  const connect = (source: string, destination: string) =>
    outcomeText(
      evaluate(
        view,
        { source: address(source), destination: address(destination), protocol: 'tcp', port: 8443 },
        surroundings,
      ),
    );
  assert.equal(connect('192.0.2.7', '10.0.0.1'), '10.64.1.5:443');
  assert.equal(connect('10.64.1.9', '192.168.7.1'), '10.64.1.5:443');
  assert.equal(connect('10.0.0.1', '10.0.0.1'), '10.64.1.5:443');
  assert.equal(connect('127.0.0.1', '127.0.0.1'), '10.64.1.5:443 masqueraded');
  assert.equal(connect('10.64.1.5', '10.0.0.1'), '10.64.1.5:443 masqueraded');
});

test('a NodePort keeps its address and port before a hostPort, an older pod before a younger', () => {
  const from = planner();
  const service = model(
    { type: 'NodePort', clusterIP: '172.30.0.1', ports: [{ name: 'http', port: 80, nodePort: 8443 }] },
    [slice([{ ip: '10.64.1.1' }])],
  );
  const [a, b] = [
    pod([TCP]),
    { ...pod([TCP], { key: 'hostport:2', podIps: ['10.64.1.6'] }), created: '2026-01-02T00:00:00Z' },
  ];
  from.plan([
    [b.key, b],
    [a.key, a],
    [service.key, service],
  ]);
  const owner = (ip: string) => from.ownerOf(`${address(ip)}\x06\0\0\0\x20\xfb\0\0`);
  assert.deepEqual(['10.0.0.1', '192.168.7.1', '127.0.0.1'].map(owner), ['default/web', 'hostport:1', 'hostport:1']);
  assert.equal(from.conflicts('hostport:2').length, 3);
});

test('a pod that goes leaves nothing', () => {
  const from = planner();
  const table = fakeTable('ip');
  const made = pod([TCP, { ...TCP, protocol: 'udp' }]);
  commit(table, from.plan([[made.key, made]]), from);
  commit(table, from.plan([[made.key, undefined]]), from);
  assert.deepEqual(lines(table.elements(), 'ip'), []);
});
