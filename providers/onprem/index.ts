import { defineLoadBalancers } from '../../src/core/define.ts';
import { isEqual } from '../../src/core/equal.ts';
import { isProviderError } from '../../src/core/errors.ts';
import type { PoolChange } from '../../src/core/ipam/change.ts';
import type { Explanation } from '../../src/core/ipam/explain.ts';
import type { IPAddressPool } from '../../src/core/ipam/pools.ts';
import { poolsOf } from '../../src/core/ipam/pools.ts';
import type { KubeObject } from '../../src/core/objects.ts';
import type {
  Ingress,
  LoadBalancerSpec,
  LoadBalancers,
  Progress,
  Provider,
  ProviderContext,
} from '../../src/core/provider.ts';
import { handOut } from './book.ts';
import { CLASS, parseConfig } from './config.ts';
import { withoutAny } from './diff.ts';
import { judge, type Objection } from './guard.ts';
import { plan } from './plan.ts';
import type { Configuration } from './pool-keeper.ts';
import { annotationsOf, beingReserved, ingressOf, remarksOf } from './progress.ts';
import { createRuntime, type Runtime } from './runtime.ts';
import { publishedOf } from './services.ts';

export const apiVersion = 1;

/** The on-prem provider, and what the command line asks of it besides. */
export interface OnpremProvider extends Provider {
  readonly loadBalancers: LoadBalancers;
  /** Why a Service gets what it gets. Throws as `plan` for a request that makes no sense. */
  explain(spec: LoadBalancerSpec): Why;
  /** What an edit of the pools would do: whether it would be taken, and whose addresses it moves or takes away. */
  previewPools(objects: readonly IPAddressPool[], namespaces: readonly KubeObject[]): PoolPreview;
  /** For metrics (metallb_allocator_*) and `fairlead status`. */
  stats(): readonly PoolStats[];
  /** How the pools' configuration fares (metallb_k8s_client_*). */
  configuration(): Configuration;
  /** Why the pools in the cluster are not those in use; empty when they are. */
  objections(): readonly Objection[];
  /** Services that wait for an address. */
  waiting(): number;
}
export interface Why extends Explanation {
  /** Why nothing new is given at all. */
  readonly frozen?: string;
  readonly objections: readonly Objection[];
}
export interface PoolPreview {
  readonly objections: readonly Objection[];
  /** Absent when the pools are not valid. */
  readonly change?: PoolChange;
}
export interface PoolStats {
  readonly pool: string;
  readonly ipv4: FamilyStats;
  readonly ipv6: FamilyStats;
  /** Of both families, saturating at 2^63-1. */
  readonly total: bigint;
  /** Services that hold an address of the pool. */
  readonly services: number;
}
export interface FamilyStats {
  readonly total: bigint;
  readonly assigned: bigint;
  readonly available: bigint;
}

/** Addresses from pools, MetalLB style. Throws FL_ONPREM_CONFIG, FL_METALLB_RUNNING, FL_IPAM_MODULE. */
export async function create(context: ProviderContext): Promise<OnpremProvider> {
  const runtime = await createRuntime(context, parseConfig(context.config));
  const { allocator, keeper, waiting, lifetime, config } = runtime;
  return {
    name: 'onprem',
    classes: [CLASS],
    loadBalancers: remembering(runtime, context),
    explain(spec) {
      const frozen = keeper.frozen();
      const why = allocator.explain(plan(spec));
      return { ...why, objections: keeper.objections, ...(frozen === undefined ? {} : { frozen }) };
    },
    previewPools(objects, namespaces) {
      const judgement = judge({ objects, namespaces, namespace: config.metallbNamespace }, allocator);
      if (judgement.taken) return { objections: [], change: allocator.preview(judgement.pools) };
      try {
        return { objections: judgement.objections, change: allocator.preview(poolsOf(objects, namespaces)) };
      } catch {
        return { objections: judgement.objections }; // the objections say what is not valid
      }
    },
    stats: () => allocator.pools.flatMap(({ name }) => ({ pool: name, ...allocator.counts(name) }) as PoolStats),
    configuration: () => keeper.configuration(),
    objections: () => keeper.objections,
    waiting: () => waiting.size,
    close: async () => lifetime.end(),
  };
}

/** After each run: who still waits, and what was said. */
function remembering(
  { parts, allocator, commit, keeper, waiting, services, gone, book, lifetime, config }: Runtime,
  { resync, clock }: ProviderContext,
): LoadBalancers {
  const inner = defineLoadBalancers(parts);

  function settle(spec: LoadBalancerSpec, error?: unknown): void {
    const { uid, key } = spec;
    const service = services.find(uid, key);
    if (!config.viewer) gone.onUser(uid, key); // it may have left while its run took something for it
    const request = service === undefined || !services.isWanted(service) ? undefined : planned(spec);
    if (service === undefined || request === undefined) {
      waiting.delete(uid);
      return;
    }
    const decision = allocator.decide(request);
    if (decision.release.length > 0) book.leaving.add(uid);
    else book.leaving.delete(uid);
    book.told.set(uid, new Set(remarksOf(decision).map(({ message }) => message)));
    const hasLess = request.families.some((each) => !decision.addresses.some(({ family }) => family === each));
    const isOpen = decision.failure !== undefined || decision.shortfalls.length > 0 || decision.notes.length > 0;
    // What a plug-in gives is not ours to foresee: its refused answer is looked at again when pools or releases change.
    const isRefused = config.ipam !== undefined && isDecided(error);
    if (isOpen || hasLess || isRefused || keeper.frozen() !== undefined) {
      waiting.add({ request, creationTimestamp: service.metadata.creationTimestamp });
      return;
    }
    waiting.delete(uid);
    // Room was made between its decision and now, when it was not on the list yet. What the API server refused waits.
    if (isDecided(error) && decision.take.length > 0) resync('addresses became free', [uid]);
  }

  function publishing({ uid, key }: LoadBalancerSpec, ingress: readonly Ingress[]): void {
    const service = services.find(uid, key);
    const addresses = ingress.flatMap(({ ip }) => ip ?? []);
    if (service === undefined) return;
    handOut(book, uid, addresses, { shown: publishedOf(service), nowMs: clock.monotonicMs() });
  }

  /**
   * Its newest request makes no sense. What it holds stays, and nothing else is its own: what nobody sees of it, reserved
   * just before or wiped from its status, is shown, and the next look tells what is wrong; what it shows without holding
   * anything is taken off. Throws the error itself where there is no difference.
   */
  function lastGood({ uid, key }: LoadBalancerSpec, error: unknown): Progress {
    const service = services.find(uid, key);
    if (service === undefined || !isProviderError(error)) throw error;
    const held = allocator.holdings(uid);
    const shown = publishedOf(service);
    if (held.length === 0) throw shown.length === 0 ? error : withoutAny(error);
    if (isEqual(held.map(({ address }) => address).sort(), [...shown].sort())) throw error;
    if (held.some(({ address }) => !commit.isDurable(address))) return beingReserved;
    lifetime.after(beingReserved.retryAfterMs, () => resync('its request makes no sense', [uid]));
    return { state: 'ready', ingress: ingressOf(held), annotations: annotationsOf(held) };
  }

  return {
    ...inner,
    async ensure(spec, call) {
      try {
        const progress = await inner.ensure(spec, call);
        if (progress.state === 'ready') publishing(spec, progress.ingress);
        settle(spec);
        return progress;
      } catch (error) {
        settle(spec, error);
        if (planned(spec) !== undefined || keeper.frozen() !== undefined) throw error;
        await parts.observe(spec, call); // takes over what it shows, where that may be
        const progress = lastGood(spec, error);
        if (progress.state === 'ready') publishing(spec, progress.ingress);
        return progress;
      }
    },
    async remove(service, call) {
      waiting.delete(service.uid);
      return await inner.remove(service, call);
    },
  };
}

/** By the allocator, not by the API server: those kinds are its own. */
const isDecided = (error: unknown): boolean =>
  isProviderError(error) && (error.kind === 'quota' || (error.kind === 'invalid' && error.code !== 'FL_KUBE_INVALID'));

function planned(spec: LoadBalancerSpec): ReturnType<typeof plan> | undefined {
  try {
    return plan(spec);
  } catch {
    return undefined; // its own run has told
  }
}

export { type Cleanup, clean, freeOrphans, type Orphan, orphansOf, releaseAll, type World } from './gc.ts';
export type { IpamPlugin, IpamWish } from './ipam.ts';
export { resources } from './resources.ts';
