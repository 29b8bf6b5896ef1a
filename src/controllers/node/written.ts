import type { Node } from '../../core/objects.ts';

/**
 * What our own writes made of Nodes, until the watch brings it. A run that begins with an older copy goes on from there,
 * and the echo of a write is no work.
 */
export interface Written {
  /** What our writes made of this copy; the copy itself when there were none, or when somebody else changed it since. */
  latest(node: Node): Node;
  note(before: Node, after: Node): void;
  /** The version is one that we made. */
  isEcho(node: Node): boolean;
  forget(name: string): void;
}

interface Trace {
  /** Versions from which our writes led to `object`. */
  readonly from: ReadonlySet<string>;
  readonly object: Node;
}

export function createWritten(): Written {
  const traces = new Map<string, Trace>(); // node name -> our last writes in a row

  return {
    latest(node) {
      const trace = traces.get(node.metadata.name);
      return trace?.from.has(node.metadata.resourceVersion) === true ? trace.object : node;
    },
    note(before, after) {
      const { name, resourceVersion } = before.metadata;
      const trace = traces.get(name);
      const isNext = trace?.object.metadata.resourceVersion === resourceVersion;
      if (after.metadata.resourceVersion === resourceVersion) return; // it changed nothing
      traces.set(name, { from: new Set([...(isNext ? trace.from : []), resourceVersion]), object: after });
    },
    isEcho({ metadata: { name, resourceVersion } }) {
      const trace = traces.get(name);
      return trace?.object.metadata.resourceVersion === resourceVersion || trace?.from.has(resourceVersion) === true;
    },
    forget: (name) => void traces.delete(name),
  };
}
