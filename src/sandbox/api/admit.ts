import type { FieldError } from './invalid.ts';
import type { Draft } from './json.ts';
import type { Resource } from './resources.ts';

/** The part of an object that a write may change: '' is the object itself. */
export type Part = '' | 'status' | 'finalize' | 'binding';

/**
 * What the API server adds to a kind besides storing it: the strategy of its registry. Every function may write to the
 * draft that it is given and to nothing else; `old` is shared.
 */
export interface Rules {
  /** PUT of a name that does not exist creates it. */
  readonly createOnUpdate?: true;
  /** PUT without a resourceVersion: 422. */
  readonly versionRequired?: true;
  /** DELETE answers with the object instead of a Status. */
  readonly returnsDeleted?: true;
  /** Propagation policies mean nothing: no finalizers are set for the garbage collector. */
  readonly uncollected?: true;
  /** What a field selector may name besides metadata.name and metadata.namespace. */
  readonly fields: Readonly<Record<string, (object: Draft) => string>>;
  /** Fills what the API version defaults; on every object that a client sends, before ownership is recorded. */
  defaults?(draft: Draft): void;
  /** What a client may not set at creation; ownership does not follow it. */
  prepareCreate?(draft: Draft): void;
  /** Before validation: takes back what `part` may not change, and keeps `generation`. */
  prepareUpdate?(draft: Draft, old: Draft, part: Part): void;
  /** Name rule of the kind. Absent: a DNS subdomain. */
  nameErrors?(name: string): readonly string[];
  validate?(draft: Draft, old: Draft | undefined, part: Part): readonly FieldError[];
  /** What is accepted and yet worth a word to the user. */
  warnings?(draft: Draft): readonly string[];
  /** Claims what is shared between objects (addresses, ports). Runs before validation; `undo` when the write fails or is a dry run. */
  allocate?(draft: Draft, old: Draft | undefined, how: { readonly part: Part; readonly dryRun: boolean }): Claim;
  /** Gives back what the object held. */
  release?(object: Draft): void;
  /** Of kinds that a controller empties before they go: what the first DELETE does instead of marking. */
  markDeleted?(draft: Draft, now: string): void;
  /** True while something besides metadata.finalizers keeps a deleted object. */
  held?(object: Draft): boolean;
  /** 403 with this reason instead of a deletion; undefined when it may go. */
  undeletable?(object: Draft): string | undefined;
  /** How long a deleted object stays for its kubelet to end it; 0: it goes at once. */
  graceSeconds?(object: Draft, asked: number | undefined): number;
}

/** `commit` gives back what the old version held and the new one does not. */
export interface Claim {
  commit(): void;
  undo(): void;
}

export type RulesOf = (resource: Resource) => Rules;
