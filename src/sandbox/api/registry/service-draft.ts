import type { Draft, Meta } from '../json.ts';

export interface PortDraft {
  name?: string;
  protocol: string;
  appProtocol?: string;
  port: number;
  targetPort: number | string;
  nodePort?: number;
}

/** spec of a Service after the codec: defaulted members are there. */
export interface ServiceSpecDraft {
  type: string;
  clusterIP?: string;
  clusterIPs?: string[];
  ports?: PortDraft[];
  selector?: Record<string, string>;
  ipFamilies?: ('IPv4' | 'IPv6')[];
  ipFamilyPolicy?: string;
  externalIPs?: string[];
  externalName?: string;
  externalTrafficPolicy?: string;
  internalTrafficPolicy?: string;
  healthCheckNodePort?: number;
  loadBalancerIP?: string;
  loadBalancerSourceRanges?: string[];
  loadBalancerClass?: string;
  allocateLoadBalancerNodePorts?: boolean;
  sessionAffinity: string;
  sessionAffinityConfig?: { clientIP?: { timeoutSeconds?: number } };
  trafficDistribution?: string;
}

export interface IngressDraft {
  ip?: string;
  hostname?: string;
  ipMode?: string;
}

export interface ServiceDraft extends Draft {
  metadata: Meta;
  spec: ServiceSpecDraft;
  status: { loadBalancer: { ingress?: IngressDraft[] } };
}

export const needsClusterIp = ({ spec }: ServiceDraft): boolean => spec.type !== 'ExternalName';
export const needsNodePort = ({ spec }: ServiceDraft): boolean =>
  spec.type === 'NodePort' || spec.type === 'LoadBalancer';
export const needsHealthCheck = ({ spec }: ServiceDraft): boolean =>
  spec.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local';
export const externallyAccessible = (service: ServiceDraft): boolean =>
  needsNodePort(service) || (service.spec.type === 'ClusterIP' && (service.spec.externalIPs ?? []).length > 0);
export const isHeadless = ({ spec }: ServiceDraft): boolean =>
  spec.clusterIPs?.length === 1 && spec.clusterIPs[0] === 'None';

export const nodePortsOf = ({ spec }: ServiceDraft): readonly number[] =>
  (spec.ports ?? []).flatMap(({ nodePort }) => (nodePort === undefined ? [] : [nodePort]));
