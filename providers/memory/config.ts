import { z } from 'zod';
import { failure } from '../../src/core/errors.ts';
import { parseCidr } from '../../src/core/net/cidr.ts';
import type { Cidr } from '../../src/core/provider.ts';
import type { Machine } from './machines.ts';

const milliseconds = z.number().int().min(0).max(3_600_000).default(0);

const address = z.strictObject({
  type: z.enum(['InternalIP', 'ExternalIP', 'InternalDNS', 'ExternalDNS', 'Hostname']),
  address: z.string().min(1),
});
/** The Node controllers find their instances here; a node that is not listed is left alone. */
const machine = z
  .strictObject({
    name: z.string().min(1),
    /** Default: the name. */
    id: z.string().min(1).optional(),
    type: z.string().default(''),
    zone: z.string().default(''),
    region: z.string().default(''),
    addresses: z.array(address).default([]),
    labels: z.record(z.string(), z.string()).default({}),
    state: z.enum(['running', 'stopped', 'terminated']).default('running'),
  })
  .transform(({ id, ...rest }): Machine => ({ ...rest, id: id ?? rest.name }));

const schema = z.strictObject({
  /** Where addresses come from: an IPv4 range. Default TEST-NET-1 (RFC 5737), which nobody routes. */
  range: z
    .string()
    .default('192.0.2.0/24')
    .transform((text, issues): Cidr => {
      const cidr = parseCidr(text);
      if (cidr !== undefined && !cidr.includes(':')) return cidr;
      issues.addIssue(`${JSON.stringify(text)} is not an IPv4 CIDR such as 192.0.2.0/24`);
      return z.NEVER;
    }),
  /** From a request to its answer. */
  latencyMs: milliseconds,
  /** How far a list may lag behind. */
  consistencyMs: milliseconds,
  /** How long a balancer is `creating`. */
  createMs: milliseconds,
  /** How long a balancer is `deleting`. */
  deleteMs: milliseconds,
  quotas: z
    .strictObject({
      balancers: z.number().int().min(0).optional(),
      portsPerBalancer: z.number().int().min(0).optional(),
      routesPerTable: z.number().int().min(0).optional(),
    })
    .default({}),
  /** Ids of the route tables; a node gets its routes in each. */
  routeTables: z.array(z.string().min(1)).min(1).default(['main']),
  /** Its instances. */
  machines: z.array(machine).exactOptional(),
});

export type Config = Readonly<z.infer<typeof schema>>;

/** The provider's section of the config, defaults filled in. Throws FL_MEMORY_CONFIG with every problem. */
export function parseConfig(config: unknown): Config {
  const parsed = schema.safeParse(config ?? {});
  if (parsed.success) return parsed.data;
  throw failure('FL_MEMORY_CONFIG', `config of the memory provider:\n${z.prettifyError(parsed.error)}`, {
    field: parsed.error.issues[0]?.path.join('.') ?? '',
    cause: parsed.error,
  });
}
