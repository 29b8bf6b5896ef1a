/**
 * Where the flows run: two nodes, four pods on each (routed veths), a client outside, and a sink for what no rule of the
 * node under test captured. Both families.
 *
 *   out --- gw --- segment --- n1 (under test: the only one with rules) --- a b c d
 *                          +-- n2 ------------------------------------- --- e f g h
 *                          +-- sink
 *
 * n2 sends whatever its pods send to n1, also what is meant for another pod of n2: so n1 sees both directions of every
 * connection, and what is measured is n1's rules alone. Service addresses are routed to n1 by everybody; n1 itself
 * routes them to the sink, which answers at every one of them.
 */
import { createNetns, type Netns } from '../../src/sandbox/netns.ts';
import { type Server, startTraffic, type Traffic } from './traffic.ts';

export type Family = 4 | 6;
export const families: readonly Family[] = [4, 6];

/** By family. */
export type Both = Readonly<Record<Family, string>>;

export const NODE: Both = { 4: '10.77.0.11', 6: 'fd00:10:77::11' };
export const NODE_SECONDARY: Both = { 4: '10.77.0.111', 6: 'fd00:10:77::111' };
export const OTHER_NODE: Both = { 4: '10.77.0.12', 6: 'fd00:10:77::12' };
export const POD_CIDR: Both = { 4: '10.244.0.0/16', 6: 'fd00:10:244::/48' };
export const NODE_POD_CIDR: Both = { 4: '10.244.1.0/24', 6: 'fd00:10:244:1::/64' };
export const OTHER_POD_CIDR: Both = { 4: '10.244.2.0/24', 6: 'fd00:10:244:2::/64' };
export const SERVICE_CIDR: Both = { 4: '10.96.0.0/16', 6: 'fd00:10:96::/112' };
export const EXTERNAL_CIDR: Both = { 4: '192.0.2.0/24', 6: '2001:db8:192::/112' };
export const LB_CIDR: Both = { 4: '203.0.113.0/24', 6: '2001:db8:203::/64' };
/** Of addresses that only the load balancer itself answers at (ipMode Proxy). */
const LB_PROXY_CIDR: Both = { 4: '198.18.0.0/24', 6: '2001:db8:204::/112' };
export const SEGMENT: Both = { 4: '10.77.0.0/24', 6: 'fd00:10:77::/64' };
/** Clients outside have addresses of both. */
export const INSIDE_CIDR: Both = { 4: '198.51.100.0/25', 6: '2001:db8:198::/120' };
export const OUTSIDE_CIDR: Both = { 4: '198.51.100.128/25', 6: '2001:db8:198::100/120' };
/** Of the n-th client within each. */
export const inside = (n: number): Both => ({
  4: `198.51.100.${10 + n}`,
  6: `2001:db8:198::${(0x10 + n).toString(16)}`,
});
export const outside: Both = { 4: '198.51.100.200', 6: '2001:db8:198::1c8' };

/** Where pods of the node under test send everything; what masquerade towards them writes. */
export const NODE_GATEWAY: Both = { 4: '10.244.1.1', 6: 'fd00:10:244:1::1' };
/** A load balancer's address that the node under test has itself, as when a speaker put it there. */
export const LB_ON_NODE: Both = { 4: '203.0.113.250', 6: '2001:db8:203::fa' };

const GATEWAY: Both = { 4: '10.77.0.1', 6: 'fd00:10:77::1' };
const SINK: Both = { 4: '10.77.0.254', 6: 'fd00:10:77::fe' };
const SINK_PORT = 7;
export const INSIDE_CLIENTS = 16;

export type Pod = 'a' | 'b' | 'c' | 'd' | 'e' | 'f' | 'g' | 'h';
export const pods: readonly Pod[] = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
export const nodeOf = (pod: Pod): 'n1' | 'n2' => (pod < 'e' ? 'n1' : 'n2');
export function podAddress(pod: Pod): Both {
  const last = 10 + pods.indexOf(pod);
  const node = nodeOf(pod) === 'n1' ? 1 : 2;
  return { 4: `10.244.${node}.${last}`, 6: `fd00:10:244:${node}::${last}` };
}

/** What pods answer on, and with which name: pod a is 'a' on 8080, 'A' on 8081. */
export const POD_PORTS = { lower: 8080, upper: 8081 } as const;

export interface World {
  readonly netns: Netns;
  readonly traffic: Traffic;
  /** The node's own listener, 'node', on its addresses and loopback; what no rule captures there arrives here. */
  listenOnNode(port: number): Promise<void>;
  close(): Promise<void>;
}

const NAMESPACES = ['n1', 'n2', 'gw', 'out', 'sink', ...pods];

export async function createWorld(): Promise<World> {
  const netns = await createNetns({ prefix: 'flow' });
  const traffic = startTraffic();
  const world: World = {
    netns,
    traffic,
    async listenOnNode(port) {
      const addresses = families.flatMap((family) => [NODE[family], NODE_SECONDARY[family], LOOPBACK[family]]);
      for (const address of addresses) await traffic.serve({ ns: 'n1', name: 'node', address, port });
    },
    async close() {
      await traffic.close();
      await netns.close();
    },
  };
  try {
    await Promise.all(NAMESPACES.map((ns) => netns.add(ns, { forwarding: ['n1', 'n2', 'gw'].includes(ns) })));
    await Promise.all(NAMESPACES.map((ns) => settings(netns, ns)));
    await segment(netns);
    await Promise.all(pods.map((pod) => addPod(netns, pod)));
    await routes(netns);
    await netns.ip('n1', [`addr add ${LB_ON_NODE[4]}/32 dev lo`, `addr add ${LB_ON_NODE[6]}/128 dev lo`]);
    for (const ns of NAMESPACES) await traffic.addNamespace(ns, netns.path(ns));
    await servers(traffic);
  } catch (error) {
    await world.close();
    throw error;
  }
  return world;
}

export const LOOPBACK: Both = { 4: '127.0.0.1', 6: '::1' };

/**
 * No filter by reverse path and no redirects, for packets take turns on purpose. ICMP without its limits of rate:
 * a refusal must not become a drop because there were many.
 */
async function settings(netns: Netns, ns: string): Promise<void> {
  await sysctls(netns, ns, {
    'net/ipv4/conf/all/rp_filter': '0',
    'net/ipv4/conf/default/rp_filter': '0',
    'net/ipv4/conf/all/send_redirects': '0',
    'net/ipv4/conf/default/send_redirects': '0',
    'net/ipv4/conf/all/accept_redirects': '0',
    'net/ipv4/conf/default/accept_redirects': '0',
    'net/ipv4/icmp_ratelimit': '0',
    'net/ipv4/icmp_ratemask': '0',
    'net/ipv6/icmp/ratelimit': '0',
    // No error of ICMPv6 counts for the limit of all messages; the mask cannot be written empty.
    'net/ipv6/icmp/ratemask': '127',
    'net/ipv4/ip_local_port_range': '10000 29999',
  });
}

export async function sysctls(netns: Netns, ns: string, values: Readonly<Record<string, string>>): Promise<void> {
  const lines = Object.entries(values).map(([key, value]) => `echo ${value} > /proc/sys/${key}`);
  await must(netns, ns, ['sh', '-ec', lines.join('\n')]);
}

/** Runs a program in a namespace and rejects when it fails. */
export async function must(netns: Netns, ns: string, argv: readonly string[], input?: string): Promise<string> {
  const { code, stdout, stderr } = await netns.exec(ns, argv, input === undefined ? {} : { input });
  if (code !== 0) throw new Error(`${ns}: ${argv.join(' ')}: ${stderr.trim()}`);
  return stdout;
}

async function segment(netns: Netns): Promise<void> {
  await netns.bridge('gw', 'br0');
  const addresses = (both: Both): readonly string[] => [`${both[4]}/24`, `${both[6]}/64`];
  await netns.ip(
    'gw',
    addresses(GATEWAY).map((address) => `addr add ${address} dev br0${nodad(address)}`),
  );
  for (const [ns, own] of [
    ['n1', [...addresses(NODE), ...addresses(NODE_SECONDARY)]],
    ['n2', addresses(OTHER_NODE)],
    ['sink', addresses(SINK)],
  ] as const)
    await netns.connect({ ns, ifname: 'eth0', addresses: own }, { ns: 'gw', ifname: ns, bridge: 'br0' });
  const clients = [outside, ...Array.from({ length: INSIDE_CLIENTS }, (_, n) => inside(n))];
  await netns.connect(
    { ns: 'gw', ifname: 'out', addresses: ['198.51.100.1/24', '2001:db8:198::1/64'] },
    { ns: 'out', ifname: 'eth0', addresses: clients.flatMap((own) => [`${own[4]}/24`, `${own[6]}/64`]) },
  );
}

async function addPod(netns: Netns, pod: Pod): Promise<void> {
  const node = nodeOf(pod);
  const own = podAddress(pod);
  const gateway = gatewayOf(node);
  const both = (of: Both): readonly string[] => [`${of[4]}/32`, `${of[6]}/128`];
  await netns.connect(
    { ns: node, ifname: `veth-${pod}`, addresses: both(gateway) },
    { ns: pod, ifname: 'eth0', addresses: both(own) },
  );
  await netns.ip(node, [`route add ${own[4]}/32 dev veth-${pod}`, `route add ${own[6]}/128 dev veth-${pod}`]);
  await netns.ip(pod, [
    `route add ${gateway[4]} dev eth0 scope link`,
    `route add default via ${gateway[4]} dev eth0`,
    `route add ${gateway[6]} dev eth0`,
    `route add ::/0 via ${gateway[6]} dev eth0`,
  ]);
}

function gatewayOf(node: 'n1' | 'n2'): Both {
  return node === 'n1' ? NODE_GATEWAY : { 4: '10.244.2.1', 6: 'fd00:10:244:2::1' };
}

async function routes(netns: Netns): Promise<void> {
  const via = (family: Family, to: string, hop: Both): string => `route add ${to} via ${hop[family]}`;
  await netns.ip(
    'n1',
    families.flatMap((family) => [
      via(family, OTHER_POD_CIDR[family], OTHER_NODE),
      via(family, CLIENTS[family], GATEWAY),
      via(family, ANYWHERE[family], SINK),
    ]),
  );
  await netns.ip(
    'n2',
    families.flatMap((family) => [
      via(family, ANYWHERE[family], NODE),
      `route add ${ANYWHERE[family]} via ${NODE[family]} dev eth0 table 100`,
    ]),
  );
  for (const pod of pods.filter((pod) => nodeOf(pod) === 'n2'))
    for (const family of families)
      await must(netns, 'n2', [...`ip -${family} rule add pref 100 iif veth-${pod} lookup 100`.split(' ')]);
  await netns.ip(
    'gw',
    families.map((family) => via(family, ANYWHERE[family], NODE)),
  );
  await netns.ip('out', [`route add default via 198.51.100.1`, 'route add ::/0 via 2001:db8:198::1']);
  await netns.ip(
    'sink',
    families.flatMap((family) => [
      via(family, ANYWHERE[family], NODE),
      ...UNCAPTURED.map((of) => `route add local ${of[family]} dev lo`),
    ]),
  );
  // Whatever the port, one server answers.
  const redirect = (family: string, of: readonly string[]): string => `table ${family} sink {
  chain in {
    type nat hook prerouting priority dstnat
    ${family} daddr { ${of.join(', ')} } meta l4proto { tcp, udp, sctp } redirect to :${SINK_PORT}
  }
}`;
  await must(
    netns,
    'sink',
    ['nft', '-f', '-'],
    [4, 6]
      .map((family) =>
        redirect(
          family === 6 ? 'ip6' : 'ip',
          UNCAPTURED.map((of) => of[family as Family]),
        ),
      )
      .join('\n'),
  );
}

/** What ends in the sink when no rule captures it. */
const UNCAPTURED: readonly Both[] = [SERVICE_CIDR, EXTERNAL_CIDR, LB_CIDR, LB_PROXY_CIDR];
const ANYWHERE: Both = { 4: '0.0.0.0/0', 6: '::/0' };
const CLIENTS: Both = { 4: '198.51.100.0/24', 6: '2001:db8:198::/64' };

async function servers(traffic: Traffic): Promise<void> {
  const all: Server[] = [];
  for (const family of families) {
    for (const pod of pods) {
      const address = podAddress(pod)[family];
      all.push({ ns: pod, name: pod, address, port: POD_PORTS.lower });
      all.push({ ns: pod, name: pod.toUpperCase(), address, port: POD_PORTS.upper });
    }
    all.push({ ns: 'sink', name: 'sink', address: SINK[family], port: SINK_PORT });
  }
  for (const server of all) await traffic.serve(server);
}

function nodad(address: string): string {
  return address.includes(':') ? ' nodad' : '';
}
