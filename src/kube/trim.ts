import type { KubeObject, ObjectMeta } from '../core/objects.ts';

/** What kubectl apply writes for itself: a copy of the manifest. */
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * Takes out of a freshly parsed object what no part of Fairlead reads from a store, more than half of its size, and
 * returns it. managedFields: where the writer of a field matters, a live GET is made. The annotation of kubectl apply: it
 * is no option of any provider, and nothing is ever written back as a whole. Of a Node: the images and volumes that its
 * kubelet lists.
 */
export function trim<T extends KubeObject>(object: T): T {
  const metadata: Writable<ObjectMeta> = object.metadata;
  // Deleting the last member keeps V8's compact layout, and the server prints managedFields last.
  delete metadata.managedFields;
  if (metadata.annotations?.[LAST_APPLIED] !== undefined) {
    const { [LAST_APPLIED]: _manifest, ...annotations } = metadata.annotations;
    metadata.annotations = annotations;
  }
  if (object.kind === 'Node' && object.apiVersion === 'v1') trimNode(object as { status?: object });
  return object;
}

function trimNode(node: { status?: object }): void {
  const { images, volumesInUse, volumesAttached, ...status } = (node.status ?? {}) as Readonly<Record<string, unknown>>;
  if (images ?? volumesInUse ?? volumesAttached) node.status = status;
}
