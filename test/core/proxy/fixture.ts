/** Services, EndpointSlices and nodes in few words, and a table that obeys transactions as the kernel does. */
import assert from 'node:assert/strict';
import type { Element, ElementChange, Registers, TableFamily } from '../../../src/core/net/element.ts';
import type { Endpoint, EndpointSlice, Service, ServicePort, ServiceSpec } from '../../../src/core/objects.ts';
import type { Planner, ProxyContext, ServiceModel } from '../../../src/core/proxy/model.ts';
import { createPlanner } from '../../../src/core/proxy/planner.ts';
import {
  ADDRESS_BYTES,
  addressAt,
  type Protocol,
  parseAddress,
  portAt,
  portRegisters,
  protocolRegisters,
} from '../../../src/core/proxy/registers.ts';
import { elementText, RANGE_SETS } from '../../../src/core/proxy/schema.ts';
import { createSnapshot } from '../../../src/core/proxy/snapshot.ts';

export const context: ProxyContext = {
  nodeName: 'n1',
  zone: 'za',
  primaryAddresses: ['10.0.0.1', 'fd00::1'],
  addresses: ['127.0.0.1', '::1', '10.0.0.1', '192.168.7.1', 'fd00::1', 'fd07::1'],
  nodePortAddresses: 'primary',
};

export interface ServiceText extends Omit<ServiceSpec, 'ports'> {
  readonly name?: string;
  readonly created?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ports?: readonly ServicePort[];
  readonly ingress?: readonly { readonly ip?: string; readonly hostname?: string; readonly ipMode?: 'VIP' | 'Proxy' }[];
}

export const HTTP: ServicePort = { name: 'http', port: 80, protocol: 'TCP' };

/** ClusterIP 172.30.0.1, port 80/TCP named http, unless said otherwise. */
export function service({ name = 'web', created, labels, annotations, ingress, ...spec }: ServiceText = {}): Service {
  return {
    metadata: {
      name,
      namespace: 'default',
      uid: `uid-${name}`,
      resourceVersion: '1',
      creationTimestamp: created ?? '2026-01-01T00:00:00Z',
      ...(labels === undefined ? {} : { labels }),
      ...(annotations === undefined ? {} : { annotations }),
    },
    spec: {
      type: 'ClusterIP',
      ports: [HTTP],
      ...(spec.clusterIP === undefined && spec.clusterIPs === undefined
        ? { clusterIP: '172.30.0.1', clusterIPs: ['172.30.0.1'] }
        : {}),
      ...spec,
    },
    ...(ingress === undefined ? {} : { status: { loadBalancer: { ingress } } }),
  };
}

export type EndpointText = Omit<Endpoint, 'addresses'> & {
  readonly ip: string;
  /** Short for conditions; 'ready' when absent. */
  readonly state?: 'ready' | 'terminating' | 'not-ready' | 'gone';
};

const CONDITIONS = {
  ready: { ready: true, serving: true, terminating: false },
  terminating: { ready: false, serving: true, terminating: true },
  'not-ready': { ready: false, serving: false, terminating: false },
  gone: { ready: false, serving: false, terminating: true },
} as const;

export interface SliceText {
  readonly name?: string;
  readonly family?: 'IPv4' | 'IPv6' | 'FQDN';
  readonly ports?: EndpointSlice['ports'];
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Port 8080/TCP named http, unless said otherwise. */
export function slice(endpoints: readonly EndpointText[], options: SliceText = {}): EndpointSlice {
  const { name = 'web-a', family = 'IPv4', annotations } = options;
  return {
    metadata: {
      name,
      namespace: 'default',
      uid: `uid-${name}`,
      resourceVersion: '1',
      creationTimestamp: '2026-01-01T00:00:00Z',
      ...(annotations === undefined ? {} : { annotations }),
    },
    addressType: family,
    ports: options.ports === undefined ? [{ name: 'http', port: 8080, protocol: 'TCP' }] : options.ports,
    endpoints: endpoints.map(({ ip, state = 'ready', ...rest }) => ({
      addresses: [ip],
      conditions: CONDITIONS[state],
      ...rest,
    })),
  };
}

export function model(
  text: ServiceText,
  slices: readonly EndpointSlice[],
  options: Partial<ProxyContext> = {},
): ServiceModel {
  const made = createSnapshot({ ...context, ...options }).service(service(text), slices);
  assert.ok(made, 'the Service is not proxied');
  return made;
}

export function address(text: string): Registers {
  const bytes = parseAddress(text);
  assert.ok(bytes, `${text} is no address`);
  return bytes;
}

export const frontend = (ip: string, port: number, protocol: Protocol = 'tcp'): Registers =>
  `${address(ip)}${protocolRegisters(protocol)}${portRegisters(port)}`;

/** '10.64.1.1:8080' */
export function targetText(target: Registers): string {
  const family: TableFamily = target.length === 8 ? 'ip' : 'ip6';
  return `${addressAt(target, 0, family)}:${portAt(target, ADDRESS_BYTES[family])}`;
}

/** Elements of one family's table. A transaction is applied whole or not at all, with the kernel's refusals. */
export interface FakeTable {
  readonly family: TableFamily;
  apply(changes: readonly ElementChange[]): void;
  elements(): readonly Element[];
  clear(): void;
}

export function fakeTable(family: TableFamily): FakeTable {
  let held = new Map<string, Element>(); // set, key, and whether it is an end -> element
  const nameOf = ({ set, key, intervalEnd }: Element) => `${set} ${key}${intervalEnd === true ? '-' : ''}`;
  return {
    family,
    apply(changes) {
      const next = new Map(held);
      for (const { op, element } of changes) {
        const name = nameOf(element);
        const text = () => `${op} ${element.set} ${describe(element, family)}`;
        if (op === 'delete') {
          assert.ok(next.delete(name), `${text()}: ENOENT`);
        } else {
          assert.ok(!next.has(name), `${text()}: EEXIST`);
          if (element.set === 'allowed') assertApart(element, next.values(), family);
          next.set(name, element);
        }
      }
      held = next;
    },
    elements: () => [...held.values()],
    clear: () => held.clear(),
  };
}

/** Two ranges of one frontend may not overlap ("File exists"). */
function assertApart(added: Element, others: Iterable<Element>, family: TableFamily): void {
  for (const { set, key, keyEnd = key } of others) {
    const width = ADDRESS_BYTES[family];
    if (set !== 'allowed' || key.slice(0, -width) !== added.key.slice(0, -width)) continue;
    assert.ok(keyEnd < added.key || (added.keyEnd ?? added.key) < key, `${describe(added, family)} overlaps: EEXIST`);
  }
}

export const describe = (element: Element, family: TableFamily): string =>
  RANGE_SETS.some((set) => set === element.set)
    ? `${addressAt(element.key, 0, family)}${element.intervalEnd === true ? ' end' : ''}`
    : elementText(element, family);

/** Sorted `set { element }` lines. */
export const lines = (elements: Iterable<Element>, family: TableFamily): readonly string[] =>
  [...elements].map((element) => `${element.set} { ${describe(element, family)} }`).sort();

/** What the table means: slots and endpoint ids, which depend on history, as multisets of targets. */
export function meaning(elements: Iterable<Element>, family: TableFamily): readonly string[] {
  const all = [...elements];
  const targets = new Map(all.filter(({ set }) => set === 'ep-by-id').map(({ key, data = '' }) => [key, data]));
  return all
    .flatMap((element) => {
      const { set, key, data = '' } = element;
      if (set === 'ep-by-id') return [];
      if (set !== 'endpoints' && set !== 'ep-id') return [`${set} { ${describe(element, family)} }`];
      const list = key.charCodeAt(key.length - 3) >= 0x80 ? 'local' : 'cluster';
      const text = elementText({ set: 'services', key: key.slice(0, -4), data: '\0\0\0\0' }, family).split(' : ')[0];
      const target = set === 'ep-id' ? (targets.get(data) ?? 'nothing') : data;
      return [`${set} ${list} { ${text} : ${target === 'nothing' ? target : targetText(target)} }`];
    })
    .sort();
}

export const planner = (family: TableFamily = 'ip'): Planner => createPlanner({ family, firstId: 0x80010001 });

/** Both steps of a plan on a table. */
export function commit(table: FakeTable, plan: ReturnType<Planner['plan']>, from: Planner): void {
  table.apply(plan.now);
  if (plan.later !== undefined) table.apply(from.release(plan.later));
}
