import fc from 'fast-check';

/** JSON values, small enough to read in a failure message. */
export const json = (): fc.Arbitrary<unknown> =>
  fc.jsonValue({ maxDepth: 3 }).map((value) => JSON.parse(JSON.stringify(value)));

/** The same value, deeply frozen: pure functions never write to their arguments. */
export function frozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null) for (const part of Object.values(Object.freeze(value))) frozen(part);
  return value;
}

/**
 * What two servers store the same of an object: without what a write changes by itself, and without what Go's encoder
 * leaves out (null, empty lists and maps).
 */
export function stored(object: unknown): unknown {
  return compact(object, ['managedFields', 'resourceVersion', 'generation']);
}

function compact(value: unknown, left: readonly string[] = []): unknown {
  if (Array.isArray(value)) return value.map((item) => compact(item, left) ?? null);
  if (typeof value !== 'object' || value === null) return value ?? undefined;
  const kept = Object.entries(value)
    .map(([key, item]) => [key, left.includes(key) ? undefined : compact(item, left)] as const)
    .filter(([, item]) => item !== undefined && !isEmpty(item));
  return Object.fromEntries(kept);
}

const isEmpty = (value: unknown): boolean =>
  value === '' || (typeof value === 'object' && value !== null && Object.keys(value).length === 0);

/** Resolves when a new kind answers; kube-apiserver takes a moment to serve a CRD. */
export async function whenServed(
  get: (path: string) => Promise<{ readonly status: number }>,
  path: string,
): Promise<void> {
  const deadline = performance.now() + 20_000;
  while ((await get(path)).status !== 200) {
    if (performance.now() > deadline) throw new Error(`${path} is not served after 20 s`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
