import type { KubeObject, LabelSelector } from '../../objects.ts';
import { matches } from '../selectors.ts';
import { canonical } from './selectors.ts';

type Selectors = readonly LabelSelector[] | undefined;

/**
 * Whether two lists of node selectors meet on a node (an empty list means every node). Without a list of nodes it is true
 * where it must be: if one of them means every node, or a selector stands in both.
 */
export function sharesNode(a: Selectors, b: Selectors, nodes: readonly KubeObject[] | undefined): boolean {
  const [some, others] = [a ?? [], b ?? []];
  if (nodes !== undefined) return nodes.some((node) => isOn(some, node) && isOn(others, node));
  if (some.length === 0 || others.length === 0) return true;
  const texts = new Set(some.map(canonical));
  return others.some((selector) => texts.has(canonical(selector)));
}

function isOn(selectors: readonly LabelSelector[], { metadata }: KubeObject): boolean {
  return selectors.length === 0 || selectors.some((selector) => matches(selector, metadata.labels ?? {}));
}
