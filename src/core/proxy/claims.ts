/** Who has which frontend, where several models want the same address, protocol and port. */
import { compareText } from '../equal.ts';
import type { Registers, TableFamily } from '../net/element.ts';
import { KIND_ORDER } from './frontends.ts';
import type { Frontend, PortModel, ServiceModel } from './model.ts';

export interface Claims {
  /** Who has it now; `undefined` when nobody wants it. */
  owner(frontend: Registers): string | undefined;
  /** The model wants it (again). Models are asked for by `modelOf`, so set that first. */
  acquire(frontend: Registers, key: string, note?: Note): void;
  release(frontend: Registers, key: string, note?: Note): void;
}

/** Told of everybody who wanted a frontend and who wants it now, the owner first, when those are two or more. */
export type Note = (before: readonly string[], now: readonly string[]) => void;

/** Where the only claimant of a frontend is kept. */
export interface Holders {
  get(frontend: Registers): string | undefined;
  set(frontend: Registers, key: string | undefined): void;
}

export interface ClaimOptions {
  readonly family: TableFamily;
  readonly modelOf: (key: string) => ServiceModel | undefined;
  readonly holders: Holders;
}

/** Order: the kind of frontend, the older model, the key: the same whatever came first. */
export function createClaims({ family, modelOf, holders }: ClaimOptions): Claims {
  const contested = new Map<Registers, readonly string[]>(); // frontend -> two or more claimants in order

  const compare = (frontend: Registers) => (a: string, b: string) => {
    const [one, other] = [a, b].map((key) => {
      const model = modelOf(key);
      const kind = model === undefined ? undefined : placeOf(model, family, frontend)?.frontend.kind;
      return { order: kind === undefined ? Number.MAX_VALUE : KIND_ORDER[kind], created: model?.created ?? '' };
    }) as [{ order: number; created: string }, { order: number; created: string }];
    return one.order - other.order || compareText(one.created, other.created) || compareText(a, b);
  };

  return {
    owner: (frontend) => holders.get(frontend) ?? contested.get(frontend)?.[0],
    acquire(frontend, key, note) {
      const holder = holders.get(frontend);
      if (holder === key) return;
      const rivals = contested.get(frontend) ?? (holder === undefined ? [] : [holder]);
      if (rivals.length === 0) {
        holders.set(frontend, key);
        return;
      }
      const all = [...new Set([...rivals, key])].sort(compare(frontend));
      holders.set(frontend, undefined);
      contested.set(frontend, all);
      note?.(rivals, all);
    },
    release(frontend, key, note) {
      if (holders.get(frontend) === key) holders.set(frontend, undefined);
      const rivals = contested.get(frontend);
      if (rivals === undefined) return;
      const rest = rivals.filter((other) => other !== key);
      const [only] = rest;
      if (rest.length === 1 && only !== undefined) {
        contested.delete(frontend);
        holders.set(frontend, only);
      } else contested.set(frontend, rest);
      note?.(rivals, rest);
    },
  };
}

/** The port and frontend of a model that stand for a key of `services`. */
export function placeOf(
  model: ServiceModel,
  family: TableFamily,
  frontend: Registers,
): { readonly port: PortModel; readonly frontend: Frontend } | undefined {
  for (const port of model[family])
    for (const candidate of port.frontends) if (candidate.key === frontend) return { port, frontend: candidate };
  return undefined;
}
