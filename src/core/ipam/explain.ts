import { parseIp } from '../net/ip.ts';
import { verdictsOf } from './candidates.ts';
import { usersOf } from './change.ts';
import { type FamilyCount, poolCount } from './counts.ts';
import { type Decision, resolve } from './decide.ts';
import { nameOf, type User } from './entry.ts';
import type { Ledger } from './ledger.ts';
import type { AddressRequest } from './request.ts';

/** Why a request gets what it gets: for `fairlead why`. */
export interface Explanation {
  /** Candidates in the order in which they are tried, then the others in pool order. */
  readonly pools: readonly {
    readonly pool: string;
    readonly candidate: boolean;
    /** The rule that decided: 'requested by metallb.io/address-pool', 'autoAssign is false'. */
    readonly rule: string;
    readonly ipv4: FamilyCount;
    readonly ipv6: FamilyCount;
  }[];
  /** Each address asked for, then each other one held. */
  readonly addresses: readonly {
    readonly address: string;
    /** Absent: in no pool. */
    readonly pool?: string;
    readonly users: readonly Pick<User, 'namespace' | 'name' | 'uid'>[];
    /** 'namespace/name' of those for whom it is kept. */
    readonly retainedFor: readonly string[];
  }[];
  readonly decision: Decision;
}

export function explanationOf(ledger: Ledger, request: AddressRequest): Explanation {
  const held = ledger.heldBy(request.uid).map(({ address }) => address);
  return {
    pools: verdictsOf(ledger, request).map(({ pool, candidate, rule }) => {
      const { ipv4, ipv6 } = poolCount(ledger, pool);
      return { pool: pool.name, candidate, rule, ipv4, ipv6 };
    }),
    addresses: [...new Set([...request.addresses, ...held])].map((address) => {
      const slot = ledger.slot(address);
      const ip = parseIp(address);
      const pool = slot?.pool ?? (ip === undefined ? undefined : ledger.pools.poolOf(ip, request.pool)?.name);
      return {
        address,
        ...(pool === undefined ? {} : { pool }),
        users: slot === undefined ? [] : usersOf(slot),
        retainedFor: slot === undefined ? [] : slot.retained.map(nameOf),
      };
    }),
    decision: resolve(ledger, request).decision,
  };
}
