import { compareText } from '../../core/equal.ts';
import type { EndpointSlice, Node, Service } from '../../core/objects.ts';

/**
 * Which node the outside router sends a load balancer's address to: a pure stand-in for a speaker. With
 * externalTrafficPolicy Local only nodes with a ready endpoint of every Service on the address count; among those that
 * do the choice is spread over the addresses and changes only when the chosen node no longer counts.
 */
export function announcements(
  services: readonly Service[],
  slices: readonly EndpointSlice[],
  nodes: readonly Node[],
  before: ReadonlyMap<string, string> = new Map(),
): ReadonlyMap<string, string> {
  const names = nodes.map(({ metadata: { name } }) => name).sort(compareText);
  const candidates = new Map<string, readonly string[]>(); // address -> nodes
  for (const service of services) {
    const { namespace, name } = service.metadata;
    const isLocal = service.spec.externalTrafficPolicy === 'Local';
    const hosting = new Set(
      slices
        .filter(
          ({ metadata }) =>
            metadata.namespace === namespace && metadata.labels?.['kubernetes.io/service-name'] === name,
        )
        .flatMap(({ endpoints }) => endpoints ?? [])
        .filter(({ conditions }) => conditions?.ready !== false)
        .map(({ nodeName }) => nodeName),
    );
    for (const { ip, ipMode } of service.status?.loadBalancer?.ingress ?? []) {
      if (ip === undefined || ipMode === 'Proxy') continue;
      const able = candidates.get(ip) ?? names;
      candidates.set(ip, isLocal ? able.filter((node) => hosting.has(node)) : able);
    }
  }
  const chosen = new Map<string, string>();
  for (const [address, able] of [...candidates].sort(([a], [b]) => compareText(a, b))) {
    const held = before.get(address);
    const node = held !== undefined && able.includes(held) ? held : able[spread(address) % able.length];
    if (node !== undefined) chosen.set(address, node);
  }
  return chosen;
}

const spread = (address: string): number =>
  [...address].reduce((sum, character) => (sum * 31 + character.charCodeAt(0)) % 1_000_003, 7);
