/** A token bucket: what AWS counts calls with. */
export interface Bucket {
  /** Calls that may come at once. */
  readonly size: number;
  readonly perSecond: number;
}
export type BucketClass = 'elb.read' | 'elb.write' | 'ec2.read' | 'ec2.write' | 'tagging';

export interface Quotas {
  readonly loadBalancers: number;
  readonly listenersPerLoadBalancer: number;
  readonly targetGroups: number;
  readonly targetsPerGroup: number;
  readonly targetsPerLoadBalancerAndZone: number;
  readonly targetsPerLoadBalancer: number;
  /** In place of the two above when cross-zone is on. */
  readonly targetsPerCrossZoneLoadBalancer: number;
  readonly targetsPerCall: number;
  readonly certificatesPerLoadBalancer: number;
  readonly loadBalancerInterfacesPerVpc: number;
  readonly securityGroupsPerLoadBalancer: number;
  readonly tagsPerResource: number;
  readonly securityGroupsPerVpc: number;
  /** For each direction and each family; a rule from a group or prefix list counts in both. */
  readonly rulesPerSecurityGroup: number;
  /** Its local routes counted. */
  readonly routesPerTable: number;
}

/** Load balancer and target group figures: aws.md, "Quotas, throttling, caches"; EC2: the defaults of a new account. */
export const awsQuotas: Quotas = {
  loadBalancers: 50,
  listenersPerLoadBalancer: 50,
  targetGroups: 3000,
  targetsPerGroup: 1000,
  targetsPerLoadBalancerAndZone: 500,
  targetsPerLoadBalancer: 3000,
  targetsPerCrossZoneLoadBalancer: 500,
  targetsPerCall: 200,
  certificatesPerLoadBalancer: 25,
  loadBalancerInterfacesPerVpc: 1200,
  securityGroupsPerLoadBalancer: 5,
  tagsPerResource: 50,
  securityGroupsPerVpc: 2500,
  rulesPerSecurityGroup: 60,
  routesPerTable: 50,
};

/** Reads of ELBv2 as measured, its writes as the numbers of aws.md assume; EC2 has a bucket per operation. */
export const awsBuckets: Readonly<Record<BucketClass, Bucket>> = {
  'elb.read': { size: 40, perSecond: 10 },
  'elb.write': { size: 40, perSecond: 10 },
  'ec2.read': { size: 100, perSecond: 20 },
  'ec2.write': { size: 50, perSecond: 5 },
  tagging: { size: 15, perSecond: 15 },
};

export interface Settings {
  /** From a request to its answer; the effect is in the middle. Default 0. */
  readonly latencyMs: number;
  /**
   * Up to so long ago a call may see things as they were. `reads`: Describe calls; `tagging`: GetResources; `writes`: what a
   * write refers to, so that a thing just created is NotFound yet. Default 0, all three.
   */
  readonly lagMs: { readonly reads?: number; readonly writes?: number; readonly tagging?: number };
  /** How long a load balancer is `provisioning`. Default 0. */
  readonly provisioningMs: number;
  /** Names of load balancers whose provisioning ends in `failed`. */
  readonly failing: readonly string[];
  /** How long the network interfaces of a load balancer outlive it. Default 0. */
  readonly interfaceLingerMs: number;
  /** Elb.RegistrationInProgress after RegisterTargets. Default 0. */
  readonly registrationMs: number;
  /** Absent: threshold x interval of the group. In place of it, for tests that do not care. */
  readonly healthyAfterMs: number | undefined;
  /** Absent: as the group's attribute says. */
  readonly drainMs: number | undefined;
  /** A terminated instance is shown for so long. Default an hour. */
  readonly terminatedShownMs: number;
  readonly quotas: Quotas;
  /** Classes without one are not throttled. Default none; `awsBuckets` has AWS's. */
  readonly buckets: Partial<Readonly<Record<BucketClass, Bucket>>>;
  /** ELBv2's default and largest page, and the tagging API's default (its largest is 100). EC2 pages only when asked. */
  readonly pageSize: number;
  readonly resourcesPerPage: number;
}

export const defaults: Settings = {
  latencyMs: 0,
  lagMs: {},
  provisioningMs: 0,
  failing: [],
  interfaceLingerMs: 0,
  registrationMs: 0,
  healthyAfterMs: undefined,
  drainMs: undefined,
  terminatedShownMs: 3_600_000,
  quotas: awsQuotas,
  buckets: {},
  pageSize: 400,
  resourcesPerPage: 50,
};

/** Delays as on AWS, scaled down to what tests need; for runs in which order matters. */
export const realistic: Partial<Settings> = {
  latencyMs: 40,
  lagMs: { reads: 2000, writes: 500, tagging: 5000 },
  provisioningMs: 120_000,
  interfaceLingerMs: 30_000,
  registrationMs: 60_000,
};
