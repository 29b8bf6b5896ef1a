import { compareText } from '../equal.ts';
import type { Ip } from '../net/ip.ts';
import { clashOf, compareUsers, type Entry, nameOf, type Retained, sharingGroup, type User } from './entry.ts';

/** One address in use or retained. Only the ledger changes it. */
export class Slot {
  readonly ip: Ip;
  readonly address: string;
  /** The pool that has the address now; absent: it left its pool, and its users will give it up. */
  pool: string | undefined;
  /** The pool as its block says. */
  recorded: string;
  /** Sorted by namespace, name. */
  retained: readonly Retained[] = [];
  readonly users = new Map<string, User>(); // uid -> user
  /** What all users share under; absent: no user, one who does not share, or (restored from elsewhere) a mixture. */
  group: string | undefined;
  /** Port -> its users; kept only while there is a group, so that the 10,000th user costs as much as the first. */
  #ports: Map<string, number> | undefined;

  /** `address` is the text of `ip`, passed because its maker has it. */
  constructor(ip: Ip, address: string, recorded: string) {
    this.ip = ip;
    this.address = address;
    this.recorded = recorded;
  }

  setUser(user: User): void {
    this.deleteUser(user.uid);
    const joins = this.users.size === 0 || (this.group !== undefined && this.group === sharingGroup(user));
    this.users.set(user.uid, user);
    if (!joins) this.#leaveGroup();
    else {
      this.group = sharingGroup(user);
      if (this.group !== undefined) this.#count(user, 1);
    }
  }

  deleteUser(uid: string): void {
    const user = this.users.get(uid);
    if (user === undefined) return;
    this.users.delete(uid);
    if (this.group !== undefined) this.#count(user, -1);
    if (this.users.size === 0) this.#leaveGroup();
    else if (this.group === undefined) this.#findGroup();
  }

  /** This user may have the address, or keep it with these ports and keys (rule 9; and what is retained). */
  fits(user: User): boolean {
    const own = this.users.get(user.uid);
    if (this.#others(user.uid) === 0) return own !== undefined || this.#retentionAgainst(user) === undefined;
    if (this.group === undefined || this.group !== sharingGroup(user))
      return [...this.users.values()].every((other) => other.uid === user.uid || clashOf(user, other) === undefined);
    return user.ports.every((port) => (this.#ports?.get(port) ?? 0) <= (own?.ports.includes(port) ? 1 : 0));
  }

  /** Why it may not, naming the first in the way; `undefined` when it may. */
  clash(user: User): string | undefined {
    if (this.fits(user)) return undefined;
    if (this.#others(user.uid) === 0) return this.#retentionAgainst(user);
    return [...this.users.values()]
      .filter(({ uid }) => uid !== user.uid)
      .sort((a, b) => compareText(nameOf(a), nameOf(b)) || compareUsers(a, b))
      .map((other) => clashOf(user, other))
      .find((clash) => clash !== undefined);
  }

  isRetainedFor(owner: { readonly namespace: string; readonly name: string }): boolean {
    return this.retained.some(({ namespace, name }) => namespace === owner.namespace && name === owner.name);
  }

  entry(): Entry {
    return {
      pool: this.pool ?? this.recorded,
      users: [...this.users.values()].sort(compareUsers),
      ...(this.retained.length === 0 ? {} : { retained: this.retained }),
    };
  }

  #others(uid: string): number {
    return this.users.size - (this.users.has(uid) ? 1 : 0);
  }

  /** Nobody uses it: only those may have it for whom it is kept. */
  #retentionAgainst(user: User): string | undefined {
    const [first] = this.retained;
    if (first === undefined || this.isRetainedFor(user)) return undefined;
    return `it is retained for ${nameOf(first)} until ${first.until}`;
  }

  #findGroup(): void {
    const groups = new Set([...this.users.values()].map(sharingGroup));
    const [group] = groups;
    if (groups.size !== 1 || group === undefined) return;
    this.group = group;
    for (const user of this.users.values()) this.#count(user, 1);
  }

  #leaveGroup(): void {
    this.group = undefined;
    this.#ports = undefined;
  }

  #count({ ports }: User, step: number): void {
    const counts = this.#ports ?? new Map<string, number>();
    this.#ports = counts;
    for (const port of ports) {
      const users = (counts.get(port) ?? 0) + step;
      if (users === 0) counts.delete(port);
      else counts.set(port, users);
    }
  }
}
