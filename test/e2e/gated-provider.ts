import { readFileSync } from 'node:fs';
import type { Provider, ProviderContext, TargetHealth } from '../../src/core/provider.ts';
import { createFakeProvider } from '../fake/provider.ts';

/**
 * A provider with readiness gates, for a controller in a process of its own: its cloud is that process's memory, and the
 * health of targets stands in the file `health` of its config: gate -> address -> state.
 */
export const apiVersion = 1;

export async function create(context: ProviderContext): Promise<Provider> {
  const { health } = context.config as { readonly health: string };
  const { module } = createFakeProvider({
    interpretation: { targetKind: 'pod', containersReady: true },
    gated: ({ key }) => [`test.dev/${key.split('/')[1]}`],
  });
  const provider = await module.create(context);
  return { ...provider, targetHealth: { read: async () => healthIn(readFileSync(health, 'utf8')) } };
}

function healthIn(text: string): ReadonlyMap<string, ReadonlyMap<string, TargetHealth>> {
  const gates = Object.entries(JSON.parse(text) as Record<string, Record<string, TargetHealth['state']>>);
  return new Map(
    gates.map(([gate, targets]) => [
      gate,
      new Map(Object.entries(targets).map(([address, state]) => [address, { state, reason: `Test.${state}` }])),
    ]),
  );
}
