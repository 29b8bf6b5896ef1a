import { readFile } from 'node:fs/promises';

declare const FAIRLEAD_VERSION: string | undefined;

/** The bundle carries its version; from source it is package.json's. */
export async function version(): Promise<string> {
  if (typeof FAIRLEAD_VERSION === 'string') return FAIRLEAD_VERSION;
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8');
  return `${(JSON.parse(text) as { version: string }).version}-dev`;
}
