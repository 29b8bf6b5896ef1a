import type { AwsError } from './error.ts';

export interface Page<T> {
  readonly items: readonly T[];
  readonly next?: string;
}

/**
 * A page of a list. The marker is opaque to the caller and says the id of the first item that is still to come, so that
 * what is deleted between two pages moves nothing. `bad` is thrown for a marker that we did not give out.
 */
export function pageOf<T>(
  all: readonly T[],
  idOf: (item: T) => string,
  { size, marker, bad }: { readonly size: number; readonly marker: string | undefined; readonly bad: () => AwsError },
): Page<T> {
  const start = marker === undefined ? 0 : startOf(all, idOf, marker, bad);
  const items = start === 0 && all.length <= size ? all : all.slice(start, start + size);
  const following = all[start + size];
  if (following === undefined) return { items };
  return { items, next: Buffer.from(`${start + size} ${idOf(following)}`).toString('base64url') };
}

function startOf<T>(all: readonly T[], idOf: (item: T) => string, marker: string, bad: () => AwsError): number {
  const [position = '', id = ''] = Buffer.from(marker, 'base64url').toString().split(' ');
  if (!/^\d+$/.test(position) || id === '') throw bad();
  const found = all.findIndex((item) => idOf(item) === id);
  return found < 0 ? Math.min(Number(position), all.length) : found;
}
