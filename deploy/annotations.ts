/** `node deploy/annotations.ts` writes the table of annotations into docs/providers/aws.md, out of the one that the code reads. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type AnnotationEntry, annotationTable, BARE_PREFIX, PREFIX } from '../providers/aws/annotation-table.ts';

const root = join(import.meta.dirname, '..');
const page = 'docs/providers/aws.md';
const from = '<!-- made by `node deploy/annotations.ts` -->\n';
const to = '<!-- end -->\n';

/** Path from the repository's root -> text. Throws when the page has lost its marks. */
export function generatedFiles(): ReadonlyMap<string, string> {
  const text = readFileSync(join(root, page), 'utf8');
  const start = text.indexOf(from);
  const end = text.indexOf(to, start);
  if (start < 0 || end < 0) throw new Error(`${page}: the marks ${from.trim()} and ${to.trim()} are gone`);
  return new Map([[page, `${text.slice(0, start + from.length)}${tables()}${text.slice(end)}`]]);
}

function tables(): string {
  const isBare = ({ key }: AnnotationEntry): boolean => !key.startsWith(PREFIX);
  return [
    `Keys begin with \`${PREFIX}\`:`,
    '',
    ...table(
      annotationTable.filter((entry) => !isBare(entry)),
      PREFIX,
    ),
    '',
    `and these with \`${BARE_PREFIX}\`:`,
    '',
    ...table(annotationTable.filter(isBare), BARE_PREFIX),
    '',
  ].join('\n');
}

function table(entries: readonly AnnotationEntry[], prefix: string): readonly string[] {
  return [
    '| key | values | default | sets |',
    '|---|---|---|---|',
    ...entries.map(
      ({ key, values, default: fallback, sets }) =>
        `| \`${key.slice(prefix.length)}\` | ${cell(values)} | ${cell(fallback)} | ${cell(sets)} |`,
    ),
  ];
}

/** Text as it is: a pipe would end the cell, and `<` would begin a tag. */
function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll('*', '\\*');
}

if (import.meta.main) {
  for (const [path, text] of generatedFiles()) {
    writeFileSync(join(root, path), text);
    process.stdout.write(`${path}\n`);
  }
}
