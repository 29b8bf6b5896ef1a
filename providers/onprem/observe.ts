import type { Allocator } from '../../src/core/ipam/allocator.ts';
import type { Clock, ServiceRef } from '../../src/core/provider.ts';
import type { Adopter } from './adopt.ts';
import { type Book, perhapsPublished } from './book.ts';
import type { Commit } from './commit.ts';
import type { Observed } from './diff.ts';
import { poolAnnotationOf, publishedOf, type Services } from './services.ts';

export interface ObserverOptions {
  readonly allocator: Allocator;
  readonly commit: Commit;
  readonly services: Services;
  readonly adopter: Adopter;
  readonly book: Book;
  readonly clock: Clock;
  readonly hasIpam: boolean;
  readonly frozen: () => string | undefined;
}

export interface Observer {
  observe(ref: ServiceRef): Observed;
  /** Everybody who holds something, in memory or in a block. */
  observeAll(): readonly { readonly uid: string; readonly observed: Observed }[];
}

/** Views of the memory: no IO, and as current as the moment at which they are read. */
export function createObserver(options: ObserverOptions): Observer {
  const { allocator, commit } = options;
  return {
    observe: (ref) => observe(options, ref),
    observeAll() {
      const uids = new Set([...allocator.holders(), ...commit.recordedUids()]);
      return [...uids].map((uid) => ({ uid, observed: observe(options, { uid, key: ownerOf(options, uid) }) }));
    },
  };
}

function observe(options: ObserverOptions, { uid, key }: ServiceRef): Observed {
  const { allocator, commit, services, adopter, book, clock, hasIpam } = options;
  const service = services.find(uid, key);
  const frozen = options.frozen();
  const recorded = commit.recorded(uid);
  const published = service === undefined ? [] : publishedOf(service);
  // Taken over while we run: its class changed, or a block was deleted by hand.
  const isLost = published.some((address) => !recorded.includes(address));
  if (service !== undefined && frozen === undefined && isLost && services.isWanted(service)) adopter.adopt(service);
  const pool = service === undefined ? undefined : poolAnnotationOf(service);
  const told = book.told.get(uid);
  const claim = book.claims.get(uid);
  // A claim that no block records, by a crash between the two, is looked for where it can be ours; elsewhere it would be
  // taken for a proof that the Service is.
  const hasNothing = (): boolean =>
    book.released.has(uid) ||
    (service !== undefined &&
      !services.isOurs(service) &&
      claim === undefined &&
      recorded.length === 0 &&
      allocator.holdings(uid).length === 0);
  return {
    uid,
    key,
    view: allocator,
    isDurable: (address) => commit.isDurable(address),
    recorded,
    published,
    visible: new Set([...published, ...perhapsPublished(book, uid, clock.monotonicMs())]),
    ...(pool === undefined ? {} : { publishedPool: pool }),
    deleted: service === undefined || service.metadata.deletionTimestamp !== undefined,
    ...(frozen === undefined ? {} : { frozen }),
    ...(told === undefined ? {} : { told }),
    notes: notesOf(options, uid, published),
    ...(hasIpam ? { ipam: { released: hasNothing(), ...(claim === undefined ? {} : { claim }) } } : {}),
  };
}

/** Forgotten once the world sees what they are about. */
function notesOf({ allocator, book }: ObserverOptions, uid: string, published: readonly string[]) {
  const notes = book.notes.get(uid);
  if (notes === undefined) return [];
  const held = allocator.holdings(uid);
  if (held.length !== published.length || held.some(({ address }) => !published.includes(address))) return notes;
  book.notes.delete(uid);
  return [];
}

/** 'namespace/name' as its addresses record it; '' for one that holds nothing any more. */
export function ownerOf({ allocator, commit }: Pick<ObserverOptions, 'allocator' | 'commit'>, uid: string): string {
  const addresses = [...allocator.holdings(uid).map(({ address }) => address), ...commit.recorded(uid)];
  for (const address of addresses) {
    const user = allocator.entry(address)?.users.find((each) => each.uid === uid);
    if (user !== undefined) return `${user.namespace}/${user.name}`;
  }
  return '';
}
