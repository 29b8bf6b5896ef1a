/**
 * Addresses of a sandbox cluster. Everything lies in its own namespaces but the segment, on which this machine takes
 * part: its range is one for network tests (RFC 2544), which no real network has.
 *
 *   client --- router --- segment (lan) --- n1, n2, ... --- pods
 *                            +-- this machine: the API server
 */
export interface Layout {
  readonly nodes: readonly NodeLayout[];
  /** Of the API server's end of the segment, with prefix length. */
  readonly api: string;
  /** The outside router on the segment and towards the client, with prefix lengths. */
  readonly router: { readonly segment: readonly string[]; readonly outside: readonly string[] };
  readonly client: readonly string[];
  /** What nodes and client have as default gateway, by family where there is one. */
  readonly gateways: { readonly nodes: readonly string[]; readonly client: readonly string[] };
  readonly podCidrs: readonly { readonly cidr: string; readonly prefixLength: number }[];
  readonly serviceCidrs: readonly string[];
}

export interface NodeLayout {
  readonly name: string;
  /** Bare addresses, one per family. */
  readonly addresses: readonly string[];
  /** The same with prefix lengths. */
  readonly interfaces: readonly string[];
}

export interface LayoutOptions {
  readonly nodes: number;
  /** 0 to 255: the third byte of the segment, 198.18.N.0/24. */
  readonly segment: number;
  readonly ipv6: boolean;
}

/** A function of its input alone. */
export function clusterLayout({ nodes, segment, ipv6 }: LayoutOptions): Layout {
  const families = (ipv4: string, ...rest: readonly string[]): readonly string[] => (ipv6 ? [ipv4, ...rest] : [ipv4]);
  const [lan4, lan6] = [`198.18.${segment}`, `fd00:198:18:${segment.toString(16)}::`];
  return {
    nodes: Array.from({ length: nodes }, (_, index) => {
      const last = index + 11;
      return {
        name: `n${index + 1}`,
        addresses: families(`${lan4}.${last}`, `${lan6}${last}`),
        interfaces: families(`${lan4}.${last}/24`, `${lan6}${last}/64`),
      };
    }),
    api: `${lan4}.1/24`,
    router: {
      segment: families(`${lan4}.254/24`, `${lan6}fe/64`),
      outside: families('203.0.113.1/24', '2001:db8:203::1/64'),
    },
    client: families('203.0.113.9/24', '2001:db8:203::9/64'),
    gateways: {
      nodes: families(`${lan4}.254`, `${lan6}fe`),
      client: families('203.0.113.1', '2001:db8:203::1'),
    },
    podCidrs: [
      { cidr: '10.244.0.0/16', prefixLength: 24 },
      ...(ipv6 ? [{ cidr: 'fd00:10:244::/48', prefixLength: 64 }] : []),
    ],
    serviceCidrs: families('10.96.0.0/16', 'fd00:10:96::/112'),
  };
}

/**
 * A third byte whose segment overlaps with no route of this machine, beginning with `first`; undefined: none is free.
 * `routes`: output of `ip -4 route show table all`.
 */
export function freeSegment(routes: string, first: number): number | undefined {
  const taken = new Set<number>();
  for (const [, third, length = '32'] of routes.matchAll(/\b198\.18\.(\d+)\.\d+(?:\/(\d+))?/g)) {
    const width = Number(length) >= 24 ? 1 : 2 ** (24 - Number(length));
    for (let at = 0; at < width; at += 1) taken.add(Number(third) + at);
  }
  for (let step = 0; step < 256; step += 1) {
    const candidate = (first + step) % 256;
    if (!taken.has(candidate)) return candidate;
  }
  return undefined;
}
