import { styleText } from 'node:util';

export interface Column<T> {
  readonly title: string;
  readonly cell: (row: T) => string;
  /** Left out when no row has it. */
  readonly optional?: true;
}

/** Rows as aligned text, kubectl's way: titles in capitals, three spaces between, nothing after the last column. */
export function table<T>(all: readonly Column<T>[], rows: readonly T[]): string {
  const columns = all.filter(({ cell, optional }) => optional !== true || rows.some((row) => cell(row) !== ''));
  const cells = [
    columns.map(({ title }) => title),
    ...rows.map((row) => columns.map(({ cell }) => cell(row) || '<none>')),
  ];
  const widths = columns.map((_, at) => Math.max(...cells.map((line) => (line[at] as string).length)));
  return cells
    .map(
      (line) =>
        `${line
          .map((cell, at) => cell.padEnd(widths[at] as number))
          .join('   ')
          .trimEnd()}\n`,
    )
    .join('');
}

/** How long ago, kubectl's way: 12s, 5m, 3h, 2d. */
export function age(sinceMs: number, nowMs: number): string {
  const seconds = Math.max(0, Math.floor((nowMs - sinceMs) / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/** Coloured only where the stream is a terminal that wants it (NO_COLOR and the like are styleText's business). */
export function paint(
  style: Parameters<typeof styleText>[0],
  text: string,
  stream: { readonly isTTY?: boolean },
): string {
  return stream.isTTY === true ? styleText(style, text) : text;
}
