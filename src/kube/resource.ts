import type { ResourceName } from '../core/provider.ts';

/** The kinds of Kubernetes itself that Fairlead reads or writes. */
export const resources = {
  services: { group: '', version: 'v1', plural: 'services' },
  nodes: { group: '', version: 'v1', plural: 'nodes' },
  namespaces: { group: '', version: 'v1', plural: 'namespaces' },
  pods: { group: '', version: 'v1', plural: 'pods' },
  configmaps: { group: '', version: 'v1', plural: 'configmaps' },
  secrets: { group: '', version: 'v1', plural: 'secrets' },
  serviceaccounts: { group: '', version: 'v1', plural: 'serviceaccounts' },
  events: { group: '', version: 'v1', plural: 'events' },
  endpointslices: { group: 'discovery.k8s.io', version: 'v1', plural: 'endpointslices' },
  leases: { group: 'coordination.k8s.io', version: 'v1', plural: 'leases' },
  customresourcedefinitions: { group: 'apiextensions.k8s.io', version: 'v1', plural: 'customresourcedefinitions' },
  tokenreviews: { group: 'authentication.k8s.io', version: 'v1', plural: 'tokenreviews' },
  subjectaccessreviews: { group: 'authorization.k8s.io', version: 'v1', plural: 'subjectaccessreviews' },
} as const satisfies Record<string, ResourceName>;

export interface Where {
  /** Absent: all namespaces, or an object of the cluster. */
  readonly namespace?: string;
  /** Absent: the collection. */
  readonly name?: string;
  readonly subresource?: string;
  /** In this order; undefined values are left out. */
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
}

/**
 * Path and query from the server's root: '/api/v1/namespaces/a/services/b/status'.
 * Throws TypeError for an empty name or namespace: it would silently mean the whole collection.
 */
export function pathOf(resource: ResourceName, where: Where = {}): string {
  const { namespace, name, subresource, query = {} } = where;
  if (namespace === '' || name === '') throw new TypeError(`${resource.plural}: empty name or namespace`);
  if (subresource !== undefined && name === undefined)
    throw new TypeError(`${resource.plural}: ${subresource} of what?`);
  const { group, version, plural } = resource;
  const root = group === '' ? ['api', version] : ['apis', group, version];
  const parts = [
    ...root,
    ...(namespace === undefined ? [] : ['namespaces', namespace]),
    plural,
    ...(name === undefined ? [] : [name]),
    ...(subresource === undefined ? [] : [subresource]),
  ];
  const path = `/${parts.map(encodeURIComponent).join('/')}`;
  const pairs = Object.entries(query).flatMap(([key, value]) =>
    value === undefined ? [] : [`${encodeURIComponent(key)}=${encodeURIComponent(value)}`],
  );
  return pairs.length === 0 ? path : `${path}?${pairs.join('&')}`;
}

/** 'services' or 'ipaddresspools.metallb.io': the name that people and metrics use. */
export function nameOf({ group, plural }: ResourceName): string {
  return group === '' ? plural : `${plural}.${group}`;
}
