import { createHash } from 'node:crypto';
import type { Clock } from '../core/provider.ts';
import type { Client } from '../kube/request.ts';
import { pathOf, resources } from '../kube/resource.ts';

export type Verdict = 'allowed' | 'unauthenticated' | 'forbidden';
/** Asks the API server who a request's bearer token is, and whether that user may `get` the path. Rejects when it cannot tell. */
export type Reviewer = (authorization: string | undefined, path: string) => Promise<Verdict>;

export interface ReviewerOptions {
  readonly client: Client;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  /** Ends reviews under way. */
  readonly signal: AbortSignal;
}

interface User {
  readonly username?: string;
  readonly uid?: string;
  readonly groups?: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

/** Answers are kept for so long, as in delegating servers of Kubernetes. */
const KEPT_MS = 10_000;
/** Anybody may send any token, so what is kept about them has a bound. */
const KEPT_ENTRIES = 512;
const TIMEOUT_MS = 10_000;

/** Delegated authentication (TokenReview) and authorization (SubjectAccessReview), each answer kept for 10 s. */
export function createReviewer({ client, clock, signal }: ReviewerOptions): Reviewer {
  const users = createKept<User | undefined>(clock); // hash of the token -> whose it is
  const rights = createKept<boolean>(clock); // user and path -> may get it

  async function review<Status>(resource: keyof typeof kinds, spec: object): Promise<Status> {
    const [apiVersion, kind] = kinds[resource];
    const answer = await client.call<{ readonly status: Status }>({
      method: 'POST',
      path: pathOf(resources[resource]),
      body: { apiVersion, kind, spec },
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
      exempt: true,
    });
    return answer.status;
  }

  return async (authorization, path) => {
    const token = /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1];
    if (token === undefined) return 'unauthenticated';
    const user = await users.get(createHash('sha256').update(token).digest('hex'), async () => {
      type Status = { readonly authenticated?: boolean; readonly user?: User };
      const status = await review<Status>('tokenreviews', { token });
      return status.authenticated === true ? (status.user ?? {}) : undefined;
    });
    if (user === undefined) return 'unauthenticated';
    const allowed = await rights.get(JSON.stringify([user, path]), async () => {
      const { username, uid, groups, extra } = user;
      const nonResourceAttributes = { path, verb: 'get' };
      const spec = { user: username, uid, groups, extra, nonResourceAttributes };
      const status = await review<{ readonly allowed?: boolean }>('subjectaccessreviews', spec);
      return status.allowed === true;
    });
    return allowed ? 'allowed' : 'forbidden';
  };
}

const kinds = {
  tokenreviews: ['authentication.k8s.io/v1', 'TokenReview'],
  subjectaccessreviews: ['authorization.k8s.io/v1', 'SubjectAccessReview'],
} as const;

interface Kept<T> {
  /** The answer that is kept, or a fresh one; those who ask meanwhile share it. A failure is not kept. */
  get(key: string, ask: () => Promise<T>): Promise<T>;
}

function createKept<T>(clock: Pick<Clock, 'monotonicMs'>): Kept<T> {
  const entries = new Map<string, { readonly answer: Promise<T>; readonly askedMs: number }>(); // oldest first
  return {
    async get(key, ask) {
      const nowMs = clock.monotonicMs();
      const kept = entries.get(key);
      if (kept !== undefined && nowMs - kept.askedMs < KEPT_MS) return await kept.answer;
      entries.delete(key);
      const [oldest] = entries.keys();
      if (entries.size >= KEPT_ENTRIES && oldest !== undefined) entries.delete(oldest);
      const entry = { answer: ask(), askedMs: nowMs };
      entries.set(key, entry);
      try {
        return await entry.answer;
      } catch (error) {
        if (entries.get(key) === entry) entries.delete(key);
        throw error;
      }
    },
  };
}
