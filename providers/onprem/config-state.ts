import { isEqual } from '../../src/core/equal.ts';
import type { Condition, KubeObject } from '../../src/core/objects.ts';
import type { Call, ObjectReader, ProviderContext } from '../../src/core/provider.ts';
import { isCode } from './outcome.ts';
import { resources } from './resources.ts';

/** MetalLB's ConfigurationState (metallb.io/v1beta1). */
export interface ConfigurationState extends KubeObject {
  readonly status?: {
    readonly result?: 'Valid' | 'Invalid' | 'Unknown';
    readonly errorSummary?: string;
    readonly conditions?: readonly Condition[];
  };
}

/** Ours, by MetalLB's name: there is one controller. */
export const STATE_NAME = 'controller';
export const COMPONENT_LABEL = 'metallb.io/component-type';

/**
 * Says on the ConfigurationState whether the pools in the cluster are those in use; `errors` are the objections, empty
 * when they are. Writes only what differs. False when the kind does not exist.
 */
export async function showState(
  {
    kube,
    reader,
    namespace,
    nowMs,
  }: {
    readonly kube: ProviderContext['kube'];
    readonly reader: ObjectReader;
    readonly namespace: string;
    /** Wall time in ms since 1970. */
    readonly nowMs: number;
  },
  errors: readonly string[],
  call: Call,
): Promise<boolean> {
  const shown = reader.get(`${namespace}/${STATE_NAME}`) as ConfigurationState | undefined;
  const status = statusAfter(shown, errors, nowMs);
  if (shown !== undefined && isEqual(status, shown.status)) return true;
  const name = { namespace, name: STATE_NAME };
  try {
    if (shown === undefined) await createState(kube, name, call);
    // The status subresource alone writes status; creation drops it.
    await kube.patch(resources.configurationstates, { ...name, subresource: 'status' }, { status }, call);
  } catch (error) {
    if (isCode(error, 'FL_KUBE_NOT_FOUND')) return false;
    throw error;
  }
  return true;
}

/** The errors that it shows, one per line. */
export function shownErrors(reader: ObjectReader, namespace: string): readonly string[] {
  const shown = reader.get(`${namespace}/${STATE_NAME}`) as ConfigurationState | undefined;
  return (shown?.status?.errorSummary ?? '').split('\n');
}

async function createState(
  kube: ProviderContext['kube'],
  { namespace, name }: { readonly namespace: string; readonly name: string },
  call: Call,
): Promise<void> {
  const metadata = { namespace, name, labels: { [COMPONENT_LABEL]: 'controller' } };
  try {
    const object = { apiVersion: 'metallb.io/v1beta1', kind: 'ConfigurationState', metadata };
    await kube.create(resources.configurationstates, object, call);
  } catch (error) {
    if (!isCode(error, 'FL_KUBE_EXISTS')) throw error;
  }
}

/** `result` is Invalid if any condition says ConfigurationError, else Valid (MetalLB). Others' conditions stay. */
function statusAfter(shown: ConfigurationState | undefined, errors: readonly string[], nowMs: number) {
  const type = 'poolReconcilerValid';
  const conditions = shown?.status?.conditions ?? [];
  const old = conditions.find((condition) => condition.type === type);
  const status = errors.length === 0 ? 'True' : 'False';
  const ours = {
    type,
    status,
    reason: errors.length === 0 ? 'Reconciled' : 'ConfigurationError',
    message: errors.join('\n'),
    lastTransitionTime:
      old?.status === status && old.lastTransitionTime !== undefined
        ? old.lastTransitionTime
        : new Date(nowMs).toISOString().replace(/\.\d{3}Z$/, 'Z'),
  };
  const all = [...conditions.filter((condition) => condition.type !== type), ours];
  const wrong = all.filter((condition) => condition.status === 'False' && condition.reason === 'ConfigurationError');
  return {
    result: wrong.length > 0 ? 'Invalid' : 'Valid',
    errorSummary: wrong.map(({ message }) => message ?? '').join('\n'),
    conditions: all,
  };
}
