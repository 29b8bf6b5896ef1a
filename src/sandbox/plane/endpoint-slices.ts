import { clone, type Draft, same } from '../api/json.ts';
import type { Resource } from '../api/resources.ts';
import type { Change, Entry } from '../api/store.ts';
import type { PlaneContext } from './context.ts';
import { type DesiredSlice, desiredSlices, type PodView, type ServiceView } from './endpoints.ts';
import { createWork } from './work.ts';

const manager = 'kube-controller-manager';
const serviceLabel = 'kubernetes.io/service-name';
const managedByLabel = 'endpointslice.kubernetes.io/managed-by';
const managedBy = 'endpointslice-controller.k8s.io';
const headlessLabel = 'service.kubernetes.io/headless';
const collection = 'endpointslices.discovery.k8s.io';

/** Keeps the EndpointSlices of Services with a selector as the pods are (the EndpointSlice controller). */
export function runEndpointSlices({ store, catalogue, writes, clock }: PlaneContext): () => void {
  const resource = catalogue.find('discovery.k8s.io', 'v1', 'endpointslices') as Resource;
  const options = { dryRun: false, manager };

  /** By key of the Service: keys of the slices that are ours. */
  const slices = new Map<string, Set<string>>();

  const reconcile = (key: string): void => {
    const service = store.get('services', key)?.object as ServiceView | undefined;
    if (service === undefined || service.metadata.deletionTimestamp !== undefined || !selects(service)) return;
    const namespace = service.metadata.namespace as string;
    const pods = store.list('pods', `${namespace}/`).map(({ object }) => object as PodView);
    const chosen = pods.filter((pod) => matches(service, pod.metadata.labels));
    const zoneOf = (node: string): string | undefined =>
      store.get('nodes', node)?.object.metadata.labels?.['topology.kubernetes.io/zone'];
    const own = [...(slices.get(key) ?? [])].flatMap((slice) => store.get(collection, slice)?.object ?? []);
    const { create, update, remove } = desiredSlices(service, chosen, own, zoneOf);
    for (const slice of create) writes.create(resource, namespace, drafted(service, slice), options);
    for (const [live, slice] of update) write(service, live, slice);
    for (const { metadata } of remove)
      writes.remove({ resource, namespace, name: metadata.name ?? '' }, { dryRun: false });
  };

  const write = (service: ServiceView, live: Draft, slice: DesiredSlice): void => {
    const { name = '', namespace } = live.metadata;
    const { metadata, ...content } = drafted(service, slice);
    const draft = clone(live);
    if (same(labelsOf(service), live.metadata.labels ?? {}) && same(content, contentOf(live))) return;
    Object.assign(draft, content);
    draft.metadata.labels = metadata.labels as Record<string, string>;
    writes.update({ resource, namespace, name }, '', () => draft, options);
  };

  const work = createWork(clock, reconcile);
  const all = (): void => {
    for (const { key } of store.list('services')) work.add(key);
  };
  const noticed = ({ key, object: { metadata } }: Entry, gone: boolean): void => {
    const { [serviceLabel]: service, [managedByLabel]: by } = metadata.labels ?? {};
    if (service === undefined) return;
    const owner = `${metadata.namespace}/${service}`;
    const known = slices.get(owner) ?? new Set<string>();
    slices.set(owner, known);
    if (gone || by !== managedBy) known.delete(key);
    else known.add(key);
    if (known.size === 0) slices.delete(owner);
    work.add(owner);
  };
  const changed = ({ collection: where, type, now, before }: Change): void => {
    switch (where) {
      case 'services':
        work.add(now.key);
        break;
      case 'pods':
        for (const { key, object } of store.list('services', `${now.object.metadata.namespace}/`))
          if (
            matches(object as ServiceView, now.object.metadata.labels) ||
            matches(object as ServiceView, before?.object.metadata.labels)
          )
            work.add(key);
        break;
      case 'nodes':
        if (
          before?.object.metadata.labels?.['topology.kubernetes.io/zone'] !==
          now.object.metadata.labels?.['topology.kubernetes.io/zone']
        )
          all();
        break;
      case collection:
        for (const entry of before === undefined ? [now] : [before, now]) noticed(entry, type === 'DELETED');
        break;
    }
  };
  const unsubscribe = store.subscribe(undefined, changed);
  for (const entry of store.list(collection)) noticed(entry, false);
  all();
  return () => {
    unsubscribe();
    work.close();
  };
}

const selects = ({ spec }: ServiceView): boolean =>
  spec.type !== 'ExternalName' && Object.keys(spec.selector ?? {}).length > 0;

function matches(service: ServiceView, labels: Readonly<Record<string, string>> = {}): boolean {
  return selects(service) && Object.entries(service.spec.selector ?? {}).every(([key, value]) => labels[key] === value);
}

const contentOf = ({ metadata: _metadata, ...content }: Draft): unknown => content;

function labelsOf({ metadata, spec }: ServiceView): Record<string, string> {
  return {
    ...metadata.labels,
    ...(spec.clusterIPs?.[0] === 'None' ? { [headlessLabel]: '' } : {}),
    [managedByLabel]: managedBy,
    [serviceLabel]: metadata.name ?? '',
  };
}

function drafted(service: ServiceView, { addressType, endpoints, ports }: DesiredSlice): Draft {
  const { name = '', namespace, uid = '' } = service.metadata;
  return {
    metadata: {
      generateName: `${name}-`,
      ...(namespace === undefined ? {} : { namespace }),
      labels: labelsOf(service),
      ownerReferences: [{ apiVersion: 'v1', kind: 'Service', name, uid, controller: true, blockOwnerDeletion: true }],
    },
    addressType,
    endpoints,
    ports,
  };
}
