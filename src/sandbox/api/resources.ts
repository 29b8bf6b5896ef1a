import type { Schema } from './kinds.ts';
import type { GroupResource } from './status.ts';

export type Verb = 'create' | 'delete' | 'deletecollection' | 'get' | 'list' | 'patch' | 'update' | 'watch';

/** One path below an object. */
export interface Subresource {
  readonly name: string;
  readonly verbs: readonly ('get' | 'patch' | 'update' | 'create')[];
  /** Absent: the kind of the resource itself. */
  readonly kind?: { readonly group: string; readonly version: string; readonly kind: string };
}

/** A kind as one version serves it: a row of the discovery documents. */
export interface Resource extends GroupResource {
  readonly version: string;
  readonly singular: string;
  readonly kind: string;
  readonly listKind: string;
  readonly namespaced: boolean;
  readonly verbs: readonly Verb[];
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly subresources: readonly Subresource[];
  /** Name of the collection in the store; versions of one kind, and both event APIs, share it. */
  readonly collection: string;
  /** Told to whoever asks for it. */
  readonly deprecation?: string;
  /** Of a kind that a CustomResourceDefinition made. */
  readonly custom?: CustomVersion;
}

/** What a definition says about one version of its kind. */
export interface CustomVersion {
  readonly schema: Schema;
  /** The status is written by its own path only. */
  readonly statusSubresource: boolean;
  readonly scale?: {
    readonly specReplicasPath: string;
    readonly statusReplicasPath: string;
    readonly labelSelectorPath?: string;
  };
  readonly columns: readonly object[];
  /** JSON paths: '.spec.color'. */
  readonly selectableFields: readonly string[];
}

/** '/api/v1' is group ''; 'apps/v1' is as in an object's apiVersion. */
export const groupVersionOf = ({ group, version }: { readonly group: string; readonly version: string }): string =>
  group === '' ? version : `${group}/${version}`;

export const full: readonly Verb[] = [
  'create',
  'delete',
  'deletecollection',
  'get',
  'list',
  'patch',
  'update',
  'watch',
];
export const status: Subresource = { name: 'status', verbs: ['get', 'patch', 'update'] };
export const scale: Subresource = {
  name: 'scale',
  verbs: ['get', 'patch', 'update'],
  kind: { group: 'autoscaling', version: 'v1', kind: 'Scale' },
};

/** The kinds that exist without any CustomResourceDefinition, as kube-apiserver 1.37 lists them. */
export const builtIn: readonly Resource[] = [
  core('configmaps', 'ConfigMap', { shortNames: ['cm'] }),
  core('endpoints', 'Endpoints', {
    shortNames: ['ep'],
    singular: 'endpoints',
    deprecation: 'v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice',
  }),
  core('events', 'Event', { shortNames: ['ev'] }),
  core('namespaces', 'Namespace', {
    shortNames: ['ns'],
    namespaced: false,
    verbs: full.filter((verb) => verb !== 'deletecollection'),
    subresources: [{ name: 'finalize', verbs: ['update'] }, status],
  }),
  core('nodes', 'Node', { shortNames: ['no'], namespaced: false, subresources: [status] }),
  core('pods', 'Pod', {
    shortNames: ['po'],
    categories: ['all'],
    subresources: [{ name: 'binding', verbs: ['create'], kind: { group: '', version: 'v1', kind: 'Binding' } }, status],
  }),
  core('secrets', 'Secret', {}),
  core('serviceaccounts', 'ServiceAccount', {
    shortNames: ['sa'],
    subresources: [
      {
        name: 'token',
        verbs: ['create'],
        kind: { group: 'authentication.k8s.io', version: 'v1', kind: 'TokenRequest' },
      },
    ],
  }),
  core('services', 'Service', { shortNames: ['svc'], categories: ['all'], subresources: [status] }),
  kind('apiextensions.k8s.io', 'customresourcedefinitions', 'CustomResourceDefinition', {
    shortNames: ['crd', 'crds'],
    categories: ['api-extensions'],
    namespaced: false,
    subresources: [status],
  }),
  kind('apps', 'daemonsets', 'DaemonSet', { shortNames: ['ds'], categories: ['all'], subresources: [status] }),
  kind('apps', 'deployments', 'Deployment', {
    shortNames: ['deploy'],
    categories: ['all'],
    subresources: [scale, status],
  }),
  kind('authentication.k8s.io', 'selfsubjectreviews', 'SelfSubjectReview', { namespaced: false, verbs: ['create'] }),
  kind('authentication.k8s.io', 'tokenreviews', 'TokenReview', { namespaced: false, verbs: ['create'] }),
  kind('authorization.k8s.io', 'localsubjectaccessreviews', 'LocalSubjectAccessReview', { verbs: ['create'] }),
  kind('authorization.k8s.io', 'selfsubjectaccessreviews', 'SelfSubjectAccessReview', {
    namespaced: false,
    verbs: ['create'],
  }),
  kind('authorization.k8s.io', 'selfsubjectrulesreviews', 'SelfSubjectRulesReview', {
    namespaced: false,
    verbs: ['create'],
  }),
  kind('authorization.k8s.io', 'subjectaccessreviews', 'SubjectAccessReview', { namespaced: false, verbs: ['create'] }),
  kind('coordination.k8s.io', 'leases', 'Lease', {}),
  kind('discovery.k8s.io', 'endpointslices', 'EndpointSlice', {}),
  kind('events.k8s.io', 'events', 'Event', { shortNames: ['ev'], collection: 'events' }),
];

type Facts = Partial<Omit<Resource, 'group' | 'version' | 'plural' | 'kind'>>;

function core(plural: string, name: string, facts: Facts): Resource {
  return kind('', plural, name, facts);
}

function kind(group: string, plural: string, name: string, facts: Facts): Resource {
  return {
    group,
    version: 'v1',
    plural,
    singular: name.toLowerCase(),
    kind: name,
    listKind: `${name}List`,
    namespaced: true,
    verbs: full,
    shortNames: [],
    categories: [],
    subresources: [],
    collection: group === '' ? plural : `${plural}.${group}`,
    ...facts,
  };
}

/** All kinds that are served at the moment; CustomResourceDefinitions add theirs. */
export interface Catalogue {
  /** The built-in kinds first, then those of definitions in the order of their names. */
  all(): readonly Resource[];
  find(group: string, version: string, plural: string): Resource | undefined;
  /** Whether there is any kind in this version of the group. */
  serves(group: string, version: string): boolean;
  /** Of one kind name, in any version of the group: what an ownerReference names. */
  ofKind(group: string, kind: string): Resource | undefined;
  /** Replaces what the named definition serves; an empty list takes it away. */
  define(definition: string, resources: readonly Resource[]): void;
}

export function createCatalogue(): Catalogue {
  const definitions = new Map<string, readonly Resource[]>();
  let listed: readonly Resource[] = builtIn;
  let byPath = indexed(listed);
  let versions = versionsOf(listed);
  return {
    all: () => listed,
    find: (group, version, plural) => byPath.get(`${group}/${version}/${plural}`),
    serves: (group, version) => versions.has(`${group}/${version}`),
    ofKind: (group, name) => listed.find((resource) => resource.group === group && resource.kind === name),
    define(definition, resources) {
      if (resources.length === 0) definitions.delete(definition);
      else definitions.set(definition, resources);
      const custom = [...definitions].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([, served]) => served);
      listed = [...builtIn, ...custom];
      byPath = indexed(listed);
      versions = versionsOf(listed);
    },
  };
}

const versionsOf = (resources: readonly Resource[]): ReadonlySet<string> =>
  new Set(resources.map(({ group, version }) => `${group}/${version}`));

const indexed = (resources: readonly Resource[]): ReadonlyMap<string, Resource> =>
  new Map(resources.map((resource) => [`${resource.group}/${resource.version}/${resource.plural}`, resource]));
