/**
 * The provider interface: everything that the author of a provider needs to know.
 *
 * A provider turns the specs that the controllers give it into a backend's objects. Every effect is a value before it
 * is a call: `plan` says what should be, `observe` what is, `diff` which writes lead from one to the other, `apply`
 * does one write, `progress` says how far it is. `defineLoadBalancers` (define.ts) drives the five.
 */

export type Cidr = string & { readonly __brand: 'Cidr' };
export type Protocol = 'TCP' | 'UDP' | 'SCTP';
export type IpFamily = 'ipv4' | 'ipv6';

/** What the service controller wants, in words that every backend understands. Equal specs are deep-equal. */
export interface LoadBalancerSpec {
  /** 'namespace/name': for people, and the identity only where a backend cannot record the UID (Google Cloud). */
  readonly key: string;
  /** Service UID: the identity that a provider tags with. */
  readonly uid: string;
  readonly cluster: string;
  /** Absent: the provider decides. */
  readonly scheme?: 'internet' | 'internal';
  readonly families: readonly IpFamily[];
  /** spec.loadBalancerIP only; what annotations ask for is in `options`, precedence is the provider's. Empty: the provider chooses. */
  readonly addresses: readonly string[];
  /** Normalised, sorted; empty means all. */
  readonly sources: readonly Cidr[];
  /**
   * The ranges as they were named, where `sources` is empty because they hold all of every family of the Service, and not
   * of both: a backend that lets in another family as well must not open it. Absent: nobody is kept out.
   */
  readonly namedSources?: readonly Cidr[];
  readonly listeners: readonly Listener[];
  /** 'none': the backend needs no targets (on-prem). Then node events queue nothing, and missing nodes or node ports are no error. */
  readonly targetKind: 'node' | 'pod' | 'none';
  /** Sorted by id; the array is shared between specs with equal targets. */
  readonly targets: readonly Target[];
  readonly trafficPolicy: 'cluster' | 'local';
  /** Client-IP affinity in seconds; absent means none. */
  readonly affinitySeconds?: number;
  readonly health: HealthCheck;
  /** The provider's annotations: full keys, values verbatim, unknown keys included. */
  readonly options: Readonly<Record<string, string>>;
  /** What address pools select on (on-prem); sorted keys. */
  readonly service: ServiceFacts;
}
export interface ServiceFacts {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly selector: Readonly<Record<string, string>>;
  readonly ipFamilyPolicy: 'SingleStack' | 'PreferDualStack' | 'RequireDualStack';
  readonly clusterIPs: readonly string[];
  readonly loadBalancerClass?: string;
  /** Those that are not ours. */
  readonly finalizers: readonly string[];
  readonly trafficDistribution?: string;
  /** Serving endpoints in all; only when the provider asks by `Interpretation.countEndpoints`, else every pod change were a new spec. */
  readonly endpoints?: number;
}
export interface Listener {
  /** Service port name, '' when the Service has one unnamed port. */
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
  /** NodePort, or the pod port when every target has the same one. */
  readonly targetPort: number;
  readonly appProtocol?: string;
  /** Set when spec.targetPort is a name. */
  readonly targetPortName?: string;
}
export interface Target {
  /** providerID of the node, or UID of the pod. */
  readonly id: string;
  readonly node: string;
  readonly address: string;
  readonly zone?: string;
  /** Serving endpoints on this node; only under `countEndpoints`. */
  readonly endpoints?: number;
  /** Listener name to port, where a named pod port differs from Listener.targetPort. */
  readonly ports?: Readonly<Record<string, number>>;
  /** Keep the connections that exist, take no new ones. */
  readonly draining?: true;
}
export interface HealthCheck {
  readonly protocol: 'TCP' | 'HTTP';
  readonly port: number;
  readonly path?: string;
}

/** One entry of status.loadBalancer.ingress. */
export interface Ingress {
  readonly ip?: string;
  readonly hostname?: string;
  readonly ipMode?: 'VIP' | 'Proxy';
  readonly ports?: readonly { readonly port: number; readonly protocol: Protocol; readonly error?: string }[];
}
/** Asked for, not possible on this backend, although it serves: becomes a Degraded condition. */
export interface Shortfall {
  readonly reason: string;
  readonly message: string;
  readonly field?: string;
}
export interface Pending {
  readonly state: 'pending';
  readonly reason: string;
  readonly retryAfterMs: number;
}
/** What the service controller writes for the provider: annotations on the Service (null removes), events instead of its own generic one. */
export interface Report {
  readonly annotations?: Readonly<Record<string, string | null>>;
  readonly events?: readonly {
    readonly type: 'Normal' | 'Warning';
    readonly reason: string;
    readonly message: string;
  }[];
}
export type Progress =
  | ({
      readonly state: 'ready';
      readonly ingress: readonly Ingress[];
      readonly shortfalls?: readonly Shortfall[];
      /**
       * Readiness gates, as condition types of a Pod: 'target-health.elbv2.k8s.aws/<target group>'. Pods that this Service
       * selects get them when they are created, where their namespace asks for it; `Provider.targetHealth` knows each.
       * Absent: none.
       */
      readonly gates?: readonly string[];
    } & Report)
  | (Pending & Report);
export type Removal = ({ readonly done: true } | ({ readonly done: false } & Omit<Pending, 'state'>)) & Report;

/** One write, as data: printed by `fairlead plan`, counted, logged, asserted on. */
export interface Action<Kind extends string = string> {
  /** The backend's own operation name: 'CreateListener'. */
  readonly kind: Kind;
  /** What it works on, in the backend's words. */
  readonly target: string;
  /** Why, in a sentence fit for a person. */
  readonly reason: string;
}

/** A Service as providers know it: some clouds can only be asked by uid, some only by name. */
export interface ServiceRef {
  readonly uid: string;
  /** 'namespace/name'. */
  readonly key: string;
}

/** What a provider author writes. Idempotent. No state between calls, except a cache that `observe` could rebuild (on-prem's allocator). */
export interface LoadBalancerParts<Desired, Observed, Act extends Action> {
  /** True: leftovers are found by UID without a finalizer, so finalizer, annotations, conditions and ingress may go in one patch after `ensure`. */
  readonly selfCleaning?: true;
  /** Pure, optional. What this backend reads from a Service before targets are chosen; core/service/desired.ts calls it. */
  interpret?(service: ServiceView): Interpretation;
  /** Pure. Throws ProviderError 'invalid' with the field. */
  plan(spec: LoadBalancerSpec): Desired;
  /** Reads only. Absence is a value, never an error; 'could not tell' is an error, never absence. */
  observe(service: ServiceRef, call: Call): Promise<Observed>;
  /** Everything that carries this cluster's mark, in bulk reads, with uid or key, whichever the backend records; matched by uid first, by key only without one. A part that has no bulk read may be left `unread`: `diff` emits nothing for it, a spec change or the audit reads it first. */
  observeAll(
    call: Call,
  ): Promise<readonly { readonly uid?: string; readonly key?: string; readonly observed: Observed }[]>;
  /**
   * Pure. Stages in order; the actions of one stage are independent and run side by side, and a failed one does not cancel its
   * siblings. A crash after any action converges later. `undefined` deletes everything owned.
   */
  diff(desired: Desired | undefined, observed: Observed): readonly (readonly Act[])[];
  /** One write. Success when the effect is already there. Resolves names to ids itself. */
  apply(action: Act, call: Call): Promise<void>;
  /** Pure. For `undefined`, 'ready' means that no part is left at all. */
  progress(desired: Desired | undefined, observed: Observed): Progress;
  /** Pure, optional: the request that `apply` would send, for `fairlead plan -o json`; ids that do not exist yet in words. */
  request?(action: Act): object;
}
export interface ServiceView {
  readonly facts: ServiceFacts;
  readonly options: Readonly<Record<string, string>>;
  readonly trafficPolicy: 'cluster' | 'local';
}
export interface Interpretation {
  /** Absent: the provider decides (AWS keeps what exists). */
  readonly scheme?: 'internet' | 'internal';
  readonly targetKind?: 'node' | 'pod' | 'none';
  /** By the node's name, labels and taints; the exclude label and the common rules come first. */
  readonly acceptsNode?: (node: {
    readonly name: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly taints: readonly string[];
    readonly ready: 'True' | 'False' | 'Unknown' | '';
  }) => boolean;
  /** Fill `endpoints` of the spec and its targets. */
  readonly countEndpoints?: true;
  /** Not-ready pods count when ContainersReady (AWS readiness gates; the controller then watches pods). */
  readonly containersReady?: true;
  readonly health?: HealthCheck;
}
/** What the service controller sees: made by defineLoadBalancers(parts), which hides the type parameters. */
export interface LoadBalancers {
  /** True: leftovers are found by UID without a finalizer, so finalizer, annotations, conditions and ingress may go in one patch after `ensure`. */
  readonly selfCleaning?: true;
  readonly interpret?: (service: ServiceView) => Interpretation;
  /** The request behind an action of `preview`. */
  readonly request?: (action: Action) => object;
  preview(spec: LoadBalancerSpec | undefined, service: ServiceRef, call: Call): Promise<readonly (readonly Action[])[]>;
  ensure(spec: LoadBalancerSpec, call: Call): Promise<Progress>;
  remove(service: ServiceRef, call: Call): Promise<Removal>;
  /** One bulk read. For each spec what is still to do; for each owned UID without a spec, what would remove it. */
  audit(specs: readonly LoadBalancerSpec[], call: Call): Promise<Audit>;
}
/** Both maps by uid; an orphan without a uid by key. */
export interface Audit {
  readonly specs: ReadonlyMap<string, Verdict>;
  readonly orphans: ReadonlyMap<string, readonly Action[]>;
}
export type Verdict =
  | { readonly actions: readonly Action[]; readonly progress: Progress }
  | { readonly error: unknown };

export interface Route {
  /** The cloud's id; absent on a wanted route. */
  readonly id?: string;
  /** The table that it is in (`Routes.tables`); absent where the cloud has only one. */
  readonly table?: string;
  /** Node name; '' on a listed route when the cloud does not say. A route is recognised by its next hop, not by this. */
  readonly node: string;
  /** UID of the node, on a wanted route: what a name is made of, together with the destination. */
  readonly nodeUid?: string;
  readonly destination: Cidr;
  /** providerID, instance link or address: whatever the cloud routes to. '' on a blackhole that does not say. */
  readonly nextHop: string;
  /** Leads nowhere. */
  readonly blackhole?: true;
  /** Another's, by its mark or its target: never changed, and no route is made that has the same destination or a wider one. */
  readonly foreign?: true;
}
/** A route table, as the last list found it. */
export interface RouteTable {
  readonly id: string;
  /** Routes in it, also those of others. */
  readonly used: number;
  /** What the cloud allows, as far as it is known. */
  readonly limit?: number;
}
/** Every write is a success when its effect is already there. */
export interface Routes {
  /**
   * Pure. What `nextHop` of a route to this node is; `undefined`: it cannot be known yet, the node is not initialised.
   * Without this method: the node's providerID.
   */
  nextHop?(node: NodeRef, family: IpFamily): string | undefined;
  /**
   * Every route, others' too, as far as it can meet a pod CIDR; reads only.
   * @param hops next hops of nodes that there are, or were: routes to them are certainly not foreign.
   */
  list(call: Call, hops: ReadonlySet<string>): Promise<readonly Route[]>;
  /** The tables of the last `list`: a node needs its route in each. Without this method: one, without a known limit. */
  tables?(): readonly RouteTable[];
  /** All routes that are about to be made: what `create` needs to know can be read in bulk. Its failure stops nothing. */
  prepare?(routes: readonly Route[], call: Call): Promise<void>;
  create(route: Route, call: Call): Promise<void>;
  remove(route: Route, call: Call): Promise<void>;
  /** One call where the cloud has it (AWS ReplaceRoute); without it the controller deletes first, then creates. */
  replace?(old: Route, wanted: Route, call: Call): Promise<void>;
}
export interface NodeAddress {
  readonly type: 'InternalIP' | 'ExternalIP' | 'InternalDNS' | 'ExternalDNS' | 'Hostname';
  readonly address: string;
}
export interface NodeRef {
  readonly name: string;
  /** Absent before the node is initialised. */
  readonly providerId?: string;
  readonly addresses: readonly NodeAddress[];
}
export interface Instance {
  readonly providerId: string;
  readonly type: string;
  readonly zone: string;
  readonly region: string;
  readonly addresses: readonly NodeAddress[];
  readonly shutdown: boolean;
  readonly labels?: Readonly<Record<string, string>>;
}
export interface Instances {
  /** Scheme of its providerIDs ('aws'): nodes with another one are never touched. Absent: the provider's name. */
  readonly scheme?: string;
  /**
   * By node name. `undefined` means that the cloud says it is gone. A node that is left out is one that the cloud cannot
   * tell about: it is left alone. A failed read throws. Bulk where the cloud can.
   */
  find(nodes: readonly NodeRef[], call: Call): Promise<ReadonlyMap<string, Instance | undefined>>;
}

/** A target of one gate, as the backend sees it. */
export interface TargetHealth {
  /** 'waiting': the backend does not know yet. */
  readonly state: 'healthy' | 'unhealthy' | 'waiting';
  /** The backend's own word and sentence: 'Target.FailedHealthChecks'. They go into the condition of the Pod. */
  readonly reason?: string;
  readonly message?: string;
}
/** What readiness gates wait for. */
export interface TargetHealths {
  /**
   * The health of every target of a Service: gate -> address of the pod -> health. A gate that is missing has no target
   * group (yet), an address that is missing is no target (yet): neither is an error. Reads only.
   */
  read(service: ServiceRef, call: Call): Promise<ReadonlyMap<string, ReadonlyMap<string, TargetHealth>>>;
}

/** What a backend takes of one class of its requests, at best. Fairlead finds out what it takes now. */
export interface ClassLimit {
  /** Requests side by side. */
  readonly concurrency: number;
  /**
   * At most so many starts in any `intervalMs`, wherever it begins. Each `throttled` answer halves that, time without one
   * raises it again, slowly, up to here: so start high. Absent: no limit, `throttled` answers make pauses only.
   */
  readonly starts?: { readonly max: number; readonly intervalMs: number };
  /** How often a request that is answered with `throttled` is sent again from here before that is its result. Default 0. */
  readonly retries?: number;
}
/**
 * By the names that the provider gives to `Call.limit`; a class that is not named shares 'default'. A class with a limit
 * has a circuit breaker too: after five errors of kind `transient` in a row its requests fail at once for a moment, until
 * one that is let through succeeds.
 */
export type Limits = { readonly default: ClassLimit } & Readonly<Record<string, ClassLimit>>;

/** Any member but `name` and `close` may be missing: that part of the controller then stays off and says so. */
export interface Provider {
  readonly name: string;
  /** Values of spec.loadBalancerClass that are ours besides none. */
  readonly classes?: readonly string[];
  /** True: classless Services only with --default-class (AWS, GCP). */
  readonly classlessByFlag?: true;
  readonly loadBalancers?: LoadBalancers;
  readonly routes?: Routes;
  readonly instances?: Instances;
  /** Without it pods get no readiness gates from this provider. */
  readonly targetHealth?: TargetHealths;
  /** Without it: 64 requests side by side, and a pause after each `throttled`. */
  readonly limits?: Limits;
  close(): Promise<void>;
}
/** What `--provider ./my-provider.js` or a package must export. */
export interface ProviderModule {
  readonly apiVersion: 1;
  create(context: ProviderContext): Promise<Provider>;
}
export interface ProviderContext {
  readonly cluster: string;
  /** The provider's own section of the config file, unvalidated. */
  readonly config: unknown;
  readonly log: Log;
  readonly clock: Clock;
  /** Further Kubernetes objects (pools, peers); resolves when synced. A kind that does not exist is empty, warned once, asked for again every 30 s. */
  objects(resource: ResourceName, scope?: ObjectScope): Promise<ObjectReader>;
  /**
   * Every write of the provider to the API server goes through here: field manager, deadlines, limits and the leadership
   * check are inside. `patch` is a JSON merge patch (RFC 7386), guarded by `metadata.resourceVersion` and `metadata.uid`
   * where the body carries them. Errors are ProviderErrors with the codes FL_KUBE_*: FL_KUBE_UNREACHABLE alone leaves open
   * whether the write took effect.
   */
  readonly kube: {
    /** The object as it is now, past every cache; FL_KUBE_NOT_FOUND when there is none. Settles writes of unknown outcome. */
    get(
      resource: ResourceName,
      name: { readonly namespace?: string; readonly name: string },
      call: Call,
    ): Promise<unknown>;
    create(resource: ResourceName, object: object, call: Call): Promise<unknown>;
    patch(
      resource: ResourceName,
      name: { readonly namespace?: string; readonly name: string; readonly subresource?: 'status' },
      body: object,
      call: Call,
    ): Promise<unknown>;
    remove(
      resource: ResourceName,
      name: { readonly namespace?: string; readonly name: string; readonly uid?: string },
      call: Call,
    ): Promise<void>;
  };
  /** Reconcile these Services (or all) soon, at low priority. */
  resync(reason: string, uids?: readonly string[]): void;
  /** Absent where nobody counts. */
  readonly metrics?: RequestMetrics;
}
/** Counts the provider's requests (fairlead_cloud_requests_total, fairlead_cloud_request_duration_seconds). */
export interface RequestMetrics {
  /** Called as a request starts; what it returns is called as that ends, with 'ok' or the backend's error code. */
  begun(operation: string): (code: string) => void;
}
export interface ResourceName {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
}
/** Narrows what `objects` watches: RBAC may allow no more, and a cluster may hold very many of a kind. */
export interface ObjectScope {
  readonly namespace?: string;
  readonly labelSelector?: string;
}
/** A view of a store that a watch keeps current. Objects are shared and read-only. */
export interface ObjectReader {
  list(): readonly unknown[];
  /** By 'namespace/name', or 'name' for objects of the cluster. */
  get(key: string): unknown;
  /** Called after each change: `old` is absent for a new object, `now` for one that went. */
  onChange(listener: (old: unknown, now: unknown) => void): void;
}

/** Passed to every IO call. Never a global. */
export interface Call {
  /** Aborts on deadline, shutdown and loss of leadership. Give it to every request. */
  readonly signal: AbortSignal;
  readonly log: Log;
  /**
   * The provider's limiter: wrap each request in it. `fn` is called when its class has room, higher priorities first
   * (default 0), and again where the class retries what was throttled (`ClassLimit.retries`).
   */
  limit<T>(fn: () => Promise<T>, how?: { readonly class?: string; readonly priority?: number }): Promise<T>;
  /** Lets everything else have its turn; awaited now and then in long loops. */
  readonly pause?: () => Promise<void>;
  /** Told by `defineLoadBalancers` what a run is about to do; for events, metrics and tests. Providers need not call it. */
  readonly trace?: (step: Step) => void;
}
/** A phase that begins, or one write that begins (`apply`) or has ended (`applied`, with `error` when it failed). */
export type Step =
  | { readonly at: 'plan' | 'observe' | 'diff' | 'progress' }
  | { readonly at: 'apply'; readonly action: Action }
  | { readonly at: 'applied'; readonly action: Action; readonly error?: unknown };
export interface Clock {
  /** Wall time in ms since 1970, for stamps only. */
  now(): number;
  /** Never goes back: for ages and deadlines. */
  monotonicMs(): number;
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}
export type Log = Readonly<Record<'debug' | 'info' | 'warn' | 'error', (fields: object, message: string) => void>>;
