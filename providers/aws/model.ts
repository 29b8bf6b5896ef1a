/**
 * The words of the AWS provider, shared by its pure half (plan, resolve, diff, progress) and its IO half (observe,
 * apply). Three models of one Service's load balancer: `Desired` is what the Service asks for, without a fact about the
 * account; `Stack` is the same with all choices made; `Observed` is what AWS has, and the facts to choose by.
 */

import type { Action, Cidr, IpFamily, Shortfall, Target } from '../../src/core/provider.ts';

export type Scheme = 'internal' | 'internet-facing';
export type AddressType = 'ipv4' | 'dualstack';
export type TargetType = 'instance' | 'ip';
export type ListenerProtocol = 'TCP' | 'UDP' | 'TCP_UDP' | 'TLS' | 'QUIC' | 'TCP_QUIC';
export type Switch = 'on' | 'off';
/** Sorted by key. */
export type Tags = Readonly<Record<string, string>>;
/** Attribute key -> value, as the Modify*Attributes operations have them. Sorted by key. */
export type Attributes = Readonly<Record<string, string>>;
/** A name made by hash (`names.ts`), which has further ones in reserve, or one that a person chose. */
export type PartName = HashName | { readonly fixed: string };
export interface HashName {
  readonly namespace: string;
  readonly name: string;
  /** What is hashed. */
  readonly input: string;
}
/** Not looked at in this pass: `diff` emits nothing for it. Never the same as empty. */
export type Unread = 'unread';

/** What the controller was started with; the flags' words in the AWS Load Balancer Controller are in brackets. */
export interface Settings {
  readonly cluster: string;
  readonly defaultScheme: Scheme;
  /** [--default-target-type] */
  readonly defaultTargetType: TargetType;
  /** False: load balancers get no security groups. [feature NLBSecurityGroup] */
  readonly securityGroups: boolean;
  /** 'auto': one group per cluster that we create; an id: that one, never changed or deleted by us; 'off': the managed group is the source of node rules. [--enable-backend-security-group, --backend-security-group] */
  readonly backendSecurityGroup: 'auto' | 'off' | `sg-${string}`;
  /** One port range per node group, protocol and source group; false: all ports. [--disable-restricted-sg-rules, negated] */
  readonly restrictedRules: boolean;
  /** TCP and UDP on one port number become one TCP_UDP listener. */
  readonly tcpUdp: boolean;
  /** [--default-ssl-policy] */
  readonly defaultSslPolicy: string;
  /** On everything we create; annotations win. [--default-tags] */
  readonly defaultTags: Tags;
  /** Tag keys that we neither add nor remove. [--external-managed-tags] */
  readonly externalManagedTags: readonly string[];
  /** --aws-adopt-lbc: load balancers of the AWS Load Balancer Controller with our Service's name are taken over. */
  readonly adoptLbc: boolean;
  /** Publish the hostname only when a target is healthy. */
  readonly waitForHealthyTarget: boolean;
  /** Pod addresses outside the VPC's CIDRs are registered with zone 'all'; false: they are refused. */
  readonly allowOutsideVpc: boolean;
  /** At most so many targets per group; absent: AWS's quota alone. */
  readonly maxTargetsPerGroup?: number;
}

// ---- Desired -------------------------------------------------------------------------------------------------------

/** What a Service asks for, with nothing looked up. Equal specs give deep-equal values. */
export interface Desired {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  /** 'keep': that of the load balancer there is, else the default of the settings. */
  readonly scheme: Scheme | 'keep';
  /** By annotation; absent: made by hash once the scheme is known. */
  readonly loadBalancerName?: string;
  readonly ipAddressType: AddressType;
  /** Ids or Name tags in the order of the annotation; 'discover': those there are, else by tags and reachability. */
  readonly subnets: 'discover' | readonly string[];
  /** By position of `subnets`. */
  readonly eips: readonly string[];
  /** By the subnet whose CIDR holds the address. */
  readonly privateIpv4: readonly string[];
  readonly ipv6: readonly string[];
  /** By position of `subnets`; 'auto_assigned' or a /80 prefix. */
  readonly sourceNatPrefixes: readonly string[];
  readonly sourceNat: Switch;
  /** 'managed': one that we create; 'none': a load balancer without groups; else ids or Name tags. */
  readonly securityGroups: 'managed' | 'none' | readonly string[];
  /** Whether rules of nodes and pods are ours to keep, by annotation; matters with own groups only. */
  readonly manageBackendRules: boolean;
  readonly enforcePrivateLink?: Switch;
  /** Client ranges, defaults filled in; for the managed group, and for node rules where there are no groups. */
  readonly sources: readonly Cidr[];
  /** True: nobody named ranges, `sources` are the default. */
  readonly sourcesAreDefault: boolean;
  readonly prefixLists: readonly string[];
  readonly icmp: boolean;
  readonly attributes: Attributes;
  /** 0 resets. */
  readonly capacityUnits?: number;
  /** additional-resource-tags. */
  readonly tags: Tags;
  readonly targetType: TargetType;
  readonly trafficPolicy: 'cluster' | 'local';
  /** Sorted by port. */
  readonly ports: readonly DesiredPort[];
  readonly targets: readonly Target[];
  /** Only targets that the spec says are leaving are deregistered: other clusters register here, too. */
  readonly multiCluster: boolean;
  readonly shortfalls: readonly Shortfall[];
  /** Warnings about annotations: said with the status. */
  readonly warnings: readonly { readonly reason: string; readonly message: string }[];
}

/** One listener and its target group. */
export interface DesiredPort {
  /** Identity of the listener. */
  readonly port: number;
  readonly listener: ListenerSettings;
  readonly group: GroupSettings;
  /** Share of the Service's own group where an `actions` annotation splits traffic. */
  readonly weight?: number;
  /** Foreign groups of an `actions` annotation; never changed by us. */
  readonly others: readonly { readonly arn: string; readonly weight: number }[];
  /** NodePort or pod port of every target; 0: each has its own, under `portName` in `Target.ports`. */
  readonly targetPort: number;
  /** Name of the Service port; of TCP and UDP in one the TCP one's. */
  readonly portName: string;
}

export interface ListenerSettings {
  readonly protocol: ListenerProtocol;
  /** TLS only, like certificates and ALPN. */
  readonly sslPolicy?: string;
  /** The first is the default one; the others are SNI, in the order of the annotation. */
  readonly certificates: readonly string[];
  readonly alpnPolicy?: string;
  readonly attributes: Attributes;
}

export interface Health {
  readonly protocol: 'TCP' | 'HTTP' | 'HTTPS';
  /** 'traffic-port' or a number. */
  readonly port: string;
  /** Seconds, like `timeout`. */
  readonly interval: number;
  readonly timeout: number;
  readonly healthy: number;
  readonly unhealthy: number;
  /** Not with TCP, like `codes`. */
  readonly path?: string;
  readonly codes?: string;
}

export interface GroupSettings {
  /** 'namespace/name:port': the value of tag fairlead.dev/resource. */
  readonly resource: string;
  readonly name: HashName;
  readonly targetType: TargetType;
  readonly protocol: ListenerProtocol;
  /** NodePort, or pod port; 1 where the pods differ. Only a default: targets are registered with their own. */
  readonly port: number;
  readonly ipAddressType: IpFamily;
  readonly health: Health;
  readonly attributes: Attributes;
}

// ---- Stack ---------------------------------------------------------------------------------------------------------

/** A security group in a stack: one of ours by its role, for it may not exist yet, or any by id. */
export type GroupRef = 'managed' | 'backend' | `sg-${string}`;

/** Where packets may come from, and to which ports. Equal whatever the description. */
export interface Rule {
  readonly protocol: 'tcp' | 'udp' | 'icmp' | 'icmpv6';
  /** Ports from and to, both included; ICMP type and code for icmp and icmpv6. */
  readonly from: number;
  readonly to: number;
  readonly source:
    | { readonly cidr: Cidr }
    | { readonly prefixList: string }
    /** An id, or a role until it has one. */
    | { readonly group: GroupRef };
}

export interface SubnetMapping {
  readonly id: string;
  readonly eip?: string;
  readonly privateIpv4?: string;
  readonly ipv6?: string;
  readonly sourceNatPrefix?: string;
}

/** All of one Service's load balancer with every choice made. */
export interface Stack {
  /** Absent: none is wanted. */
  readonly securityGroup?: {
    readonly name: HashName;
    readonly description: string;
    readonly ingress: readonly Rule[];
  };
  readonly loadBalancer: {
    readonly name: PartName;
    readonly scheme: Scheme;
    readonly ipAddressType: AddressType;
    readonly sourceNat: Switch;
    /** In the order in which they are sent. */
    readonly subnets: readonly SubnetMapping[];
    readonly securityGroups: readonly GroupRef[];
    readonly enforcePrivateLink?: Switch;
    readonly attributes: Attributes;
    readonly capacityUnits?: number;
  };
  /** Sorted by port. */
  readonly ports: readonly StackPort[];
}

export interface StackPort extends DesiredPort {
  /** What nodes or pods must let in for this group, before merging. */
  readonly backendRules: readonly BackendRule[];
}

export interface BackendRule {
  readonly from: readonly (GroupRef | Cidr)[];
  /** A port without a number means all. */
  readonly ports: readonly { readonly protocol: 'tcp' | 'udp'; readonly port?: number }[];
}

export interface TargetDescription {
  /** Instance id or address. */
  readonly id: string;
  readonly port: number;
  /** 'all' for an address outside the VPC's CIDRs. */
  readonly zone?: string;
}

// ---- Observed ------------------------------------------------------------------------------------------------------

/** What AWS has for one Service, and the facts to decide by. Members that are the same for all Services are shared. */
export interface Observed {
  /** Of the Service. */
  readonly uid: string;
  /** Wall time of the reads, ms since 1970. */
  readonly nowMs: number;
  /** When this process began to write: a hold that another process began starts anew with it. */
  readonly startedMs: number;
  /** Ours by tags, and the AWS Load Balancer Controller's of this Service. Others only show up in `names`. */
  readonly loadBalancers: readonly ObservedLoadBalancer[];
  /** Likewise. */
  readonly targetGroups: readonly ObservedTargetGroup[];
  /** Managed groups, likewise. */
  readonly securityGroups: readonly ObservedSecurityGroup[];
  readonly names: TakenNames;
  readonly shared: Shared;
  readonly facts: Facts;
  /** The Service carries `service.k8s.aws/resources`, where that was looked at. */
  readonly lbcFinalizer?: boolean;
}

/** Who holds a name, whoever that is: name -> ARN or group id. Of the whole region (groups: of the VPC). */
export interface TakenNames {
  readonly loadBalancers: ReadonlyMap<string, string>;
  readonly targetGroups: ReadonlyMap<string, string>;
  readonly securityGroups: ReadonlyMap<string, string>;
}

export interface ObservedLoadBalancer {
  readonly arn: string;
  readonly name: string;
  /** As AWS gives it. */
  readonly dnsName: string;
  readonly scheme: Scheme;
  readonly ipAddressType: AddressType;
  readonly state: 'provisioning' | 'active' | 'active_impaired' | 'failed';
  readonly stateReason?: string;
  /** ms since 1970. */
  readonly createdMs?: number;
  readonly subnets: readonly SubnetMapping[];
  readonly securityGroups: readonly string[];
  /** Absent where AWS does not say. */
  readonly sourceNat?: Switch;
  readonly enforcePrivateLink?: Switch;
  readonly tags: Tags;
  readonly attributes: Attributes | Unread;
  /** Reserved capacity; 0: none. */
  readonly capacityUnits: number | Unread;
  readonly listeners: readonly ObservedListener[] | Unread;
}

export interface ObservedListener {
  readonly arn: string;
  readonly port: number;
  readonly protocol: ListenerProtocol;
  readonly sslPolicy?: string;
  /** The default one first, then SNI without it; of SNI the order means nothing. */
  readonly certificates: readonly string[] | Unread;
  readonly alpnPolicy?: string;
  /** Of its default action. */
  readonly forward: readonly { readonly arn: string; readonly weight?: number }[];
  readonly tags: Tags | Unread;
  readonly attributes: Attributes | Unread;
}

export interface ObservedTargetGroup {
  readonly arn: string;
  readonly name: string;
  readonly targetType: TargetType;
  readonly protocol: ListenerProtocol;
  readonly port: number;
  readonly ipAddressType: IpFamily;
  readonly health: Health;
  /** ARNs of the load balancers that use it; may lag. */
  readonly loadBalancers: readonly string[];
  readonly tags: Tags;
  readonly attributes: Attributes | Unread;
  readonly targets: readonly ObservedTarget[] | Unread;
}

export interface ObservedTarget extends TargetDescription {
  readonly state: 'initial' | 'healthy' | 'unhealthy' | 'unhealthy.draining' | 'unused' | 'draining' | 'unavailable';
  /** 'Target.FailedHealthChecks' and the like. */
  readonly reason?: string;
}

export interface ObservedSecurityGroup {
  readonly id: string;
  readonly name: string;
  readonly vpcId: string;
  readonly tags: Tags;
  readonly rules: readonly ObservedRule[] | Unread;
}

/** Rules of one permission of EC2, taken apart: one source each. */
export interface ObservedRule extends Omit<Rule, 'source' | 'protocol'> {
  /** '-1' is all; other protocols by number. */
  readonly protocol: string;
  readonly source: { readonly cidr: Cidr } | { readonly prefixList: string } | { readonly group: string };
  /** '' where there is none. */
  readonly description: string;
}

/** What Services have in common. */
export interface Shared {
  readonly backend: {
    /** Ours by tags; absent: it does not exist. */
    readonly group?: ObservedSecurityGroup;
    /** Load balancers of this cluster that carry it, this Service's left out. */
    readonly users: number;
    /** Some other Service of this process wants it, whether or not its load balancer exists yet. */
    readonly wanted: boolean;
  };
  /** Rules of groups on nodes and pods: group id -> its rules. A group that is missing was not read. */
  readonly nodeGroups: ReadonlyMap<string, readonly ObservedRule[]>;
  /** What Services need in those groups: their last known `nodeRulesOf`, this one's included (`needs.ts`). */
  readonly needs: Needs;
  /** Every Service's needs are known: only then is anything revoked from node groups, or the backend group deleted. */
  readonly complete: boolean;
}

/** A rule that one Service needs in the group of a node or pod. */
export interface NodeRule {
  readonly group: string;
  readonly protocol: 'tcp' | 'udp';
  /** Absent: all ports. */
  readonly port?: number;
  /** 'managed' only while the group of the Service does not exist. */
  readonly source: GroupRef | Cidr;
}

/** Ports, both included. */
export interface PortRange {
  readonly from: number;
  readonly to: number;
}

export interface Needs {
  /** The range that Services other than this one need from a security group, the least to the greatest port; `undefined`: none does. From a CIDR: of exactly that port. */
  others(uid: string, rule: NodeRule): PortRange | undefined;
}

/** The account as it is, cached. */
export interface Facts {
  readonly vpcId: string;
  /** Of both families. */
  readonly vpcCidrs: readonly Cidr[];
  /** Subnets of the VPC, and any that an annotation named by id. */
  readonly subnets: readonly SubnetFacts[];
  /** Security groups of the VPC. */
  readonly securityGroups: readonly SecurityGroupFacts[];
  /** Target id (instance id or pod address) -> its interface. A target that is missing was not found or not looked up. */
  readonly interfaces: ReadonlyMap<string, InterfaceFacts>;
  /** AWS's name of a limit -> its value (DescribeAccountLimits); those not there are AWS's defaults. */
  readonly limits: Readonly<Record<string, number>>;
  /** Things of a kind that the region holds now. */
  readonly counts: { readonly loadBalancers: number; readonly targetGroups: number };
}

export interface SubnetFacts {
  readonly id: string;
  readonly vpcId: string;
  /** Availability zone's name. */
  readonly zone: string;
  readonly zoneType: 'availability-zone' | 'local-zone' | 'wavelength-zone' | 'outpost';
  readonly cidr: Cidr;
  /** Associated only. */
  readonly ipv6Cidr?: Cidr;
  readonly freeAddresses: number;
  readonly tags: Tags;
  /** Its route table, else the main one, has a route to an internet gateway. */
  readonly isPublic: boolean;
}

export interface SecurityGroupFacts {
  readonly id: string;
  readonly vpcId: string;
  /** GroupName; the Name tag is in `tags`. */
  readonly name: string;
  readonly tags: Tags;
}

/** Of a network interface; where a pod's address is on none, of the primary interface of its node (by podCIDR). */
export interface InterfaceFacts {
  readonly id: string;
  readonly securityGroups: readonly string[];
}

// ---- Actions -------------------------------------------------------------------------------------------------------

/** A part as actions name it. Names are unique per kind and region; groups' per VPC. */
export interface Ref {
  /** Tag fairlead.dev/resource. */
  readonly resource: string;
  readonly name: string;
  /** ARN, or id of a security group; absent: it did not exist when this was decided, an earlier stage makes it. */
  readonly id?: string;
}

export interface ListenerRef {
  readonly loadBalancer: Ref;
  readonly port: number;
  readonly arn?: string;
}

/** What `apply` fills in the id of. */
export type RuleOf<Group> = Omit<Rule, 'source'> & {
  readonly source: { readonly cidr: Cidr } | { readonly prefixList: string } | { readonly group: Group };
  readonly description: string;
};

export interface Forward {
  readonly group: Ref;
  /** Absent where there is only one. */
  readonly weight?: number;
}

type OnGroup = { readonly group: Ref };
type OnLoadBalancer = { readonly loadBalancer: Ref };
type OnTargetGroup = { readonly targetGroup: Ref };
type OnListener = { readonly listener: ListenerRef };

/** One AWS call each; `kind` is the operation. */
export type Act =
  | (Action<'CreateSecurityGroup'> &
      OnGroup & { readonly description: string; readonly vpcId: string; readonly tags: Tags })
  | (Action<'AuthorizeSecurityGroupIngress' | 'RevokeSecurityGroupIngress'> &
      OnGroup & { readonly rules: readonly RuleOf<Ref>[] })
  | (Action<'DeleteSecurityGroup'> & OnGroup)
  /** EC2's tags, on security groups. */
  | (Action<'CreateTags'> & OnGroup & { readonly tags: Tags })
  | (Action<'DeleteTags'> & OnGroup & { readonly keys: readonly string[] })
  | (Action<'CreateLoadBalancer'> &
      OnLoadBalancer & {
        readonly scheme: Scheme;
        readonly ipAddressType: AddressType;
        /** Absent: AWS's default, off. */
        readonly sourceNat?: Switch;
        readonly subnets: readonly SubnetMapping[];
        readonly securityGroups: readonly Ref[];
        readonly tags: Tags;
      })
  | (Action<'SetSecurityGroups'> &
      OnLoadBalancer & { readonly securityGroups: readonly Ref[]; readonly enforcePrivateLink?: Switch })
  | (Action<'SetSubnets'> &
      OnLoadBalancer & { readonly subnets: readonly SubnetMapping[]; readonly sourceNat?: Switch })
  | (Action<'SetIpAddressType'> & OnLoadBalancer & { readonly ipAddressType: AddressType })
  | (Action<'ModifyLoadBalancerAttributes'> & OnLoadBalancer & { readonly attributes: Attributes })
  /** `units` 0 resets. */
  | (Action<'ModifyCapacityReservation'> & OnLoadBalancer & { readonly units: number })
  | (Action<'DeleteLoadBalancer'> & OnLoadBalancer)
  | (Action<'CreateTargetGroup'> &
      OnTargetGroup & {
        readonly targetType: TargetType;
        readonly protocol: ListenerProtocol;
        readonly port: number;
        readonly ipAddressType: IpFamily;
        readonly vpcId: string;
        readonly health: Health;
        readonly tags: Tags;
      })
  /** The whole health check: AWS keeps what is not sent. */
  | (Action<'ModifyTargetGroup'> & OnTargetGroup & { readonly health: Health })
  | (Action<'ModifyTargetGroupAttributes'> & OnTargetGroup & { readonly attributes: Attributes })
  | (Action<'DeleteTargetGroup'> & OnTargetGroup)
  /** At most 200 targets. */
  | (Action<'RegisterTargets' | 'DeregisterTargets'> &
      OnTargetGroup & { readonly targets: readonly TargetDescription[] })
  | (Action<'CreateListener'> &
      OnListener & {
        readonly protocol: ListenerProtocol;
        readonly sslPolicy?: string;
        /** The default certificate. */
        readonly certificate?: string;
        readonly alpnPolicy?: string;
        readonly forward: readonly Forward[];
        readonly tags: Tags;
      })
  /** Only what changes; absent members stay. */
  | (Action<'ModifyListener'> &
      OnListener & {
        readonly protocol?: ListenerProtocol;
        readonly sslPolicy?: string;
        readonly certificate?: string;
        /** 'None' takes it off. */
        readonly alpnPolicy?: string;
        readonly forward?: readonly Forward[];
      })
  | (Action<'ModifyListenerAttributes'> & OnListener & { readonly attributes: Attributes })
  | (Action<'DeleteListener'> & OnListener)
  /** One certificate per call. */
  | (Action<'AddListenerCertificates' | 'RemoveListenerCertificates'> & OnListener & { readonly certificate: string })
  /** ELBv2's tags, on load balancers, target groups or listeners. */
  | (Action<'AddTags'> & { readonly on: TaggedRef; readonly tags: Tags })
  | (Action<'RemoveTags'> & { readonly on: TaggedRef; readonly keys: readonly string[] });

export type TaggedRef = OnLoadBalancer | OnTargetGroup | OnListener;
export type ActKind = Act['kind'];
