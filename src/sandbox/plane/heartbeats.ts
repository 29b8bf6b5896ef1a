import { clone, type Draft, isObject, type JsonObject, rfc3339 } from '../api/json.ts';
import type { Resource } from '../api/resources.ts';
import type { PlaneContext } from './context.ts';

const everyMs = 10_000;
const leaseSeconds = 40;
const leaseNamespace = 'kube-node-lease';
const notReady = 'node.kubernetes.io/not-ready';
const manager = 'kubelet';

/** Every node is alive: its Lease is renewed every 10 s, it is Ready, and nothing keeps pods away for being new. */
export function runHeartbeats({ store, catalogue, writes, clock }: PlaneContext): () => void {
  const [nodes, leases] = [
    catalogue.find('', 'v1', 'nodes'),
    catalogue.find('coordination.k8s.io', 'v1', 'leases'),
  ] as readonly [Resource, Resource];
  const options = { dryRun: false, manager };

  const renew = (node: Draft): void => {
    const name = node.metadata.name ?? '';
    const spec = {
      holderIdentity: name,
      leaseDurationSeconds: leaseSeconds,
      renewTime: new Date(clock.now()).toISOString().replace('Z', '000Z'),
    };
    const address = { resource: leases, namespace: leaseNamespace, name };
    if (store.get(leases.collection, `${leaseNamespace}/${name}`) === undefined) {
      const owner = { apiVersion: 'v1', kind: 'Node', name, uid: node.metadata.uid ?? '' };
      writes.create(leases, leaseNamespace, { metadata: { name, ownerReferences: [owner] }, spec }, options);
    } else writes.update(address, '', (live) => ({ ...clone(live as Draft), spec }), options);
    writes.update(
      { resource: nodes, namespace: undefined, name },
      'status',
      (live) => readied(live as Draft, rfc3339(clock.now())),
      options,
    );
    if (taintsOf(node).some(({ key }) => key === notReady))
      writes.update({ resource: nodes, namespace: undefined, name }, '', (live) => untainted(live as Draft), options);
  };
  const beat = (): void => {
    for (const { object } of store.list('nodes')) if (object.metadata.deletionTimestamp === undefined) renew(object);
    cancel = clock.after(everyMs, beat);
  };
  let cancel = clock.after(0, beat);
  return () => cancel();
}

const taintsOf = ({ spec }: Draft): readonly JsonObject[] =>
  isObject(spec) && Array.isArray(spec['taints']) ? (spec['taints'] as JsonObject[]) : [];

function readied(node: Draft, now: string): Draft {
  const draft = clone(node);
  const status = isObject(draft['status']) ? draft['status'] : {};
  const conditions = Array.isArray(status['conditions']) ? (status['conditions'] as JsonObject[]) : [];
  const known = conditions.find(({ type }) => type === 'Ready');
  const since = known?.['status'] === 'True' ? known['lastTransitionTime'] : now;
  const ready = {
    type: 'Ready',
    status: 'True',
    lastHeartbeatTime: now,
    lastTransitionTime: since,
    reason: 'KubeletReady',
    message: 'the sandbox keeps this node ready',
  };
  draft['status'] = { ...status, conditions: [...conditions.filter(({ type }) => type !== 'Ready'), ready] };
  return draft;
}

function untainted(node: Draft): Draft {
  const draft = clone(node);
  const spec = isObject(draft['spec']) ? draft['spec'] : {};
  draft['spec'] = { ...spec, taints: taintsOf(node).filter(({ key }) => key !== notReady) };
  return draft;
}
