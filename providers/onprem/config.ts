import { z } from 'zod';
import { failure } from '../../src/core/errors.ts';

/** Values of spec.loadBalancerClass that are ours besides none. */
export const CLASS = 'fairlead.dev/onprem';

const schema = z.strictObject({
  /** Where MetalLB's kinds, the ConfigMap of the last good pools and a MetalLB beside us are looked for. */
  metallbNamespace: z.string().min(1).default('metallb-system'),
  /** Claims and releases addresses: the path of a module, or the module. */
  ipam: z.unknown().optional(),
  /** Name of our own pod: the source of events, and not to be taken for a MetalLB. */
  identity: z.string().min(1).default('fairlead'),
  /** How long the first request of a block's write waits for others. */
  batchWindowMs: z.number().int().min(0).max(1000).default(3),
  /** Services that are served: classes, and 'none' for those without. */
  classes: z.array(z.string().min(1)).min(1).default(['none', CLASS]),
  /** What pools of order `random` go by; absent: another one in each process. */
  seed: z.string().min(1).optional(),
  /** Only looks: never writes, and what is applied happens in memory. For plan, why and status. */
  viewer: z.boolean().default(false),
});

export type Config = Readonly<z.infer<typeof schema>>;

/** The provider's section of the config, defaults filled in. Throws FL_ONPREM_CONFIG with every problem. */
export function parseConfig(config: unknown): Config {
  const parsed = schema.safeParse(config ?? {});
  if (parsed.success) return parsed.data;
  throw failure('FL_ONPREM_CONFIG', `config of the on-prem provider:\n${z.prettifyError(parsed.error)}`, {
    field: parsed.error.issues[0]?.path.join('.') ?? '',
    cause: parsed.error,
  });
}
