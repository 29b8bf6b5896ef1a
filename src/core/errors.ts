/**
 * The catalogue of errors that a person can meet. A code never changes its meaning; docs/errors.md has one section per
 * code, and a test compares both and finds every code used in `src` or `providers`.
 */

/** Decides the retry, once, in the reconcile loop (work/loop.ts). */
export type ErrorKind = 'invalid' | 'denied' | 'quota' | 'throttled' | 'conflict' | 'transient';

export interface ErrorEntry {
  readonly kind: ErrorKind;
  /** What is wrong, in one sentence. */
  readonly title: string;
  /** What to do about it. */
  readonly help: string;
  /** Reason of the Warning on the Service or Node, at once and in place of the generic `SyncLoadBalancerFailed`. */
  readonly event?: string;
}

/** code -> meaning; sorted by code. */
export const errorCatalogue = {
  FL_ADDRESS_AVOIDED: {
    kind: 'invalid',
    title: 'The requested address ends in .0 or .255, and its pool avoids those.',
    help: 'Ask for another address, or unset avoidBuggyIPs on the pool.',
    event: 'LoadBalancerFailed',
  },
  FL_ADDRESS_COUNT_INVALID: {
    kind: 'invalid',
    title: 'The number of addresses asked for is not possible.',
    help: 'fairlead.dev/address-count is a whole number from 1 to 8 and does not go together with fairlead.dev/address-pools.',
    event: 'LoadBalancerFailed',
  },
  FL_ADDRESS_FAMILY: {
    kind: 'invalid',
    title: 'The requested addresses are not of the IP families of the Service.',
    help: 'Ask for addresses of exactly the families of spec.clusterIPs.',
    event: 'LoadBalancerFailed',
  },
  FL_ADDRESS_INVALID: {
    kind: 'invalid',
    title: 'What is asked for is not an IP address.',
    help: 'Write addresses as 192.0.2.10 or 2001:db8::10, a comma between two.',
    event: 'LoadBalancerFailed',
  },
  FL_ADDRESS_IN_USE: {
    kind: 'quota',
    title: 'The requested address is taken.',
    help: 'Ask for another one, or share it: equal metallb.io/allow-shared-ip on both Services, different ports, and equal selectors if externalTrafficPolicy is Local.',
    event: 'AllocationFailed',
  },
  FL_ADDRESS_NOT_IN_POOL: {
    kind: 'invalid',
    title: 'No single pool has all the requested addresses.',
    help: 'Ask for addresses of one pool, or add them to a pool.',
    event: 'LoadBalancerFailed',
  },
  FL_ADDRESS_REQUEST_AMBIGUOUS: {
    kind: 'invalid',
    title: 'Two fields ask for an address in ways that exclude each other.',
    help: 'Keep one of the two that the message names.',
    event: 'LoadBalancerFailed',
  },
  FL_AWS_ANNOTATION: {
    kind: 'invalid',
    title: 'An annotation or a field of the Service asks for what a Network Load Balancer cannot be.',
    help: 'The message names each annotation or field, its value and what would be right; the last good load balancer stays.',
  },
  FL_AWS_BUSY: {
    kind: 'conflict',
    title: 'AWS still uses the resource, or an earlier change of it is not complete.',
    help: 'Nothing to do: Fairlead looks again in a few seconds. A security group is in use until the network interfaces of its load balancer are gone.',
  },
  FL_AWS_CONFIG: {
    kind: 'invalid',
    title: 'The configuration of the AWS provider is wrong or incomplete.',
    help: 'The message names the flag, or the section and key of --cloud-config.',
  },
  FL_AWS_CREDENTIALS: {
    kind: 'denied',
    title: 'AWS does not accept the credentials, or there are none.',
    help: 'Renew them, or give the ServiceAccount a role (IRSA, Pod Identity); a wrong clock has the same effect.',
  },
  FL_AWS_DENIED: {
    kind: 'denied',
    title: 'AWS refuses a call for lack of rights.',
    help: 'Allow the action that the message names; the whole policy is in docs/providers/aws.md. Service control policies of the organisation can refuse as well.',
  },
  FL_AWS_DUPLICATE: {
    kind: 'conflict',
    title: 'AWS has something of this name, port or rule already.',
    help: 'If it lasts, rename or delete what the message names; Fairlead changes nothing that it does not own.',
  },
  FL_AWS_FOREIGN: {
    kind: 'conflict',
    title: 'A resource at AWS that is not ours stands where ours would be.',
    help: "Delete or rename it, or start the controller with --aws-adopt-lbc if it is the AWS Load Balancer Controller's; nothing of others is changed.",
    event: 'ForeignResource',
  },
  FL_AWS_NOT_FOUND: {
    kind: 'transient',
    title: 'A part of the load balancer is not there, or AWS does not show it yet.',
    help: 'Nothing to do: Fairlead looks again and makes what is missing.',
  },
  FL_AWS_PROTECTED: {
    kind: 'denied',
    title: 'Deletion protection of the load balancer is on.',
    help: 'Switch deletion_protection.enabled off, in the annotation or at AWS: Fairlead never does so to delete.',
  },
  FL_AWS_QUOTA: {
    kind: 'quota',
    title: 'A quota of the AWS account, of the load balancer or of the target group is reached.',
    help: 'Raise it in Service Quotas, or delete what is not needed; Fairlead tries again every few minutes.',
  },
  FL_AWS_REFUSED: {
    kind: 'invalid',
    title: 'AWS refuses a value.',
    help: 'Correct the annotation or field that the message names.',
  },
  FL_AWS_ROUTE_TABLE: {
    kind: 'invalid',
    title: 'The VPC has no route table for the routes of pods.',
    help: 'Tag the route tables of the node subnets kubernetes.io/cluster/<cluster name>, or name one as RouteTableID in --cloud-config.',
  },
  FL_AWS_SECURITY_GROUP: {
    kind: 'invalid',
    title: 'A security group that is named does not exist or does not fit.',
    help: 'The message names it: give an id or Name tag of a group in the VPC of the cluster.',
  },
  FL_AWS_SUBNET: {
    kind: 'invalid',
    title: 'No subnets for the load balancer: one that is named does not fit, or none was found.',
    help: 'The message says which and why: name them by annotation, or tag them kubernetes.io/role/elb or kubernetes.io/role/internal-elb.',
  },
  FL_AWS_THROTTLED: {
    kind: 'throttled',
    title: 'AWS asks to slow down.',
    help: 'Nothing to do: Fairlead slows down by itself. If it lasts, look at who else calls the same API in this account.',
  },
  FL_AWS_UNAVAILABLE: {
    kind: 'transient',
    title: 'A call to AWS had no usable answer.',
    help: 'Fairlead tries again with a growing delay. If it lasts, look at the network path and at AWS_ENDPOINT_URL.',
  },
  FL_CIRCUIT_OPEN: {
    kind: 'transient',
    title: 'The backend failed several times in a row and is left alone for a moment.',
    help: 'Look for the errors before this one in the log: they say what fails. Fairlead probes by itself, after a second at first, every half minute at last.',
  },
  FL_CLUSTER_IP_MISSING: {
    kind: 'invalid',
    title: 'The Service has no cluster IP, so its IP family is unknown.',
    help: 'Leave spec.clusterIP unset and the API server assigns one; headless Services get no external address.',
    event: 'LoadBalancerFailed',
  },
  FL_CNI_CONFLIST: {
    kind: 'invalid',
    title: 'The CNI configuration or the plugin cannot be written to this node.',
    help: 'Mount the folders of --cni-conf-dir and --cni-bin-dir writable; the message names the file and what the system says.',
  },
  FL_CNI_POD_CIDR: {
    kind: 'invalid',
    title: 'The pod CIDR of this node cannot be used.',
    help: 'It takes at least 4 addresses, at most one CIDR of each family. A Node keeps its pod CIDR: delete it and let it register again.',
  },
  FL_CNI_SOCKET: {
    kind: 'conflict',
    title: 'The socket of the CNI plugin cannot be listened on.',
    help: 'Only one agent may run per node; or the folder of --cni-socket is not writable.',
  },
  FL_CNI_STATE: {
    kind: 'transient',
    title: "The CNI part's files about pods cannot be read or written.",
    help: 'Look at the disk below --cni-state-dir and --cni-networks-dir. A corrupt file is rebuilt; the log names it.',
  },
  FL_COMMAND_FAILED: {
    kind: 'transient',
    title: 'A program that the agent runs failed, or did not end in time.',
    help: 'The message has what the program said.',
  },
  FL_COMMAND_MISSING: {
    kind: 'invalid',
    title: 'A program that the agent needs is not installed.',
    help: 'Install the package that has it; the message names the program.',
  },
  FL_COMPILER_MISSING: {
    kind: 'invalid',
    title: 'There is no C compiler, or it cannot build the helper program.',
    help: 'Install gcc and the C library headers (Debian: gcc, libc6-dev), or use the channels that need no helper.',
  },
  FL_DUAL_STACK_MISSING: {
    kind: 'invalid',
    title: 'RequireDualStack needs cluster IPs of both families.',
    help: 'Use PreferDualStack or SingleStack, or a cluster with Service ranges of both families.',
    event: 'LoadBalancerFailed',
  },
  FL_INTERNAL: {
    kind: 'transient',
    title: 'Something failed in a way that Fairlead did not foresee.',
    help: 'Fairlead tries again by itself. If it lasts, report the log line with this code: it has the whole error.',
  },
  FL_IPAM_FAILED: {
    kind: 'transient',
    title: 'The IPAM plug-in failed, or gave something else than addresses.',
    help: 'Look at the plug-in: the message has its words. Fairlead asks again.',
  },
  FL_IPAM_MODULE: {
    kind: 'invalid',
    title: 'The module behind --ipam cannot be used.',
    help: 'It is a path to a module that exports the functions claim and release.',
  },
  FL_KUBE_CONFIG: {
    kind: 'invalid',
    title: 'The kubeconfig cannot be used.',
    help: 'The message names the file and the entry; `kubectl config view` shows what kubectl reads.',
  },
  FL_KUBE_CONFLICT: {
    kind: 'conflict',
    title: 'The object changed on the API server since it was read (409 Conflict).',
    help: 'Nothing to do: Fairlead reads it again and decides anew.',
  },
  FL_KUBE_DENIED: {
    kind: 'denied',
    title: 'The API server refused a request for lack of rights (401 or 403).',
    help: 'Compare the ClusterRole of Fairlead with deploy/kustomize/base.',
  },
  FL_KUBE_EXISTS: {
    kind: 'conflict',
    title: 'An object of that name exists already (409 AlreadyExists).',
    help: 'Nothing to do: Fairlead reads it and decides anew.',
  },
  FL_KUBE_INVALID: {
    kind: 'invalid',
    title: 'The API server refused an object as invalid (400 or 422).',
    help: 'The message names the field. If Fairlead wrote it, this is a bug or a CRD of another version.',
  },
  FL_KUBE_NOT_FOUND: {
    kind: 'transient',
    title: 'An object, or its kind, does not exist on the API server (404).',
    help: 'If it is a kind, apply the CRDs; otherwise Fairlead decides anew by itself.',
  },
  FL_KUBE_NOT_LEADER: {
    kind: 'transient',
    title: 'A write was refused here, because this process does not hold the lease.',
    help: 'Nothing to do: the leader does the work.',
  },
  FL_KUBE_PROXY_RUNNING: {
    kind: 'invalid',
    title: 'kube-proxy works on this node, or left its rules there.',
    help: 'Stop kube-proxy and run "kube-proxy --cleanup", or start the agent without the proxy part.',
  },
  FL_KUBE_REQUEST: {
    kind: 'transient',
    title: 'The API server failed to answer a request (5xx).',
    help: 'Fairlead tries again by itself. If it lasts, look at the health of the API server.',
  },
  FL_KUBE_THROTTLED: {
    kind: 'throttled',
    title: 'The API server asks to slow down (429).',
    help: 'Fairlead waits as long as the server asked. If it lasts, look at its priority and fairness settings.',
  },
  FL_KUBE_UNREACHABLE: {
    kind: 'transient',
    title: 'No answer came to a request: it may or may not have taken effect.',
    help: 'Fairlead reads what is there and decides anew. If it lasts, look at the network to the API server.',
  },
  FL_KUBE_UNSYNCED: {
    kind: 'transient',
    title: 'A list that the decision needs has not been read yet.',
    help: 'Nothing to do: Fairlead looks again as soon as it is there.',
  },
  FL_LEASE_DURATIONS: {
    kind: 'invalid',
    title: 'The durations of the leader election do not fit together.',
    help: 'Lease duration > renew deadline > 1.2 x retry period, for example 15s, 10s, 2s.',
  },
  FL_MEMORY_BUSY: {
    kind: 'conflict',
    title: 'The memory cloud still uses the object.',
    help: 'Nothing to do: Fairlead tries again when the cloud says so.',
  },
  FL_MEMORY_CONFIG: {
    kind: 'invalid',
    title: "The memory provider's section of the config is wrong.",
    help: 'Correct the members that the message lists.',
  },
  FL_MEMORY_DENIED: {
    kind: 'denied',
    title: 'The memory cloud refuses the call.',
    help: 'Let the test that holds the cloud allow it.',
  },
  FL_MEMORY_FOREIGN: {
    kind: 'conflict',
    title: 'A balancer or route of the memory cloud has the name or destination that is needed, and is not ours.',
    help: 'Rename or delete it in the cloud; Fairlead changes nothing that it does not own.',
  },
  FL_MEMORY_QUOTA: {
    kind: 'quota',
    title: 'The memory cloud has no room: no free address, or a quota is reached.',
    help: 'Ask for another address, free some, or raise quotas or range in the config.',
  },
  FL_MEMORY_SPEC: {
    kind: 'invalid',
    title: 'The Service asks for what the memory cloud does not have.',
    help: 'Change the field that the message names.',
  },
  FL_MEMORY_THROTTLED: {
    kind: 'throttled',
    title: 'The memory cloud asks for a pause.',
    help: 'Nothing to do: Fairlead waits as long as the cloud says.',
  },
  FL_MEMORY_UNAVAILABLE: {
    kind: 'transient',
    title: 'A call to the memory cloud failed.',
    help: 'Nothing to do: Fairlead tries again with a growing delay.',
  },
  FL_METALLB_RUNNING: {
    kind: 'invalid',
    title: 'A MetalLB controller serves the same Services.',
    help: 'Stop it, or let each serve its own class; the message says how.',
  },
  FL_NETLINK_LOST: {
    kind: 'transient',
    title: 'The kernel gave no answer, or none that can be used.',
    help: 'Nothing to do: Fairlead reads the state again. If it lasts, look at the memory of the node and at who else changes nftables all the time.',
  },
  FL_NETLINK_UNAVAILABLE: {
    kind: 'invalid',
    title: 'The chosen way to the kernel does not work on this machine.',
    help: 'Choose another one, or none: Fairlead takes the first that works.',
  },
  FL_NETNS: {
    kind: 'transient',
    title: 'A network namespace cannot be entered.',
    help: 'Look whether the path exists and the process may enter it (CAP_SYS_ADMIN).',
  },
  FL_NET_ADMIN: {
    kind: 'denied',
    title: 'The kernel lets us change nothing in this network namespace.',
    help: 'Give the process the capability CAP_NET_ADMIN; in Kubernetes securityContext.capabilities.add: [NET_ADMIN], with hostNetwork.',
  },
  FL_NFT_REFUSED: {
    kind: 'invalid',
    title: 'nft refuses the rules of Fairlead.',
    help: 'The message has what nft said; the rules in the kernel stay as they were.',
  },
  FL_NFT_TOO_OLD: {
    kind: 'invalid',
    title: 'nft is older than 1.0.1.',
    help: 'Install a newer package nftables; the message has the version that is there.',
  },
  FL_NODE_CIDRS_EXHAUSTED: {
    kind: 'quota',
    title: 'No pod CIDR is free for a node.',
    help: 'Remove nodes that are gone, or give the cluster a larger --cluster-cidr or a smaller block per node.',
  },
  FL_NODE_INSTANCE_MISSING: {
    kind: 'transient',
    title: 'The cloud has no instance for a node that waits to be initialised, or says too little about it.',
    help: 'Look at the name and the providerID of the node; a new instance may not be listed yet, Fairlead asks again.',
  },
  FL_NODE_IP_INVALID: {
    kind: 'invalid',
    title: 'The node IP that kubelet was given is not an address of its instance.',
    help: 'Correct --node-ip of the kubelet; the message lists the addresses that the cloud has.',
  },
  FL_NODE_PORTS_UNSUPPORTED: {
    kind: 'invalid',
    title: 'The Service has no node ports, and this provider sends to node ports only.',
    help: 'Set spec.allocateLoadBalancerNodePorts to true, or use a provider or option that sends to pods.',
  },
  FL_ONPREM_CONFIG: {
    kind: 'invalid',
    title: 'The section of the on-prem provider in the config is not valid.',
    help: 'The message names each field and what it may be.',
  },
  FL_POOL_DISABLED: {
    kind: 'quota',
    title: 'The pool is being drained and gives no new addresses.',
    help: 'Ask for another pool, or remove fairlead.dev/disabled from this one.',
    event: 'AllocationFailed',
  },
  FL_POOL_EXHAUSTED: {
    kind: 'quota',
    title: 'No pool has a free address.',
    help: 'Add addresses to a pool, or free some; the Service is served by itself then.',
    event: 'AllocationFailed',
  },
  FL_POOL_FAMILY: {
    kind: 'invalid',
    title: 'The requested pools have no addresses of an IP family of the Service.',
    help: 'Ask for another pool, or add a range of that family to it.',
    event: 'AllocationFailed',
  },
  FL_POOL_INCOMPATIBLE: {
    kind: 'invalid',
    title: 'The serviceAllocation of the pool does not let this Service in.',
    help: 'Ask for another pool, or add the namespace or the labels of the Service to the pool.',
    event: 'AllocationFailed',
  },
  FL_POOL_INVALID: {
    kind: 'invalid',
    title: 'An IPAddressPool is not valid.',
    help: 'The message names each field and what is right; the last valid pools stay in use.',
  },
  FL_POOL_MISSING: {
    kind: 'quota',
    title: 'No pool gives addresses to this Service.',
    help: 'Create an IPAddressPool, or let one in with autoAssign and serviceAllocation.',
    event: 'AllocationFailed',
  },
  FL_POOL_UNKNOWN: {
    kind: 'invalid',
    title: 'The requested pool does not exist.',
    help: 'Correct the name, or create the IPAddressPool.',
    event: 'AllocationFailed',
  },
  FL_PROVIDER_EMPTY: {
    kind: 'invalid',
    title: 'A provider module has nothing for the controllers that are asked for.',
    help: 'Give its provider a member such as loadBalancers, or ask for other controllers; see docs/providers/authors.md.',
  },
  FL_QUOTA_NAMESPACE: {
    kind: 'quota',
    title: 'The namespace holds as many addresses of the pool as it may.',
    help: 'Free some, or raise fairlead.dev/quota on the pool.',
    event: 'AllocationFailed',
  },
  FL_RETAIN_INVALID: {
    kind: 'invalid',
    title: 'fairlead.dev/retain is not a duration.',
    help: 'Write it as 30m or 24h.',
    event: 'LoadBalancerFailed',
  },
  FL_ROUTE_CIDR: {
    kind: 'invalid',
    title: 'A pod CIDR of a node is no CIDR.',
    help: 'Correct whoever gives out pod CIDRs; a Node keeps the one that it has, so delete the Node and let it register again.',
  },
  FL_ROUTE_CONFLICT: {
    kind: 'invalid',
    title: 'Two nodes have the same pod CIDR, or ones that overlap.',
    help: 'Delete the Node that the event is about and let it register again; find out who gave the CIDR out twice.',
  },
  FL_ROUTE_FOREIGN: {
    kind: 'conflict',
    title: 'A route that is not ours stands where the route of a node belongs.',
    help: 'Delete that route, or move the pod CIDRs: Fairlead changes no route that it does not own.',
    event: 'FailedToCreateRoute',
  },
  FL_ROUTE_LEFT: {
    kind: 'transient',
    title: 'Host routes could not be removed from this node.',
    help: "The log names each with the kernel's answer. Run the cleanup again; `ip route show proto 103` lists them.",
  },
  FL_ROUTE_OFF_LINK: {
    kind: 'invalid',
    title: 'A node is not on a network segment with this one, so its pods get no host route here.',
    help: 'Put the nodes on one segment, let the cloud or a router route the pod CIDRs, or leave the routes part out.',
  },
  FL_ROUTE_OUTSIDE: {
    kind: 'invalid',
    title: 'A pod CIDR of a node is not inside --cluster-cidr.',
    help: 'Give --cluster-cidr the range from which pod CIDRs are given out.',
  },
  FL_RUN_DEADLINE: {
    kind: 'transient',
    title: 'The work on one Service or route took too long and was ended.',
    help: 'Fairlead tries again. If it lasts, the log names the last action that was begun.',
  },
  FL_SANDBOX_NETNS: {
    kind: 'denied',
    title: 'The network namespaces of the sandbox cannot be made.',
    help: 'It takes root with CAP_SYS_ADMIN and CAP_NET_ADMIN, iproute2 and util-linux; the message has what ip says.',
  },
  FL_SERVE_ADDRESS: {
    kind: 'invalid',
    title: 'The address for health paths or metrics cannot be listened on.',
    help: 'Choose a free port and an address of this machine in the flag that the message names, or stop what has it.',
  },
  FL_SERVE_CERTIFICATE: {
    kind: 'invalid',
    title: 'The files of --tls-cert-file and --tls-private-key-file do not hold a certificate and its key.',
    help: 'Give PEM files that the process may read, the key belonging to the first certificate.',
  },
  FL_SOURCE_RANGE_INVALID: {
    kind: 'invalid',
    title: 'A source range is not a CIDR.',
    help: 'Write it as 10.0.0.0/8 or 2001:db8::/32; a single address needs its length, 10.0.0.1/32.',
  },
} as const satisfies Record<`FL_${string}`, ErrorEntry>;

/** Every code of the catalogue. A third party's provider uses its own prefix. */
export type ErrorCode = keyof typeof errorCatalogue;

export interface ErrorDetails {
  readonly cause?: unknown;
  /** Wait at least this long before the next try. */
  readonly retryAfterMs?: number;
  /** Spec path or annotation at fault: 'spec.loadBalancerSourceRanges[1]'. Expected for 'invalid'. */
  readonly field?: string;
  /**
   * False: no load balancer stands any more, for certain, so what is published is a lie and goes. Absent: the last good
   * one stays. Never from a failed read.
   */
  readonly exists?: false;
}

/** What a provider, or the code that plans for it, throws: classified once, at the border where it arose. */
export class ProviderError extends Error {
  override readonly name = 'ProviderError';
  readonly kind: ErrorKind;
  /** Stable, from the catalogue: 'FL_SOURCE_RANGE_INVALID'. */
  readonly code: string;
  readonly retryAfterMs: number | undefined;
  readonly field: string | undefined;
  readonly exists: false | undefined;

  constructor(kind: ErrorKind, code: string, message: string, details: ErrorDetails = {}) {
    super(message, { cause: details.cause });
    this.kind = kind;
    this.code = code;
    this.retryAfterMs = details.retryAfterMs;
    this.field = details.field;
    this.exists = details.exists;
  }
}

/** By shape, not by class: a third party's provider may bring its own copy of the class. */
export const isProviderError = (error: unknown): error is ProviderError =>
  error instanceof Error && error.name === 'ProviderError' && 'kind' in error;

/** A ProviderError of a catalogued code, with the kind that the catalogue gives it. */
export function failure(code: ErrorCode, message: string, details: ErrorDetails = {}): ProviderError {
  return new ProviderError(errorCatalogue[code].kind, code, message, details);
}
