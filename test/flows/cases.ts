/** The tables of expected.ts, made into Services and into flows that can be tried. */
import {
  affinity,
  byPolicy,
  changes,
  destinations,
  policiesOf,
  ports,
  type Side,
  sourceRanges,
  states,
} from './expected.ts';
import type { Cell } from './outcome.ts';
import {
  allProtocols,
  clusterIp,
  externalIp,
  lbIp,
  lbIpProxy,
  lbIpUnset,
  nodePort,
  type Policy,
  ready,
  type ServiceSpec,
  unallocated,
} from './services.ts';
import type { Row, Source, TableRow } from './tables.ts';
import type { Flow, Protocol } from './traffic.ts';
import {
  type Both,
  type Family,
  families,
  INSIDE_CIDR,
  inside,
  LB_ON_NODE,
  LOOPBACK,
  NODE,
  NODE_SECONDARY,
  OUTSIDE_CIDR,
  outside,
  POD_CIDR,
  podAddress,
  SEGMENT,
} from './world.ts';

/** One destination, from all sources. */
export interface Case {
  /** The test that it belongs to: a Service, or a group of them. */
  readonly test: string;
  /** 'load balancer, udp, IPv6'. */
  readonly title: string;
  readonly expected: Row;
  readonly flows: Readonly<Partial<Record<Source, Flow>>>;
}

export interface Suite {
  readonly services: readonly ServiceSpec[];
  readonly cases: readonly Case[];
  /** Ports of the node on which its own listener must answer where no rule captures. */
  readonly nodeListens: readonly number[];
}

const MIXED = [ready('abef')];
const external: readonly string[] = ['external IP', 'load balancer', 'node port'];
/** With which the policies are tried over SCTP too. */
const sctpStates: ReadonlySet<string> = new Set(['mixed', 'remote', 'one-local', 'one-remote', 'none']);

/** Everything of the default configuration, before any change. */
export function wholeSuite(): Suite {
  const whole = suite([
    ...policySuite(byPolicy, Object.keys(states)),
    ...affinityServices(),
    ...otherServices(),
    ...rangedServices(),
    ...changed.map(({ before }) => ({ spec: before, cases: [] })),
  ]);
  const later = changesOf(whole).flatMap(({ cases }) => cases);
  return { ...whole, nodeListens: nodeListens([...whole.cases, ...later]) };
}

/** The policies alone, by the rows of another table: for a proxy with other options. */
export function optionSuite(rows: readonly TableRow[]): Suite {
  return suite(policySuite(rows, [...new Set(rows.map(({ keys }) => keys['state'] ?? ''))]));
}

/** A Service without its index, which its place in the list decides. */
type Unnumbered = Omit<ServiceSpec, 'index'>;
interface Part {
  readonly spec: Unnumbered;
  readonly cases: readonly Wanted[];
}
interface Wanted {
  readonly to: string;
  readonly protocols: readonly Protocol[];
  readonly row: Row;
  /** Of the Service, where it has several (80). */
  readonly port?: number;
}

function suite(parts: readonly Part[]): Suite {
  const services = parts.map(({ spec }, nth) => ({ ...spec, index: nth + 1 }));
  const cases = parts.flatMap(({ cases }, nth) =>
    cases.flatMap((wanted) => casesOf(services[nth] as ServiceSpec, wanted)),
  );
  return { services, cases, nodeListens: nodeListens(cases) };
}

export function nodeListens(cases: readonly Case[]): readonly number[] {
  const nodes = new Set([NODE, NODE_SECONDARY, LOOPBACK].flatMap((of) => families.map((family) => of[family])));
  const ports = cases
    .filter(({ expected }) => Object.values(expected).includes('o'))
    .flatMap(({ flows }) => Object.values(flows))
    .filter(({ address }) => nodes.has(address))
    .map(({ port }) => port);
  return [...new Set(ports)].sort((a, b) => a - b);
}

// ---------------------------------------------------------------------------------------------------------------------
// Policies

function policySuite(rows: readonly TableRow[], names: readonly string[]): readonly Part[] {
  return names.flatMap((state) =>
    policiesOf(state)
      .filter(
        (pair) => sideRow(rows, state, 'internal', pair.internal) && sideRow(rows, state, 'external', pair.external),
      )
      .map(({ internal, external: externalPolicy }) => {
        const protocols: readonly Protocol[] = sctpStates.has(state) ? ['tcp', 'udp', 'sctp'] : ['tcp', 'udp'];
        const outer = sideRow(rows, state, 'external', externalPolicy) as Row;
        return {
          spec: {
            name: `${state}-${internal[0]}${externalPolicy[0]}`.toLowerCase(),
            slices: states[state] ?? [],
            internal,
            external: externalPolicy,
          },
          cases: [
            { to: 'ClusterIP', protocols, row: sideRow(rows, state, 'internal', internal) as Row },
            ...external.map((to) => ({ to, protocols, row: outer })),
          ],
        };
      }),
  );
}

function sideRow(rows: readonly TableRow[], state: string, side: Side, policy: Policy): Row | undefined {
  return rows.find(({ keys }) => keys['state'] === state && keys['side'] === side && keys['policy'] === policy)?.row;
}

function affinityServices(): readonly Part[] {
  const row = (side: Side, policy: Policy): Row =>
    affinity.find(({ keys }) => keys['side'] === side && keys['policy'] === policy)?.row as Row;
  return (['Cluster', 'Local'] as const).map((policy) => ({
    spec: {
      name: `affinity-${policy.toLowerCase()}`,
      slices: MIXED,
      internal: policy,
      external: policy,
      affinitySeconds: 10_800,
    },
    cases: [
      { to: 'ClusterIP', protocols: ['tcp', 'udp'], row: row('internal', policy) },
      ...external.map((to): Wanted => ({ to, protocols: ['tcp', 'udp'], row: row('external', policy) })),
    ],
  }));
}

// ---------------------------------------------------------------------------------------------------------------------
// Single Services

const tcpOnly = allProtocols.filter(({ protocol }) => protocol === 'TCP');

function otherServices(): readonly Part[] {
  const kinds: Readonly<Record<string, Partial<ServiceSpec>>> = {
    mixed: {},
    'tcp-only': { ports: tcpOnly },
    'cluster-ip': { type: 'ClusterIP' },
    'node-port': { type: 'NodePort' },
    'no-ingress': { hasNoIngress: true },
    'other-proxy': { labels: { 'service.kubernetes.io/service-proxy-name': 'somebody-else' } },
  };
  const parts = Object.entries(kinds).map(([name, rest]) => ({
    spec: { name, slices: MIXED, ...rest },
    cases: destinations.filter(({ keys }) => keys['service'] === name).map((row) => wantedOf(row, name === 'tcp-only')),
  }));
  return [...parts, severalPorts()];
}

function wantedOf({ keys, row }: TableRow, isTcpOnly = false): Wanted {
  const to = keys['to'] ?? '';
  if (to.endsWith(' wrong protocol')) return { to: to.replace(' wrong protocol', ''), protocols: ['udp'], row };
  return { to, protocols: isTcpOnly ? ['tcp'] : ['tcp', 'udp'], row };
}

function severalPorts(): Part {
  return {
    spec: {
      name: 'several-ports',
      slices: MIXED,
      ports: [
        { name: 'tcp-80', protocol: 'TCP', port: 80, targetPort: 8080 },
        { name: 'udp-80', protocol: 'UDP', port: 80, targetPort: 8081 },
        { name: 'tcp-81', protocol: 'TCP', port: 81, targetPort: 8081 },
      ],
    },
    cases: ports.map(({ keys, row }) => {
      const [protocol = '', port] = (keys['port'] ?? '').split('/');
      return { to: keys['to'] ?? '', protocols: [protocol as Protocol], port: Number(port), row };
    }),
  };
}

const both = (...ranges: readonly Both[]): readonly string[] =>
  ranges.flatMap((of) => families.map((family) => of[family]));

function rangedServices(): readonly Part[] {
  const whole: Both = { 4: '198.51.100.0/24', 6: '2001:db8:198::/64' };
  const kinds: Readonly<Record<string, Partial<ServiceSpec>>> = {
    'ranged-client': { sourceRanges: both(INSIDE_CIDR) },
    'ranged-local': { sourceRanges: both(INSIDE_CIDR), external: 'Local' },
    'ranged-node': { sourceRanges: both(INSIDE_CIDR, SEGMENT) },
    'ranged-pod': { sourceRanges: both(POD_CIDR) },
    'ranged-node-vip': { sourceRanges: both(INSIDE_CIDR, SEGMENT), lbAddress: LB_ON_NODE, ports: [port8000] },
    'ranged-client-vip': { sourceRanges: both(INSIDE_CIDR), lbAddress: LB_ON_NODE },
    'ranged-many': { sourceRanges: both(whole, INSIDE_CIDR, OUTSIDE_CIDR) },
    'ranged-none': { sourceRanges: both(INSIDE_CIDR), slices: [] },
  };
  return Object.entries(kinds).map(([name, rest]) => ({
    spec: { name, slices: MIXED, ...rest },
    cases: sourceRanges
      .filter(({ keys }) => keys['service'] === name)
      .map((row) =>
        name === 'ranged-node-vip'
          ? { ...wantedOf(row), protocols: ['tcp'] as const, port: port8000.port }
          : wantedOf(row),
      ),
  }));
}

/** Two Services share the load balancer address that the node has. */
const port8000 = { name: 'tcp', protocol: 'TCP', port: 8000 } as const;

// ---------------------------------------------------------------------------------------------------------------------
// Changes

/** A Service before and after. `after` absent: deleted. */
export interface Change {
  readonly before: Unnumbered;
  readonly after: Partial<ServiceSpec> | undefined;
}

const base = (name: string, rest: Partial<ServiceSpec> = {}): Unnumbered => ({ name, slices: MIXED, ...rest });
const ranges = { sourceRanges: both(INSIDE_CIDR) };

const changed: readonly Change[] = [
  { before: base('deleted'), after: undefined },
  { before: base('endpoints-leave'), after: { slices: [] } },
  { before: base('endpoints-come', { slices: [] }), after: { slices: MIXED } },
  { before: base('fewer-endpoints'), after: { slices: [ready('be')] } },
  { before: base('more-endpoints', { slices: [ready('ae')] }), after: { slices: [ready('abcefg')] } },
  {
    before: base('all-terminating'),
    after: {
      slices: [
        [
          { endpoint: 'a', is: 'terminating' },
          { endpoint: 'e', is: 'terminating' },
        ],
      ],
    },
  },
  { before: base('local-leave', { external: 'Local' }), after: { external: 'Local', slices: [ready('ef')] } },
  { before: base('other-port'), after: { slices: [ready('ABEF')] } },
  { before: base('to-local'), after: { internal: 'Local', external: 'Local' } },
  {
    before: base('to-cluster', { internal: 'Local', external: 'Local' }),
    after: { internal: 'Cluster', external: 'Cluster' },
  },
  { before: base('to-external-name'), after: { type: 'ExternalName' } },
  { before: base('from-external-name', { type: 'ExternalName' }), after: { type: 'NodePort' } },
  { before: base('to-cluster-ip', { type: 'LoadBalancer' }), after: { type: 'ClusterIP' } },
  { before: base('to-node-port', { type: 'ClusterIP' }), after: { type: 'NodePort' } },
  { before: base('new-ranges', ranges), after: { sourceRanges: both(OUTSIDE_CIDR) } },
  { before: base('no-ranges', ranges), after: { sourceRanges: [] } },
  { before: base('ingress-leaves'), after: { hasNoIngress: true } },
  { before: base('new-ingress', { hasNoIngress: true }), after: { hasNoIngress: false } },
  { before: base('new-affinity'), after: { affinitySeconds: 10_800 } },
  {
    before: base('no-affinity', { affinitySeconds: 10_800 }),
    after: { affinitySeconds: undefined },
  },
];

export interface ChangedService {
  readonly before: ServiceSpec;
  /** Absent: deleted. */
  readonly after: ServiceSpec | undefined;
  readonly cases: readonly Case[];
}

/** What changes in the whole suite once it has run, and what must hold afterwards. */
export function changesOf({ services }: Suite): readonly ChangedService[] {
  return changed.map(({ before: { name }, after }) => {
    const before = services.find((spec) => spec.name === name) as ServiceSpec;
    const spec = after === undefined ? undefined : { ...before, ...after };
    const rows = changes.filter(({ keys }) => keys['service'] === name);
    if (rows.length === 0) throw new Error(`nothing is expected of ${name}`);
    return { before, after: spec, cases: rows.flatMap((row) => casesOf(before, wantedOf(row))) };
  });
}

// ---------------------------------------------------------------------------------------------------------------------
// Flows

function casesOf(spec: ServiceSpec, wanted: Wanted): readonly Case[] {
  return wanted.protocols.flatMap((protocol) =>
    families.map((family) => ({
      test: spec.name,
      title: `${wanted.to}${wanted.port === undefined ? '' : `:${wanted.port}`}, ${protocol}, IPv${family}`,
      expected: tried(wanted.row),
      flows: Object.fromEntries(
        (Object.keys(tried(wanted.row)) as Source[]).map((source) => [
          source,
          { ...sourceOf(source, family), protocol, ...destinationOf(spec, wanted, family) },
        ]),
      ),
    })),
  );
}

function tried(row: Row): Row {
  return Object.fromEntries(Object.entries(row).filter(([, cell]: readonly [string, Cell]) => cell !== '.'));
}

function sourceOf(source: Source, family: Family): Pick<Flow, 'ns' | 'source'> {
  switch (source) {
    case 'pod':
      return { ns: 'd', source: podAddress('d')[family] };
    case 'self':
      return { ns: 'a', source: podAddress('a')[family] };
    case 'remote-pod':
      return { ns: 'h', source: podAddress('h')[family] };
    case 'node':
      return { ns: 'n1' };
    case 'other-node':
      return { ns: 'n2' };
    case 'client':
      return { ns: 'out', source: inside(0)[family] };
    case 'stranger':
      return { ns: 'out', source: outside[family] };
    default:
      return source satisfies never;
  }
}

export function destinationOf(
  spec: ServiceSpec,
  { to, port = 80 }: { readonly to: string; readonly port?: number },
  family: Family,
): Pick<Flow, 'address' | 'port'> {
  const { index, lbAddress = lbIp(index) } = spec;
  const ofNode = nodePort(index, port === 80 || port === port8000.port ? 0 : 1);
  switch (to) {
    case 'ClusterIP':
      return { address: clusterIp(index)[family], port };
    case 'ClusterIP wrong port':
      return { address: clusterIp(index)[family], port: 99 };
    case 'ClusterIP node port':
      return { address: clusterIp(index)[family], port: ofNode };
    case 'unallocated':
      return { address: unallocated[family], port };
    case 'external IP':
      return { address: externalIp(index)[family], port };
    case 'external IP wrong port':
      return { address: externalIp(index)[family], port: 99 };
    case 'load balancer':
      return { address: lbAddress[family], port };
    case 'load balancer unset':
      return { address: lbIpUnset(index)[family], port };
    case 'load balancer Proxy':
      return { address: lbIpProxy(index)[family], port };
    case 'load balancer wrong port':
      return { address: lbAddress[family], port: 99 };
    case 'load balancer node port':
      return { address: lbAddress[family], port: ofNode };
    case 'node port':
      return { address: NODE[family], port: ofNode };
    case 'node port at secondary':
      return { address: NODE_SECONDARY[family], port: ofNode };
    case 'node port at loopback':
      return { address: LOOPBACK[family], port: ofNode };
    case "node's address, port":
      return { address: NODE[family], port };
    default:
      throw new Error(`${JSON.stringify(to)} is no destination`);
  }
}
