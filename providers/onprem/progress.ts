import { type ErrorEntry, errorCatalogue, type ProviderError } from '../../src/core/errors.ts';
import type { Decision, Note } from '../../src/core/ipam/decide.ts';
import type { Holding } from '../../src/core/ipam/entry.ts';
import type { Progress, Report, Shortfall } from '../../src/core/provider.ts';
import { type Observed, resolve } from './diff.ts';
import { OLD_POOL_ANNOTATION, POOL_ANNOTATION } from './names.ts';
import type { Desired } from './plan.ts';

/** A look is due by then, should nobody have woken it. */
const LOOK_AGAIN_MS = 1000;

/** Decided in memory, and not in the block yet. */
export const beingReserved = {
  state: 'pending',
  reason: 'the address is being reserved',
  retryAfterMs: LOOK_AGAIN_MS,
} as const satisfies Progress;

type Event = NonNullable<Report['events']>[number];

/**
 * Ready as soon as every address is in its block. Events are told on transitions only: addresses when the published ones
 * differ, everything else when it was not said before, so a resync says nothing.
 */
export function progress(desired: Desired | undefined, observed: Observed): Progress {
  if (desired === undefined) return removed(observed);
  if (observed.frozen !== undefined) return kept(observed.view.holdings(observed.uid), observed.frozen, observed);
  const { decision, claim } = resolve(desired, observed);
  if (decision.failure !== undefined && decision.keep.length === 0) throw decision.failure;
  const held = decision.failure === undefined ? decision.addresses : decision.keep;
  if (claim || held.some(({ address }) => !observed.isDurable(address))) return beingReserved;
  const shortfalls = shortfallsOf(decision);
  const events = eventsOf(desired, decision, held, observed);
  return {
    state: 'ready',
    ingress: ingressOf(held),
    ...(shortfalls.length === 0 ? {} : { shortfalls }),
    annotations: annotationsOf(held),
    ...(events.length === 0 ? {} : { events }),
  };
}

/** All that a decision has to say besides the addresses themselves; what `Observed.told` is compared with. */
export function remarksOf(decision: Decision): readonly Event[] {
  const { failure, notes } = decision;
  const remarks = notes.filter(({ reason }) => reason !== 'ClearAssignment');
  return failure === undefined ? remarks : [...remarks, eventOf(failure)];
}

function removed({ uid, view, recorded }: Observed): Progress {
  const left = new Set([...view.holdings(uid).map(({ address }) => address), ...recorded]);
  if (left.size > 0) {
    const reason = `${[...left].sort().join(', ')} is being given up`;
    return { state: 'pending', reason, retryAfterMs: LOOK_AGAIN_MS };
  }
  return { state: 'ready', ingress: [], annotations: { [POOL_ANNOTATION]: null, [OLD_POOL_ANNOTATION]: null } };
}

function kept(held: readonly Holding[], why: string, { isDurable }: Observed): Progress {
  if (held.some(({ address }) => !isDurable(address))) return beingReserved;
  const message = `kept as it is until the pools are valid: ${why}`;
  return { state: 'ready', ingress: ingressOf(held), shortfalls: [{ reason: 'StaleSpec', message }] };
}

export function ingressOf(held: readonly Holding[]) {
  return held.map(({ address }) => ({ ip: address, ipMode: 'VIP' as const }));
}

/** What a Service that holds these says of it. */
export const annotationsOf = (held: readonly Holding[]): Readonly<Record<string, string | null>> => ({
  [POOL_ANNOTATION]: poolsOf(held),
  [OLD_POOL_ANNOTATION]: null,
});

/** One name as MetalLB writes it; of several pools each once, in the order of the addresses. */
export function poolsOf(held: readonly Holding[]): string {
  return [...new Set(held.map(({ pool }) => pool))].join(',');
}

function shortfallsOf({ failure, shortfalls }: Decision): readonly Shortfall[] {
  if (failure === undefined) return shortfalls;
  const { message, field } = failure;
  return [{ reason: 'StaleSpec', message, ...(field === undefined ? {} : { field }) }, ...shortfalls];
}

function eventsOf(
  desired: Desired,
  decision: Decision,
  held: readonly Holding[],
  observed: Observed,
): readonly Event[] {
  const addresses = held.map(({ address }) => address);
  const changes = changesOf(addresses, poolsOf(held), decision, observed);
  const isFirstLook = observed.told === undefined && changes.length === 0 && observed.published.length > 0;
  const remarks = isFirstLook ? [] : remarksOf(decision).filter(({ message }) => observed.told?.has(message) !== true);
  return [...changes, ...(changes.length === 0 ? [] : desired.deprecated.map(deprecation)), ...remarks];
}

function changesOf(
  addresses: readonly string[],
  pools: string,
  decision: Decision,
  { published, publishedPool, notes }: Observed,
): readonly Event[] {
  const lost = published.filter((address) => !addresses.includes(address));
  const gained = addresses.filter((address) => !published.includes(address));
  // The status was wiped: the address comes back, nothing was assigned.
  const isRestored = published.length === 0 && publishedPool === pools;
  const reasons = [...notes, ...decision.notes].filter(({ reason }) => reason === 'ClearAssignment');
  const given: Note = { type: 'Normal', reason: 'ClearAssignment', message: `${lost.join(', ')} is given up` };
  return [
    ...(lost.length === 0 ? [] : reasons.length === 0 ? [given] : reasons),
    ...(gained.length === 0 || isRestored ? [] : [assigned(gained, lost.length < published.length)]),
  ];
}

/** The words are MetalLB's. */
function assigned(gained: readonly string[], additional: boolean): Event {
  const list = gained.map((address) => JSON.stringify(address)).join(' ');
  const message = additional ? `Assigned additional IP [${list}]` : `Assigned IP [${list}]`;
  return { type: 'Normal', reason: 'IPAllocated', message };
}

function deprecation(key: string): Event {
  const now = key.replace('metallb.universe.tf/', 'metallb.io/');
  return { type: 'Warning', reason: 'deprecatedAnnotation', message: `annotation ${key} is deprecated: write ${now}` };
}

function eventOf({ code, message }: ProviderError): Event {
  const catalogue: Readonly<Record<string, ErrorEntry>> = errorCatalogue;
  return { type: 'Warning', reason: catalogue[code]?.event ?? 'AllocationFailed', message };
}
