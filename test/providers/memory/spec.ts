import type { Call, LoadBalancerSpec } from '../../../src/core/provider.ts';
import { exampleSpecs } from '../contract.ts';

/** A Service named `name`, whose UID is `uid-<name>`, with these TCP ports and nothing else. */
export function specOf(name: string, ports: readonly number[], more: Partial<LoadBalancerSpec> = {}): LoadBalancerSpec {
  return {
    ...exampleSpecs().first,
    key: `default/${name}`,
    uid: `uid-${name}`,
    listeners: ports.map((port) => ({ name: `p${port}`, protocol: 'TCP', port, targetPort: 30_000 + port })),
    ...more,
  };
}

const log = { debug() {}, info() {}, warn() {}, error() {} };

/** A call without a limiter. */
export function callOf(signal = new AbortController().signal): Call {
  return { signal, log, limit: (fn) => fn() };
}
