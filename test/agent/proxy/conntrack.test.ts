/** Flows of UDP clients to endpoints that are gone: which are looked for, and which go. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConntrackChannel } from '../../../src/agent/netlink/channel.ts';
import { createFlows } from '../../../src/agent/proxy/conntrack.ts';
import type { ConntrackEntry, ConntrackFilter } from '../../../src/core/net/conntrack.ts';
import type { Plan } from '../../../src/core/proxy/model.ts';
import { model, planner, type ServiceText, slice } from '../../core/proxy/fixture.ts';
import { createVirtualClock } from '../../fake/clock.ts';

const silent = { debug() {}, info() {}, warn() {}, error() {} };

/** Keeps entries and answers as the kernel does. */
function kernel(...entries: readonly ConntrackEntry[]) {
  const state = { entries: [...entries], dumps: [] as ConntrackFilter[] };
  const channel: ConntrackChannel = {
    kind: 'socket',
    dump: async (filter) => {
      state.dumps.push(filter);
      return state.entries.filter(
        ({ family, protocol, original }) =>
          family === filter.family &&
          protocol === filter.protocol &&
          (filter.destination === undefined || filter.destination === original.destination) &&
          (filter.destinationPort === undefined || filter.destinationPort === original.destinationPort),
      );
    },
    delete: async (gone) => {
      state.entries = state.entries.filter((entry) => !gone.includes(entry));
      return gone.length;
    },
    close: async () => {},
  };
  return { ...state, channel, left: () => state.entries.map(({ id }) => id), dumps: state.dumps };
}

/** A client's flow to a frontend, answered by an endpoint. */
function flow(id: number, to: string, by: string, more: Partial<ConntrackEntry> = {}): ConntrackEntry {
  const [destination = '', port] = to.split(':');
  const [source = '', sourcePort] = by.split(':');
  const client = { address: '192.0.2.7', port: 40_000 + id };
  return {
    family: 'ipv4',
    protocol: 17,
    id,
    zone: 0,
    original: { source: client.address, sourcePort: client.port, destination, destinationPort: Number(port) },
    reply: { source, sourcePort: Number(sourcePort), destination: client.address, destinationPort: client.port },
    ...more,
  };
}

const PORTS = [{ name: 'dns', port: 53, protocol: 'UDP' }] as const;

function world(channel: ConntrackChannel) {
  const from = planner();
  const flows = createFlows({ channel, planners: [from], clock: createVirtualClock(), log: silent, cleaned: () => {} });
  const set = (name: string, clusterIP: string, ...pods: readonly string[]): Plan => {
    const text: ServiceText = { name, clusterIP, clusterIPs: [clusterIP], ports: PORTS };
    const made = model(text, [
      slice(
        pods.map((ip) => ({ ip })),
        { ports: PORTS },
      ),
    ]);
    return from.plan([[made.key, made]]);
  };
  return { flows, set };
}

test('an endpoint that leaves takes its flows along, and those that were never translated', async () => {
  const { channel, left, dumps } = kernel(
    flow(1, '172.30.0.1:53', '10.64.1.1:53'),
    flow(2, '172.30.0.1:53', '10.64.1.2:53'),
    flow(3, '172.30.0.1:53', '172.30.0.1:53'),
    flow(4, '172.30.0.1:54', '10.64.1.1:53'),
    flow(5, '172.30.0.1:53', '10.64.1.1:53', { protocol: 6 }),
  );
  const { flows, set } = world(channel);
  set('a', '172.30.0.1', '10.64.1.1', '10.64.1.2');
  flows.stale('ip', set('a', '172.30.0.1', '10.64.1.2').flows);
  await flows.settled();
  assert.deepEqual(left(), [2, 4, 5]);
  assert.deepEqual(dumps, [{ family: 'ipv4', protocol: 17, destination: '172.30.0.1', destinationPort: 53 }]);
});

test('many frontends at once are one look at all flows', async () => {
  const { channel, left, dumps } = kernel(
    flow(1, '172.30.0.3:53', '10.64.1.99:53'),
    flow(2, '172.30.0.3:53', '10.64.1.3:53'),
    flow(3, '198.51.100.1:53', '10.64.1.99:53'),
    flow(4, '172.30.0.30:53', '10.64.1.99:53'),
  );
  const { flows, set } = world(channel);
  const plans = Array.from({ length: 20 }, (_, index) => set(`s${index}`, `172.30.0.${index}`, `10.64.1.${index}`));
  set('empty', '172.30.0.30');
  flows.stale(
    'ip',
    plans.flatMap((plan) => plan.flows),
  );
  await flows.settled();
  assert.deepEqual(left(), [2, 3, 4], 'frontends of others, and of Services that nobody serves, are left alone');
  assert.deepEqual(dumps, [{ family: 'ipv4', protocol: 17 }]);
});
