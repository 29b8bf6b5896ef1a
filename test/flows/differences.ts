/** Where kube-proxy does something else than the tables say, each with its reason. All others are faults of ours. */
import type { Case } from './cases.ts';
import type { Cell } from './outcome.ts';
import type { Source } from './tables.ts';

export interface Difference {
  /** Name of the Service, and what a title of its cases begins with: 'load balancer, tcp'. */
  readonly test: string;
  readonly title: string;
  /** Absent: all. */
  readonly sources?: readonly Source[];
  readonly kubeProxy: Cell;
  readonly why: string;
}

/** kube-proxy v1.37.2, nftables mode. None: in what these tables look at the two are the same. */
export const differences: readonly Difference[] = [];

/** The cases as kube-proxy does them, and the differences that met none of them. */
export function ofKubeProxy(cases: readonly Case[]): {
  readonly cases: readonly Case[];
  readonly unused: readonly Difference[];
} {
  const used = new Set<Difference>();
  const changed = cases.map((each) => {
    const expected = { ...each.expected };
    for (const difference of differences) {
      if (difference.test !== each.test || !each.title.startsWith(difference.title)) continue;
      for (const source of Object.keys(expected) as Source[]) {
        if (difference.sources !== undefined && !difference.sources.includes(source)) continue;
        used.add(difference);
        expected[source] = difference.kubeProxy;
      }
    }
    return { ...each, expected };
  });
  return { cases: changed, unused: differences.filter((difference) => !used.has(difference)) };
}
