import { createHash } from 'node:crypto';
import type { JsonObject } from './json.ts';
import { type Catalogue, groupVersionOf, type Resource } from './resources.ts';

/** /version: what this server stands in for. */
export const version = {
  major: '1',
  minor: '37',
  emulationMajor: '1',
  emulationMinor: '37',
  minCompatibilityMajor: '1',
  minCompatibilityMinor: '36',
  gitVersion: 'v1.37.2+fairlead-sandbox',
  gitCommit: '',
  gitTreeState: '',
  buildDate: '1970-01-01T00:00:00Z',
  goVersion: '',
  compiler: '',
  platform: 'linux/amd64',
};

/** /api */
export const apiVersions = (address: string): JsonObject => ({
  kind: 'APIVersions',
  versions: ['v1'],
  serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress: address }],
});

/** /apis */
export const groupList = (catalogue: Catalogue): JsonObject => ({
  kind: 'APIGroupList',
  apiVersion: 'v1',
  groups: groupsOf(catalogue).map((group) => groupEntry(catalogue, group)),
});

/** /apis/GROUP; undefined for an unknown one. */
export const groupDocument = (catalogue: Catalogue, group: string): JsonObject | undefined =>
  groupsOf(catalogue).includes(group)
    ? { kind: 'APIGroup', apiVersion: 'v1', ...groupEntry(catalogue, group) }
    : undefined;

/** /api/v1 and /apis/GROUP/VERSION; undefined for an unknown one. */
export function resourceList(catalogue: Catalogue, group: string, version: string): JsonObject | undefined {
  const resources = catalogue.all().filter((resource) => resource.group === group && resource.version === version);
  if (resources.length === 0) return undefined;
  return {
    kind: 'APIResourceList',
    ...(group === '' ? {} : { apiVersion: 'v1' }),
    groupVersion: groupVersionOf({ group, version }),
    resources: resources.flatMap((resource) => [resourceEntry(resource), ...subresourceEntries(resource)]),
  };
}

/** Everything in one document: apidiscovery.k8s.io/v2, for `group` '' (below /api) or all others (below /apis). */
export function aggregated(catalogue: Catalogue, core: boolean): JsonObject {
  const groups = core ? [''] : groupsOf(catalogue);
  return {
    kind: 'APIGroupDiscoveryList',
    apiVersion: 'apidiscovery.k8s.io/v2',
    metadata: {},
    items: groups.map((group) => ({
      metadata: { name: group === '' ? undefined : group, creationTimestamp: null },
      versions: versionsOf(catalogue, group).map((one) => ({
        version: one,
        resources: catalogue
          .all()
          .filter((resource) => resource.group === group && resource.version === one)
          .map(discoveryEntry),
        freshness: 'Current',
      })),
    })),
  };
}

function groupsOf(catalogue: Catalogue): readonly string[] {
  return [...new Set(catalogue.all().map(({ group }) => group))].filter((group) => group !== '');
}

/** The preferred version first: the highest by Kubernetes' order (GA before beta before alpha, then by number). */
function versionsOf(catalogue: Catalogue, group: string): readonly string[] {
  const versions = new Set(catalogue.all().flatMap((resource) => (resource.group === group ? [resource.version] : [])));
  return [...versions].sort(byPriority);
}

export function byPriority(a: string, b: string): number {
  const [x, y] = [rank(a), rank(b)];
  for (const [index, value] of x.entries()) if (value !== y[index]) return (y[index] as number) - value;
  return a < b ? -1 : a > b ? 1 : 0;
}

function rank(version: string): readonly number[] {
  const found = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version);
  if (found === null) return [0, 0, 0];
  const [, major, stage, minor] = found;
  return [stage === undefined ? 3 : stage === 'beta' ? 2 : 1, Number(major), Number(minor ?? 0)];
}

function groupEntry(catalogue: Catalogue, group: string): JsonObject {
  const versions = versionsOf(catalogue, group).map((version) => ({ groupVersion: `${group}/${version}`, version }));
  return { name: group, versions, preferredVersion: versions[0] };
}

function resourceEntry(resource: Resource): JsonObject {
  return {
    name: resource.plural,
    singularName: resource.singular,
    namespaced: resource.namespaced,
    kind: resource.kind,
    verbs: resource.verbs,
    ...(resource.shortNames.length === 0 ? {} : { shortNames: resource.shortNames }),
    ...(resource.categories.length === 0 ? {} : { categories: resource.categories }),
    ...(resource.verbs.includes('list') ? { storageVersionHash: storageHash(resource) } : {}),
  };
}

/** StorageVersionHash of apiserver; both event APIs store core events. */
function storageHash({ group, version, kind, collection }: Resource): string {
  const stored = collection === 'events' ? '' : group;
  return createHash('sha256').update(`${stored}/${version}/${kind}`).digest().subarray(0, 8).toString('base64');
}

function subresourceEntries(resource: Resource): readonly JsonObject[] {
  return resource.subresources.map(({ name, verbs, kind }) => ({
    name: `${resource.plural}/${name}`,
    singularName: '',
    namespaced: resource.namespaced,
    ...(kind === undefined || kind.group === resource.group ? {} : { group: kind.group, version: kind.version }),
    kind: kind?.kind ?? resource.kind,
    verbs,
  }));
}

function discoveryEntry(resource: Resource): JsonObject {
  return {
    resource: resource.plural,
    responseKind: { group: resource.group, version: resource.version, kind: resource.kind },
    scope: resource.namespaced ? 'Namespaced' : 'Cluster',
    singularResource: resource.singular,
    verbs: resource.verbs,
    ...(resource.shortNames.length === 0 ? {} : { shortNames: resource.shortNames }),
    ...(resource.categories.length === 0 ? {} : { categories: resource.categories }),
    subresources: resource.subresources.map(({ name, verbs, kind }) => ({
      subresource: name,
      responseKind: kind ?? { group: resource.group, version: resource.version, kind: resource.kind },
      verbs,
    })),
  };
}
