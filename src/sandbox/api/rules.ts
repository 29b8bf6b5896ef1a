import type { Rules, RulesOf } from './admit.ts';
import { customRules } from './registry/custom.ts';
import { definitionRules } from './registry/definition.ts';
import { eventRules } from './registry/event.ts';
import { namespaceRules } from './registry/namespace.ts';
import { nodeRules, type PodCidrs } from './registry/node.ts';
import { plainRules, stored } from './registry/plain.ts';
import { podRules } from './registry/pod.ts';
import { serviceRules } from './registry/service.ts';
import type { ServiceRanges } from './registry/service-claims.ts';
import { daemonSetRules, deploymentRules } from './registry/workload.ts';
import type { CustomVersion, Resource } from './resources.ts';

/** The rules of every kind of one API server: what its objects share (addresses, ports) is the server's. */
export function createRules({
  ranges,
  podCidrs,
}: {
  readonly ranges: ServiceRanges;
  readonly podCidrs?: PodCidrs;
}): RulesOf {
  const byCollection: Readonly<Record<string, Rules>> = {
    ...plainRules,
    services: serviceRules(ranges),
    nodes: nodeRules(podCidrs),
    namespaces: namespaceRules,
    pods: podRules,
    'deployments.apps': deploymentRules,
    'daemonsets.apps': daemonSetRules,
    'customresourcedefinitions.apiextensions.k8s.io': definitionRules,
  };
  const events = { core: eventRules(false), strict: eventRules(true) };
  const custom = new WeakMap<CustomVersion, Rules>();
  return (resource: Resource) => {
    if (resource.collection === 'events') return resource.group === '' ? events.core : events.strict;
    if (resource.custom === undefined) return byCollection[resource.collection] ?? stored;
    const known = custom.get(resource.custom) ?? customRules(resource.custom);
    custom.set(resource.custom, known);
    return known;
  };
}
