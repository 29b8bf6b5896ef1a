import { failure } from '../core/errors.ts';
import type { KubeObject, Node, Service } from '../core/objects.ts';
import type { Clock, Log, Provider, ProviderContext, ProviderModule } from '../core/provider.ts';
import { namedGates } from '../core/readiness/gates.ts';
import { createRecorder, type Recorder } from '../kube/events.ts';
import { createLease, type Leadership } from '../kube/lease.ts';
import { createPatches } from '../kube/patch.ts';
import { createReflector } from '../kube/reflector.ts';
import type { Client } from '../kube/request.ts';
import { resources } from '../kube/resource.ts';
import { createStore, type Store } from '../kube/store.ts';
import type { Metrics } from '../obs/metrics.ts';
import { watchPools } from '../obs/pools.ts';
import type { Timers } from '../work/clock.ts';
import { createContext } from './context.ts';
import { limiterOf } from './limits.ts';
import { type Controller, type ControllerOptions, createRoster, type Roster, type Shared } from './roster.ts';
import { createWebhook, type Review } from './webhook.ts';

export interface LeaderOptions extends ControllerOptions {
  readonly client: Client;
  readonly clock: Clock & Timers;
  readonly random: () => number;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly module: ProviderModule;
  /** The provider's section of the config. */
  readonly providerConfig: unknown;
  readonly cluster: string;
  /** Unique to this process: 'host_uuid'. */
  readonly identity: string;
  /** The webhook for readiness gates is served: its `review` works on every replica. */
  readonly webhook?: true;
  /** Absent: no election, this process leads from the start (`--leader-elect=false`). */
  readonly lease?: {
    readonly namespace: string;
    readonly name: string;
    readonly leaseDurationMs: number;
    readonly renewDeadlineMs: number;
    readonly retryPeriodMs: number;
  };
}

/** How the process ended: on request, or because the lease was lost, after which nothing may be written any more. */
export type End = 'stopped' | 'lost';

export interface Leader {
  /** Runs until `signal` aborts or the lease is lost. Rejects when the provider refuses to start. */
  run(signal: AbortSignal): Promise<End>;
  /** For /readyz: undefined, or why not. A standby is ready. */
  unready(): string | undefined;
  /**
   * Answers the API server about a pod that is created (`webhook`). Undefined: it cannot know yet, because not everything
   * is read.
   */
  review(body: string): Review | undefined;
  /** For /healthz: undefined, or why the leader is not healthy. */
  unhealthy(): string | undefined;
  leads(): boolean;
}

/** Grace over the lease duration before a leader that does not renew is called unhealthy (cloud-provider's watchdog). */
const WATCHDOG_MS = 20_000;
/** Work under way at SIGTERM has this long to end by itself, */
const FINISH_MS = 8000;
/** and then, aborted, this long to notice: ten seconds in all (controllers.md Better 5). */
const ABORT_MS = 2000;
/** Under a lost lease there is nothing to finish. */
const LOST_MS = FINISH_MS + ABORT_MS;
/** After that the provider, which has nothing to do any more. */
const CLOSE_MS = 2000;
/** Events that are still to be sent then. */
const FLUSH_MS = 2000;

/** One process of the controller: watches, lease, and while it leads, provider and controllers. */
export function createLeader(options: LeaderOptions): Leader {
  const { client, clock, random, log, metrics } = options;
  const services = createStore<Service>({ indexes: { uid: ({ metadata }) => [metadata.uid], gated }, onHandlerError });
  const nodes = createStore<Node>({ onHandlerError });
  const namespaces = createStore<KubeObject>({ onHandlerError });
  const watched: readonly {
    readonly resource: (typeof resources)[keyof typeof resources];
    readonly store: Store<KubeObject>;
  }[] = [
    { resource: resources.services, store: services as unknown as Store<KubeObject> },
    { resource: resources.nodes, store: nodes as unknown as Store<KubeObject> },
    ...(options.webhook === true ? [{ resource: resources.namespaces, store: namespaces }] : []),
  ];
  const webhook = createWebhook({ services, namespaces });
  let leadership: Leadership | undefined;

  function onHandlerError(error: unknown): void {
    log.error({ err: error }, 'store handler failed');
  }

  async function run(signal: AbortSignal): Promise<End> {
    const ended = new AbortController(); // ends watches and the recorder, after the lease is released
    const reading = ended.signal;
    const recorders = new Map<string, Recorder>(); // component -> its recorder
    const background = watched.map(({ resource, store }) =>
      createReflector({ client, resource, store, clock, random, log, metrics: metrics.reflector }).run(reading),
    );
    const recorderOf = (component: string): Recorder => {
      const known = recorders.get(component);
      if (known !== undefined) return known;
      const recorder = createRecorder({
        client: whileLeading(client, () => leadership?.leads() === true),
        clock,
        log,
        component,
        instance: podOf(options.identity),
        capacity: () => 1000 + 2 * (services.size + nodes.size),
        metrics: metrics.events,
      });
      recorders.set(component, recorder);
      background.push(recorder.run(reading));
      return recorder;
    };
    const flush = async () => void (await Promise.all(recorders.values().map((recorder) => recorder.flush(reading))));
    try {
      await Promise.all(watched.map(({ store }) => store.whenSynced(signal)));
      leadership = await acquire(signal);
      log.info({ identity: options.identity, epoch: leadership.epoch }, 'leading');
      try {
        return await lead(leadership, { of: recorderOf, flush }, signal, reading);
      } catch (error) {
        if (leadership.signal.aborted && !signal.aborted) return 'lost'; // while the provider was starting
        throw error;
      } finally {
        // Also when the provider refuses to start: a lease that nobody works under would only keep others waiting.
        if (!leadership.signal.aborted) await leadership.release();
      }
    } catch (error) {
      if (signal.aborted) return 'stopped';
      throw error;
    } finally {
      ended.abort(new Error('the controller has ended'));
      await Promise.allSettled(background);
    }
  }

  async function acquire(signal: AbortSignal): Promise<Leadership> {
    if (options.lease === undefined) return alone(clock);
    return await createLease({ client, clock, random, log, identity: options.identity, ...options.lease }).lead(signal);
  }

  async function lead(
    held: Leadership,
    recorders: { of(component: string): Recorder; flush(): Promise<void> },
    signal: AbortSignal,
    reading: AbortSignal,
  ): Promise<End> {
    const leads = () => held.leads();
    const working = AbortSignal.any([held.signal, reading]);
    const within = async (ms: number, work: Promise<unknown>) => {
      await Promise.race([work, clock.sleep(ms, reading).catch(() => {})]);
    };
    let resync: (reason: string, uids?: readonly string[]) => void = () => {};
    const context = createContext({
      cluster: options.cluster,
      config: options.providerConfig,
      client,
      patches: createPatches(client),
      clock,
      random,
      log,
      metrics: metrics.reflector,
      counted: metrics.cloudRequest,
      stores: watched,
      leads,
      signal: working,
      resync: (reason, uids) => resync(reason, uids),
    });
    const provider = await made(options.module, context, AbortSignal.any([signal, held.signal]));
    const limiter = limiterOf(provider, { clock, metrics });
    const { controllers, service } = await rosterOf(provider, {
      cluster: options.cluster,
      services,
      nodes,
      client,
      patches: createPatches(client),
      recorder: recorders.of,
      limiter,
      clock,
      random,
      log,
      metrics,
      leads,
      leadership: held.signal,
      watch: (resource, store) =>
        void createReflector({ client, resource, store, clock, random, log, metrics: metrics.reflector }).run(working),
    });
    if (service !== undefined) resync = service.resync;
    const running = (value: 0 | 1) => {
      metrics.leading(value === 1, options.lease?.name);
      for (const { name } of controllers)
        metrics.set('running_managed_controllers', { name, manager: 'fairlead-controller' }, value);
    };
    const unserve = watchPools(metrics, provider);
    running(1);
    for (const { controller } of controllers) controller.start();
    await aborted(AbortSignal.any([signal, held.signal]));
    const lost = held.signal.aborted;
    if (lost) log.error({ err: held.signal.reason }, 'leadership lost');
    const each = async (end: (controller: Controller) => Promise<void>) =>
      await Promise.all(controllers.map(({ controller }) => end(controller)));
    if (!lost)
      await within(
        FINISH_MS,
        each((one) => (one.drain === undefined ? one.close() : one.drain())),
      );
    await within(
      held.signal.aborted ? LOST_MS : ABORT_MS,
      each((one) => one.close()).then(() => limiter.close()),
    );
    unserve();
    await within(CLOSE_MS, provider.close());
    running(0);
    // What was done is told, also when it was done last.
    if (!lost) await within(FLUSH_MS, recorders.flush());
    return lost ? 'lost' : 'stopped';
  }

  /** A provider with nothing to offer is closed again. */
  async function rosterOf(provider: Provider, shared: Omit<Shared, 'provider'>): Promise<Roster> {
    try {
      return createRoster(options, { ...shared, provider });
    } catch (error) {
      await provider.close();
      throw error;
    }
  }

  return {
    run,
    leads: () => leadership?.leads() === true,
    unready() {
      const missing = watched.filter(({ store }) => !store.synced).map(({ resource }) => resource.plural);
      return missing.length === 0 ? undefined : `not synced: ${missing.join(', ')}`;
    },
    review: (body) => (services.synced && namespaces.synced ? webhook.review(body) : undefined),
    unhealthy() {
      if (leadership === undefined || options.lease === undefined) return undefined;
      const silentMs = clock.monotonicMs() - leadership.lastRenewedMs();
      return silentMs > options.lease.leaseDurationMs + WATCHDOG_MS
        ? `lease not renewed for ${Math.round(silentMs / 1000)} s`
        : undefined;
    },
  };
}

/** Its calls need the lease: what a deposed leader has not told yet, the next one tells in its own words. */
function whileLeading(client: Client, leads: () => boolean): Client {
  return {
    ...client,
    async call(sent) {
      if (!leads())
        throw failure('FL_KUBE_NOT_LEADER', 'this process does not hold the lease any more; nothing was told');
      return await client.call(sent);
    },
  };
}

/** Rejects when the signal aborts first, and closes what is made all the same. */
async function made({ create }: ProviderModule, context: ProviderContext, signal: AbortSignal): Promise<Provider> {
  const making = create(context);
  const over = aborted(signal).then(() => {
    throw signal.reason;
  });
  try {
    return await Promise.race([making, over]);
  } catch (error) {
    void making.then(
      (provider) => provider.close(),
      () => {}, // this is the error that is thrown, or it came too late to matter
    );
    throw error;
  }
}

/** The namespace of a Service that shows readiness gates. */
const gated = (service: Service): readonly string[] =>
  namedGates(service).length > 0 ? [service.metadata.namespace ?? ''] : [];

/** The pod's name, which is its host's, from 'host_uuid'. */
const podOf = (identity: string): string => identity.replace(/_[^_]*$/, '');

function alone(clock: Clock): Leadership {
  return {
    signal: new AbortController().signal,
    epoch: 0,
    leads: () => true,
    lastRenewedMs: () => clock.monotonicMs(),
    release: async () => {},
  };
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
