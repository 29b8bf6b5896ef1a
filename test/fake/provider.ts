import { defineLoadBalancers } from '../../src/core/define.ts';
import { isEqual } from '../../src/core/equal.ts';
import type {
  Action,
  Call,
  Interpretation,
  LoadBalancerParts,
  LoadBalancerSpec,
  LoadBalancers,
  Pending,
  ProviderContext,
  ProviderModule,
  ServiceRef,
  TargetHealth,
} from '../../src/core/provider.ts';

/**
 * A provider whose cloud is a map. A test sees every step in its order, holds it, fails it, and changes the cloud behind
 * the controller's back. It runs through `defineLoadBalancers`, as every provider does.
 */
export interface FakeProvider {
  readonly module: ProviderModule;
  /** What the cloud holds: uid -> load balancer. Changing it is an out-of-band change. */
  readonly balancers: Map<string, FakeBalancer>;
  /** Steps that had their effect, in order: 'create default/a', 'setHosts default/a: n1 n2', 'delete default/a'. */
  readonly applied: string[];
  /** Runs, in order: 'ensure default/a', 'remove default/a'. */
  readonly runs: string[];
  /** Most runs that one load balancer had at once: more than 1 is a broken lock. */
  readonly mostAtOnce: number;
  readonly context: ProviderContext | undefined;
  /** Asked before each step has its effect: a throw fails it, a promise holds it. */
  script: (step: FakeStep, call: Call) => void | Promise<void>;
  /** Asked by `plan`: a throw refuses the spec. */
  judge: (spec: LoadBalancerSpec) => void;
  /** What `targetHealth` says, under `gated`: gate -> address -> health. */
  readonly health: Map<string, Map<string, TargetHealth>>;
  /** Keys of the Services whose health was read, in order. */
  readonly healthReads: string[];
  /** Asked before each of these reads: a throw fails it. */
  judgeHealth: (key: string) => void;
  /** Asked when a balancer is looked at: a wait instead of ready. */
  waits: (balancer: FakeBalancer) => Omit<Pending, 'state'> | undefined;
}

export interface FakeBalancer {
  readonly uid: string;
  readonly key: string;
  readonly address: string;
  /** 'TCP/80 -> 30080', sorted. */
  readonly ports: readonly string[];
  /** Nodes that take traffic, sorted. */
  readonly hosts: readonly string[];
  readonly draining: readonly string[];
  /** The provider's annotations, so that a test can change "something" of a spec. */
  readonly options: Readonly<Record<string, string>>;
}

export type FakeKind = 'create' | 'setPorts' | 'setHosts' | 'setOptions' | 'delete';

export interface FakeStep {
  readonly at: 'observe' | 'observeAll' | FakeKind;
  /** 'namespace/name'; '' for observeAll. */
  readonly key: string;
  readonly uid: string;
}

export interface FakeOptions {
  readonly classes?: readonly string[];
  readonly classlessByFlag?: true;
  readonly selfCleaning?: true;
  readonly interpretation?: Interpretation;
  /** Readiness gates of a ready balancer; with it the provider has `targetHealth`. */
  readonly gated?: (balancer: FakeBalancer) => readonly string[];
  /** Told of every step that had its effect, in one order with what else the test records. */
  readonly told?: (step: string) => void;
  /** Called when the provider is made and closed. */
  readonly create?: (context: ProviderContext) => void | Promise<void>;
  readonly close?: () => void | Promise<void>;
}

type Desired = Omit<FakeBalancer, 'address'> & { readonly address: string | undefined };
type Observed = FakeBalancer | undefined;
type Act = Action<FakeKind> & { readonly uid: string; readonly key: string; readonly desired?: Desired };

export function createFakeProvider(options: FakeOptions = {}): FakeProvider {
  const { classes = ['fake.dev/lb'], classlessByFlag, gated, told = () => {}, create, close } = options;
  const running = new Map<string, number>(); // uid -> runs under way
  let addresses = 0;
  let mostAtOnce = 0;
  let context: ProviderContext | undefined;

  const fake: FakeProvider = {
    balancers: new Map(),
    applied: [],
    runs: [],
    script: () => {},
    judge: () => {},
    waits: () => undefined,
    health: new Map(),
    healthReads: [],
    judgeHealth: () => {},
    get mostAtOnce() {
      return mostAtOnce;
    },
    get context() {
      return context;
    },
    module: {
      apiVersion: 1,
      async create(given) {
        context = given;
        await create?.(given);
        return {
          name: 'fake',
          classes,
          ...(classlessByFlag === undefined ? {} : { classlessByFlag }),
          loadBalancers: locked(defineLoadBalancers(partsOf())),
          ...(gated === undefined ? {} : { targetHealth: { read } }),
          close: async () => await close?.(),
        };
      },
    },
  };

  function partsOf(): LoadBalancerParts<Desired, Observed, Act> {
    const { selfCleaning, interpretation } = options;
    return {
      ...(selfCleaning === undefined ? {} : { selfCleaning }),
      ...(interpretation === undefined ? {} : { interpret: () => interpretation }),
      plan(spec) {
        fake.judge(spec);
        return desiredOf(spec);
      },
      async observe({ uid, key }, call) {
        await fake.script({ at: 'observe', key, uid }, call);
        return fake.balancers.get(uid);
      },
      async observeAll(call) {
        await fake.script({ at: 'observeAll', key: '', uid: '' }, call);
        return [...fake.balancers.values()].map((observed) => ({ uid: observed.uid, observed }));
      },
      diff: (desired, observed) => diff(desired, observed),
      apply: async (act, call) => await call.limit(() => apply(act, call)),
      progress(desired, observed) {
        if (desired === undefined) {
          return observed === undefined
            ? { state: 'ready', ingress: [] }
            : { state: 'pending', reason: 'still there', retryAfterMs: 1000 };
        }
        if (observed === undefined) return { state: 'pending', reason: 'not there', retryAfterMs: 1000 };
        const wait = fake.waits(observed);
        if (wait !== undefined) return { state: 'pending', ...wait };
        const ready = { state: 'ready' as const, ingress: [{ ip: observed.address, ipMode: 'VIP' as const }] };
        return gated === undefined ? ready : { ...ready, gates: gated(observed) };
      },
    };
  }

  async function read({ key }: ServiceRef, call: Call): Promise<FakeProvider['health']> {
    return await call.limit(async () => {
      fake.healthReads.push(key);
      fake.judgeHealth(key);
      return structuredClone(fake.health);
    });
  }

  async function apply({ kind, uid, key, desired }: Act, call: Call): Promise<void> {
    await fake.script({ at: kind, key, uid }, call);
    const old = fake.balancers.get(uid);
    if (kind === 'delete') fake.balancers.delete(uid);
    else if (desired !== undefined) fake.balancers.set(uid, changed(kind, old, desired));
    const what = kind === 'create' || kind === 'setHosts' ? `: ${desired?.hosts.join(' ')}` : '';
    const step = `${kind} ${key}${what === ': ' ? '' : what}`;
    fake.applied.push(step);
    told(step);
  }

  function changed(kind: FakeKind, old: Observed, desired: Desired): FakeBalancer {
    if (old === undefined) {
      addresses += 1;
      const next = addresses < 255 ? `192.0.2.${addresses}` : `198.18.${addresses >> 8}.${addresses & 255}`;
      return { ...desired, address: desired.address ?? next };
    }
    switch (kind) {
      case 'setPorts':
        return { ...old, ports: desired.ports };
      case 'setHosts':
        return { ...old, hosts: desired.hosts, draining: desired.draining };
      case 'setOptions':
        return { ...old, options: desired.options, address: desired.address ?? old.address };
      default:
        return old; // created already: the effect is there
    }
  }

  /** Counts the runs of each load balancer that are under way. */
  function locked(inner: LoadBalancers): LoadBalancers {
    async function run<T>(what: string, { uid, key }: ServiceRef, work: () => Promise<T>): Promise<T> {
      fake.runs.push(`${what} ${key}`);
      const now = (running.get(uid) ?? 0) + 1;
      running.set(uid, now);
      mostAtOnce = Math.max(mostAtOnce, now);
      try {
        return await work();
      } finally {
        running.set(uid, now - 1);
      }
    }
    return {
      ...inner,
      ensure: (spec, call) => run('ensure', spec, () => inner.ensure(spec, call)),
      remove: (service, call) => run('remove', service, () => inner.remove(service, call)),
    };
  }

  return fake;
}

function desiredOf({ uid, key, listeners, targets, addresses, options }: LoadBalancerSpec): Desired {
  const isDraining = targets.filter(({ draining }) => draining === true);
  const isActive = targets.filter(({ draining }) => draining !== true);
  return {
    uid,
    key,
    address: addresses[0],
    ports: listeners.map(({ protocol, port, targetPort }) => `${protocol}/${port} -> ${targetPort}`).sort(),
    hosts: isActive.map(({ node }) => node).sort(),
    draining: isDraining.map(({ node }) => node).sort(),
    options,
  };
}

function diff(desired: Desired | undefined, observed: Observed): readonly (readonly Act[])[] {
  const act = (kind: FakeKind, { uid, key }: ServiceRef, more: { readonly desired?: Desired } = {}): Act => {
    return { kind, target: key, reason: `${kind} is wanted`, uid, key, ...more };
  };
  if (desired === undefined) return observed === undefined ? [] : [[act('delete', observed)]];
  if (observed === undefined) return [[act('create', desired, { desired })]];
  const acts: Act[] = [];
  if (!isEqual(desired.ports, observed.ports)) acts.push(act('setPorts', desired, { desired }));
  const hosts = ({ hosts, draining }: Pick<Desired, 'hosts' | 'draining'>) => ({ hosts, draining });
  if (!isEqual(hosts(desired), hosts(observed))) acts.push(act('setHosts', desired, { desired }));
  const isMoved = desired.address !== undefined && desired.address !== observed.address;
  if (isMoved || !isEqual(desired.options, observed.options)) acts.push(act('setOptions', desired, { desired }));
  return [acts];
}

/** Holds a step until it is let go or its call aborts; then it fails with the signal's reason, as a request would. */
export function hold(): {
  readonly until: (call: Call) => Promise<void>;
  readonly isHeld: () => boolean;
  release(): void;
} {
  const { promise, resolve } = Promise.withResolvers<void>();
  let held = 0;
  return {
    isHeld: () => held > 0,
    release: () => resolve(),
    async until({ signal }) {
      signal.throwIfAborted();
      const { promise: aborted, reject } = Promise.withResolvers<never>();
      const abort = () => reject(signal.reason);
      signal.addEventListener('abort', abort, { once: true });
      held += 1;
      try {
        await Promise.race([promise, aborted]);
      } finally {
        held -= 1;
        signal.removeEventListener('abort', abort);
      }
    },
  };
}
