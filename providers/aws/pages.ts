/**
 * All pages of a paged read, in their order. `ask` gets the marker of the next one, none for the first. `came` sees each
 * as it comes: what follows from it need not wait for the last.
 */
export async function pages<Page>(
  ask: (marker: string | undefined) => Promise<Page>,
  next: (page: Page) => string | undefined,
  came: (page: Page) => void = () => {},
): Promise<readonly Page[]> {
  const all: Page[] = [];
  let marker: string | undefined;
  do {
    const page = await ask(marker);
    all.push(page);
    came(page);
    marker = next(page);
  } while (marker !== undefined && marker !== '');
  return all;
}

/** In pieces of at most `size`. */
export function chunksOf<T>(items: readonly T[], size: number): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, at) => items.slice(at * size, (at + 1) * size));
}
