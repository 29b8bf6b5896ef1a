import { isProviderError } from '../core/errors.ts';
import type { KubeObject } from '../core/objects.ts';
import type { ResourceName } from '../core/provider.ts';
import { httpTransport, loadKubeConfig } from '../kube/config.ts';
import { list } from '../kube/list.ts';
import { type Client, type ClientMetrics, createClient, isNotFound } from '../kube/request.ts';
import { systemClock } from '../work/clock.ts';
import { InputError, type Terminal, type Values } from './command.ts';

/** The API server that the flags name. Throws an InputError when there is none; no request is made. */
export function connect(flags: Values, { env }: Pick<Terminal, 'env'>, metrics?: ClientMetrics): Client {
  try {
    const kubeconfig = flags['kubeconfig'] as string | undefined;
    const master = flags['master'] as string | undefined;
    const config = loadKubeConfig({
      env,
      ...(kubeconfig === undefined ? {} : { kubeconfig }),
      ...(master === undefined ? {} : { master }),
    });
    const qps = flags['kube-api-qps'] as number | undefined;
    const burst = flags['kube-api-burst'] as number | undefined;
    return createClient({
      transport: httpTransport(config, { env }),
      clock: systemClock,
      ...(qps === undefined ? {} : { qps }),
      ...(burst === undefined ? {} : { burst }),
      ...(metrics === undefined ? {} : { metrics }),
    });
  } catch (error) {
    if (isProviderError(error)) throw new InputError([error.message]);
    throw error;
  }
}

/** All objects of a kind; `undefined` when the server does not have the kind. */
export async function listOf<T extends KubeObject>(
  client: Client,
  resource: ResourceName,
  signal: AbortSignal,
  namespace?: string,
): Promise<readonly T[] | undefined> {
  try {
    const scope = namespace === undefined ? {} : { namespace };
    return (await list<T>({ client, resource, timers: systemClock, signal, ...scope })).items;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}
