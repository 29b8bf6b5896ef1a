import { failure, type ProviderError } from '../../src/core/errors.ts';
import type { AllocatorView } from '../../src/core/ipam/allocator.ts';
import type { Decision, Note } from '../../src/core/ipam/decide.ts';
import type { Holding } from '../../src/core/ipam/entry.ts';
import type { Action } from '../../src/core/provider.ts';
import type { Desired } from './plan.ts';

/** What is known of one Service; a view, as of now, of the allocator and the stores. */
export interface Observed {
  readonly uid: string;
  /** 'namespace/name'. */
  readonly key: string;
  readonly view: AllocatorView;
  /** What memory says of the address is in its block. */
  readonly isDurable: (address: string) => boolean;
  /** What the blocks say that it holds, sorted; differs from the view while a write is under way. */
  readonly recorded: readonly string[];
  /** status.loadBalancer.ingress[].ip, in its order; empty when the Service is gone. */
  readonly published: readonly string[];
  /** The same, and what we gave out to be published and the watch has not shown yet. */
  readonly visible: ReadonlySet<string>;
  /** The pool that its annotation names, in either spelling. */
  readonly publishedPool?: string;
  /** The Service is gone or about to go: its addresses are retained where that is asked for. */
  readonly deleted: boolean;
  /** Set while there are no pools to decide by: what is held stays, nothing new is given; says why. */
  readonly frozen?: string;
  /** What was said of it already; undefined: this process has said nothing yet. */
  readonly told?: ReadonlySet<string>;
  /** Why what it published could not be taken over, until something else is published. */
  readonly notes: readonly Note[];
  /** Set when addresses come from a plug-in. */
  readonly ipam?: {
    /** The last claim of this process; of use only for the request that it was made for. */
    readonly claim?: { readonly request: string; readonly addresses: readonly string[] };
    /** The plug-in has everything back. */
    readonly released: boolean;
  };
}

export type Kind = 'reserve' | 'extend' | 'release' | 'claim' | 'unclaim';
export interface Act extends Action<Kind> {
  readonly uid: string;
  readonly key: string;
  /** Of `release` and `unclaim`. */
  readonly addresses: readonly string[];
  /** Of `reserve`, `extend` and `claim`: what to decide by, then and whenever it has to be decided again. */
  readonly request?: Desired;
  /** Of `release`: keep it for the Service's name. */
  readonly retain?: true;
}

/** The decision, and whether the plug-in has to be asked first. */
export interface Resolution {
  readonly decision: Decision;
  readonly claim: boolean;
}

/**
 * Make before break: what is new is reserved before what is old is given up, and an address that is still published is
 * not given up at all: until the world sees the new one, somebody else could publish it too (its own change of status
 * brings the Service back here). Throws ProviderError 'invalid' or 'quota' when the Service would be left with nothing;
 * one that holds addresses keeps them instead (`progress` says why).
 */
export function diff(desired: Desired | undefined, observed: Observed): readonly (readonly Act[])[] {
  if (desired === undefined) return removal(observed);
  if (observed.frozen !== undefined) return frozen(observed.frozen, desired, observed);
  const { decision, claim } = resolve(desired, observed);
  const given = givenUp(decision, observed).filter((address) => !observed.visible.has(address));
  const releases = given.map((address) => release(address, clearing(decision), observed));
  const isEmptied = decision.failure !== undefined && decision.keep.length === 0;
  if (isEmptied && releases.length === 0) throw bare(decision.failure as ProviderError, decision, observed);
  if (isEmptied) return [releases, ...unclaims(observed, given)];
  if (claim) return [[claimAct(desired, decision, observed)]];
  return [reserves(desired, decision, observed), releases, ...unclaims(observed, given)];
}

/**
 * Also what memory has let go of already while the block still names it: a release whose write failed is done again, or
 * memory would follow the block later on with nobody to look.
 */
function givenUp({ keep, take, release }: Decision, { uid, view, recorded }: Observed): readonly string[] {
  const held = new Set([...view.holdings(uid), ...keep, ...take].map(({ address }) => address));
  return [...release.map(({ address }) => address), ...recorded.filter((address) => !held.has(address))];
}

/** What the request comes to; with a plug-in, by the addresses that it gave. */
export function resolve(desired: Desired, { view, ipam }: Observed): Resolution {
  const decision = view.decide(desired);
  if (ipam === undefined || decision.take.length === 0) return { decision, claim: false };
  if (ipam.claim?.request !== requestText(desired)) return { decision, claim: true };
  return { decision: view.decide(claimed(desired, ipam.claim.addresses)), claim: false };
}

/** Two requests with one text get the same addresses from a plug-in. */
export function requestText({ families, policy, addresses, pool, pools, count }: Desired): string {
  return JSON.stringify([families, policy, addresses, pool ?? null, pools ?? null, count]);
}

/** Asks for exactly these. */
function claimed(desired: Desired, addresses: readonly string[]): Desired {
  const { pools: _, ...rest } = desired;
  return { ...rest, addresses, fields: { ...rest.fields, addresses: 'the IPAM plug-in' } };
}

function removal(observed: Observed): readonly (readonly Act[])[] {
  const { uid, key, view, recorded, ipam, deleted } = observed;
  const held = new Set([...view.holdings(uid).map(({ address }) => address), ...recorded]);
  const reason = deleted ? `Service ${key} is gone` : `Service ${key} is no load balancer any more`;
  const releases = [...held].sort().map((address) => release(address, reason, observed));
  if (ipam === undefined || ipam.released) return [releases];
  const addresses = [...new Set([...held, ...(ipam.claim?.addresses ?? [])])].sort();
  return [releases, [{ kind: 'unclaim', target: key, reason, uid, key, addresses }]];
}

function frozen(why: string, desired: Desired, observed: Observed): readonly (readonly Act[])[] {
  const held = observed.view.holdings(observed.uid);
  if (held.length === 0) throw failure('FL_POOL_INVALID', `nothing is given until the pools are valid: ${why}`);
  return [unsaved(held, desired, observed)];
}

function reserves(desired: Desired, decision: Decision, observed: Observed): readonly Act[] {
  const { uid, key, ipam } = observed;
  const isFirst = decision.keep.length === 0;
  // What a plug-in did not give is never taken, whatever is found when it comes to writing.
  const request =
    ipam === undefined
      ? desired
      : claimed(
          desired,
          decision.addresses.map(({ address }) => address),
        );
  const act = (kind: Kind, { address, pool }: Holding, reason: string): Act => {
    return { kind, target: `${address} (${pool})`, reason, uid, key, addresses: [address], request };
  };
  const updated = new Set(decision.update.map(({ address }) => address));
  return [
    ...decision.take.map((holding) =>
      act(isFirst ? 'reserve' : 'extend', holding, whyTaken(desired, ipam !== undefined)),
    ),
    ...decision.update.map((holding) => act('extend', holding, 'its ports, keys or pool changed')),
    ...unsaved(
      decision.keep.filter(({ address }) => !updated.has(address)),
      request,
      observed,
    ),
  ];
}

/** Held in memory, adopted or decided ahead, and not yet in the block. */
function unsaved(held: readonly Holding[], request: Desired, { uid, key, isDurable }: Observed): readonly Act[] {
  return held
    .filter(({ address }) => !isDurable(address))
    .map(({ address, pool }) => {
      const reason = 'held, and not in its block yet';
      return { kind: 'reserve', target: `${address} (${pool})`, reason, uid, key, addresses: [address], request };
    });
}

function release(address: string, reason: string, observed: Observed): Act {
  const { uid, key, deleted, ipam } = observed;
  return {
    kind: 'release',
    target: address,
    reason,
    uid,
    key,
    addresses: [address],
    // What a plug-in gave goes back to it: keeping it here would promise what is not ours.
    ...(deleted && ipam === undefined ? { retain: true as const } : {}),
  };
}

function claimAct(desired: Desired, { take }: Decision, { uid, key }: Observed): Act {
  const reason = `${take.length} address${take.length === 1 ? '' : 'es'} wanted of the IPAM plug-in`;
  return { kind: 'claim', target: key, reason, uid, key, addresses: [], request: desired };
}

/** After the block has let go of them. */
function unclaims({ uid, key, ipam }: Observed, addresses: readonly string[]): readonly (readonly Act[])[] {
  if (ipam === undefined || addresses.length === 0) return [];
  return [[{ kind: 'unclaim', target: key, reason: 'given up', uid, key, addresses }]];
}

function whyTaken({ addresses, fields, pool, pools }: Desired, fromPlugin: boolean): string {
  if (fromPlugin) return 'given by the IPAM plug-in';
  if (addresses.length > 0) return `asked for by ${fields.addresses}`;
  if (pool !== undefined || pools !== undefined) return `from the pool that ${fields.pool} asks for`;
  return 'the first that is free by the order of the pools';
}

const clearing = ({ notes }: Decision): string =>
  notes.find(({ reason }) => reason === 'ClearAssignment')?.message ?? 'no longer wanted';

/** A failure of a Service that holds nothing: what it still publishes is not its own any more, and the message says why. */
function bare(error: ProviderError, { notes }: Decision, { visible }: Observed): ProviderError {
  if (visible.size === 0) return error;
  const cleared = notes.filter(({ reason }) => reason === 'ClearAssignment').map((note) => note.message);
  return withoutAny(error, cleared);
}

/** The same failure of a Service that certainly holds nothing; `cleared`: what went before it. */
export function withoutAny(error: ProviderError, cleared: readonly string[] = []): ProviderError {
  const { code, message, field, retryAfterMs } = error;
  return failure(code as Parameters<typeof failure>[0], [...cleared, message].join('; '), {
    cause: error.cause,
    exists: false,
    ...(field === undefined ? {} : { field }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}
