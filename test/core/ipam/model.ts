import type { AddressRequest } from '../../../src/core/ipam/request.ts';
import type { PoolText } from './fixtures.ts';

/**
 * The allocator as simple as can be, for new Services only: every address of every pool is looked at in turn, every user
 * of it in turn, as MetalLB does. Addresses end in one byte: '10.0.0.7', 'fd00::7'. Written from the rules, shares no
 * code with what it judges.
 */
export class Model {
  readonly users: { readonly address: string; readonly pool: string; readonly request: AddressRequest }[] = [];
  readonly #pools: readonly PoolText[];

  constructor(pools: readonly PoolText[]) {
    const rank = ({ serviceAllocation }: PoolText) => serviceAllocation?.priority || Number.MAX_SAFE_INTEGER;
    this.#pools = [...pools].sort((a, b) => rank(a) - rank(b) || (a.name < b.name ? -1 : 1));
  }

  release(uid: string): void {
    for (let at = this.users.length - 1; at >= 0; at -= 1)
      if (this.users[at]?.request.uid === uid) this.users.splice(at, 1);
  }

  /** What the Service gets; `undefined` when nothing. */
  allocate(request: AddressRequest): readonly string[] | undefined {
    const found = this.#find(request);
    if (found === undefined) return undefined;
    for (const address of found.addresses) this.users.push({ address, pool: found.pool, request });
    return [...found.addresses].sort(byNumber);
  }

  #find(request: AddressRequest): { readonly pool: string; readonly addresses: readonly string[] } | undefined {
    if (request.addresses.length > 0) {
      for (const pool of this.#pools) {
        const all = addressesOf(pool);
        if (request.pool !== undefined && pool.name !== request.pool) continue;
        if (!isOpen(pool, request) || request.addresses.some((address) => !all.includes(address))) continue;
        if (request.addresses.some((address) => !this.#mayHave(request, pool, address))) continue;
        if (this.#fitsQuota(request, pool, request.addresses)) return { pool: pool.name, addresses: request.addresses };
      }
      return undefined;
    }
    const named = this.#pools.filter(({ name }) => name === request.pool);
    const auto = this.#pools.filter(({ autoAssign }) => autoAssign !== false);
    const pinned = auto.filter(({ serviceAllocation }) => serviceAllocation !== undefined);
    const common = auto.filter(({ serviceAllocation }) => serviceAllocation === undefined);
    const order = (request.pool === undefined ? [...pinned, ...common] : named).filter((pool) => isOpen(pool, request));
    const wishes =
      request.policy === 'PreferDualStack' && request.families.length > 1
        ? [request.families, [request.families[0]], [request.families[1]]]
        : [request.families];
    for (const families of wishes)
      for (const pool of order) {
        const addresses: string[] = [];
        let complete = true;
        for (const family of families) {
          let missing = request.count;
          for (const address of addressesOf(pool)) {
            if (missing === 0 || address.includes(':') !== (family === 'ipv6')) continue;
            if (!this.#mayHave(request, pool, address) || !this.#fitsQuota(request, pool, [...addresses, address]))
              continue;
            addresses.push(address);
            missing -= 1;
          }
          complete &&= missing === 0;
        }
        if (complete) return { pool: pool.name, addresses };
      }
    return undefined;
  }

  #mayHave(request: AddressRequest, pool: PoolText, address: string): boolean {
    if (pool.avoidBuggyIPs === true && (address.endsWith('.0') || address.endsWith('.255'))) return false;
    return this.users
      .filter((user) => user.address === address)
      .every(
        ({ request: other }) =>
          other.sharingKey !== '' &&
          other.sharingKey === request.sharingKey &&
          other.backendKey === request.backendKey &&
          !other.ports.some((port) => request.ports.includes(port)),
      );
  }

  #fitsQuota({ namespace }: AddressRequest, pool: PoolText, addresses: readonly string[]): boolean {
    const rules = (pool.annotations?.['fairlead.dev/quota'] ?? '').split(',').map((rule) => rule.split('='));
    const limit = (rules.find(([name]) => name === namespace) ?? rules.find(([name]) => name === '*'))?.[1];
    if (limit === undefined) return true;
    const held = this.users.filter((user) => user.pool === pool.name && user.request.namespace === namespace);
    const has = new Set(held.map(({ address }) => address));
    return addresses.every((address) => has.has(address)) || new Set([...has, ...addresses]).size <= Number(limit);
  }
}

/** In the order in which they are tried. The texts of the model's pools are lists of ranges '10.0.0.2-10.0.0.5'. */
export function addressesOf({ addresses }: PoolText): readonly string[] {
  const all = addresses.flatMap((range) => {
    const [first = '', last = ''] = range.split('-');
    return Array.from({ length: hostOf(last) - hostOf(first) + 1 }, (_, index) =>
      withHost(first, hostOf(first) + index),
    );
  });
  return [...new Set(all)];
}

function isOpen({ annotations, serviceAllocation }: PoolText, { namespace, labels }: AddressRequest): boolean {
  if (annotations?.['fairlead.dev/disabled'] === 'true') return false;
  const { namespaces = [], serviceSelectors = [] } = serviceAllocation ?? {};
  if (namespaces.length > 0 && !namespaces.includes(namespace)) return false;
  const selects = (wanted: Readonly<Record<string, string>> = {}) =>
    Object.entries(wanted).every(([key, value]) => labels[key] === value);
  return serviceSelectors.length === 0 || serviceSelectors.some(({ matchLabels }) => selects(matchLabels));
}

const hostOf = (address: string): number =>
  address.includes(':') ? Number.parseInt(address.split('::')[1] || '0', 16) : Number(address.split('.')[3]);

const withHost = (address: string, host: number): string => {
  if (address.includes(':')) return `${address.split('::')[0]}::${host === 0 ? '' : host.toString(16)}`;
  return `${address.split('.').slice(0, 3).join('.')}.${host}`;
};

const byNumber = (a: string, b: string): number =>
  Number(a.includes(':')) - Number(b.includes(':')) || hostOf(a) - hostOf(b);
