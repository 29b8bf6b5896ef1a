import type { Clock } from '../../core/provider.ts';
import type { Timers } from '../../work/clock.ts';
import type { RulesOf } from './admit.ts';
import type { Answer } from './answer.ts';
import type { Decoder } from './decode.ts';
import { keyOf } from './identity.ts';
import type { ApiRequest, Target } from './route.ts';
import { notFound } from './status.ts';
import type { ApiStore, Entry } from './store.ts';
import type { Writes } from './write.ts';

/** What every request about objects works with. */
export interface VerbContext {
  readonly store: ApiStore;
  readonly writes: Writes;
  readonly rulesOf: RulesOf;
  readonly decode: Decoder;
  readonly clock: Clock & Timers;
  readonly random: () => number;
  /** Lists show the world as it was so many revisions ago (a fault). */
  readonly staleBy?: number;
  /** A new bearer token that this server accepts. */
  issueToken(): string;
}

/** Answers one kind of request. Throws StatusError. */
export type Verb = (context: VerbContext, target: Target, request: ApiRequest, query: URLSearchParams) => Answer;

/** Throws 404. */
export function found(store: ApiStore, { resource, namespace, name = '' }: Target): Entry {
  const entry = store.get(resource.collection, keyOf(namespace, name));
  if (entry === undefined) throw notFound(resource, name);
  return entry;
}
