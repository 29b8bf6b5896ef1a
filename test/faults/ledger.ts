import { isDeepStrictEqual } from 'node:util';
import { keyOf, type Lease, type Service } from '../../src/core/objects.ts';
import { isAnswer } from '../../src/core/service/annotations.ts';
import { CONDITION_TYPES } from '../../src/core/service/conditions.ts';
import { OWN_FINALIZER, STANDARD_FINALIZER } from '../../src/core/service/wanted.ts';
import type { Change } from '../../src/sandbox/api/store.ts';

/** A published address that gave way to others, or to none. */
export interface Move {
  readonly uid: string;
  readonly key: string;
  readonly from: readonly string[];
  readonly to: readonly string[];
  readonly atMs: number;
  /** The process that did it. */
  readonly by: string;
}

/**
 * Watches every change of Services and blocks at the moment at which it happens, and notes what must never be:
 * - one address shown by two Services that do not share it;
 * - an address published before it is reserved, or given up in the block while it is still published;
 * - two users of one address who may not share it;
 * - a published address that changes although nobody gave a reason;
 * - a change of anything that is not a controller's business, by a controller.
 */
export interface Ledger {
  /** What changes while `run` runs (up to its first await) is this author's doing. */
  by<T>(author: string, run: () => T): T;
  seen(change: Change): void;
  /** A person gave a reason to change this Service's addresses: it allows one move. */
  excuse(uid: string): void;
  /** What this Service shows by a person's hand is to stay, as if a controller had published it (take-over from MetalLB). */
  claim(uid: string, addresses: readonly string[]): void;
  /** Whose doing the change is that is being told. */
  readonly author: string;
  readonly wrongs: readonly string[];
  readonly moves: readonly Move[];
  readonly services: ReadonlyMap<string, Service>;
  /** Address -> uids of its users, by the blocks; nobody uses one that is only retained. */
  reserved(): ReadonlyMap<string, ReadonlySet<string>>;
}

export const FOREIGN_CLASS = 'somebody.else/lb';
/** Whoever is not a controller. */
export const USER = 'user';

interface User {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly ports: readonly string[];
  readonly sharingKey: string;
  readonly backendKey: string;
}
export interface Block {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly addresses?: Readonly<
      Record<string, { readonly users?: readonly User[]; readonly retained?: readonly object[] }>
    >;
  };
}
type Entries = ReadonlyMap<string, readonly User[]>;

export const addressesOf = ({ status }: Service): readonly string[] =>
  (status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => (ip === undefined ? [] : [ip]));
export const isOurs = ({ spec }: Service): boolean =>
  spec.type === 'LoadBalancer' && spec.loadBalancerClass !== FOREIGN_CLASS;

/** `mayGo`: the pools of the moment give a reason to leave these addresses. */
export function createLedger(monotonicMs: () => number, mayGo: (addresses: readonly string[]) => boolean): Ledger {
  const services = new Map<string, Service>(); // key -> as the API server has it
  const blocks = new Map<string, Entries>(); // name -> users of its addresses
  const shown = new Map<string, readonly string[]>(); // uid -> what a controller published last
  const handmade = new Set<string>(); // uids whose ingress was last written by a person
  const struck = new Set<string>(); // 'address uid' that a person took out of a block
  const excuses = new Map<string, number>(); // uid -> moves that are allowed
  const wrongs: string[] = [];
  const moves: Move[] = [];
  let author = USER;
  let holder = ''; // of the lease

  const wrong = (text: string): void => void wrongs.push(`${monotonicMs()}: ${author} ${text}`);
  const usersOf = (address: string): readonly User[] =>
    [...blocks.values()].flatMap((entries) => entries.get(address) ?? []);
  const holds = (address: string, uid: string): boolean => usersOf(address).some((user) => user.uid === uid);

  function seenService({ type, now, before }: Change): void {
    const service = now.object as unknown as Service;
    const key = keyOf(service);
    const { uid } = service.metadata;
    if (type === 'DELETED') {
      services.delete(key);
      return;
    }
    services.set(key, service);
    const old = before?.object as unknown as Service | undefined;
    if (author === USER) byHand(old, service);
    else {
      if (old !== undefined) seemly(old, service);
      published(old, service);
    }
    if (!isOurs(service)) shown.delete(uid);
  }

  function byHand(old: Service | undefined, service: Service): void {
    const { uid } = service.metadata;
    const addresses = addressesOf(service);
    const isChanged = addresses.join() !== (old === undefined ? [] : addressesOf(old)).join();
    // Wiped, and in no block: nobody knows of it any more.
    if (isChanged && (shown.get(uid) ?? []).some((each) => !addresses.includes(each) && !holds(each, uid)))
      shown.delete(uid);
    if (!isChanged || addresses.length === 0) return;
    if (addresses.join() !== shown.get(uid)?.join()) handmade.add(uid);
  }

  function published(old: Service | undefined, service: Service): void {
    const key = keyOf(service);
    const { uid, deletionTimestamp } = service.metadata;
    const [before, after] = [old === undefined ? [] : addressesOf(old), addressesOf(service)];
    if (before.join() === after.join()) return;
    for (const address of after.filter((each) => !before.includes(each))) {
      if (!holds(address, uid) && !struck.has(`${address} ${uid}`))
        wrong(`publishes ${address} for ${key}, which has not reserved it`);
      for (const other of sharers(address, key)) {
        const both = holds(address, uid) && holds(address, other.metadata.uid);
        if (!both && !isBareWish(address, other)) wrong(`gives ${address} to ${key} while ${keyOf(other)} shows it`);
      }
    }
    handmade.delete(uid);
    if (isOurs(service) && deletionTimestamp === undefined) moved(service, after);
  }

  /** It shows what nobody reserved for it, and by a person's hand or against a person's newer wish: it is to go. */
  function isBareWish(address: string, { metadata: { uid } }: Service): boolean {
    return !holds(address, uid) && (handmade.has(uid) || (excuses.get(uid) ?? 0) > 0);
  }

  function sharers(address: string, key: string): readonly Service[] {
    return [...services.values()].filter(
      (other) =>
        keyOf(other) !== key &&
        isOurs(other) &&
        other.metadata.deletionTimestamp === undefined &&
        addressesOf(other).includes(address),
    );
  }

  function moved({ metadata }: Service, to: readonly string[]): void {
    const { uid } = metadata;
    const from = shown.get(uid) ?? [];
    if (to.length > 0) shown.set(uid, to);
    else shown.delete(uid);
    if (from.every((address) => to.includes(address))) return;
    const key = keyOf({ metadata });
    moves.push({ uid, key, from, to, atMs: monotonicMs(), by: author });
    if (mayGo(from.filter((address) => !to.includes(address)))) return;
    const left = excuses.get(uid) ?? 0;
    if (left === 0) wrong(`changes ${key} from ${from} to ${to.join() || 'nothing'} although nobody gave a reason`);
    excuses.set(uid, Math.max(0, left - 1));
  }

  /** Only status, our finalizers, our answers and our conditions are a controller's business. */
  function seemly(old: Service, now: Service): void {
    const key = keyOf(now);
    if (!isOurs(old) && old.spec.type === 'LoadBalancer') wrong(`touches ${key}, which is not ours`);
    if (!isDeepStrictEqual(foreignPart(old), foreignPart(now))) wrong(`changes what is not its own in ${key}`);
  }

  function seenBlock({ type, now }: Change): void {
    const { metadata, spec } = now.object as unknown as Block;
    const entries = new Map(
      type === 'DELETED'
        ? []
        : Object.entries(spec.addresses ?? {}).map(([address, { users = [] }]) => [address, users] as const),
    );
    const before = blocks.get(metadata.name) ?? new Map<string, readonly User[]>();
    blocks.set(metadata.name, entries);
    for (const [address, users] of entries) {
      for (const user of users) struck.delete(`${address} ${user.uid}`);
      if (author !== USER) mayShare(address, users);
    }
    for (const [address, users] of before) for (const user of users) leaves(address, user);
  }

  function mayShare(address: string, users: readonly User[]): void {
    for (const [at, user] of users.entries())
      for (const other of users.slice(at + 1)) {
        const isShared =
          user.sharingKey !== '' && user.sharingKey === other.sharingKey && user.backendKey === other.backendKey;
        if (!isShared || user.ports.some((port) => other.ports.includes(port)))
          wrong(`reserves ${address} for ${user.name} and ${other.name}, who do not share`);
      }
  }

  function leaves(address: string, { uid, namespace, name }: User): void {
    if (holds(address, uid)) return;
    const service = services.get(`${namespace}/${name}`);
    if (author === USER) {
      struck.add(`${address} ${uid}`);
      if (service === undefined || !addressesOf(service).includes(address)) shown.delete(uid);
      return;
    }
    const isServed =
      service?.metadata.uid === uid && isOurs(service) && service.metadata.deletionTimestamp === undefined;
    // The last write of a deposed leader may take what it never published; whoever leads puts it back.
    const isDeposed = holder !== '' && author !== holder;
    if (isServed && addressesOf(service).includes(address) && !handmade.has(uid) && !isDeposed)
      wrong(`gives up ${address} while ${name} shows it`);
  }

  return {
    by(name, run) {
      const outer = author;
      author = name;
      try {
        return run();
      } finally {
        author = outer;
      }
    },
    seen(change) {
      if (change.collection === 'services') seenService(change);
      else if (change.collection.startsWith('ipblocks')) seenBlock(change);
      else if (change.collection.startsWith('leases'))
        holder = (change.now.object as unknown as Lease).spec?.holderIdentity ?? '';
    },
    excuse: (uid) => void excuses.set(uid, (excuses.get(uid) ?? 0) + 1),
    claim(uid, addresses) {
      handmade.delete(uid);
      shown.set(uid, addresses);
    },
    get author() {
      return author;
    },
    wrongs,
    moves,
    services,
    reserved() {
      const all = new Map<string, ReadonlySet<string>>();
      for (const entries of blocks.values())
        for (const [address, users] of entries) all.set(address, new Set(users.map(({ uid }) => uid)));
      return all;
    },
  };
}

/** What a controller leaves as it is. */
function foreignPart({ metadata, spec, status = {} }: Service): unknown {
  const {
    resourceVersion: _version,
    managedFields: _fields,
    deletionTimestamp: _deleted,
    deletionGracePeriodSeconds: _grace,
    annotations = {},
    finalizers = [],
    ...rest
  } = metadata;
  const { loadBalancer: _published, conditions = [], ...others } = status;
  const ourConditions: readonly string[] = CONDITION_TYPES;
  return {
    rest,
    spec,
    annotations: Object.fromEntries(Object.entries(annotations).filter(([key]) => !isAnswer(key))),
    finalizers: finalizers.filter((name) => name !== OWN_FINALIZER && name !== STANDARD_FINALIZER),
    conditions: conditions.filter(({ type }) => !ourConditions.includes(type)),
    others,
  };
}
