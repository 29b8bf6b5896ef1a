import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { failure, isProviderError } from '../../src/core/errors.ts';
import { canonicalIp } from '../../src/core/net/ip.ts';
import type { IpFamily } from '../../src/core/provider.ts';
import type { Desired } from './plan.ts';

/**
 * What `--ipam ./mine.js` exports: an address management outside of Kubernetes, or DHCP. Both functions are idempotent by
 * uid and stop when the signal aborts. The addresses must lie in an IPAddressPool, since advertisements select pools.
 */
export interface IpamPlugin {
  /** Called before the addresses are written down, and again after a crash between the two. */
  claim(wish: IpamWish, signal: AbortSignal): Promise<readonly string[]>;
  /**
   * Called after they are struck off, at least once; for a Service that went while nobody looked before that. No
   * addresses: everything of the uid, for a crash came between a claim and writing its answer down.
   */
  release(what: { readonly uid: string; readonly addresses: readonly string[] }, signal: AbortSignal): Promise<void>;
}
export interface IpamWish {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly families: readonly IpFamily[];
  /** Addresses per family. */
  readonly count: number;
  /** Those that the Service asks for; empty: any. */
  readonly requested: readonly string[];
}

/** From the config: the module itself, or its path from the working directory. Throws FL_IPAM_MODULE. */
export async function loadIpam(from: unknown): Promise<IpamPlugin> {
  const module = typeof from === 'string' ? await importPath(from) : from;
  const candidate = (module as { readonly default?: unknown }).default;
  for (const found of [module, candidate]) if (isPlugin(found)) return found;
  const what = typeof from === 'string' ? JSON.stringify(from) : 'the module';
  throw failure('FL_IPAM_MODULE', `--ipam: ${what} must export the functions "claim" and "release"`, {
    field: '--ipam',
  });
}

/** The addresses of the plug-in's answer, canonical. Throws FL_IPAM_FAILED, or what the plug-in classified itself. */
export async function claim(plugin: IpamPlugin, request: Desired, signal: AbortSignal): Promise<readonly string[]> {
  const { uid, namespace, name, families, count, addresses } = request;
  const answer = await ask('claim', () =>
    plugin.claim({ uid, namespace, name, families, count, requested: addresses }, signal),
  );
  const claimed = Array.isArray(answer)
    ? answer.map((item) => (typeof item === 'string' ? canonicalIp(item.trim()) : undefined))
    : [];
  if (claimed.length === 0 || claimed.includes(undefined))
    throw failure('FL_IPAM_FAILED', `--ipam: claim answered ${JSON.stringify(answer)}, not a list of addresses`);
  return [...new Set(claimed as string[])];
}

export async function unclaim(
  plugin: IpamPlugin,
  what: { readonly uid: string; readonly addresses: readonly string[] },
  signal: AbortSignal,
): Promise<void> {
  await ask('release', () => plugin.release(what, signal));
}

async function ask<T>(name: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (isProviderError(error)) throw error;
    const text = error instanceof Error ? error.message : String(error);
    throw failure('FL_IPAM_FAILED', `--ipam: ${name} failed: ${text}`, { cause: error });
  }
}

async function importPath(path: string): Promise<unknown> {
  try {
    return await import(pathToFileURL(resolve(path)).href);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw failure('FL_IPAM_MODULE', `--ipam: ${JSON.stringify(path)} does not load: ${text}`, {
      field: '--ipam',
      cause: error,
    });
  }
}

function isPlugin(value: unknown): value is IpamPlugin {
  const { claim: one, release: other } = (value ?? {}) as Partial<IpamPlugin>;
  return typeof one === 'function' && typeof other === 'function';
}
