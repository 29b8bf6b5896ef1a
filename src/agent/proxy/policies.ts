import type { KubeObject } from '../../core/objects.ts';
import type { Clock, Log } from '../../core/provider.ts';
import { FIELD_MANAGER } from '../../kube/patch.ts';
import { type Client, isAlreadyExists } from '../../kube/request.ts';
import { pathOf, resources } from '../../kube/resource.ts';
import type { Store } from '../../kube/store.ts';

export interface PoliciesOptions {
  readonly policies: Store<KubeObject>;
  readonly client: Client;
  readonly clock: Clock;
  /** 0 <= x < 1 */
  readonly random: () => number;
  readonly log: Log;
}

/** All nodes of a cluster see the same policy at the same time. */
const SPREAD_MS = 10_000;

/**
 * Warns of each NetworkPolicy that nobody enforces it here, until the signal aborts. One Event per policy: all nodes give it
 * the same name, and the first one makes it.
 */
export async function warnOfPolicies(options: PoliciesOptions, signal: AbortSignal): Promise<void> {
  const { policies, clock, random, log } = options;
  const told = new Set<string>(); // UIDs
  const waiting: KubeObject[] = [];
  let wake = (): void => {};
  const add = (policy: KubeObject): void => {
    if (told.has(policy.metadata.uid)) return;
    told.add(policy.metadata.uid);
    waiting.push(policy);
    wake();
  };
  const unsubscribe = policies.onChange((old, now) => {
    if (now !== undefined) add(now);
    else if (old !== undefined) told.delete(old.metadata.uid);
  });
  signal.addEventListener('abort', () => wake(), { once: true });
  try {
    for (const policy of policies.values()) add(policy);
    while (!signal.aborted) {
      const policy = waiting.shift();
      if (policy === undefined) {
        await new Promise<void>((resolve) => {
          wake = resolve;
          if (waiting.length > 0 || signal.aborted) resolve();
        });
        continue;
      }
      await clock.sleep(SPREAD_MS * random(), signal).catch(() => {});
      if (!signal.aborted) await warn(options, policy, signal).catch((err: unknown) => failed(log, policy, err));
    }
  } finally {
    unsubscribe();
  }
}

const MESSAGE = 'Fairlead does not enforce NetworkPolicies: traffic that this policy forbids is allowed';

async function warn({ client, clock }: PoliciesOptions, policy: KubeObject, signal: AbortSignal): Promise<void> {
  const { name, namespace = 'default', uid } = policy.metadata;
  const time = new Date(clock.now()).toISOString().replace(/\.\d+Z$/, 'Z');
  const component = 'fairlead-proxy';
  const body = {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: `${name.slice(0, 200)}.${uid.slice(0, 36)}.unenforced`, namespace },
    involvedObject: { apiVersion: policy.apiVersion, kind: policy.kind, namespace, name, uid },
    reason: 'NetworkPolicyNotEnforced',
    message: MESSAGE,
    type: 'Warning',
    source: { component },
    firstTimestamp: time,
    lastTimestamp: time,
    count: 1,
    reportingComponent: component,
    reportingInstance: component,
  };
  const path = pathOf(resources.events, { namespace, query: { fieldManager: FIELD_MANAGER } });
  try {
    await client.call({ method: 'POST', path, body, signal, background: true });
  } catch (error) {
    if (!isAlreadyExists(error)) throw error; // another node was first
  }
}

function failed(log: Log, { metadata }: KubeObject, err: unknown): void {
  log.warn(
    { policy: `${metadata.namespace}/${metadata.name}`, err },
    'could not warn of a policy that is not enforced',
  );
}
