import type { LinkRecord, RouteRecord } from '../net/rtnetlink.ts';
import { defaultRoute } from './wiring.ts';

/** Where there is no default route, or its interface is gone: what Ethernet has. */
export const DEFAULT_MTU = 1500;
const MAIN_TABLE = 254;
/** What every IPv6 link carries (RFC 8200); a smaller one makes IPv6 addresses impossible. */
const LEAST_MTU = 1280;

/**
 * MTU for pods: that of the node's way out, less what tunnels between nodes add. The IPv4 default route counts, else
 * that of IPv6; of several the one that the kernel prefers.
 */
export function podMtu(links: readonly LinkRecord[], routes: readonly RouteRecord[], overhead: number): number {
  const link = outward(routes, defaultRoute.ipv4) ?? outward(routes, defaultRoute.ipv6);
  const mtu = links.find(({ index }) => index === link)?.mtu ?? DEFAULT_MTU;
  return Math.min(Math.max(mtu - overhead, LEAST_MTU), 65_535);
}

function outward(routes: readonly RouteRecord[], destination: string): number | undefined {
  const [best] = routes
    .filter((route) => route.destination === destination && route.table === MAIN_TABLE && route.type === 'unicast')
    .sort((a, b) => a.metric - b.metric);
  return best?.link ?? best?.hops?.[0]?.link;
}
