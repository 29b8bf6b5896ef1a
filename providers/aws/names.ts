import { createHash } from 'node:crypto';
import type { Health, ListenerProtocol, PartName, Scheme, Tags, TargetType } from './model.ts';

/** Values of spec.loadBalancerClass that are ours besides none; the second is the AWS Load Balancer Controller's. */
export const CLASSES = ['fairlead.dev/aws', 'service.k8s.aws/nlb'] as const;

/** Finalizer of the AWS Load Balancer Controller. */
export const LBC_FINALIZER = 'service.k8s.aws/resources';

/** Keys of the tags that we write. Cluster and UID say whose it is, `resource` which part of the stack. */
export const TAG = {
  cluster: 'fairlead.dev/cluster',
  uid: 'fairlead.dev/service-uid',
  resource: 'fairlead.dev/resource',
  /** Attribute keys that we set away from AWS's default, separated by spaces: what to reset when they are not wanted. */
  attributes: 'fairlead.dev/attributes',
  /** On a load balancer that another one has replaced: wall time in ms at which the status was switched. */
  retiring: 'fairlead.dev/retiring',
} as const;

/** Keys of the AWS Load Balancer Controller's tags; what we adopt keeps them, so that going back works. */
export const LBC_TAG = {
  cluster: 'elbv2.k8s.aws/cluster',
  stack: 'service.k8s.aws/stack',
  resource: 'service.k8s.aws/resource',
} as const;

/** Values of the tag `resource`; target groups have `groupResource`, listeners their port. */
export const RESOURCE = {
  loadBalancer: 'LoadBalancer',
  securityGroup: 'ManagedLBSecurityGroup',
  backend: 'backend-sg',
} as const;

/** Written by all Kubernetes tools alike, so it never makes a thing ours. */
export const clusterTag = (cluster: string): string => `kubernetes.io/cluster/${cluster}`;

/** Marks our rules in security groups that others write to as well. */
export const ruleDescription = (cluster: string): string => `fairlead.dev/cluster=${cluster}`;

/** Marks the AWS Load Balancer Controller's rules in groups of nodes. */
export const LBC_RULE_DESCRIPTION = 'elbv2.k8s.aws/targetGroupBinding=shared';

/** Resource of a target group: one per listener port. */
export const groupResource = (namespace: string, name: string, port: number): string => `${namespace}/${name}:${port}`;

/** Tags of everything that belongs to one Service; sorted. */
export function ownerTags(cluster: string, uid: string, resource: string): Tags {
  return {
    [TAG.cluster]: cluster,
    [TAG.resource]: resource,
    [TAG.uid]: uid,
    [clusterTag(cluster)]: 'owned',
  };
}

/** Tags of the backend security group, which belongs to the cluster; sorted. */
export function backendTags(cluster: string): Tags {
  return { [TAG.cluster]: cluster, [TAG.resource]: RESOURCE.backend, [clusterTag(cluster)]: 'owned' };
}

/**
 * The name as the AWS Load Balancer Controller has it, at most 32 characters.
 * @param turn 0 for the plain name; n for the n-th try when our own resource that is being replaced holds the others.
 */
export function nameOf(part: PartName, turn = 0): string {
  if ('fixed' in part) return turn === 0 ? part.fixed : `${part.fixed.slice(0, 29)}-r${turn}`;
  const suffix = turn === 0 ? '' : `r${turn}`;
  return `k8s-${short(part.namespace)}-${short(part.name)}-${hash(`${part.input}${suffix}`)}`;
}

export const loadBalancerInput = (cluster: string, uid: string, scheme: Scheme): string => `${cluster}${uid}${scheme}`;

export function targetGroupInput(
  cluster: string,
  uid: string,
  group: {
    /** The Service's own group in a weighted forward: the reference hashes the base Service's UID once more. */
    readonly weighted: boolean;
    /** NodePort, or pod port; 1 for a named one. */
    readonly port: number;
    readonly servicePort: number;
    readonly targetType: TargetType;
    readonly protocol: ListenerProtocol;
    readonly health: Health;
  },
): string {
  const { weighted, port, servicePort, targetType, protocol, health } = group;
  const base = weighted ? uid : '';
  return `${cluster}${base}${uid}${port}${servicePort}${targetType}${protocol}${health.protocol}${health.interval}`;
}

/** The reference puts the name before the namespace here. */
export const securityGroupInput = (cluster: string, uid: string, namespace: string, name: string): string =>
  `${cluster}${name}${namespace}${uid}`;

/** Not the reference's name: it often keeps running beside us, and a VPC has one group of a name. */
export const backendName = (cluster: string): string => `k8s-fairlead-${cluster.slice(0, 231)}-${hash(cluster)}`;

/** For a change of the spec that a restart must notice: hex, 16 digits. */
export const printOf = (value: unknown): string =>
  createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 16);

const short = (text: string): string => text.replaceAll(/[^A-Za-z0-9]/g, '').slice(0, 8);

const hash = (input: string): string => createHash('sha256').update(input).digest('hex').slice(0, 10);
