/** What the fake keeps. Times are the clock's monotonic ms. */
export type Tags = Readonly<Record<string, string>>;

export interface Vpc {
  readonly id: string;
  readonly cidrs: readonly string[];
  readonly ipv6Cidrs: readonly string[];
  readonly tags: Tags;
}
export interface Subnet {
  readonly id: string;
  readonly vpcId: string;
  readonly zone: string;
  readonly cidr: string;
  readonly ipv6Cidr?: string;
  /** What DescribeSubnets says that is free; load balancers take nothing from it. */
  readonly available: number;
  readonly tags: Tags;
}
export interface RouteTable {
  readonly id: string;
  readonly vpcId: string;
  readonly main: boolean;
  readonly subnets: readonly string[];
  /** One per destination; `local` routes first. */
  readonly routes: readonly Route[];
  readonly tags: Tags;
}
export interface Route {
  /** A network address with its length. */
  readonly destination: string;
  readonly target: { readonly gatewayId: string } | { readonly interfaceId: string };
}
export interface SecurityGroup {
  readonly id: string;
  readonly vpcId: string;
  readonly name: string;
  readonly description: string;
  readonly ingress: readonly Rule[];
  readonly egress: readonly Rule[];
  readonly tags: Tags;
}
export interface Rule extends Peer {
  readonly id: string;
  /** 'tcp', 'udp', 'icmp', 'icmpv6', '-1' or a number. */
  readonly protocol: string;
  readonly from?: number;
  readonly to?: number;
  readonly description?: string;
  readonly tags: Tags;
}
/** Exactly one of them. */
export interface Peer {
  readonly cidr?: string;
  readonly cidr6?: string;
  readonly groupId?: string;
  readonly prefixListId?: string;
}
export interface NetworkInterface {
  readonly id: string;
  readonly vpcId: string;
  readonly subnetId: string;
  readonly zone: string;
  readonly type: 'interface' | 'network_load_balancer';
  readonly description: string;
  readonly groups: readonly string[];
  /** IPv4; the first is the primary one. */
  readonly addresses: readonly string[];
  readonly ipv6Addresses: readonly string[];
  readonly publicIp?: string;
  readonly sourceDestCheck: boolean;
  readonly instanceId?: string;
  readonly deviceIndex?: number;
  /** From then on it is not there any more. */
  readonly goneMs?: number;
  readonly tags: Tags;
}
export type InstanceState = 'pending' | 'running' | 'shutting-down' | 'stopping' | 'stopped' | 'terminated';
export interface Instance {
  readonly id: string;
  readonly vpcId: string;
  readonly subnetId: string;
  readonly zone: string;
  readonly type: string;
  readonly state: InstanceState;
  readonly privateDnsName: string;
  readonly publicDnsName: string;
  readonly launchMs: number;
  /** Of `interfaces`, by device index; they go with the instance. */
  readonly interfaceIds: readonly string[];
  /** When it was terminated; AWS shows it for an hour afterwards. */
  readonly terminatedMs?: number;
  readonly tags: Tags;
}
export interface Address {
  readonly allocationId: string;
  readonly publicIp: string;
  /** The load balancer or network interface that has it. */
  readonly usedBy?: string;
  readonly tags: Tags;
}

export interface LoadBalancer {
  readonly arn: string;
  /** Last part of the ARN. */
  readonly id: string;
  readonly name: string;
  readonly dnsName: string;
  readonly scheme: 'internal' | 'internet-facing';
  readonly vpcId: string;
  readonly ipAddressType: 'ipv4' | 'dualstack';
  /** One per zone, in the order in which they were asked for. */
  readonly mappings: readonly Mapping[];
  /** Empty for ever when it was created without any. */
  readonly securityGroups: readonly string[];
  readonly enforceOnPrivateLink: 'on' | 'off';
  readonly sourceNat: 'on' | 'off';
  readonly attributes: Readonly<Record<string, string>>;
  readonly capacityUnits?: number;
  readonly createdMs: number;
  /** Provisioning until then. */
  readonly activeMs: number;
  readonly failed: boolean;
  readonly tags: Tags;
}
export interface Mapping {
  readonly subnetId: string;
  readonly allocationId?: string;
  readonly privateIpv4?: string;
  readonly ipv6?: string;
  readonly sourceNatPrefix?: string;
}
export interface Listener {
  readonly arn: string;
  readonly loadBalancerArn: string;
  readonly port: number;
  readonly protocol: string;
  readonly forwards: readonly Forward[];
  /** Ordered; the first is the default one. */
  readonly certificates: readonly string[];
  readonly sslPolicy?: string;
  readonly alpnPolicy?: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly tags: Tags;
}
export interface Forward {
  readonly targetGroupArn: string;
  readonly weight?: number;
  /** Since when this listener sends to the group. */
  readonly sinceMs: number;
}
export interface TargetGroup {
  readonly arn: string;
  readonly name: string;
  readonly vpcId: string;
  readonly protocol: string;
  readonly port: number;
  readonly targetType: 'instance' | 'ip';
  readonly ipAddressType: 'ipv4' | 'ipv6';
  readonly health: HealthCheck;
  readonly attributes: Readonly<Record<string, string>>;
  readonly targets: ReadonlyMap<string, Target>; // 'id|port' -> target
  readonly tags: Tags;
}
export interface HealthCheck {
  readonly protocol: string;
  readonly port: string;
  readonly path?: string;
  readonly codes?: string;
  readonly intervalSeconds: number;
  readonly timeoutSeconds: number;
  readonly healthy: number;
  readonly unhealthy: number;
}
export interface Target {
  readonly id: string;
  readonly port: number;
  /** A zone or 'all'; absent for instances. */
  readonly zone?: string;
  readonly registeredMs: number;
  /** Draining: gone from then on. */
  readonly goneMs?: number;
  /** What its health checks meet, since when, and what the load balancer thought of it before. */
  readonly fails: FailReason | undefined;
  readonly changedMs: number;
  readonly before: 'new' | 'healthy' | 'unhealthy';
}
export type FailReason = 'Target.FailedHealthChecks' | 'Target.Timeout' | 'Target.ResponseCodeMismatch';
