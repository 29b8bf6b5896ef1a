import { createHash } from 'node:crypto';
import { clone, type Draft, isObject, type JsonObject, rfc3339, same } from '../api/json.ts';
import type { Resource } from '../api/resources.ts';
import type { Change } from '../api/store.ts';
import type { PlaneContext } from './context.ts';
import { HASH_LABEL, nodeFor, statusOf, type WorkloadPod, type WorkloadView, wantedPods } from './wanted-pods.ts';
import { createWork } from './work.ts';

const manager = 'kube-controller-manager';
const kinds = { 'deployments.apps': 'Deployment', 'daemonsets.apps': 'DaemonSet' } as const;
type Collection = keyof typeof kinds;

/** The controllers of Deployments and DaemonSets, which own their pods directly, and the scheduler. */
export function runWorkloads({ store, catalogue, writes, clock }: PlaneContext): () => void {
  const pods = catalogue.find('', 'v1', 'pods') as Resource;
  const resourceOf = {
    'deployments.apps': catalogue.find('apps', 'v1', 'deployments') as Resource,
    'daemonsets.apps': catalogue.find('apps', 'v1', 'daemonsets') as Resource,
  } as const;
  const options = { dryRun: false, manager };
  const nodeNames = (): readonly string[] =>
    store
      .list('nodes')
      .map(({ object }) => object)
      .filter(isOpen)
      .map(({ metadata }) => metadata.name ?? '')
      .sort();
  const podsOf = ({ metadata: { uid, namespace } }: Draft): readonly WorkloadPod[] =>
    store
      .list('pods', `${namespace}/`)
      .map(({ object }) => object as WorkloadPod)
      .filter(({ metadata }) =>
        metadata.ownerReferences?.some((owner) => owner.uid === uid && owner.controller === true),
      );

  const reconcile = (collection: Collection, key: string): void => {
    const object = store.get(collection, key)?.object;
    if (object === undefined || object.metadata.deletionTimestamp !== undefined) return;
    const workload = { ...object, kind: kinds[collection] } as WorkloadView;
    const { name = '', namespace = '' } = workload.metadata;
    const hash = createHash('sha256').update(JSON.stringify(workload.spec.template)).digest('hex').slice(0, 10);
    const nodes = nodeNames();
    const before = podsOf(object);
    const { create, remove } = wantedPods(workload, before, hash, nodes);
    for (const placed of create) writes.create(pods, namespace, podFrom(workload, hash, placed), options);
    for (const pod of remove)
      writes.remove({ resource: pods, namespace, name: pod.metadata.name ?? '' }, { dryRun: false });
    const status = statusOf(workload, podsOf(object), hash, nodes.length) as JsonObject;
    const now = rfc3339(clock.now());
    const stamped = (live: Draft | undefined): Draft => {
      const draft = clone(live as Draft);
      draft['status'] = { ...status, ...conditionsOf(status, draft['status'], now) };
      return draft;
    };
    const next = stamped(object);
    if (!same(next['status'], object['status']))
      writes.update({ resource: resourceOf[collection], namespace, name }, 'status', stamped, options);
  };

  const schedule = (key: string): void => {
    const pod = store.get('pods', key)?.object as WorkloadPod | undefined;
    if (pod === undefined || pod.spec.nodeName !== undefined || pod.metadata.deletionTimestamp !== undefined) return;
    const all = store.list('pods').map(({ object }) => object as WorkloadPod);
    const node = nodeFor(pod, all, nodeNames());
    if (node === undefined) return; // again when a node is ready
    const { name = '', namespace } = pod.metadata;
    const now = rfc3339(clock.now());
    writes.update({ resource: pods, namespace, name }, 'binding', (live) => bound(live as Draft, node, now), options);
  };

  const work = createWork(clock, (name) => {
    const at = name.indexOf(' ');
    const [collection, key] = [name.slice(0, at), name.slice(at + 1)];
    if (collection === 'pods') schedule(key);
    else reconcile(collection as Collection, key);
  });
  const all = (): void => {
    for (const collection of Object.keys(kinds))
      for (const { key } of store.list(collection)) work.add(`${collection} ${key}`);
    for (const { key } of store.list('pods')) work.add(`pods ${key}`);
  };
  const changed = ({ collection, now, before }: Change): void => {
    if (collection in kinds) work.add(`${collection} ${now.key}`);
    else if (collection === 'pods') {
      work.add(`pods ${now.key}`);
      for (const { kind, name } of now.object.metadata.ownerReferences ?? [])
        for (const [owner, known] of Object.entries(kinds))
          if (kind === known) work.add(`${owner} ${now.object.metadata.namespace}/${name}`);
    } else if (collection === 'nodes' && (before === undefined || isOpen(before.object) !== isOpen(now.object))) all();
  };
  const unsubscribe = store.subscribe(undefined, changed);
  all();
  return () => {
    unsubscribe();
    work.close();
  };
}

/** Takes pods: ready, not cordoned, without a taint that keeps pods away. */
function isOpen({ metadata, spec, status }: Draft & { spec?: unknown; status?: unknown }): boolean {
  if (metadata.deletionTimestamp !== undefined || (isObject(spec) && spec['unschedulable'] === true)) return false;
  const taints = isObject(spec) && Array.isArray(spec['taints']) ? (spec['taints'] as JsonObject[]) : [];
  const conditions =
    isObject(status) && Array.isArray(status['conditions']) ? (status['conditions'] as JsonObject[]) : [];
  return (
    taints.every(({ effect }) => effect === 'PreferNoSchedule') &&
    conditions.some(({ type, status: is }) => type === 'Ready' && is === 'True')
  );
}

function podFrom(workload: WorkloadView, hash: string, { nodeName }: { readonly nodeName?: string }): Draft {
  const { kind, metadata, spec } = workload;
  const { labels = {}, annotations } = spec.template.metadata ?? {};
  return {
    metadata: {
      generateName: `${metadata.name}-`,
      namespace: metadata.namespace ?? 'default',
      labels: { ...labels, [HASH_LABEL]: hash },
      ...(annotations === undefined ? {} : { annotations }),
      ownerReferences: [
        {
          apiVersion: 'apps/v1',
          kind,
          name: metadata.name ?? '',
          uid: metadata.uid ?? '',
          controller: true,
          blockOwnerDeletion: true,
        },
      ],
    },
    spec: { ...(clone(spec.template.spec as Draft) as object), ...(nodeName === undefined ? {} : { nodeName }) },
  };
}

function bound(pod: Draft, node: string, now: string): Draft {
  const draft = clone(pod);
  const [spec, status] = [draft['spec'] as JsonObject, draft['status'] as JsonObject];
  spec['nodeName'] = node;
  const scheduled = { type: 'PodScheduled', status: 'True', lastProbeTime: null, lastTransitionTime: now };
  draft['status'] = { ...status, conditions: [scheduled] };
  return draft;
}

/** Times of conditions stay while their status does. */
function conditionsOf(wanted: JsonObject, live: unknown, now: string): object {
  const known = isObject(live) && Array.isArray(live['conditions']) ? (live['conditions'] as JsonObject[]) : [];
  const conditions = wanted['conditions'] as JsonObject[] | undefined;
  if (conditions === undefined) return {};
  return {
    conditions: conditions.map((condition) => {
      const old = known.find(({ type, status }) => type === condition['type'] && status === condition['status']);
      return {
        ...condition,
        lastTransitionTime: old?.['lastTransitionTime'] ?? now,
        lastUpdateTime: old?.['lastUpdateTime'] ?? now,
      };
    }),
  };
}
