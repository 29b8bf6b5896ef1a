/** A node, its table and who connects: the categories of node-proxy.md on the simulated rules. */
import type { TableFamily } from '../../../src/core/net/element.ts';
import type { EndpointSlice } from '../../../src/core/objects.ts';
import type { Cidr } from '../../../src/core/provider.ts';
import { evaluate, type Outcome, type Surroundings, type TableView, viewOf } from '../../../src/core/proxy/evaluate.ts';
import type { Planner, ProxyContext } from '../../../src/core/proxy/model.ts';
import type { Protocol } from '../../../src/core/proxy/registers.ts';
import { createSnapshot } from '../../../src/core/proxy/snapshot.ts';
import { address, commit, context, fakeTable, planner, type ServiceText, service, targetText } from './fixture.ts';

export interface WorldText {
  readonly family?: TableFamily;
  readonly services: readonly { readonly service: ServiceText; readonly slices: readonly EndpointSlice[] }[];
  readonly context?: Partial<ProxyContext>;
  readonly masqueradeAll?: boolean;
  readonly masqueradePods?: boolean;
  /** Pod CIDR unknown. */
  readonly noPodCidr?: boolean;
}

export interface World {
  readonly planner: Planner;
  readonly view: () => TableView;
  readonly surroundings: Surroundings;
  connect(from: string, to: string, port: number, protocol?: Protocol): Outcome;
}

export const POD_CIDRS = ['10.64.0.0/16', 'fd64::/16'] as readonly string[] as readonly Cidr[];
export const LOCAL_PODS = ['10.64.1.0/24', 'fd64:1::/32'] as readonly string[] as readonly Cidr[];
export const SERVICE_CIDRS = ['172.30.0.0/16', 'fd30::/16'] as readonly string[] as readonly Cidr[];

export function world(text: WorldText): World {
  const { family = 'ip', masqueradeAll = false, masqueradePods = false } = text;
  const facts = { ...context, ...text.context };
  const snapshot = createSnapshot(facts);
  const from = planner(family);
  const table = fakeTable(family);
  const models = text.services.flatMap(({ service: of, slices }) => snapshot.service(service(of), slices) ?? []);
  commit(table, from.plan(models.map((model) => [model.key, model] as const)), from);
  for (const [set, cidrs] of [
    ['pod-cidrs', text.noPodCidr === true ? [] : POD_CIDRS],
    ['svc-cidrs', SERVICE_CIDRS],
    ['local-pods', LOCAL_PODS],
    ['no-masq', POD_CIDRS],
  ] as const)
    commit(table, from.planRanges(set, cidrs), from);
  const view = () => viewOf(table.elements(), family);
  const own = new Set(facts.addresses.map(address));
  const surroundings: Surroundings = {
    isNodeAddress: (bytes) => own.has(bytes) || bytes.charCodeAt(0) === 127,
    isPod: text.noPodCidr === true ? undefined : (bytes) => view().inRange('pod-cidrs', bytes),
    masqueradeAll,
    masqueradePods,
  };
  return {
    planner: from,
    view,
    surroundings,
    connect: (source, destination, port, protocol = 'tcp') =>
      evaluate(view(), { source: address(source), destination: address(destination), protocol, port }, surroundings),
  };
}

/** `10.64.1.1:8080` or, with the node's address as the seen source, `10.64.1.1:8080 masqueraded`; else the verdict. */
export function outcomeText({ verdict, reached, holes, masquerade }: Outcome): string {
  if (holes > 0) return `${holes} holes`;
  if (verdict !== 'translated') return masquerade === undefined ? verdict : `${verdict} masqueraded`;
  return reached
    .map(({ target, masquerade: reason }) => `${targetText(target)}${reason === undefined ? '' : ' masqueraded'}`)
    .join(', ');
}
