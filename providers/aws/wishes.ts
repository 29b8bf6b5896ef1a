import type { Reader } from './annotations.ts';
import type { Scheme, Settings, TargetType } from './model.ts';

/** Where targets are: what `type` and `nlb-target-type` say, else the flag. */
export function targetTypeOf(reader: Reader, { defaultTargetType }: Settings): TargetType {
  const wish = reader.choice('nlb-target-type', ['ip', 'instance'] as const);
  return reader.text('type') === 'nlb-ip' ? 'ip' : (wish ?? defaultTargetType);
}

/** By annotation `scheme`, then by `internal`; `undefined`: nobody says. */
export function schemeOf(reader: Reader): Scheme | undefined {
  const scheme = reader.choice('scheme', ['internal', 'internet-facing'] as const);
  const internal = reader.flag('internal');
  return scheme ?? (internal === undefined ? undefined : internal ? 'internal' : 'internet-facing');
}
