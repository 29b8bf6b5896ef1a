import fc from 'fast-check';
import type { AddressRequest } from '../../../src/core/ipam/request.ts';
import { type PoolText, request } from './fixtures.ts';

/** Few addresses, few names: collisions are what is looked for. */
const HOSTS = 10;

const hosts = (family: 'ipv4' | 'ipv6') =>
  fc.tuple(fc.nat(HOSTS - 1), fc.nat(5)).map(([low, more]) => {
    const prefix = family === 'ipv4' ? '10.0.0.' : 'fd00::';
    const text = (host: number) => `${prefix}${family === 'ipv6' ? (host === 0 ? '' : host.toString(16)) : host}`;
    return `${text(low)}-${text(Math.min(HOSTS - 1, low + more))}`;
  });

export const namespaces = ['blue', 'red'] as const;
export const poolNames = ['a', 'b', 'c'] as const;

/** Present in so large a part of the cases. */
const sometimes = <T>(arbitrary: fc.Arbitrary<T>, part: number): fc.Arbitrary<T | undefined> =>
  fc.oneof(
    { weight: Math.round(60 * part), arbitrary },
    { weight: Math.round(60 * (1 - part)), arbitrary: fc.constant(undefined) },
  );

/** Mostly open, so that requests are served more often than not. */
const poolText = fc
  .record({
    addresses: fc.array(fc.oneof(hosts('ipv4'), hosts('ipv6')), { minLength: 1, maxLength: 4 }),
    autoAssign: sometimes(fc.constant(false), 1 / 5),
    avoidBuggyIPs: sometimes(fc.constant(true), 1 / 3),
    serviceAllocation: sometimes(
      fc.record({
        priority: sometimes(fc.nat(3), 1),
        namespaces: sometimes(fc.subarray([...namespaces], { minLength: 1 }), 1 / 2),
        serviceSelectors: sometimes(
          fc.constantFrom(
            [{ matchLabels: { app: 'x' } }],
            [{ matchLabels: { app: 'x' } }, { matchLabels: { app: 'y' } }],
          ),
          1 / 3,
        ),
      }),
      1 / 2,
    ),
    disabled: sometimes(fc.constant('true'), 1 / 10),
    quota: sometimes(fc.constantFrom('*=1', 'blue=2', 'blue=1,*=3', 'red=0'), 1 / 4),
  })
  .map(({ disabled, quota, ...pool }) => {
    const annotations = { 'fairlead.dev/disabled': disabled, 'fairlead.dev/quota': quota };
    return JSON.parse(JSON.stringify({ ...pool, annotations })) as Omit<PoolText, 'name'>;
  });

/** Ranges within and between pools may overlap, unless `disjoint`: then an address is in the first pool that has it. */
export const poolTexts = ({ disjoint }: { readonly disjoint: boolean }) =>
  fc.array(poolText, { minLength: 1, maxLength: poolNames.length }).map((pools): readonly PoolText[] => {
    const named = pools.map((pool, index): PoolText => ({ name: poolNames[index] as string, ...pool }));
    return disjoint ? withoutOverlaps(named) : named;
  });

function withoutOverlaps(pools: readonly PoolText[]): readonly PoolText[] {
  const seen = new Set<string>();
  return pools.flatMap((pool) => {
    const addresses = pool.addresses.flatMap(single).filter((range) => !seen.has(range) && seen.add(range));
    return addresses.length === 0 ? [] : [{ ...pool, addresses }];
  });
}

/** One range per address. */
function single(range: string): readonly string[] {
  const [first = '', last = ''] = range.split('-');
  const cut = Math.max(first.lastIndexOf('.'), first.lastIndexOf(':')) + 1;
  const radix = first.includes(':') ? 16 : 10;
  const host = (text: string) => Number.parseInt(text.slice(cut) || '0', radix);
  return Array.from({ length: host(last) - host(first) + 1 }, (_, index) => {
    const at = host(first) + index;
    const text = `${first.slice(0, cut)}${radix === 16 && at === 0 ? '' : at.toString(radix)}`;
    return `${text}-${text}`;
  });
}

const address = (family: 'ipv4' | 'ipv6') => hosts(family).map((range) => range.split('-')[0] as string);

export const uids = ['s1', 's2', 's3', 's4', 's5', 's6'] as const;

/** Any request that `requestOf` could make. */
export const anyRequest: fc.Arbitrary<AddressRequest> = fc
  .record({
    uid: fc.constantFrom(...uids),
    namespace: fc.constantFrom(...namespaces),
    app: fc.constantFrom('x', 'y', undefined),
    families: fc.constantFrom<AddressRequest['families'][]>(
      ['ipv4'],
      ['ipv4'],
      ['ipv6'],
      ['ipv4', 'ipv6'],
      ['ipv6', 'ipv4'],
    ),
    prefers: fc.boolean(),
    pool: sometimes(fc.constantFrom(...poolNames), 1 / 4),
    wanted: sometimes(fc.tuple(address('ipv4'), address('ipv6')), 1 / 4),
    count: fc.constantFrom(1, 1, 1, 1, 1, 2, 3),
    ports: fc.constantFrom(['TCP/80'], ['TCP/443'], ['TCP/443', 'TCP/80'], ['UDP/80']),
    sharingKey: fc.constantFrom('', 'k', 'k', 'l'),
    backendKey: fc.constantFrom('', '', 'app=x'),
  })
  .map(({ uid, app, prefers, pool, wanted, families, ...rest }) =>
    request(uid, {
      ...rest,
      families,
      // A Service keeps its namespace; the name is the uid.
      namespace: namespaces[uids.indexOf(uid) % namespaces.length] as string,
      labels: app === undefined ? {} : { app },
      policy: families.length === 1 ? 'SingleStack' : prefers ? 'PreferDualStack' : 'RequireDualStack',
      ...(pool === undefined ? {} : { pool }),
      addresses:
        wanted === undefined ? [] : wanted.filter((each) => families.includes(each.includes(':') ? 'ipv6' : 'ipv4')),
    }),
  );

/** Besides, one address from each of several pools. */
export const richRequest: fc.Arbitrary<AddressRequest> = fc.oneof(
  { weight: 4, arbitrary: anyRequest },
  {
    weight: 1,
    arbitrary: fc
      .tuple(anyRequest, fc.shuffledSubarray([...poolNames], { minLength: 1 }))
      .map(([{ pool: _, ...rest }, pools]) => ({ ...rest, pools, addresses: [], count: 1 })),
  },
);

export type Command =
  | { readonly do: 'allocate'; readonly request: AddressRequest }
  | { readonly do: 'release'; readonly uid: string; readonly retainAtMs?: number }
  | { readonly do: 'adopt'; readonly request: AddressRequest; readonly published: readonly string[] }
  | { readonly do: 'purge'; readonly nowMs: number }
  | { readonly do: 'setPools'; readonly pools: readonly PoolText[] };

export const commands = (
  texts: fc.Arbitrary<readonly PoolText[]>,
  requests: fc.Arbitrary<AddressRequest>,
): fc.Arbitrary<readonly Command[]> =>
  fc.array(
    fc.oneof(
      { weight: 6, arbitrary: requests.map((each): Command => ({ do: 'allocate', request: each })) },
      {
        weight: 2,
        arbitrary: fc
          .record({ uid: fc.constantFrom(...uids), retainAtMs: fc.option(fc.nat(100_000), { nil: undefined }) })
          .map(
            ({ uid, retainAtMs }): Command => ({
              do: 'release',
              uid,
              ...(retainAtMs === undefined ? {} : { retainAtMs }),
            }),
          ),
      },
      {
        weight: 1,
        arbitrary: fc
          .record({
            request: requests,
            published: fc.array(fc.oneof(address('ipv4'), address('ipv6')), { maxLength: 2 }),
          })
          .map((each): Command => ({ do: 'adopt', ...each })),
      },
      { weight: 1, arbitrary: fc.nat(200_000).map((nowMs): Command => ({ do: 'purge', nowMs })) },
      { weight: 1, arbitrary: texts.map((pools): Command => ({ do: 'setPools', pools })) },
    ),
    { maxLength: 40 },
  );
