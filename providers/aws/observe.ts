import { failure } from '../../src/core/errors.ts';
import type { Call, Clock, ServiceRef, Target } from '../../src/core/provider.ts';
import type { AwsClients } from './client.ts';
import { loadBalancerOf } from './convert.ts';
import { isNotFound } from './errors.ts';
import type { FactsCache, VpcFacts } from './facts.ts';
import { createBatch } from './flight.ts';
import type { Interfaces, Located } from './interfaces.ts';
import type { AccountLimits } from './limits.ts';
import { ANY, lbcs, type Mirror, ours } from './mirror.ts';
import type {
  Facts,
  InterfaceFacts,
  Needs,
  Observed,
  ObservedLoadBalancer,
  ObservedRule,
  Settings,
  Shared,
} from './model.ts';
import { RESOURCE, TAG } from './names.ts';
import { priority } from './operations.ts';
import { type Depth, missing, type Owned, type Parts, whole } from './parts.ts';
import { instanceIdOf } from './targets.ts';
import type { Wanted, Wish } from './wanted.ts';

export interface Observer {
  /** One Service's stack and the facts to decide by. Rejects when anything of it could not be read. */
  observe(service: ServiceRef, call: Call): Promise<Observed>;
  /**
   * Everything of this cluster, by lists; the parts that they do not have are as far as they are known. Those whose spec is
   * not known to have been applied are read whole.
   */
  observeAll(call: Call): Promise<readonly { readonly uid: string; readonly observed: Observed }[]>;
  /** Starts the lists of the next `observeAll`. Its failure is told there. */
  readAhead(call: Call): void;
  /** All targets of the Service have been looked for: what is not in the facts' interfaces is on none. */
  isLocated(observed: Observed): boolean;
}

export interface ObserverOptions {
  readonly clients: AwsClients;
  readonly clock: Clock;
  readonly mirror: Mirror;
  readonly parts: Parts;
  readonly facts: FactsCache;
  readonly interfaces: Interfaces;
  readonly accountLimits: AccountLimits;
  readonly wanted: Wanted;
  readonly needs: Needs;
  readonly settings: Settings;
  readonly vpcId: string;
  /** It is known what every Service but this one needs in the groups of nodes. */
  readonly isComplete: (uid: string) => boolean;
  /** The print of the spec that the Service says it was settled with; absent: it says nothing. */
  readonly settledPrintOf: (key: string) => string | undefined;
  /** Instance of a node, by the name of the Node. */
  readonly instanceOf: (node: string) => string | undefined;
}

/** Lists that are older are read again: what others change is seen by then, and hundreds of runs share them. */
const LISTS_MS = 30_000;
/** Load balancers per request. */
const ARNS = 20;
/** A state as of so long ago is not asked for again. */
const STATE_MS = 500;
/** So long the first of many that wait for AWS waits for the others. */
const WAIT_MS = 20;
/** Services that are read whole side by side in an audit. */
const SIDE_BY_SIDE = 8;

export function createObserver(options: ObserverOptions): Observer {
  const { clients, clock, mirror, parts, facts, interfaces, accountLimits, wanted, needs, settings, vpcId } = options;
  const { loadBalancers, targetGroups, securityGroups } = mirror;
  const startedMs = clock.now();
  const locatedIn = new WeakSet<Observed>();
  let ofGroups = {
    revision: -1,
    facts: [] as Facts['securityGroups'],
    rules: new Map<string, readonly ObservedRule[]>(),
  };

  /** States of load balancers that somebody waits for, many per request. */
  const states = createBatch<string, ObservedLoadBalancer>({
    size: ARNS,
    waitMs: WAIT_MS,
    clock,
    async send(arns, call) {
      const { LoadBalancers = [] } = await clients.elb.describeLoadBalancers({ LoadBalancerArns: [...arns] }, call);
      return new Map(LoadBalancers.map((row) => [row.LoadBalancerArn ?? '', loadBalancerOf(row, {})]));
    },
  });

  const ownedBy = ({ uid, key }: ServiceRef): Owned & Pick<Observed, 'securityGroups'> => {
    const of = <T>(shelf: { of(owner: string): readonly T[] }): readonly T[] => [
      ...(uid === '' ? [] : shelf.of(ours(uid))),
      ...(key === '' ? [] : shelf.of(lbcs(key))),
    ];
    return { loadBalancers: of(loadBalancers), targetGroups: of(targetGroups), securityGroups: of(securityGroups) };
  };

  async function observe(service: ServiceRef, call: Call): Promise<Observed> {
    const wish = wanted.get(service.uid);
    const unsureMs = wish === undefined ? mirror.unsureMs(service.uid) : 0;
    if (unsureMs > 0) {
      throw failure('FL_AWS_BUSY', `${service.key}: the answer to a creation was lost, and lists may not show it yet`, {
        retryAfterMs: unsureMs,
      });
    }
    await mirror.refresh(call, { maxAgeMs: LISTS_MS });
    if (wish?.waitsOn !== undefined) await readStates(ownedBy(service).loadBalancers, call);
    await readParts(service, wish, call);
    return await assemble(service, wish, call);
  }

  const looks = new Map<string, Look>(); // ARN of a load balancer that is provisioning -> the last question about it

  /** One question for all that are waited for: the others would come with theirs in a moment. */
  async function readStates(some: readonly ObservedLoadBalancer[], call: Call): Promise<void> {
    const nowMs = clock.monotonicMs();
    const askedMs = ({ arn }: ObservedLoadBalancer): number => looks.get(arn)?.sentMs ?? Number.NEGATIVE_INFINITY;
    const isDue = (each: ObservedLoadBalancer): boolean => nowMs - askedMs(each) >= STATE_MS;
    const waiting = some.filter(isProvisioning);
    const due = waiting.filter(isDue);
    if (due.length > 0) {
      const others = [...wanted.values()]
        .filter(({ waitsOn }) => waitsOn !== undefined)
        .flatMap((wish) => ownedBy(wish).loadBalancers.filter((each) => isProvisioning(each) && isDue(each)))
        .sort((a, b) => askedMs(a) - askedMs(b));
      const arns = [...new Set([...due, ...others].map(({ arn }) => arn))].slice(0, Math.max(ARNS, due.length));
      const end = learnStates(arns, call);
      for (const [arn] of looks) if (loadBalancers.get(arn)?.state !== 'provisioning') looks.delete(arn);
      for (const arn of arns) looks.set(arn, { sentMs: nowMs, end: end.catch(() => {}) }); // who asked tells
      await end;
    }
    await Promise.all(waiting.map(({ arn }) => looks.get(arn)?.end));
  }

  async function learnStates(arns: readonly string[], call: Call): Promise<void> {
    try {
      const found = await states.load(arns, call);
      for (const arn of arns) {
        const known = loadBalancers.get(arn);
        const now = found.get(arn);
        if (known === undefined || now === undefined) continue;
        const { stateReason: _, ...rest } = known;
        const { state, stateReason } = now;
        loadBalancers.read(arn, { ...rest, state, ...(stateReason === undefined ? {} : { stateReason }) });
      }
    } catch (error) {
      // One of them, of whichever Service, is gone: the lists say which.
      if (!isNotFound(error)) throw error;
      mirror.doubt();
      await mirror.refresh(call, { maxAgeMs: LISTS_MS });
    }
  }

  async function readParts(service: ServiceRef, wish: Wish | undefined, call: Call): Promise<void> {
    // For a removal it is enough to know what there is, and that it may go.
    if (wish === undefined) return await parts.readProtection(ownedBy(service), call);
    const { isDue } = wish;
    const depth = depthOf(wish);
    await parts.read(ownedBy(service), depth, call, {
      desired: wish.desired,
      ...(isDue && isSettledBefore(wish) ? { priority: priority.audit } : {}),
    });
    if (isDue) wish.isDue = false;
    wish.isFollowed = false;
  }

  function depthOf(wish: Wish): Depth {
    if (wish.isDue) return whole;
    const targets = isWaitingForTargets(wish) || wish.isFollowed ? 'moving' : 'unread';
    return isSettledBefore(wish) ? { targets, listeners: 'no', attributes: 'no' } : { ...missing, targets };
  }

  /** Who waits for the load balancer alone has no use for the health of targets; it is looked at once that is there. */
  function isWaitingForTargets({ waitsOn }: Wish): boolean {
    return waitsOn === 'targets' || (waitsOn === 'balancer' && settings.waitForHealthyTarget);
  }

  /** A process before this one, or this one, has found everything as this spec wants it: what is unread can wait. */
  function isSettledBefore({ key, print, isUnwell }: Wish): boolean {
    return !isUnwell && options.settledPrintOf(key) === print;
  }

  async function assemble(service: ServiceRef, wish: Wish | undefined, call: Call): Promise<Observed> {
    const named =
      wish === undefined || wish.desired.subnets === 'discover'
        ? []
        : wish.desired.subnets.filter((id) => id.startsWith('subnet-'));
    const isNew = wish !== undefined && ownedBy(service).loadBalancers.length === 0;
    const [vpc, located, limits] = await Promise.all([
      facts.read(named, call),
      wish === undefined ? new Map<string, InterfaceFacts>() : locate(wish, call),
      isNew ? accountLimits.read(call) : accountLimits.known,
    ]);
    const observed = observedOf(service, wish, { vpc, located, limits });
    locatedIn.add(observed);
    return observed;
  }

  /** Interfaces are asked for where we keep rules for them. */
  async function locate({ desired }: Wish, call: Call): Promise<ReadonlyMap<string, InterfaceFacts>> {
    const { securityGroups: groups, manageBackendRules } = desired;
    if (groups !== 'managed' && groups !== 'none' && !manageBackendRules) return new Map();
    return await interfaces.locate(
      desired.targets.flatMap((target) => locatedOf(target, desired.targetType, options.instanceOf)),
      call,
    );
  }

  function observedOf(
    { uid, key }: ServiceRef,
    wish: Wish | undefined,
    {
      vpc,
      located,
      limits,
    }: {
      readonly vpc: VpcFacts;
      readonly located: ReadonlyMap<string, InterfaceFacts>;
      readonly limits: Facts['limits'];
    },
  ): Observed {
    const groups = groupFacts();
    return {
      uid,
      nowMs: clock.now(),
      startedMs,
      ...ownedBy({ uid, key }),
      names: {
        loadBalancers: loadBalancers.names,
        targetGroups: targetGroups.names,
        securityGroups: securityGroups.names,
      },
      shared: sharedFor(uid, groups.rules),
      facts: {
        vpcId,
        vpcCidrs: vpc.cidrs,
        subnets: vpc.subnets,
        securityGroups: groups.facts,
        interfaces: located,
        limits,
        counts: mirror.counts(),
      },
      ...(wish === undefined ? {} : { lbcFinalizer: wish.lbcFinalizer }),
    };
  }

  function groupFacts(): typeof ofGroups {
    if (ofGroups.revision === securityGroups.revision) return ofGroups;
    const all = [...securityGroups.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
    ofGroups = {
      revision: securityGroups.revision,
      facts: all.map(({ id, vpcId: vpc, name, tags }) => ({ id, vpcId: vpc, name, tags })),
      // Ours are those of load balancers, not of nodes.
      rules: new Map(
        all.flatMap(({ id, rules, tags }) =>
          rules === 'unread' || tags[TAG.cluster] !== undefined ? [] : [[id, rules] as const],
        ),
      ),
    };
    return ofGroups;
  }

  /** Counted only when somebody looks: over thousands of Services each look is a walk over all of them. */
  function sharedFor(uid: string, nodeGroups: Shared['nodeGroups']): Shared {
    const group = securityGroups.of(ANY).find(({ tags }) => tags[TAG.resource] === RESOURCE.backend);
    return {
      backend: {
        ...(group === undefined ? {} : { group }),
        get users() {
          if (group === undefined) return 0;
          return loadBalancers
            .of(ANY)
            .filter(({ tags, securityGroups: carried }) => tags[TAG.uid] !== uid && carried.includes(group.id)).length;
        },
        get wanted() {
          return [...wanted.values()].some((wish) => wish.uid !== uid && needsBackend(wish, settings));
        },
      },
      nodeGroups,
      needs,
      get complete() {
        return options.isComplete(uid);
      },
    };
  }

  let ahead: Promise<void> | undefined;
  const listAll = (call: Call): Promise<void> => mirror.refresh(call, { maxAgeMs: 0, sweep: true });

  async function observeAll(call: Call): Promise<readonly { readonly uid: string; readonly observed: Observed }[]> {
    const lists = ahead ?? listAll(call);
    ahead = undefined;
    await lists;
    const keys = new Map([...wanted.values()].map(({ uid, key }) => [uid, key]));
    const uids = new Set<string>();
    for (const shelf of [loadBalancers, targetGroups, securityGroups]) {
      for (const { tags } of shelf.of(ANY)) uids.add(tags[TAG.uid] ?? '');
    }
    uids.delete(''); // what is the cluster's, not a Service's
    const unsure = [...uids].flatMap((uid) => {
      const wish = wanted.get(uid);
      return wish === undefined || isSettledBefore(wish) ? [] : [wish];
    });
    await each(unsure, SIDE_BY_SIDE, async (wish) => {
      await parts.read(ownedBy(wish), missing, call, { desired: wish.desired, priority: priority.audit });
    });
    const vpc = await facts.read([], call);
    return [...uids].sort().map((uid) => ({
      uid,
      observed: observedOf({ uid, key: keys.get(uid) ?? '' }, wanted.get(uid), {
        vpc,
        located: interfaces.known,
        limits: accountLimits.known,
      }),
    }));
  }

  function readAhead(call: Call): void {
    ahead = listAll(call);
    ahead.catch(() => {}); // `observeAll` tells
  }

  return { observe, observeAll, readAhead, isLocated: (observed) => locatedIn.has(observed) };
}

interface Look {
  readonly sentMs: number;
  /** Never rejects. */
  readonly end: Promise<void>;
}

const isProvisioning = ({ state }: ObservedLoadBalancer): boolean => state === 'provisioning';

/** Pods by their address, which is on an interface of its node or, on other networks, behind the node itself. */
function locatedOf(
  target: Target,
  targetType: 'instance' | 'ip',
  instanceOf: (node: string) => string | undefined,
): readonly Located[] {
  if (targetType === 'instance') {
    const id = instanceIdOf(target.id);
    return id === undefined ? [] : [{ id }];
  }
  const instanceId = instanceOf(target.node);
  return [{ id: target.address, ...(instanceId === undefined ? {} : { instanceId }) }];
}

function needsBackend({ desired }: Wish, { backendSecurityGroup }: Settings): boolean {
  if (backendSecurityGroup !== 'auto' || desired.securityGroups === 'none') return false;
  return desired.securityGroups === 'managed' || desired.manageBackendRules;
}

/** Over all items, so many at once. */
async function each<T>(items: readonly T[], sideBySide: number, work: (item: T) => Promise<void>): Promise<void> {
  const left = items.values();
  await Promise.all(
    Array.from({ length: sideBySide }, async () => {
      for (const item of left) await work(item);
    }),
  );
}
