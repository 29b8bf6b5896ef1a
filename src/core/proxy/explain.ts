/** `fairlead why svc/NAME --from IP --to IP:PORT` on a node: what happens to such a connection, and because of what. */
import type { Registers } from '../net/element.ts';
import { placeOf } from './claims.ts';
import {
  evaluate,
  type MasqueradeReason,
  type Outcome,
  type Packet,
  type Reached,
  type Surroundings,
  type TableView,
} from './evaluate.ts';
import type { Planner, PortModel, ServiceModel } from './model.ts';
import { ADDRESS_BYTES, addressAt, portAt, portRegisters, protocolRegisters } from './registers.ts';
import { elementText } from './schema.ts';

export interface ExplainOptions {
  /** The table as it is: a dump, or the planner's own copy. */
  readonly view: TableView;
  readonly surroundings: Surroundings;
  readonly planner: Pick<Planner, 'ownerOf' | 'model' | 'conflicts'>;
  /** Key of the Service that the question is about. */
  readonly service?: string;
  /** 'pod default/web-1 on this node', 'node n2'; `undefined` for an address that nobody knows. */
  readonly nameOf: (address: string) => string | undefined;
}

export interface Explanation {
  readonly outcome: Outcome;
  /** Key of the model whose frontend the destination is. */
  readonly owner?: string;
  /** From the question to the answer, for people. */
  readonly lines: readonly string[];
}

export function explain(packet: Packet, options: ExplainOptions): Explanation {
  const { view, planner, surroundings } = options;
  const outcome = evaluate(view, packet, surroundings);
  const key = `${packet.destination}${protocolRegisters(packet.protocol)}${portRegisters(packet.port)}`;
  const owner = planner.ownerOf(key);
  const model = owner === undefined ? undefined : planner.model(owner);
  return {
    outcome,
    ...(owner === undefined ? {} : { owner }),
    lines: [
      question(packet, options),
      ...frontendLines(key, model, options),
      ...rivalLines(key, options),
      ...elementLines(outcome, options),
      ...answer(packet, outcome, options),
      ...(model?.problems ?? []).map(({ message }) => `problem: ${message}`),
    ],
  };
}

function question({ source, destination, protocol, port }: Packet, options: ExplainOptions): string {
  return `${who(source, options)} connects to ${endpointText(`${destination}${portRegisters(port)}`, options)}/${protocol}`;
}

/** `10.64.1.2 (pod default/web-1)`, with what the rules see in it. */
function who(address: Registers, { view, nameOf, surroundings }: ExplainOptions): string {
  const text = addressAt(address, 0, view.family);
  const isNode = surroundings.isNodeAddress(address);
  const role = isNode
    ? 'an address of this node'
    : surroundings.isPod?.(address) === true
      ? 'a pod'
      : 'neither a pod nor this node';
  const name = nameOf(text);
  return name === undefined ? `${text} (${role})` : `${text} (${name}; ${role} to the rules)`;
}

function frontendLines(key: Registers, model: ServiceModel | undefined, { view }: ExplainOptions): readonly string[] {
  const at = model === undefined ? undefined : placeOf(model, view.family, key);
  if (model === undefined || at === undefined)
    return ['no Service and no hostPort has this address, protocol and port'];
  const { frontend, port } = at;
  const policy = frontend.kind === 'cluster-ip' ? 'internalTrafficPolicy' : 'externalTrafficPolicy';
  const names = port.name === '' ? '' : ` port ${port.name}`;
  if (frontend.kind === 'host-port') return [`a hostPort of ${model.key}`];
  return [
    `${KIND_TEXT[frontend.kind]} of ${model.key}${names}, ${policy} ${frontend.policy}${choiceText(port)}`,
    `endpoints: ${distinct(port.cluster)} for policy Cluster, ${distinct(port.local)} on this node`,
  ];
}

function choiceText({ affinitySeconds, hashed }: PortModel): string {
  if (hashed) return ", the client's address chooses its endpoint";
  return affinitySeconds === 0 ? '' : `, clients keep their endpoint for ${affinitySeconds} s`;
}

function rivalLines(key: Registers, { service, planner }: ExplainOptions): readonly string[] {
  const rivals = service === undefined ? [] : planner.conflicts(service).filter((conflict) => conflict.key === key);
  return rivals.map(({ kind, owner }) => `${service} wants it too, as ${KIND_TEXT[kind]}, but ${owner} keeps it`);
}

const KIND_TEXT = {
  'cluster-ip': 'the ClusterIP',
  'node-port': 'a NodePort',
  'load-balancer-ip': 'a load-balancer IP',
  'external-ip': 'an external IP',
  'host-port': 'a hostPort',
} as const;

const distinct = (targets: readonly Registers[]): number => new Set(targets).size;

/** The elements that decided; of many slots the first few. */
function elementLines({ found }: Outcome, { view }: ExplainOptions): readonly string[] {
  const shown = found.slice(0, SHOWN_ELEMENTS).map(({ chain, element }) => {
    return `  ${chain}: ${element.set} { ${elementText(element, view.family)} }`;
  });
  return found.length > SHOWN_ELEMENTS ? [...shown, `  and ${found.length - SHOWN_ELEMENTS} more`] : shown;
}

const SHOWN_ELEMENTS = 16;

function answer(packet: Packet, outcome: Outcome, options: ExplainOptions): readonly string[] {
  const { verdict, found, holes, slots } = outcome;
  const last = found.at(-1)?.element.set;
  switch (verdict) {
    case 'translated':
      return [
        ...outcome.reached.map((reached) => `reaches ${reachedText(reached, outcome, options)}`),
        ...(holes === 0
          ? []
          : [`${holes} of ${slots} slots are not in the table: those connections are not translated`]),
      ];
    case 'rejected':
      return [
        last === 'cluster-ips'
          ? 'refused: this ClusterIP has no such port and protocol'
          : 'refused: no endpoint is ready anywhere, and none serves while it terminates',
      ];
    case 'dropped':
      return [droppedText(packet, last, options)];
    case 'untouched':
      return [
        outcome.masquerade === undefined
          ? 'not a service here: the packet goes where its destination says'
          : 'not a service here: the packet leaves with the address of this node (pod to an address outside)',
        ...(holes === 0 ? [] : ['its services element names a chain that there is not']),
      ];
    default:
      return verdict satisfies never;
  }
}

function droppedText({ source }: Packet, set: string | undefined, { view }: ExplainOptions): string {
  if (set === 'restricted')
    return `dropped: ${addressAt(source, 0, view.family)} is in none of the Service's source ranges`;
  if (set === 'no-ep-drop') return 'dropped: policy Local, and no endpoint on this node';
  return 'dropped: an address of the service CIDRs that no Service has';
}

function reachedText({ target, slots, masquerade }: Reached, outcome: Outcome, options: ExplainOptions): string {
  const share = outcome.slots === slots ? '' : `, ${slots} of ${outcome.slots} slots`;
  const seen = masquerade === undefined ? "which sees the client's address" : MASQUERADE_TEXT[masquerade];
  return `${endpointText(target, options)}${share}, ${seen}`;
}

const MASQUERADE_TEXT: Readonly<Record<MasqueradeReason, string>> = {
  hairpin: 'masqueraded: the endpoint connects to itself',
  'cluster-ip': 'masqueraded: a ClusterIP, and the client is not a pod or masqueradeAll is set',
  external: 'masqueraded: externalTrafficPolicy Cluster',
  'node-to-local': 'masqueraded: this node connects to an external address of policy Local',
  'pod-egress': 'masqueraded: the endpoint is an address outside',
};

/** `10.64.1.2:8080 (pod default/web-1)` */
function endpointText(target: Registers, { view, nameOf }: ExplainOptions): string {
  const address = addressAt(target, 0, view.family);
  const port = portAt(target, ADDRESS_BYTES[view.family]);
  const name = nameOf(address);
  return `${view.family === 'ip' ? address : `[${address}]`}:${port}${name === undefined ? '' : ` (${name})`}`;
}
