import { defineLoadBalancers } from '../../src/core/define.ts';
import type {
  Call,
  Clock,
  LoadBalancerParts,
  LoadBalancerSpec,
  LoadBalancers,
  Progress,
  TargetHealths,
} from '../../src/core/provider.ts';
import { createApplier } from './apply.ts';
import type { AwsClients } from './client.ts';
import { diff } from './diff.ts';
import { createFacts } from './facts.ts';
import { createInterfaces } from './interfaces.ts';
import { createInterpret } from './interpret.ts';
import { createAccountLimits } from './limits.ts';
import { ANY, createMirror, type Mirror, ours } from './mirror.ts';
import type { Act, Desired, Observed, Settings } from './model.ts';
import { LBC_FINALIZER, TAG } from './names.ts';
import { createNeeds } from './needs.ts';
import { heldRules, nodeRulesOf } from './node-rules.ts';
import { createObserver } from './observe.ts';
import { createParts, type Parts } from './parts.ts';
import { plan } from './plan.ts';
import { lackingQuotas, outlook, specPrint } from './progress.ts';
import { createTargetHealth, gatesOf } from './target-health.ts';
import { createWanted, type Wanted } from './wanted.ts';

/** What the load balancers of one cluster stand on. */
export interface StackOptions {
  readonly clients: AwsClients;
  readonly clock: Clock;
  readonly settings: Settings;
  readonly region: string;
  readonly vpcId: string;
  /** The Services of the cluster, as far as a provider may look at them. */
  readonly services?: {
    /** Value of fairlead.dev/observed-spec. */
    settledPrintOf(key: string): string | undefined;
    /** It is there and a load balancer, whether or not its spec makes sense. */
    exists(uid: string): boolean;
  };
  /** Instance of a node, by the name of the Node. */
  readonly instanceOf?: (node: string) => string | undefined;
}

/** Load balancers of AWS: the parts that the contract suite drives, and what the controller drives. */
export interface Stacks {
  readonly parts: LoadBalancerParts<Desired, Observed, Act>;
  readonly loadBalancers: LoadBalancers;
  readonly targetHealth: TargetHealths;
  readonly mirror: Mirror;
  readonly wanted: Wanted;
  readonly reads: Parts;
}

/** A load balancer is no orphan before this age. */
const YOUNG_MS = 300_000;
/** It is tried all the same: the account's figures may be old. */
const WARNED_MS = 1000;
/** Plans of an audit that are made in one go. */
const TURN = 200;

export function createStacks(options: StackOptions): Stacks {
  const { clients, clock, settings, region, vpcId, services, instanceOf = () => undefined } = options;
  const { cluster } = settings;
  const wanted = createWanted(LBC_FINALIZER);
  const needs = createNeeds();
  const facts = createFacts({ clients, clock, vpcId, region });
  let planning = Promise.resolve(); // of all wishes, beside the lists of an audit
  const wantedNames = async () => {
    await planning;
    return new Set([...wanted.values()].flatMap(({ desired }) => desired.loadBalancerName ?? []));
  };
  const plans = new WeakMap<LoadBalancerSpec, { readonly desired: Desired; readonly print: string }>(); // a memo
  const mirror = createMirror({ clients, clock, cluster, vpcId, wantedNames });
  const reads = createParts({ clients, mirror, clock });
  const applier = createApplier({ clock, cluster, clients, mirror, forgetFacts: facts.forget });
  const known = new Set<string>(); // uids whose needs are in the index, also those that need nothing any more
  const told = new Set<string>(); // uids of Services whose quotas were looked at before their first creation
  const broken = new Set<string>(); // uids of Services that ask for something that makes no sense
  const observer = createObserver({
    clients,
    clock,
    mirror,
    parts: reads,
    facts,
    interfaces: createInterfaces({ clients, clock, vpcId }),
    accountLimits: createAccountLimits({ clients, clock }),
    wanted,
    needs,
    settings,
    vpcId,
    isComplete,
    settledPrintOf: (key) => services?.settledPrintOf(key),
    instanceOf,
  });

  const parts: LoadBalancerParts<Desired, Observed, Act> = {
    interpret: createInterpret(settings),
    plan(spec) {
      try {
        const { desired, print } = plans.get(spec) ?? planned(spec);
        wanted.plan(spec, desired, print);
        broken.delete(spec.uid);
        return desired;
      } catch (error) {
        broken.add(spec.uid);
        throw error;
      }
    },
    observe: observer.observe,
    observeAll: observer.observeAll,
    diff(desired, observed) {
      if (desired === undefined) leave(observed.uid);
      else learnNeeds(desired, observed);
      return diff(desired, observed, settings);
    },
    apply: applier.apply,
    request: (act) => applier.request(act),
    progress(desired, observed) {
      const { progress: result, waitsOn } = outlook(desired, observed, settings);
      const wish = wanted.get(observed.uid);
      // What AWS does by itself is asked for at the next look, for as long as somebody waits.
      if (wish !== undefined) wish.waitsOn = waitsOn;
      return result.state === 'ready' ? { ...result, ...gatesOf(desired, observed) } : result;
    },
  };
  const inner = defineLoadBalancers(parts);

  function planned(spec: LoadBalancerSpec): { readonly desired: Desired; readonly print: string } {
    const desired = plan(spec, settings);
    const made = { desired, print: specPrint(desired) };
    plans.set(spec, made);
    return made;
  }

  /** All wishes before the first comparison: what one Service needs must not look like what nobody needs. */
  async function planAll(specs: readonly LoadBalancerSpec[], { pause }: Call): Promise<void> {
    for (const [index, spec] of specs.entries()) {
      if (index % TURN === TURN - 1) await pause?.();
      try {
        parts.plan(spec);
      } catch {
        // Its verdict tells.
      }
    }
  }

  function leave(uid: string): void {
    wanted.leave(uid);
    needs.drop(uid);
    known.add(uid);
    broken.delete(uid);
    told.delete(uid);
  }

  /** Where its targets are was not asked in an audit: then it is not known what it needs, only that this is part of it. */
  function learnNeeds(desired: Desired, observed: Observed): void {
    for (const uid of broken) {
      if (known.has(uid)) continue; // what it needed when it last made sense
      needs.put(uid, heldRules(mirror.targetGroups.of(ours(uid)), observed.shared.nodeGroups, settings));
    }
    const isLocated = observer.isLocated(observed);
    if (!isLocated && known.has(desired.uid)) return;
    needs.put(desired.uid, nodeRulesOf(desired, observed, settings));
    if (isLocated) known.add(desired.uid);
  }

  /** Of all that have something in AWS. What no Service has any more needs nothing. */
  function isComplete(uid: string): boolean {
    return mirror.targetGroups.of(ANY).every(({ tags }) => {
      const owner = tags[TAG.uid] ?? '';
      return owner === uid || known.has(owner) || broken.has(owner) || services?.exists(owner) === false;
    });
  }

  /** Once, before anything of a Service is made: AWS refuses what comes last, and people should know by then. */
  async function warnOfQuota(spec: LoadBalancerSpec, call: Call): Promise<Progress | undefined> {
    if (told.has(spec.uid) || mirror.loadBalancers.of(ours(spec.uid)).length > 0) return undefined;
    const desired = parts.plan(spec);
    const observed = await parts.observe(spec, call);
    told.add(spec.uid);
    const lacking = lackingQuotas(desired, observed, settings);
    if (lacking.length === 0) return undefined;
    const message = lacking.map(({ message: text }) => text).join('; ');
    return {
      state: 'pending',
      reason: `quotas of AWS may not suffice: ${message}`,
      retryAfterMs: WARNED_MS,
      events: [{ type: 'Warning', reason: 'QuotaExceeded', message }],
    };
  }

  /** Who made it may know of a Service that whoever asks does not know of yet. */
  function isYoung(uid: string): boolean {
    const sinceMs = clock.now() - YOUNG_MS;
    return mirror.loadBalancers.of(ours(uid)).some(({ createdMs = 0 }) => createdMs > sinceMs);
  }

  function isWell(uid: string, well: boolean): void {
    const wish = wanted.get(uid);
    if (wish !== undefined) wish.isUnwell = !well;
  }

  return {
    parts,
    mirror,
    wanted,
    reads,
    loadBalancers: {
      ...inner,
      async ensure(spec, call) {
        try {
          const warning = await warnOfQuota(spec, call);
          if (warning !== undefined) return warning;
          const result = await inner.ensure(spec, call);
          isWell(spec.uid, result.state === 'ready');
          return result;
        } catch (error) {
          isWell(spec.uid, false);
          throw error;
        }
      },
      async remove(service, call) {
        leave(service.uid);
        return await inner.remove(service, call);
      },
      async audit(specs, call) {
        planning = planAll(specs, call);
        observer.readAhead(call);
        await planning;
        const { specs: verdicts, orphans } = await inner.audit(specs, call);
        return { specs: verdicts, orphans: new Map([...orphans].filter(([uid]) => !isYoung(uid))) };
      },
    },
    targetHealth: createTargetHealth({ mirror, reads }),
  };
}
