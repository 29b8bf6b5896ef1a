import { isEqual } from '../equal.ts';
import type { Service, ServicePort } from '../objects.ts';
import { isAnswer, isReported } from './annotations.ts';
import { CONDITION_TYPES } from './conditions.ts';
import { sameIngress } from './ingress.ts';
import { decide, finalizerFor, foreignFinalizers, isSelected, type Selection } from './wanted.ts';

export interface ChangeOptions {
  /** Compare also what address pools select on, `LoadBalancerSpec.service` (on-prem): labels, selector, family policy. */
  readonly facts?: true;
  /** Finalizers of other controllers that the provider takes over (`decide`). */
  readonly legacy?: readonly string[];
}

/**
 * Whether a change of a Service is a reason to reconcile it; `old` is absent for a new one. Of an undecided Service only
 * the change that made it so is: somebody else's Service must not cost a look at each of its changes. Of one whose load
 * balancer is being removed all but its status is: what we say there about the removal must not start it again.
 */
export function needsSync(
  old: Service | undefined,
  now: Service,
  selection: Selection,
  options: ChangeOptions = {},
): boolean {
  const what = decide(now, selection, options.legacy).do;
  if (old === undefined) return what !== 'none';
  if (needsUpdate(old, now, selection, options)) return true;
  switch (what) {
    case 'remove':
      return !isEqual(withoutStatus(old), withoutStatus(now));
    case 'undecided':
      return decide(old, selection, options.legacy).do !== 'undecided' || old.metadata.uid !== now.metadata.uid;
    case 'ensure':
    case 'none':
      return false;
    default:
      return what satisfies never;
  }
}

/**
 * The reference's filter of updates (kubernetes/cloud-provider needsUpdate): false unless one of both is selected, then
 * true if a compared field differs. Besides its fields: deletion, a finalizer of ours that was taken off, and a published
 * status or answer annotation that was cleared or changed. What we add ourselves (finalizer, conditions, answers, the
 * first ingress) is no change, so our own writes do not come back as work.
 */
export function needsUpdate(old: Service, now: Service, selection: Selection, { facts }: ChangeOptions = {}): boolean {
  const [was, is] = [isSelected(old, selection), isSelected(now, selection)];
  if (!was && !is) return false;
  if (was !== is) return true;
  return (
    !isEqual(compared(old), compared(now)) ||
    isDamaged(old, now) ||
    (facts === true && !isEqual(comparedFacts(old), comparedFacts(now)))
  );
}

function withoutStatus({ metadata: { resourceVersion: _, managedFields: __, ...metadata }, spec }: Service): unknown {
  return { metadata, spec };
}

function compared({ metadata, spec }: Service): unknown {
  return {
    uid: metadata.uid,
    deleting: metadata.deletionTimestamp !== undefined,
    annotations: optionsOnly(metadata.annotations),
    class: spec.loadBalancerClass,
    sourceRanges: spec.loadBalancerSourceRanges ?? [],
    ports: (spec.ports ?? []).map(comparedPort),
    affinity: spec.sessionAffinity ?? 'None',
    affinityConfig: spec.sessionAffinityConfig,
    loadBalancerIP: spec.loadBalancerIP ?? '',
    externalIPs: spec.externalIPs ?? [],
    externalTrafficPolicy: spec.externalTrafficPolicy ?? 'Cluster',
    healthCheckNodePort: spec.healthCheckNodePort ?? 0,
    ipFamilies: spec.ipFamilies ?? [],
  };
}

/** The order of ports counts, as in the reference. */
function comparedPort({ name = '', protocol = 'TCP', port, nodePort = 0, targetPort, appProtocol }: ServicePort) {
  return { name, protocol, port, nodePort, targetPort, appProtocol };
}

function comparedFacts(service: Service): unknown {
  const { metadata, spec } = service;
  return {
    labels: metadata.labels ?? {},
    selector: spec.selector ?? {},
    ipFamilyPolicy: spec.ipFamilyPolicy,
    clusterIPs: spec.clusterIPs ?? [],
    trafficDistribution: spec.trafficDistribution,
    finalizers: foreignFinalizers(service),
  };
}

function optionsOnly(annotations: Readonly<Record<string, string>> = {}): unknown {
  return Object.fromEntries(Object.entries(annotations).filter(([key]) => !isReported(key)));
}

/** Something that we had published is gone or different. */
function isDamaged(old: Service, now: Service): boolean {
  const finalizer = finalizerFor(now);
  const had = (service: Service) => service.metadata.finalizers?.includes(finalizer) === true;
  if (had(old) && !had(now)) return true;
  const published = old.status?.loadBalancer?.ingress ?? [];
  if (published.length > 0 && !sameIngress(published, now.status?.loadBalancer?.ingress)) return true;
  return lostCondition(old, now) || lostAnswer(old, now);
}

/** Degraded comes and goes by us; the other two stay as long as the Service is ours. */
function lostCondition(old: Service, now: Service): boolean {
  const shows = ({ status }: Service, type: string) => status?.conditions?.some((item) => item.type === type) === true;
  return CONDITION_TYPES.some((type) => type !== 'LoadBalancerDegraded' && shows(old, type) && !shows(now, type));
}

function lostAnswer(old: Service, now: Service): boolean {
  return Object.entries(old.metadata.annotations ?? {}).some(
    ([key, value]) => isAnswer(key) && now.metadata.annotations?.[key] !== value,
  );
}
