import { networkInterfaces } from 'node:os';
import type { NftChannel } from '../agent/netlink/channel.ts';
import { contextOf } from '../agent/proxy/node-facts.ts';
import type { Element, TableFamily } from '../core/net/element.ts';
import { type EndpointSlice, keyOf, type Node, type Service } from '../core/objects.ts';
import { type Packet, type Surroundings, viewOf } from '../core/proxy/evaluate.ts';
import { type Explanation, explain } from '../core/proxy/explain.ts';
import type { DetectLocal } from '../core/proxy/model.ts';
import { createPlanner } from '../core/proxy/planner.ts';
import { addressAt, familyOf, type Protocol, parseAddress } from '../core/proxy/registers.ts';
import { hashChain } from '../core/proxy/ruleset.ts';
import { setsOf } from '../core/proxy/schema.ts';
import { createSnapshot } from '../core/proxy/snapshot.ts';
import type { Client } from '../kube/request.ts';
import { resources } from '../kube/resource.ts';
import { InputError } from './command.ts';
import { listOf } from './connect.ts';

/** What is asked: who connects to what. */
export interface Question {
  /** 'namespace/name' */
  readonly service: string;
  readonly from: string;
  /** 'IP:PORT', '[IP]:PORT', both also with '/udp'; absent: the ClusterIP and its first port. */
  readonly to?: string;
  readonly nodeName: string;
}

export interface World {
  readonly services: readonly Service[];
  readonly slices: readonly EndpointSlice[];
  readonly nodes: readonly Node[];
}

/** What the API server says; missing kinds are empty. */
export async function readWorld(client: Client, signal: AbortSignal): Promise<World> {
  const [services, slices, nodes] = await Promise.all([
    listOf<Service>(client, resources.services, signal),
    listOf<EndpointSlice>(client, resources.endpointslices, signal),
    listOf<Node>(client, resources.nodes, signal),
  ]);
  return { services: services ?? [], slices: slices ?? [], nodes: nodes ?? [] };
}

/** Explains by the elements that are in this node's kernel. Throws an InputError for a question without an answer. */
export async function whyOnNode(question: Question, world: World, nft: NftChannel): Promise<Explanation> {
  const service = world.services.find((one) => keyOf(one) === question.service);
  if (service === undefined) throw new InputError([`there is no Service ${question.service}`]);
  const packet = packetOf(question, service);
  const family = familyOf(packet.destination);
  const chains = await nft.chains(family);
  if (chains === undefined)
    throw new InputError([`this node has no table "${family} fairlead": run this where the agent runs, as root`]);
  const elements = await dumpAll(nft, family);
  const view = viewOf(elements, family);
  const node = world.nodes.find(({ metadata }) => metadata.name === question.nodeName);
  const addresses = Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address));
  const own = new Set(addresses.map((text) => parseAddress(text)));
  const options = { nodeName: question.nodeName, detectLocal: { by: 'node-cidr' as const } };
  const snapshot = createSnapshot(contextOf({ ...options, nodePortAddresses: ['all'] }, node, addresses));
  const planner = createPlanner({ family, firstId: 1 });
  const slices = Map.groupBy(world.slices, serviceOf);
  planner.plan(world.services.map((one) => [keyOf(one), snapshot.service(one, slices.get(keyOf(one)) ?? [])] as const));
  const surroundings = surroundingsOf(family, chains, (address) => view.inRange('pod-cidrs', address), own);
  return explain(packet, { view, surroundings, planner, service: question.service, nameOf: namesOf(world) });
}

async function dumpAll(nft: NftChannel, family: TableFamily): Promise<readonly Element[]> {
  const elements: Element[] = [];
  for (const set of setsOf(family)) for (const element of (await nft.dump(family, set)) ?? []) elements.push(element);
  return elements;
}

/** The rules that the table has tell how they were made: by the name of their hash. */
function surroundingsOf(
  family: TableFamily,
  chains: readonly string[],
  inPodCidrs: (address: string) => boolean,
  own: ReadonlySet<string | undefined>,
): Surroundings {
  const detections: readonly DetectLocal[] = [{ by: 'cidr' }, { by: 'nothing' }];
  for (const detectLocal of detections)
    for (const masqueradeAll of [false, true])
      for (const masqueradePods of [false, true]) {
        if (!chains.includes(hashChain({ family, detectLocal, masqueradeAll, masqueradePods }))) continue;
        const isPod = detectLocal.by === 'cidr' ? inPodCidrs : undefined;
        return { isNodeAddress: (address) => own.has(address), isPod, masqueradeAll, masqueradePods };
      }
  // Pods by their interface: an address does not tell that.
  return {
    isNodeAddress: (address) => own.has(address),
    isPod: undefined,
    masqueradeAll: false,
    masqueradePods: false,
  };
}

function packetOf({ from, to }: Question, service: Service): Packet {
  const source = parseAddress(from);
  if (source === undefined) throw new InputError([`--from: ${JSON.stringify(from)} is no IP address`]);
  const target = to === undefined ? ownTarget(service, familyOf(source)) : targetOf(to);
  if (target === undefined)
    throw new InputError([
      to === undefined
        ? `${keyOf(service)} has no ClusterIP of the family of --from: write --to=IP:PORT`
        : `--to: ${JSON.stringify(to)} is not IP:PORT, [IP]:PORT, or one of them with /udp or /sctp`,
    ]);
  if (familyOf(source) !== familyOf(target.destination))
    throw new InputError(['--from and --to are addresses of different families']);
  return { source, ...target };
}

type Target = Omit<Packet, 'source'>;

function ownTarget({ spec }: Service, family: TableFamily): Target | undefined {
  const addresses = (spec.clusterIPs ?? [spec.clusterIP ?? '']).map((text) => parseAddress(text));
  const destination = addresses.find((address) => address !== undefined && familyOf(address) === family);
  const [port] = spec.ports ?? [];
  if (destination === undefined || port === undefined) return undefined;
  return { destination, protocol: (port.protocol ?? 'TCP').toLowerCase() as Protocol, port: port.port };
}

function targetOf(text: string): Target | undefined {
  const [, bracketed, plain = '', port, protocol = 'tcp'] =
    /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})(?:\/(tcp|udp|sctp))?$/i.exec(text) ?? [];
  const destination = parseAddress(bracketed ?? plain);
  if (destination === undefined || Number(port) > 65_535) return undefined;
  return { destination, protocol: protocol.toLowerCase() as Protocol, port: Number(port) };
}

function namesOf({ nodes, slices }: World): (address: string) => string | undefined {
  const names = new Map<string, string>();
  const add = (address: string, name: string): void => {
    const bytes = parseAddress(address);
    if (bytes !== undefined) names.set(addressAt(bytes, 0, familyOf(bytes)), name);
  };
  for (const { metadata, endpoints } of slices)
    for (const { addresses, targetRef, nodeName } of endpoints ?? []) {
      if (targetRef?.name === undefined) continue;
      const kind = (targetRef.kind ?? 'object').toLowerCase();
      const where = nodeName === undefined ? '' : ` on ${nodeName}`;
      const name = `${kind} ${targetRef.namespace ?? metadata.namespace}/${targetRef.name}${where}`;
      for (const address of addresses) add(address, name);
    }
  for (const { metadata, status } of nodes)
    for (const { address } of status?.addresses ?? []) add(address, `node ${metadata.name}`);
  return (address) => names.get(address);
}

const serviceOf = ({ metadata }: EndpointSlice): string =>
  `${metadata.namespace ?? ''}/${metadata.labels?.['kubernetes.io/service-name'] ?? ''}`;
