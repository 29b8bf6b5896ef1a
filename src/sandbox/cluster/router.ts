import type { EndpointSlice, KubeObject, Node, Service } from '../../core/objects.ts';
import type { Clock, Log } from '../../core/provider.ts';
import { createReflector } from '../../kube/reflector.ts';
import type { Client } from '../../kube/request.ts';
import { resources } from '../../kube/resource.ts';
import { createStore, type Store } from '../../kube/store.ts';
import type { Timers } from '../../work/clock.ts';
import type { Netns } from '../netns.ts';
import { announcements } from './announce.ts';

export interface RouterOptions {
  readonly netns: Netns;
  /** Short name of the router's namespace. */
  readonly ns: string;
  readonly client: Client;
  readonly clock: Clock & Timers;
  readonly log: Log;
}

/** Changes come in bursts. */
const GATHER_MS = 20;
const RETRY_MS = 1000;

/** Keeps the outside router's routes to load balancers' addresses current, until the signal aborts. */
export async function runRouter({ netns, ns, client, clock, log }: RouterOptions, signal: AbortSignal): Promise<void> {
  const services = createStore<Service>();
  const slices = createStore<EndpointSlice>();
  const nodes = createStore<Node>();
  let chosen: ReadonlyMap<string, string> = new Map(); // address -> node, as the router has it
  let cancel: (() => void) | undefined;
  let working = Promise.resolve();
  const soon = (ms = GATHER_MS): void => {
    if (signal.aborted) return;
    cancel ??= clock.after(ms, () => {
      cancel = undefined;
      working = working.then(write);
    });
  };

  async function write(): Promise<void> {
    if (![services, slices, nodes].every(({ synced }) => synced)) return soon();
    const wanted = announcements(services.list(), slices.list(), nodes.list(), chosen);
    const commands = [
      ...[...chosen.keys()]
        .filter((address) => !wanted.has(address))
        .map((address) => `route del ${destination(address)}`),
      ...[...wanted].flatMap(([address, node]) => {
        const via = hop(nodes.get(node), address);
        return chosen.get(address) === node || via === undefined
          ? []
          : [`route replace ${destination(address)} via ${via}`];
      }),
    ];
    try {
      if (commands.length > 0) await netns.ip(ns, commands);
      chosen = wanted;
    } catch (err) {
      if (signal.aborted) return;
      log.warn({ err }, 'routes to load balancer addresses not written; trying again');
      soon(RETRY_MS);
    }
  }

  const watch = <T extends KubeObject>(
    resource: (typeof resources)[keyof typeof resources],
    store: Store<T>,
  ): Promise<void> => {
    store.onChange(() => soon());
    return createReflector({ client, resource, store, clock, random: Math.random, log }).run(signal);
  };
  await Promise.all([
    watch(resources.services, services),
    watch(resources.endpointslices, slices),
    watch(resources.nodes, nodes),
  ]);
  cancel?.();
  await working;
}

const destination = (address: string): string => `${address}/${address.includes(':') ? 128 : 32}`;

function hop(node: Node | undefined, address: string): string | undefined {
  const isIpv6 = address.includes(':');
  return node?.status?.addresses?.find((each) => each.type === 'InternalIP' && each.address.includes(':') === isIpv6)
    ?.address;
}
