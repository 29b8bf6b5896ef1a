import type { Element } from '../../core/net/element.ts';
import type { Planner } from '../../core/proxy/model.ts';
import { ADDRESS_BYTES, FIELD_BYTES } from '../../core/proxy/registers.ts';

/** The Service (or hostPort) that an element of the table is for; undefined when none is, or none any more. */
export function ownerOf(planner: Planner, { set, key }: Pick<Element, 'set' | 'key'>): string | undefined {
  const address = ADDRESS_BYTES[planner.family];
  const frontend = key.slice(0, address + 2 * FIELD_BYTES);
  if (frontend.length === address + 2 * FIELD_BYTES && set !== 'hairpin') {
    const owner = planner.ownerOf(frontend);
    if (owner !== undefined) return owner;
  }
  const vip = key.slice(0, address);
  for (const name of planner.keys()) {
    const ports = planner.model(name)?.[planner.family] ?? [];
    const isIts =
      set === 'hairpin'
        ? ports.some(({ hairpin }) => hairpin.includes(vip))
        : ports.some(({ frontends }) => frontends.some((one) => one.key.startsWith(vip)));
    if (isIts) return name;
  }
  return undefined;
}
