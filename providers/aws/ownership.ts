import { compareText } from '../../src/core/equal.ts';
import { failure } from '../../src/core/errors.ts';
import type { Observed, ObservedLoadBalancer, Scheme, Settings, Tags } from './model.ts';
import { LBC_TAG, RESOURCE, TAG } from './names.ts';

/** Of one Service of this cluster: both tags match. `kubernetes.io/cluster/...` alone makes nothing ours. */
export function isOurs(tags: Tags, cluster: string, uid?: string): boolean {
  if (tags[TAG.cluster] !== cluster || tags[TAG.uid] === undefined) return false;
  return uid === undefined || tags[TAG.uid] === uid;
}

/** Made by the AWS Load Balancer Controller for a Service of this cluster, and not adopted by us yet. */
export function isLbc(tags: Tags, cluster: string, service?: { readonly namespace: string; readonly name: string }) {
  if (tags[TAG.cluster] !== undefined || tags[LBC_TAG.cluster] !== cluster) return false;
  const stack = tags[LBC_TAG.stack];
  return service === undefined ? stack !== undefined : stack === `${service.namespace}/${service.name}`;
}

/** Which part of a stack it is: our tag, else the reference's, whose values are the same. */
export const resourceOf = (tags: Tags): string | undefined => tags[TAG.resource] ?? tags[LBC_TAG.resource];

/** Time of the switch to its successor; absent: none has replaced it. */
export function retiringSince({ tags }: { readonly tags: Tags }): number | undefined {
  const text = tags[TAG.retiring];
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** The parts that may be changed: ours, and with the flag the reference's. Each list sorted by name. */
export type Owned = Pick<Observed, 'loadBalancers' | 'targetGroups' | 'securityGroups'>;

export function ownedParts(
  observed: Observed,
  settings: Settings,
  service?: { readonly uid: string; readonly namespace: string; readonly name: string },
): Owned {
  const { cluster, adoptLbc } = settings;
  const mine = <Part extends { readonly name: string; readonly tags: Tags }>(parts: readonly Part[]): readonly Part[] =>
    parts
      .filter(({ tags }) => isOurs(tags, cluster, service?.uid) || (adoptLbc && isLbc(tags, cluster, service)))
      .sort((a, b) => compareText(a.name, b.name));
  return {
    loadBalancers: mine(observed.loadBalancers),
    targetGroups: mine(observed.targetGroups),
    securityGroups: mine(observed.securityGroups).filter(
      ({ tags }) => resourceOf(tags) === RESOURCE.securityGroup || tags[TAG.resource] === undefined,
    ),
  };
}

/**
 * The one load balancer that the Service should end on, if it exists: that of the wanted scheme. Without a wish the oldest
 * that no other has replaced, which is the published one.
 */
export function currentOf(
  loadBalancers: readonly ObservedLoadBalancer[],
  scheme: Scheme | 'keep',
): ObservedLoadBalancer | undefined {
  const fits = loadBalancers.filter((each) => scheme === 'keep' || each.scheme === scheme);
  return [...fits].sort((a, b) => rank(a) - rank(b) || (a.createdMs ?? 0) - (b.createdMs ?? 0))[0];
}

const rank = (loadBalancer: ObservedLoadBalancer): number => (retiringSince(loadBalancer) === undefined ? 0 : 1);

/** Throws FL_AWS_FOREIGN. */
export function foreign(what: string, arn: string, why: string): never {
  throw failure('FL_AWS_FOREIGN', `${what} ${arn} ${why}`);
}
