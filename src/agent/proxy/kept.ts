import type { Endpoint, EndpointSlice, ObjectMeta, Service } from '../../core/objects.ts';
import { WEIGHT_ANNOTATION } from '../../core/proxy/endpoints.ts';
import { PROXY_NAME_LABEL } from '../../core/proxy/snapshot.ts';

/** When the pod or Service changed that a slice was written for (EndpointSlice controller; RFC 3339). */
export const TRIGGER_ANNOTATION = 'endpoints.kubernetes.io/last-change-trigger-time';
export const SERVICE_LABEL = 'kubernetes.io/service-name';

/** What the proxy reads of a Service: there are 10,000 of them on each node. */
export function keptService({ apiVersion, kind, metadata, spec, status }: Service): Service {
  const { selector, ipFamilyPolicy, loadBalancerClass, loadBalancerIP, allocateLoadBalancerNodePorts, ...read } = spec;
  const ingress = status?.loadBalancer?.ingress;
  return {
    ...(apiVersion === undefined ? {} : { apiVersion }),
    ...(kind === undefined ? {} : { kind }),
    metadata: keptMeta(metadata, [PROXY_NAME_LABEL], []),
    spec: read,
    ...(ingress === undefined ? {} : { status: { loadBalancer: { ingress } } }),
  };
}

/** Makes the same of slices, with one copy of each text and object that many share. */
export function createSliceKeeper(): (slice: EndpointSlice) => EndpointSlice {
  const texts = new Map<string, string>(); // names of nodes and zones
  const same = (text: string): string => {
    const known = texts.get(text);
    if (known !== undefined) return known;
    texts.set(text, text);
    return text;
  };
  const endpoint = ({ addresses, conditions, nodeName, hints }: Endpoint & { readonly hints?: unknown }): Endpoint => ({
    addresses,
    conditions: keptConditions(conditions),
    ...(nodeName === undefined ? {} : { nodeName: same(nodeName) }),
    ...(hints === undefined || hints === null ? {} : { hints }),
  });
  return ({ metadata, addressType, endpoints, ports }) => ({
    // When a slice was made nobody asks.
    metadata: {
      ...keptMeta(metadata, [SERVICE_LABEL], [WEIGHT_ANNOTATION, TRIGGER_ANNOTATION]),
      creationTimestamp: '',
    },
    addressType,
    endpoints: (endpoints ?? []).map(endpoint),
    ports: (ports ?? []).map(({ name, protocol, port }) => ({
      ...(name === undefined ? {} : { name: same(name) }),
      ...(protocol === undefined ? {} : { protocol }),
      ...(port === undefined ? {} : { port }),
    })),
  });
}

function keptMeta(meta: ObjectMeta, labels: readonly string[], annotations: readonly string[]): ObjectMeta {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = meta;
  const [l, a] = [pick(meta.labels, labels), pick(meta.annotations, annotations)];
  return {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    uid,
    resourceVersion,
    creationTimestamp,
    ...(l === undefined ? {} : { labels: l }),
    ...(a === undefined ? {} : { annotations: a }),
  };
}

function pick(
  from: Readonly<Record<string, string>> | undefined,
  names: readonly string[],
): Readonly<Record<string, string>> | undefined {
  if (from === undefined) return undefined;
  const found = names.filter((name) => from[name] !== undefined);
  if (found.length === 0) return undefined;
  return Object.fromEntries(found.map((name) => [name, from[name] as string]));
}

type Conditions = NonNullable<Endpoint['conditions']>;

/** The eight that exist, one object each. */
const CONDITIONS: readonly Conditions[] = Array.from({ length: 8 }, (_, bits) => ({
  ready: (bits & 1) !== 0,
  serving: (bits & 2) !== 0,
  terminating: (bits & 4) !== 0,
}));

/** Absent reads as true, true and false (EndpointSlice API). */
function keptConditions({ ready, serving, terminating }: Conditions = {}): Conditions {
  const bits = (ready === false ? 0 : 1) + (serving === false ? 0 : 2) + (terminating === true ? 4 : 0);
  return CONDITIONS[bits] as Conditions;
}
