import type { TransportRequest } from '../../src/kube/request.ts';

/** One process as the API server sees it: what it sends, and what it may never send. */
export interface Wire {
  /** To be called when the process sends a request; the answer is for when it learns how that ended. */
  begin(request: Pick<TransportRequest, 'method' | 'path' | 'body'>): (status: number | undefined) => void;
  /** Broken rules, in words. */
  readonly wrongs: readonly string[];
  /** Requests that would have changed something, leases left out. */
  readonly attempts: readonly { readonly atMs: number; readonly what: string }[];
  /** So much in one moment that it would never end: time stands still until it does. */
  readonly isWild: boolean;
}

interface Body {
  readonly metadata?: { readonly uid?: string; readonly resourceVersion?: string };
  readonly preconditions?: { readonly uid?: string };
  readonly spec?: { readonly holderIdentity?: string };
}

/** Our rights (deploy/kustomize/base/rbac.yaml), as far as they are about writing. */
const ALLOWED: readonly RegExp[] = [
  /^PATCH \/api\/v1\/namespaces\/[^/]+\/services\/[^/]+\/status$/,
  /^(POST|PATCH) \/api\/v1\/namespaces\/[^/]+\/events(\/[^/]+)?$/,
  /^(POST|PUT) \/apis\/coordination.k8s.io\/v1\/namespaces\/kube-system\/leases(\/fairlead-controller)?$/,
  /^(POST|PATCH|DELETE) \/apis\/fairlead.dev\/v1alpha1\/ipblocks(\/[^/]+)?$/,
  /^PATCH \/apis\/metallb.io\/v1beta1\/namespaces\/metallb-system\/ipaddresspools\/[^/]+\/status$/,
  /^(POST|PATCH) \/apis\/metallb.io\/v1beta1\/namespaces\/metallb-system\/configurationstates(\/controller(\/status)?)?$/,
  /^POST \/api\/v1\/namespaces\/metallb-system\/configmaps$/,
  /^PATCH \/api\/v1\/namespaces\/metallb-system\/configmaps\/fairlead-last-good-pools$/,
];

/** Each pattern with what must be there. */
const GUARDS: readonly (readonly [RegExp, (body: Body) => boolean])[] = [
  [/^PATCH .*\/(services|ipaddresspools)\/[^/]+\/status$/, ({ metadata }) => isVersionOf(metadata)],
  [/^PATCH .*\/ipblocks\//, ({ metadata }) => isVersionOf(metadata)],
  [/^PATCH .*\/configmaps\//, ({ metadata }) => metadata?.resourceVersion !== undefined],
  [/^DELETE /, ({ preconditions }) => preconditions?.uid !== undefined],
];
const isVersionOf = (metadata: Body['metadata']): boolean =>
  metadata?.uid !== undefined && metadata.resourceVersion !== undefined;
const isGuarded = (method: string, where: string, body: Body): boolean =>
  GUARDS.every(([pattern, has]) => !pattern.test(`${method} ${where}`) || has(body));

/** Failed writes of blocks within a second. */
const HAMMERING = 200;
/** Requests at one moment of virtual time. */
const WILD = 10_000;

/**
 * The rules of issue 3 and onprem-ipam.md that can be seen from outside:
 * - nothing is written without a lease that was renewed within the renew deadline;
 * - what others decide by is written with a guard: patches of Services, blocks and pools carry uid and resourceVersion,
 *   those of the ConfigMap the resourceVersion, deletions of blocks the uid;
 * - a block has one write at a time, and after a conflict or an unknown outcome it is read before the next one;
 * - what is refused is not tried again without end: there is a backoff.
 */
export function createWire({
  name,
  renewDeadlineMs,
  monotonicMs,
}: {
  readonly name: string;
  readonly renewDeadlineMs: number;
  readonly monotonicMs: () => number;
}): Wire {
  const wrongs: string[] = [];
  const attempts: { atMs: number; what: string }[] = [];
  const blocks = new Map<string, { writing: boolean; unsure: boolean }>();
  const failures: number[] = []; // when, monotonic
  let renewedMs = Number.NEGATIVE_INFINITY;
  let moment = { ms: -1, requests: 0 };

  const wrong = (what: string, request: string): void => {
    wrongs.push(`${monotonicMs()}: ${name} ${what}: ${request}`);
  };
  const blockAt = (where: string, body: object): { writing: boolean; unsure: boolean } => {
    const named = where.split('/')[5] ?? (body as { readonly metadata?: { readonly name?: string } }).metadata?.name;
    const block = blocks.get(named ?? '') ?? { writing: false, unsure: false };
    blocks.set(named ?? '', block);
    return block;
  };

  function failed(what: string): void {
    const nowMs = monotonicMs();
    failures.push(nowMs);
    while (nowMs - (failures[0] as number) >= 1000) failures.shift();
    if (failures.length === HAMMERING) wrong('hammers on the door', what);
  }

  function begin({ method, path, body: text }: Parameters<Wire['begin']>[0]): ReturnType<Wire['begin']> {
    const [where = ''] = path.split('?');
    const startMs = monotonicMs();
    moment = { ms: startMs, requests: moment.ms === startMs ? moment.requests + 1 : 1 };
    if (moment.requests === WILD) wrong('never comes to rest', `${method} ${where}`);
    const isBlock = where.startsWith('/apis/fairlead.dev/v1alpha1/ipblocks');
    if (method === 'GET') {
      const block = isBlock && where.split('/').length > 5 ? blockAt(where, {}) : undefined;
      return (status) => {
        if (block !== undefined && (status === 200 || status === 404)) block.unsure = false;
      };
    }
    const what = `${method} ${where}`;
    const body = (text === undefined ? {} : JSON.parse(text)) as Body;
    if (!ALLOWED.some((pattern) => pattern.test(what))) wrong('writes what is not its business', what);
    if (where.includes('/leases')) {
      return (status) => {
        if (status === undefined || status >= 300) return;
        renewedMs = body.spec?.holderIdentity === '' ? Number.NEGATIVE_INFINITY : Math.max(renewedMs, startMs);
      };
    }
    attempts.push({ atMs: startMs, what });
    if (startMs - renewedMs >= renewDeadlineMs)
      wrong(`writes ${startMs - renewedMs} ms after its last renewal`, `${what} ${text ?? ''}`);
    if (!isGuarded(method, where, body)) wrong('writes without a guard', what);
    if (!isBlock) return () => {};
    const block = blockAt(where, body);
    if (block.writing) wrong('has two writes of one block under way', what);
    if (block.unsure) wrong('writes a block again without having read it', what);
    block.writing = true;
    return (status) => {
      block.writing = false;
      if (status === undefined || status >= 300) failed(what);
      if (status === undefined || status === 404 || status === 409 || status >= 500) block.unsure = true;
    };
  }

  return {
    begin,
    wrongs,
    attempts,
    get isWild() {
      return moment.requests >= WILD;
    },
  };
}
