/**
 * MetalLB's kinds (group metallb.io, as of v0.16.2), described by us: users bring their manifests unchanged. A test
 * compares everything but the descriptions with MetalLB's own definitions. Fields of ours never go in here: they live in
 * annotations under fairlead.dev/.
 */
import type { Column, CustomResourceDefinition, Schema, Version } from './definition.ts';

/** All nine kinds, sorted by name. */
export function metallbDefinitions(): readonly CustomResourceDefinition[] {
  return [
    bfdProfile(),
    bgpAdvertisement(),
    bgpPeer(),
    community(),
    configurationState(),
    ipAddressPool(),
    l2Advertisement(),
    serviceBGPStatus(),
    serviceL2Status(),
  ];
}

function ipAddressPool(): CustomResourceDefinition {
  const count = (description: string): Schema => ({ type: 'integer', format: 'int64', description });
  return kind('IPAddressPool', 'ipaddresspools', [
    {
      name: 'v1beta1',
      columns: [
        column('Auto Assign', '.spec.autoAssign', 'boolean'),
        column('Avoid Buggy IPs', '.spec.avoidBuggyIPs', 'boolean'),
        column('Addresses', '.spec.addresses'),
      ],
      required: ['spec'],
      description: 'Addresses to give to Services of type LoadBalancer.',
      spec: object(
        {
          addresses: list(string(), 'CIDRs (10.0.0.0/24) and ranges (10.0.0.5-10.0.0.9), in the order of use.'),
          autoAssign: {
            type: 'boolean',
            default: true,
            description: 'False: only for Services that ask for this pool or address.',
          },
          avoidBuggyIPs: {
            type: 'boolean',
            default: false,
            description: 'True: leave out IPv4 addresses that end in .0 or .255.',
          },
          serviceAllocation: object(
            {
              priority: { type: 'integer', description: 'Lower is tried first; 0 or absent is last.' },
              namespaces: list(string(), 'Services of these namespaces.'),
              namespaceSelectors: list(labelSelector(), 'Services of namespaces with these labels.'),
              serviceSelectors: list(labelSelector(), 'Services with these labels.'),
            },
            [],
            'Which Services may use the pool. Absent: every Service.',
          ),
        },
        ['addresses'],
      ),
      status: object(
        {
          assignedIPv4: count('IPv4 addresses in use.'),
          assignedIPv6: count('IPv6 addresses in use.'),
          availableIPv4: count('IPv4 addresses that are free.'),
          availableIPv6: count('IPv6 addresses that are free.'),
        },
        ['assignedIPv4', 'assignedIPv6', 'availableIPv4', 'availableIPv6'],
      ),
    },
  ]);
}

const advertisementColumns: readonly Column[] = [
  column('IPAddressPools', '.spec.ipAddressPools'),
  column('IPAddressPool Selectors', '.spec.ipAddressPoolSelectors'),
];
const nodeSelectorColumn: Column = { ...column('Node Selectors', '.spec.nodeSelectors'), priority: 10 };

/** What both kinds of advertisement select by. */
function advertised(): Readonly<Record<string, Schema>> {
  return {
    ipAddressPools: list(string(), 'Pools by name. Without names and selectors: all pools.'),
    ipAddressPoolSelectors: list(labelSelector(), 'Pools by label.'),
    nodeSelectors: list(labelSelector(), 'Nodes that announce. Empty: all nodes.'),
  };
}

function l2Advertisement(): CustomResourceDefinition {
  return kind('L2Advertisement', 'l2advertisements', [
    {
      name: 'v1beta1',
      columns: [...advertisementColumns, column('Interfaces', '.spec.interfaces'), nodeSelectorColumn],
      description: 'Announces addresses of pools by ARP and NDP.',
      spec: object({
        ...advertised(),
        interfaces: list(string(), 'Network interfaces to announce on. Empty: all.'),
        preferredNodeSelectors: list(
          object(
            {
              preference: { ...labelSelector(), description: 'Nodes that get the weight.' },
              weight: integer({
                format: 'int32',
                minimum: 1,
                maximum: 100,
                description: 'The sum over matching entries ranks a node.',
              }),
            },
            ['preference', 'weight'],
          ),
          'Nodes to prefer among those that may announce.',
        ),
        serviceSelectors: list(labelSelector(), 'Services to announce. Empty: all with an address of the pools.'),
      }),
      status: object({}),
    },
  ]);
}

function bgpAdvertisement(): CustomResourceDefinition {
  return kind('BGPAdvertisement', 'bgpadvertisements', [
    {
      name: 'v1beta1',
      columns: [...advertisementColumns, column('Peers', '.spec.peers'), nodeSelectorColumn],
      description: 'Announces addresses of pools to BGP peers.',
      spec: {
        ...object({
          ...advertised(),
          aggregationLength: integer({
            format: 'int32',
            default: 32,
            minimum: 1,
            description: 'Prefix length of IPv4 routes.',
          }),
          aggregationLengthV6: integer({ format: 'int32', default: 128, description: 'Prefix length of IPv6 routes.' }),
          asPathPrepend: integer({
            minimum: 1,
            maximum: 10,
            description: 'How often our AS number is put before the path.',
          }),
          communities: list(string(), 'Communities as 65535:65282 or large:1:2:3, or names of a Community object.'),
          localPref: integer({ format: 'int32', description: 'LOCAL_PREF, for iBGP peers; the highest wins.' }),
          peers: list(string(), 'BGPPeers by name. Empty: all.'),
          serviceSelectors: list(
            labelSelector(),
            'Services to announce; only with routes of /32 and /128. Empty: all.',
          ),
        }),
        'x-kubernetes-validations': [
          {
            message:
              'serviceSelectors and aggregationLength are mutually exclusive, can only be used together with default aggregationLength (32) and aggregationLengthV6 (128)',
            rule: '!has(self.serviceSelectors) || self.serviceSelectors.size() == 0 || ((!has(self.aggregationLength) || self.aggregationLength == 32) && (!has(self.aggregationLengthV6) || self.aggregationLengthV6 == 128))',
          },
        ],
      },
      status: object({}),
    },
  ]);
}

const asNumber = { format: 'int64', minimum: 0, maximum: 4_294_967_295 } as const;
const peerColumns: readonly Column[] = [
  column('Address', '.spec.peerAddress'),
  column('ASN', '.spec.peerASN'),
  column('BFD Profile', '.spec.bfdProfile'),
  column('Multi Hops', '.spec.ebgpMultiHop'),
];

function bgpPeer(): CustomResourceDefinition {
  const common = {
    bfdProfile: string('Name of a BFDProfile. Absent: no BFD.'),
    ebgpMultiHop: { type: 'boolean', description: 'The peer is more than one hop away (eBGP).' },
    holdTime: string('Without a message for this long the session ends, as 90s.'),
    keepaliveTime: string('Time between keepalives, as 30s.'),
    myASN: integer({ ...asNumber, description: 'Our AS number.' }),
    password: string('TCP MD5 password.'),
    peerASN: integer({ ...asNumber, description: "The peer's AS number." }),
    peerAddress: string("The peer's address."),
    routerID: string('Our router ID, an IPv4 address. Absent: chosen per node.'),
    sourceAddress: string('Our end of the session.'),
  };
  const oldSelector = object({
    matchExpressions: list(
      object({ key: string(), operator: string(), values: { ...list(string()), minItems: 1 } }, [
        'key',
        'operator',
        'values',
      ]),
    ),
    matchLabels: { type: 'object', additionalProperties: string() },
  });
  return kind('BGPPeer', 'bgppeers', [
    {
      name: 'v1beta1',
      storage: false,
      deprecated: 'v1beta1 is deprecated, please use v1beta2',
      columns: peerColumns,
      description: 'A router that nodes speak BGP with (old version).',
      spec: object(
        {
          ...common,
          nodeSelectors: list(oldSelector, 'Nodes that open the session. Empty: all nodes.'),
          peerPort: integer({ minimum: 0, maximum: 16_384, description: 'TCP port of the peer.' }),
        },
        ['myASN', 'peerASN', 'peerAddress'],
      ),
      status: object({}),
    },
    {
      name: 'v1beta2',
      columns: peerColumns,
      description: 'A router that nodes speak BGP with.',
      spec: object(
        {
          ...common,
          connectTime: {
            ...string('Time between attempts to connect, in whole seconds.'),
            'x-kubernetes-validations': [
              {
                message: 'connect time should be between 1 seconds to 65535',
                rule: 'duration(self).getSeconds() >= 1 && duration(self).getSeconds() <= 65535',
              },
              {
                message: 'connect time should contain a whole number of seconds',
                rule: 'duration(self).getMilliseconds() % 1000 == 0',
              },
            ],
          },
          disableMP: { type: 'boolean', default: false, description: 'Deprecated: see dualStackAddressFamily.' },
          dualStackAddressFamily: {
            type: 'boolean',
            default: false,
            description: 'Exchange routes of both families over the session.',
          },
          dynamicASN: {
            ...string('In place of peerASN: the same AS as ours (internal) or any other (external).'),
            enum: ['internal', 'external'],
          },
          enableGracefulRestart: {
            type: 'boolean',
            description: 'The peer keeps our routes while we restart. Cannot be changed.',
            'x-kubernetes-validations': [
              { message: 'EnableGracefulRestart cannot be changed after creation', rule: 'self == oldSelf' },
            ],
          },
          interface: string('In place of peerAddress: an interface for an unnumbered session.'),
          localASN: integer({
            ...asNumber,
            minimum: 1,
            description: 'AS number shown to this peer in place of myASN.',
          }),
          nodeSelectors: list(labelSelector(), 'Nodes that open the session. Empty: all nodes.'),
          passwordSecret: {
            ...object({ name: string(), namespace: string() }),
            description: 'In place of password: a Secret of type kubernetes.io/basic-auth with the key password.',
            'x-kubernetes-map-type': 'atomic',
          },
          peerPort: integer({ default: 179, minimum: 1, maximum: 16_384, description: 'TCP port of the peer.' }),
          vrf: string('Linux VRF of the session.'),
        },
        ['myASN'],
      ),
      status: object({}),
    },
  ]);
}

function bfdProfile(): CustomResourceDefinition {
  const interval = (description: string): Schema =>
    integer({ format: 'int32', minimum: 10, maximum: 60_000, description });
  return kind('BFDProfile', 'bfdprofiles', [
    {
      name: 'v1beta1',
      columns: [
        column('Passive Mode', '.spec.passiveMode', 'boolean'),
        column('Transmit Interval', '.spec.transmitInterval', 'integer'),
        column('Receive Interval', '.spec.receiveInterval', 'integer'),
        column('Multiplier', '.spec.detectMultiplier', 'integer'),
      ],
      description: 'How BFD watches the way to a BGP peer.',
      spec: object({
        detectMultiplier: integer({
          format: 'int32',
          minimum: 2,
          maximum: 255,
          description: 'Packets that may be lost in a row.',
        }),
        echoInterval: interval('Milliseconds between echo packets (50).'),
        echoMode: { type: 'boolean', description: 'Send echo packets; single hop only.' },
        minimumTtl: integer({
          format: 'int32',
          minimum: 1,
          maximum: 254,
          description: 'Least TTL that is accepted, multi-hop only.',
        }),
        passiveMode: { type: 'boolean', description: 'Wait for the peer to begin.' },
        receiveInterval: interval('Least milliseconds between packets that we can receive (300).'),
        transmitInterval: interval('Least milliseconds between packets that we send (300).'),
      }),
      status: object({}),
    },
  ]);
}

function community(): CustomResourceDefinition {
  return kind('Community', 'communities', [
    {
      name: 'v1beta1',
      description: 'Names for BGP communities.',
      spec: object({
        communities: list(object({ name: string('The name.'), value: string('65535:65282 or large:1:2:3.') })),
      }),
      status: object({}),
    },
  ]);
}

function configurationState(): CustomResourceDefinition {
  const condition = object(
    {
      lastTransitionTime: { ...string(), format: 'date-time' },
      message: { ...string(), maxLength: 32_768 },
      observedGeneration: integer({ format: 'int64', minimum: 0 }),
      reason: { ...string(), minLength: 1, maxLength: 1024, pattern: '^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$' },
      status: { ...string(), enum: ['True', 'False', 'Unknown'] },
      type: {
        ...string(),
        maxLength: 316,
        pattern:
          '^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$',
      },
    },
    ['lastTransitionTime', 'message', 'reason', 'status', 'type'],
  );
  return kind('ConfigurationState', 'configurationstates', [
    {
      name: 'v1beta1',
      columns: [
        column('Result', '.status.result'),
        column('ErrorSummary', '.status.errorSummary'),
        column('Age', '.metadata.creationTimestamp', 'date'),
      ],
      description: 'Whether the controller, or the speaker of one node, could take the configuration.',
      status: object({
        conditions: { ...list(condition), 'x-kubernetes-list-map-keys': ['type'], 'x-kubernetes-list-type': 'map' },
        errorSummary: string('What is wrong; empty when the result is Valid.'),
        result: { ...string('The verdict.'), enum: ['Valid', 'Invalid', 'Unknown'] },
      }),
    },
  ]);
}

const immutable = { 'x-kubernetes-validations': [{ message: 'Value is immutable', rule: 'self == oldSelf' }] };
const serviceStatusFields = {
  node: { ...string('The node that announces.'), ...immutable },
  serviceName: { ...string('The Service.'), ...immutable },
  serviceNamespace: { ...string("The Service's namespace."), ...immutable },
};

function serviceBGPStatus(): CustomResourceDefinition {
  return kind('ServiceBGPStatus', 'servicebgpstatuses', [
    {
      name: 'v1beta1',
      columns: statusColumns('Node'),
      description: 'Peers that a node is configured to announce a Service to.',
      spec: object({}),
      status: object({
        ...serviceStatusFields,
        peers: list(string(), 'BGPPeers by name; says nothing about their sessions.'),
      }),
    },
  ]);
}

function serviceL2Status(): CustomResourceDefinition {
  return kind('ServiceL2Status', 'servicel2statuses', [
    {
      name: 'v1beta1',
      columns: statusColumns('Allocated Node'),
      description: 'The node that answers ARP and NDP for a Service.',
      spec: object({}),
      status: object({
        ...serviceStatusFields,
        interfaces: list(object({ name: string() }), 'Interfaces. Empty: all.'),
      }),
    },
  ]);
}

function statusColumns(node: string): readonly Column[] {
  return [
    column(node, '.status.node'),
    column('Service Name', '.status.serviceName'),
    column('Service Namespace', '.status.serviceNamespace'),
  ];
}

interface VersionParts {
  readonly name: string;
  readonly description: string;
  readonly columns?: readonly Column[];
  /** False: served, but kept in another version (true). */
  readonly storage?: false;
  /** The warning of a deprecated version. */
  readonly deprecated?: string;
  readonly required?: readonly string[];
  readonly spec?: Schema;
  readonly status: Schema;
}

function kind(name: string, plural: string, versions: readonly VersionParts[]): CustomResourceDefinition {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.metallb.io` },
    spec: {
      group: 'metallb.io',
      names: { kind: name, listKind: `${name}List`, plural, singular: name.toLowerCase() },
      scope: 'Namespaced',
      versions: versions.map(version),
    },
  };
}

function version(parts: VersionParts): Version {
  const { spec, status, required } = parts;
  return {
    name: parts.name,
    served: true,
    storage: parts.storage ?? true,
    ...(parts.deprecated === undefined ? {} : { deprecated: true, deprecationWarning: parts.deprecated }),
    ...(parts.columns === undefined ? {} : { additionalPrinterColumns: parts.columns }),
    schema: {
      openAPIV3Schema: {
        type: 'object',
        description: parts.description,
        ...(required === undefined ? {} : { required }),
        properties: {
          apiVersion: string(),
          kind: string(),
          metadata: { type: 'object' },
          ...(spec === undefined ? {} : { spec }),
          status,
        },
      },
    },
    subresources: { status: {} },
  };
}

function column(name: string, jsonPath: string, type = 'string'): Column {
  return { name, type, jsonPath };
}

function string(description?: string): Schema {
  return { type: 'string', ...(description === undefined ? {} : { description }) };
}

function integer(rules: Schema): Schema {
  return { type: 'integer', ...rules };
}

function list(items: Schema, description?: string): Schema {
  return { type: 'array', ...(description === undefined ? {} : { description }), items };
}

function object(
  properties: Readonly<Record<string, Schema>>,
  required: readonly string[] = [],
  description?: string,
): Schema {
  return {
    type: 'object',
    ...(description === undefined ? {} : { description }),
    ...(required.length === 0 ? {} : { required }),
    ...(Object.keys(properties).length === 0 ? {} : { properties }),
  };
}

/** meta/v1 LabelSelector: all of its parts must match; an empty one matches everything. */
function labelSelector(): Schema {
  const atomic = { 'x-kubernetes-list-type': 'atomic' };
  return {
    ...object({
      matchExpressions: {
        ...list(
          object(
            {
              key: string(),
              operator: string('In, NotIn, Exists or DoesNotExist.'),
              values: { ...list(string()), ...atomic },
            },
            ['key', 'operator'],
          ),
        ),
        ...atomic,
      },
      matchLabels: { type: 'object', additionalProperties: string() },
    }),
    'x-kubernetes-map-type': 'atomic',
  };
}
