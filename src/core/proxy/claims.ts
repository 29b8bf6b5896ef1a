/** Who has which frontend, where several models want the same address, protocol and port. */
import { compareText } from '../equal.ts';
import type { Registers, TableFamily } from '../net/element.ts';
import { KIND_ORDER } from './frontends.ts';
import type { Frontend, PortModel, ServiceModel } from './model.ts';

export interface Claims {
  /** Who has it now; `undefined` when nobody wants it. */
  owner(frontend: Registers): string | undefined;
  /** The model wants it (again). Models are asked for by `modelOf`, so set that first. */
  acquire(frontend: Registers, key: string): void;
  release(frontend: Registers, key: string): void;
  /** Everybody who wants it, the owner first. */
  claimants(frontend: Registers): readonly string[];
}

/** Order: the kind of frontend, the older model, the key: the same whatever came first. */
export function createClaims(family: TableFamily, modelOf: (key: string) => ServiceModel | undefined): Claims {
  const sole = new Map<Registers, string>(); // frontend -> its only claimant
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
    owner: (frontend) => sole.get(frontend) ?? contested.get(frontend)?.[0],
    acquire(frontend, key) {
      const holder = sole.get(frontend);
      if (holder === key) return;
      const rivals = contested.get(frontend);
      if (holder === undefined && rivals === undefined) {
        sole.set(frontend, key);
        return;
      }
      const all = new Set([...(rivals ?? []), ...(holder === undefined ? [] : [holder]), key]);
      sole.delete(frontend);
      contested.set(frontend, [...all].sort(compare(frontend)));
    },
    release(frontend, key) {
      if (sole.get(frontend) === key) sole.delete(frontend);
      const rest = contested.get(frontend)?.filter((other) => other !== key);
      if (rest === undefined) return;
      const [only] = rest;
      if (rest.length === 1 && only !== undefined) {
        contested.delete(frontend);
        sole.set(frontend, only);
      } else contested.set(frontend, rest);
    },
    claimants(frontend) {
      const holder = sole.get(frontend);
      return holder === undefined ? (contested.get(frontend) ?? []) : [holder];
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
