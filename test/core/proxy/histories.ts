/** Random histories of three Services that collide, share pods and come back. */
import fc from 'fast-check';
import type { EndpointSlice, Service } from '../../../src/core/objects.ts';
import type { ServiceModel } from '../../../src/core/proxy/model.ts';
import { createSnapshot } from '../../../src/core/proxy/snapshot.ts';
import { context, type ServiceText, service, slice } from './fixture.ts';

const NAMES = ['a', 'b', 'c'] as const;
export type Name = (typeof NAMES)[number];

export interface State {
  readonly text: ServiceText;
  readonly slices: readonly EndpointSlice[];
}

const snapshot = createSnapshot(context);

/** Few addresses, ports and pods, so that Services collide, share pods and come back. */
const endpoint = fc.record({
  last: fc.integer({ min: 1, max: 6 }),
  node: fc.constantFrom('n1', 'n2'),
  state: fc.constantFrom('ready', 'ready', 'ready', 'terminating', 'not-ready', 'gone'),
  zone: fc.constantFrom(undefined, 'za', 'zb'),
} as const);

const endpoints = fc.uniqueArray(endpoint, { maxLength: 5, selector: ({ last }) => last });

const weight = fc.constantFrom(undefined, '1', '3', 'x');

const policy = fc.constantFrom('Cluster', 'Cluster', 'Local');

const anyState = (name: Name): fc.Arbitrary<State> =>
  fc
    .record({
      type: fc.constantFrom('ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'),
      created: fc.constantFrom('2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z'),
      internal: policy,
      external: policy,
      affinity: fc.constantFrom(0, 0, 10_800, 60, 30),
      externalIp: fc.constantFrom(undefined, '198.51.100.1', '198.51.100.2', '172.30.0.10', 'nonsense', '2001:db8::9'),
      ingress: fc.constantFrom('203.0.113.1', '203.0.113.2', '2001:db8::1'),
      nodePort: fc.constantFrom(0, 30_000, 30_001),
      ranges: fc.constantFrom(
        undefined,
        ['192.0.2.0/24'],
        ['192.0.2.0/25', '10.0.0.0/8'],
        ['192.0.2.64/26', '192.0.2.0/23', 'x'],
        ['bad'],
      ),
      protocol: fc.constantFrom('TCP', 'UDP', 'SCTP'),
      port: fc.constantFrom(80, 81),
      one: endpoints,
      two: endpoints,
      weight,
    } as const)
    .map((facts): State => {
      const ports = [
        {
          name: 'p',
          port: facts.port,
          protocol: facts.protocol,
          ...(facts.nodePort === 0 ? {} : { nodePort: facts.nodePort }),
        },
      ] as const;
      const index = NAMES.indexOf(name);
      const slicePorts = [{ name: 'p', port: 8080, protocol: facts.protocol }] as const;
      const texts = (family: 4 | 6, list: typeof facts.one) =>
        list.map(({ last, node, state, zone }) => ({
          ip: family === 4 ? `10.64.${node === 'n1' ? 1 : 2}.${last}` : `fd64:${node === 'n1' ? 1 : 2}::${last}`,
          nodeName: node,
          state,
          ...(zone === undefined ? {} : { hints: { forZones: [{ name: zone }] } }),
        }));
      const make = (family: 4 | 6, suffix: string, list: typeof facts.one) =>
        slice(texts(family, list), {
          name: `${name}-${family}-${suffix}`,
          family: `IPv${family}`,
          ports: slicePorts,
          ...(suffix === 'x' && facts.weight !== undefined
            ? { annotations: { 'fairlead.dev/weight': facts.weight } }
            : {}),
        });
      return {
        text: {
          name,
          type: facts.type,
          created: facts.created,
          clusterIPs: [`172.30.0.1${index}`, `fd30::1${index}`],
          internalTrafficPolicy: facts.internal,
          externalTrafficPolicy: facts.external,
          ...(facts.affinity === 0
            ? {}
            : { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: facts.affinity } } }),
          ...(facts.externalIp === undefined ? {} : { externalIPs: [facts.externalIp] }),
          ...(facts.ranges === undefined ? {} : { loadBalancerSourceRanges: facts.ranges }),
          ports,
          ...(facts.type === 'LoadBalancer' ? { ingress: [{ ip: facts.ingress }] } : {}),
        },
        slices: [make(4, 'x', facts.one), make(4, 'y', facts.two), make(6, 'x', facts.one), make(6, 'y', facts.two)],
      };
    });

/** One Service changes, or several at once; `undefined` deletes. */
const change = fc
  .constantFrom(...NAMES)
  .chain((name) => fc.tuple(fc.constant(name), fc.option(anyState(name), { nil: undefined, freq: 5 })));
const batch = fc.record({ changes: fc.array(change, { minLength: 1, maxLength: 3 }), releasesAll: fc.boolean() });
export const history = fc.array(batch, { minLength: 1, maxLength: 12 });

export const modelOf = (state: State | undefined): ServiceModel | undefined =>
  state === undefined ? undefined : snapshot.service(service(state.text) as Service, state.slices);
