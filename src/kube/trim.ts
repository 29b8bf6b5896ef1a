import type { KubeObject, ObjectMeta } from '../core/objects.ts';

/** What kubectl apply writes for itself: a copy of the manifest. */
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * Takes out of a freshly parsed object what no part of Fairlead reads from a store, about half of its size, and returns
 * it. managedFields: where the writer of a field matters, a live GET is made. The annotation of kubectl apply: it is no
 * option of any provider, and nothing is ever written back as a whole.
 */
export function trim<T extends KubeObject>(object: T): T {
  const metadata: Writable<ObjectMeta> = object.metadata;
  // Deleting the last member keeps V8's compact layout, and the server prints managedFields last.
  delete metadata.managedFields;
  if (metadata.annotations?.[LAST_APPLIED] !== undefined) {
    const { [LAST_APPLIED]: _manifest, ...annotations } = metadata.annotations;
    metadata.annotations = annotations;
  }
  return object;
}
