import type { Claim, Part, Rules } from '../admit.ts';
import { clone, same } from '../json.ts';
import { text } from '../selectors.ts';
import { dnsLabel } from '../words.ts';
import { claimService, releaseService, type ServiceRanges } from './service-claims.ts';
import {
  externallyAccessible,
  needsClusterIp,
  needsHealthCheck,
  needsNodePort,
  nodePortsOf,
  type ServiceDraft,
} from './service-draft.ts';
import { validateService } from './service-validate.ts';

/** The Service registry of a kube-apiserver with these ranges. */
export function serviceRules(ranges: ServiceRanges): Rules {
  return {
    createOnUpdate: true,
    returnsDeleted: true,
    fields: { 'spec.clusterIP': text('spec', 'clusterIP'), 'spec.type': text('spec', 'type') },
    nameErrors: dnsLabel,
    defaults: (draft) => setDefaults(draft as ServiceDraft),
    prepareCreate: (draft) => {
      draft['status'] = { loadBalancer: {} };
      dropForExternalName(draft as ServiceDraft);
    },
    prepareUpdate: (draft, old, part) => prepareUpdate(draft as ServiceDraft, old as ServiceDraft, part),
    validate: (draft, old, part) => validateService(draft as ServiceDraft, old as ServiceDraft | undefined, part),
    warnings: (draft) => serviceWarnings(draft as ServiceDraft),
    allocate: (draft, old, how) =>
      how.part === 'status'
        ? nothing
        : claimService(draft as ServiceDraft, old as ServiceDraft | undefined, how, ranges),
    release: (object) => releaseService(object as ServiceDraft, ranges),
  };
}

const nothing: Claim = { commit() {}, undo() {} };

/** GetWarningsForService of Kubernetes, but for addresses that are not in their canonical form. */
function serviceWarnings({ spec }: ServiceDraft): readonly string[] {
  const headless = spec.type === 'ClusterIP' && spec.clusterIP === 'None';
  const externalIps = (spec.externalIPs ?? []).length > 0;
  const outside = spec.type === 'ExternalName';
  return [
    ...(headless && spec.loadBalancerIP !== undefined ? ['spec.loadBalancerIP is ignored for headless services'] : []),
    ...(headless && externalIps ? ['spec.externalIPs is ignored for headless services'] : []),
    ...(headless && spec.sessionAffinity !== 'None' ? ['spec.SessionAffinity is ignored for headless services'] : []),
    ...(externalIps && !headless && !outside
      ? ['spec.externalIPs is deprecated and may no longer be implemented in some clusters']
      : []),
    ...(outside && externalIps ? ['spec.externalIPs is ignored when spec.type is "ExternalName"'] : []),
    ...(!outside && spec.externalName !== undefined
      ? ['spec.externalName is ignored when spec.type is not "ExternalName"']
      : []),
    ...(spec.trafficDistribution === 'PreferClose'
      ? ['spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"']
      : []),
  ];
}

/** SetDefaults_Service of Kubernetes' v1 API. */
function setDefaults(service: ServiceDraft): void {
  const { spec, status } = service;
  spec.sessionAffinity ||= 'None';
  if (spec.sessionAffinity === 'None') delete spec.sessionAffinityConfig;
  if (spec.sessionAffinity === 'ClientIP' && spec.sessionAffinityConfig?.clientIP?.timeoutSeconds === undefined)
    spec.sessionAffinityConfig = { clientIP: { timeoutSeconds: 10800 } };
  spec.type ||= 'ClusterIP';
  for (const port of spec.ports ?? []) {
    port.protocol ||= 'TCP';
    if (port.targetPort === 0 || port.targetPort === '') port.targetPort = port.port;
  }
  if (externallyAccessible(service)) spec.externalTrafficPolicy ||= 'Cluster';
  if (needsClusterIp(service) && spec.internalTrafficPolicy === undefined && known.has(spec.type))
    spec.internalTrafficPolicy = 'Cluster';
  if (spec.type !== 'LoadBalancer') return;
  spec.allocateLoadBalancerNodePorts ??= true;
  for (const ingress of status.loadBalancer.ingress ?? []) if (ingress.ip !== undefined) ingress.ipMode ??= 'VIP';
}

const known = new Set(['ClusterIP', 'NodePort', 'LoadBalancer']);

/** Takes back what the part may not change, and drops what the new type has no use for and the user did not touch. */
function prepareUpdate(service: ServiceDraft, old: ServiceDraft, part: Part): void {
  if (part === 'status') {
    service.spec = clone(old.spec);
    return;
  }
  service.status = clone(old.status);
  dropTypeDependentFields(service, old);
  dropForExternalName(service);
}

/** A Service is a union by type: what was filled in for the old type goes with it (svcStrategy of Kubernetes). */
function dropTypeDependentFields(service: ServiceDraft, old: ServiceDraft): void {
  const { spec } = service;
  const before = old.spec;
  if (needsClusterIp(old) && !needsClusterIp(service)) {
    if (spec.clusterIP === before.clusterIP && same(spec.clusterIPs, before.clusterIPs)) {
      delete spec.clusterIP;
      delete spec.clusterIPs;
    }
    if (same(spec.ipFamilies, before.ipFamilies)) delete spec.ipFamilies;
    if (spec.ipFamilyPolicy === before.ipFamilyPolicy) delete spec.ipFamilyPolicy;
  }
  if (needsNodePort(old) && !needsNodePort(service)) {
    const held = nodePortsOf(old);
    if (nodePortsOf(service).every((port) => held.includes(port)))
      for (const port of spec.ports ?? []) delete port.nodePort;
  }
  if (needsHealthCheck(old) && !needsHealthCheck(service) && spec.healthCheckNodePort === before.healthCheckNodePort)
    delete spec.healthCheckNodePort;
  if (before.type === 'LoadBalancer' && spec.type !== 'LoadBalancer') {
    if (spec.allocateLoadBalancerNodePorts === before.allocateLoadBalancerNodePorts)
      delete spec.allocateLoadBalancerNodePorts;
    if (spec.loadBalancerClass === before.loadBalancerClass) delete spec.loadBalancerClass;
  }
  if (
    externallyAccessible(old) &&
    !externallyAccessible(service) &&
    spec.externalTrafficPolicy === before.externalTrafficPolicy
  )
    delete spec.externalTrafficPolicy;
  if (spec.type !== 'LoadBalancer') service.status.loadBalancer = {};
}

/** An ExternalName Service never shows the policy, although it may be set (defaultOnRead of the registry). */
function dropForExternalName(service: ServiceDraft): void {
  if (service.spec.type === 'ExternalName') delete service.spec.internalTrafficPolicy;
}
