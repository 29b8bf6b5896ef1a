/** Tables as text: a person sees a column at once, and a difference between two rows. */
import type { Cell } from './outcome.ts';

export type Source = 'pod' | 'self' | 'remote-pod' | 'node' | 'other-node' | 'client' | 'stranger';
export type Row = Readonly<Partial<Record<Source, Cell>>>;

export interface TableRow {
  readonly keys: Readonly<Record<string, string>>;
  readonly row: Row;
}

const sources: ReadonlySet<string> = new Set<Source>([
  'pod',
  'self',
  'remote-pod',
  'node',
  'other-node',
  'client',
  'stranger',
]);

export function rowOf(rows: readonly TableRow[], keys: Readonly<Record<string, string>>): Row | undefined {
  return rows.find((row) => Object.entries(keys).every(([key, value]) => row.keys[key] === value))?.row;
}

/** The first line names the columns; those that are no source are keys, and the last of these may hold spaces. */
export function table(text: string): readonly TableRow[] {
  const [header = [], ...lines] = text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => line.trim().split(/\s+/));
  const names = header.filter((name) => !sources.has(name));
  const columns = header.filter((name) => sources.has(name)) as readonly Source[];
  return lines.map((words) => {
    const cells = words.slice(-columns.length);
    const keyWords = words.slice(0, -columns.length);
    if (keyWords.length < names.length) throw new Error(`too few words: ${words.join(' ')}`);
    return {
      keys: Object.fromEntries(names.map((name, nth) => [name, keyOf(keyWords, names, nth)])),
      row: Object.fromEntries(columns.map((column, nth) => [column, cells[nth] ?? '.'])),
    };
  });
}

function keyOf(words: readonly string[], names: readonly string[], nth: number): string {
  return nth < names.length - 1 ? (words[nth] ?? '') : words.slice(nth).join(' ');
}
