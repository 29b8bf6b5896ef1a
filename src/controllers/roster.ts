import { failure } from '../core/errors.ts';
import type { KubeObject, Node, Service } from '../core/objects.ts';
import type { Clock, Log, Provider, ResourceName } from '../core/provider.ts';
import type { Recorder } from '../kube/events.ts';
import type { Patches } from '../kube/patch.ts';
import type { Client } from '../kube/request.ts';
import type { Store } from '../kube/store.ts';
import type { Metrics } from '../obs/metrics.ts';
import type { Timers } from '../work/clock.ts';
import type { Limiter } from '../work/limit.ts';
import { createNodeController, type NodeOptions } from './node.ts';
import { createIpamController, type IpamOptions } from './node-ipam.ts';
import { createLifecycleController, type LifecycleOptions } from './node-lifecycle.ts';
import { createPods } from './pods.ts';
import { createReadinessController } from './readiness.ts';
import type { RouteOptions } from './route/parts.ts';
import { createRouteController } from './route.ts';
import type { ServiceOptions } from './service/parts.ts';
import { createServiceController, type ServiceController } from './service.ts';

/** Which controllers are asked for, and how they work; one that is absent does not run. */
export interface ControllerOptions {
  readonly service?: ServiceOptions;
  readonly route?: RouteOptions;
  readonly node?: NodeOptions;
  readonly lifecycle?: LifecycleOptions;
  /** Pod CIDRs for Nodes; needs nothing of the provider. */
  readonly ipam?: IpamOptions;
}

/** Something that works while this process leads. */
export interface Controller {
  start(): void;
  /** Takes no more work; resolves when what runs has ended by itself. Without it `close` is called at once. */
  drain?(): Promise<void>;
  /** Takes no more work, aborts what runs, resolves when all has ended. */
  close(): Promise<void>;
}

/** What all controllers of a process share. */
export interface Shared {
  readonly provider: Provider;
  readonly cluster: string;
  /** Indexed by 'uid', and by 'gated': the namespace of those that show readiness gates. */
  readonly services: Store<Service>;
  readonly nodes: Store<Node>;
  readonly client: Client;
  readonly patches: Patches;
  /** Events of one component (`source.component`); the same recorder each time. */
  readonly recorder: (component: string) => Recorder;
  /** The provider's; every call of it goes through here, whichever controller makes it. */
  readonly limiter: Limiter;
  readonly clock: Clock & Timers;
  readonly random: () => number;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Asked before every write, by the monotonic clock. */
  readonly leads: () => boolean;
  /** Aborts when leadership is lost. */
  readonly leadership: AbortSignal;
  /** Starts filling a store, for the life of the leadership. */
  readonly watch: (resource: ResourceName, store: Store<KubeObject>) => void;
}

export interface Roster {
  readonly controllers: readonly { readonly name: string; readonly controller: Controller }[];
  /** Set when the service controller runs. */
  readonly service?: ServiceController;
}

/**
 * Makes the controllers that are asked for and that the provider has a part for; one that stays off says why, in the log.
 * Throws FL_PROVIDER_EMPTY when none is left.
 */
export function createRoster({ service, route, node, lifecycle, ipam }: ControllerOptions, shared: Shared): Roster {
  const { provider, log } = shared;
  const reasons: string[] = []; // of those that stay off
  const off = (name: string, why: string): void => {
    reasons.push(`${name}: ${why}`);
    log.info({ controller: name, why }, 'controller stays off');
  };
  const controllers: { name: string; controller: Controller }[] = [];
  let serving: ServiceController | undefined;

  if (service !== undefined && provider.loadBalancers === undefined)
    off('service-lb-controller', `provider "${provider.name}" has no load balancers`);
  else if (service !== undefined) {
    const pods = createPods(shared.watch);
    const recorder = shared.recorder('service-controller');
    serving = createServiceController({ ...service, ...shared, pods, recorder });
    controllers.push({ name: 'service-lb-controller', controller: serving });
    const { targetHealth } = provider;
    if (targetHealth !== undefined) {
      const controller = createReadinessController({ ...shared, pods, targetHealth });
      controllers.push({ name: 'readiness-gate-controller', controller });
    }
  }

  const instances = node === undefined && lifecycle === undefined ? undefined : cloudOf(shared);
  if (node !== undefined && instances === undefined) off('cloud-node-controller', NO_INSTANCES);
  else if (node !== undefined && instances !== undefined) {
    const recorder = shared.recorder('cloud-node-controller');
    const controller = createNodeController({ ...node, ...instances, recorder });
    controllers.push({ name: 'cloud-node-controller', controller });
  }
  if (lifecycle !== undefined && instances === undefined) off('cloud-node-lifecycle-controller', NO_INSTANCES);
  else if (lifecycle !== undefined && instances !== undefined) {
    const recorder = shared.recorder('cloud-node-lifecycle-controller');
    const controller = createLifecycleController({ ...lifecycle, ...instances, recorder });
    controllers.push({ name: 'cloud-node-lifecycle-controller', controller });
  }
  if (ipam !== undefined) {
    const controller = createIpamController({ ...ipam, ...shared, recorder: shared.recorder('cidrAllocator') });
    controllers.push({ name: 'node-ipam-controller', controller });
  }

  if (route !== undefined) {
    const { routes } = provider;
    if (!route.configure) off('node-route-controller', '--configure-cloud-routes is false');
    else if (routes === undefined) off('node-route-controller', `provider "${provider.name}" has no routes`);
    else if (route.clusterCidrs.length === 0)
      off('node-route-controller', '--cluster-cidr is empty, so no route could be told to be ours');
    else {
      const recorder = shared.recorder('route_controller');
      // A provider without instances does not say which providerIDs are its own.
      const scheme = provider.instances === undefined ? undefined : (provider.instances.scheme ?? provider.name);
      const own = scheme === undefined ? {} : { scheme };
      const controller = createRouteController({ ...route, ...shared, ...own, routes, recorder });
      controllers.push({ name: 'node-route-controller', controller });
    }
  }

  if (controllers.length === 0) {
    const message = `provider "${provider.name}" has nothing for any controller that is asked for: ${reasons.join('; ')}`;
    throw failure('FL_PROVIDER_EMPTY', message);
  }
  return { controllers, ...(serving === undefined ? {} : { service: serving }) };
}

const NO_INSTANCES = 'the provider has no instances';

/** What asks the cloud about Nodes; undefined for a provider that has no instances. */
function cloudOf(shared: Shared) {
  const { provider } = shared;
  const { instances } = provider;
  return instances === undefined ? undefined : { ...shared, instances, scheme: instances.scheme ?? provider.name };
}
