import type { KubeObject } from '../core/objects.ts';
import type { ResourceName } from '../core/provider.ts';
import { createPatches } from '../kube/patch.ts';
import { type Client, isAlreadyExists } from '../kube/request.ts';
import { pathOf } from '../kube/resource.ts';
import { InputError } from './command.ts';
import type { Manifest } from './manifest.ts';

interface Kind {
  readonly resource: ResourceName;
  readonly namespaced: boolean;
}

/**
 * Puts manifests on an API server of our own, in their order: what is there already takes their fields. Missing
 * namespaces are created. Throws an InputError with every refusal, in the API server's words.
 */
export async function putAll(
  client: Client,
  manifests: readonly Manifest[],
  signal: AbortSignal,
): Promise<readonly KubeObject[]> {
  const problems: string[] = [];
  const objects: KubeObject[] = [];
  const kinds = new Map<string, Kind | undefined>(); // apiVersion and kind -> how the server calls it
  for (const manifest of manifests) {
    const { apiVersion, kind, metadata } = manifest;
    const key = `${apiVersion} ${kind}`;
    if (!kinds.has(key) || kinds.get(key) === undefined) kinds.set(key, await kindOf(client, apiVersion, kind, signal));
    const known = kinds.get(key);
    if (known === undefined) {
      problems.push(`${kind}/${metadata.name}: the kind ${kind} of ${apiVersion} is not known here`);
      continue;
    }
    try {
      objects.push(await put(client, manifest, known, signal));
    } catch (error) {
      problems.push(`${kind}/${metadata.name}: ${(error as Error).message.replace(/^\w+ \S+: /, '')}`);
    }
  }
  if (problems.length > 0) throw new InputError(problems);
  return objects;
}

async function put(
  client: Client,
  manifest: Manifest,
  { resource, namespaced }: Kind,
  signal: AbortSignal,
): Promise<KubeObject> {
  const { name, namespace = 'default' } = manifest.metadata;
  const where = namespaced ? { namespace } : {};
  if (namespaced) await ensureNamespace(client, namespace, signal);
  try {
    return await client.call<KubeObject>({ method: 'POST', path: pathOf(resource, where), body: manifest, signal });
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
  // A merge: what the file does not name stays as it is, as kubectl apply does it.
  return await createPatches(client).merge<KubeObject>({ resource, ...where, name }, manifest, signal);
}

async function ensureNamespace(client: Client, name: string, signal: AbortSignal): Promise<void> {
  const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name } };
  try {
    await client.call({ method: 'POST', path: '/api/v1/namespaces', body, signal });
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
}

async function kindOf(
  client: Client,
  apiVersion: string,
  kind: string,
  signal: AbortSignal,
): Promise<Kind | undefined> {
  const path = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  interface ResourceList {
    readonly resources: readonly { readonly name: string; readonly kind: string; readonly namespaced: boolean }[];
  }
  const list = await client.call<ResourceList>({ method: 'GET', path, signal }).catch(() => undefined);
  const found = list?.resources.find((entry) => entry.kind === kind && !entry.name.includes('/'));
  if (found === undefined) return undefined;
  const [version = '', group = ''] = apiVersion.split('/').reverse();
  return { resource: { group, version, plural: found.name }, namespaced: found.namespaced };
}
