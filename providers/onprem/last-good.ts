import { isEqual } from '../../src/core/equal.ts';
import type { IPAddressPool } from '../../src/core/ipam/pools.ts';
import type { KubeObject } from '../../src/core/objects.ts';
import type { Call, Clock, Log, ProviderContext } from '../../src/core/provider.ts';
import { isCode } from './outcome.ts';
import { resources } from './resources.ts';

/** The last pools that were taken, in a ConfigMap: they survive a restart while an invalid edit stands. */
export interface LastGood {
  /**
   * undefined: there is none, or it is no JSON. Could not tell is not none: it asks again for as long as it takes, and
   * throws what a person must mend. With patience 'none' it asks once, and a failure counts as none.
   */
  load(call: Call, how: { readonly patience: Clock | 'none' }): Promise<readonly IPAddressPool[] | undefined>;
  /** Writes only what differs from what was loaded or saved last. */
  save(objects: readonly IPAddressPool[], call: Call): Promise<void>;
}

interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

export const LAST_GOOD_NAME = 'fairlead-last-good-pools';
const KEY = 'pools.json';
const ATTEMPTS = 10;
const RETRY_BASE_MS = 250;
const RETRY_CAP_MS = 5000;

export function createLastGood(kube: ProviderContext['kube'], namespace: string, log: Log): LastGood {
  const name = { namespace, name: LAST_GOOD_NAME };
  let saved: string | undefined;
  let version: string | undefined; // of the ConfigMap, as we know it; undefined: there is none

  async function read(call: Call, patience: Clock | 'none'): Promise<string | undefined> {
    for (let failures = 0; ; failures += 1) {
      try {
        const object = (await kube.get(resources.configmaps, name, call)) as ConfigMap;
        version = object.metadata.resourceVersion;
        return object.data?.[KEY];
      } catch (error) {
        if (isCode(error, 'FL_KUBE_NOT_FOUND')) return undefined;
        log.warn({ configmap: name, failures, err: error }, 'last good pools not read');
        if (patience === 'none') return undefined;
        if (isCode(error, 'FL_KUBE_DENIED') || failures === ATTEMPTS) throw error;
        await patience.sleep(Math.min(RETRY_CAP_MS, RETRY_BASE_MS * 2 ** failures), call.signal);
      }
    }
  }

  return {
    async load(call, { patience }) {
      const text = await read(call, patience);
      if (text === undefined) return undefined;
      try {
        const pools = JSON.parse(text) as readonly IPAddressPool[];
        saved = text;
        return pools;
      } catch (error) {
        log.warn({ configmap: name, err: error }, 'last good pools are no JSON: written anew by the next valid pools');
        return undefined;
      }
    },
    async save(objects, call) {
      const text = JSON.stringify(
        objects.map(essenceOf).sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1)),
        null,
        1,
      );
      if (isEqual(parsed(saved), JSON.parse(text))) return;
      const data = { [KEY]: text };
      try {
        // Guarded: what a deposed leader sends late must not stand over the pools of a newer one.
        const answer =
          version === undefined
            ? await kube.create(
                resources.configmaps,
                { apiVersion: 'v1', kind: 'ConfigMap', metadata: name, data },
                call,
              )
            : await kube.patch(resources.configmaps, name, { metadata: { resourceVersion: version }, data }, call);
        version = (answer as ConfigMap).metadata.resourceVersion;
        saved = text;
      } catch (error) {
        // Somebody else's, or ours with a lost answer; the caller tries again, on what is there.
        saved = undefined;
        version = undefined;
        saved = await read(call, 'none');
        throw error;
      }
    },
  };
}

/** undefined for what is no JSON. */
function parsed(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What decides over addresses; no stamps and versions, which change without a change. */
function essenceOf({ metadata: { name, namespace, annotations = {} }, spec }: IPAddressPool) {
  const ours = Object.entries(annotations).filter(([key]) => key.startsWith('fairlead.dev/'));
  return {
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      ...(ours.length === 0 ? {} : { annotations: Object.fromEntries(ours.sort(([a], [b]) => (a < b ? -1 : 1))) }),
    },
    spec,
  };
}
