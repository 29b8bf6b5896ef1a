/** What `kubectl explain` says about the fields that people look up; in our own words, most fields have none. */
import type { Schema } from './kinds.ts';

/** The schema with our words for it and its properties. A description that it already has stays. */
export function described(name: string, schema: Schema): Schema {
  const words = { ...common, ...texts[name] };
  const { properties } = schema;
  const description = schema.description ?? texts[name]?.[''];
  return {
    ...schema,
    ...(description === undefined ? {} : { description }),
    ...(properties === undefined
      ? {}
      : {
          properties: Object.fromEntries(
            Object.entries(properties).map(([key, property]) => [key, withText(property, words[key])]),
          ),
        }),
  };
}

const withText = (schema: Schema, description: string | undefined): Schema =>
  description === undefined || schema.description !== undefined || schema.$ref !== undefined
    ? schema
    : { description, ...schema };

const common: Readonly<Record<string, string>> = {
  apiVersion: 'Group and version of the kind, such as apps/v1.',
  kind: 'What the object is, such as Service.',
  metadata: 'Name, labels and bookkeeping of the object.',
};

const core = 'io.k8s.api.core.v1';

/** Schema -> property -> text; '' is the schema itself. */
const texts: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta': {
    '': 'What every object has.',
    annotations: 'Notes of people and programs; not used to select objects.',
    creationTimestamp: 'When the object was created.',
    deletionTimestamp: 'When somebody asked for its deletion; it goes when finalizers is empty.',
    finalizers: 'Who must act before the object may go.',
    generateName: 'Beginning of a name that the server completes.',
    labels: 'Keys and values by which objects are selected.',
    managedFields: 'Which client owns which field.',
    name: 'Unique in its namespace among the objects of its kind.',
    namespace: 'Where the object lives, for kinds that live in one.',
    ownerReferences: 'Objects whose deletion takes this one along.',
    resourceVersion: 'Changes with every write; compare it, do not read it.',
    uid: 'Never the same for two objects, not even one after the other.',
  },
  [`${core}.Service`]: {
    '': 'A stable address for a set of pods.',
    spec: 'What is asked for.',
    status: 'What was given: the addresses of the load balancer.',
  },
  [`${core}.ServiceSpec`]: {
    '': 'What a Service asks for.',
    allocateLoadBalancerNodePorts: 'false: a load balancer that reaches pods directly needs no node ports.',
    clusterIP: 'First address inside the cluster; None for a headless Service.',
    clusterIPs: 'Addresses inside the cluster, one for each IP family.',
    externalIPs: 'Further addresses at which nodes accept traffic for it.',
    externalName: 'DNS name that a Service of type ExternalName stands for.',
    externalTrafficPolicy: 'Local: traffic from outside stays on the node where it arrives, with its source address.',
    healthCheckNodePort: 'Where a load balancer asks a node for local pods, with externalTrafficPolicy Local.',
    internalTrafficPolicy: 'Local: traffic from pods goes to pods on the same node only.',
    ipFamilies: 'IPv4, IPv6 or both, in order of preference.',
    ipFamilyPolicy: 'SingleStack, PreferDualStack or RequireDualStack.',
    loadBalancerClass: 'Which implementation serves it; the default one without a class.',
    loadBalancerSourceRanges: 'CIDRs from which the load balancer takes traffic.',
    ports: 'Ports that it offers.',
    publishNotReadyAddresses: 'Pods count although they are not ready.',
    selector: 'Labels of the pods behind it.',
    sessionAffinity: 'ClientIP: a client stays with its pod.',
    trafficDistribution: 'Preference among the pods, such as those of the same zone.',
    type: 'ClusterIP, NodePort, LoadBalancer or ExternalName.',
  },
  [`${core}.ServicePort`]: {
    '': 'One port of a Service.',
    appProtocol: 'Protocol of the application, such as https.',
    name: 'Needed as soon as there are two ports.',
    nodePort: 'Port at every node, for the types NodePort and LoadBalancer.',
    port: 'Port at the addresses of the Service.',
    protocol: 'TCP, UDP or SCTP.',
    targetPort: "Port of the pods, or the name of one of a container's.",
  },
  [`${core}.ServiceStatus`]: { conditions: 'What controllers say about it.', loadBalancer: 'The load balancer.' },
  [`${core}.LoadBalancerStatus`]: { ingress: 'Where the load balancer takes traffic.' },
  [`${core}.LoadBalancerIngress`]: {
    hostname: 'Name of the load balancer, where it has no fixed address.',
    ip: 'Address of the load balancer.',
    ipMode: 'VIP: packets arrive with this address; Proxy: with the address of a node or pod.',
    ports: 'State of single ports.',
  },
  [`${core}.Node`]: { '': 'A machine that runs pods.', spec: 'What it is.', status: 'How it is.' },
  [`${core}.NodeSpec`]: {
    podCIDR: 'First block of addresses for its pods.',
    podCIDRs: 'Blocks of addresses for its pods, one for each IP family.',
    providerID: 'The machine in the words of its cloud.',
    taints: 'What keeps pods away that do not tolerate it.',
    unschedulable: 'New pods go elsewhere.',
  },
  [`${core}.Pod`]: { '': 'Containers that run together on one node and share its addresses.' },
  [`${core}.Namespace`]: { '': 'A scope for names.' },
  [`${core}.ConfigMap`]: { '': 'Settings as keys and values.', data: 'Texts.', binaryData: 'Bytes, in base64.' },
  [`${core}.Secret`]: { '': 'Keys and values that not everybody may see.', data: 'Values in base64.' },
  'io.k8s.api.discovery.v1.EndpointSlice': {
    '': 'Some of the endpoints of a Service.',
    addressType: 'IPv4, IPv6 or FQDN: one for all addresses.',
    endpoints: 'Pods, with their state.',
    ports: 'Ports of every endpoint.',
  },
  'io.k8s.api.coordination.v1.Lease': { '': 'Who leads, and until when.' },
  'io.k8s.api.apps.v1.Deployment': { '': 'Pods that are all alike, replaced gradually.' },
  'io.k8s.api.apps.v1.DaemonSet': { '': 'One pod for each node.' },
};
