/** What passed for whom, as recorded by `npm run conformance -- --record`, and the page made of it. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { kubeVersion } from '../kube/build.ts';
import type { Case } from '../kube/suite.ts';

export type Side = 'fairlead' | 'peer';
export interface Recorded {
  readonly kubernetes: string;
  /** Name of a case -> whose cluster it passed or failed on. */
  readonly cases: Readonly<Record<string, { readonly [side in Side]?: Case['state'] }>>;
}

const data = join(import.meta.dirname, 'recorded.json');
const page = join(import.meta.dirname, '../../docs/conformance.md');
const [BEGIN, END] = ['<!-- recorded -->', '<!-- /recorded -->'];

/** Records what ran on one side, and writes the page anew. `isAll`: what was recorded of it before is forgotten. */
export function record(side: Side, cases: readonly Case[], isAll: boolean): void {
  const now = merge(recorded(), side, cases, isAll);
  writeFileSync(data, `${JSON.stringify(now, undefined, 2)}\n`);
  writeFileSync(page, withTable(readFileSync(page, 'utf8'), now));
}

export function recorded(): Recorded {
  return JSON.parse(readFileSync(data, 'utf8')) as Recorded;
}

/** The page as it must be. */
export function expectedPage(): { readonly path: string; readonly text: string } {
  return { path: page, text: withTable(readFileSync(page, 'utf8'), recorded()) };
}

function merge({ cases: before }: Recorded, side: Side, cases: readonly Case[], isAll: boolean): Recorded {
  const rows = new Map<string, { [side in Side]?: Case['state'] }>();
  for (const [name, { [side]: own, ...other }] of Object.entries(before)) {
    const kept = isAll || own === undefined ? other : { ...other, [side]: own };
    if (Object.keys(kept).length > 0) rows.set(name, kept);
  }
  for (const { name, state } of cases) rows.set(name, { ...rows.get(name), [side]: state });
  const sorted = [...rows].sort(([a], [b]) => (a < b ? -1 : 1));
  return { kubernetes: kubeVersion(), cases: Object.fromEntries(sorted) };
}

function withTable(text: string, { kubernetes, cases }: Recorded): string {
  const rows = Object.entries(cases).map(
    ([name, { fairlead, peer }]) =>
      `| ${name.replace('[sig-network] ', '').replaceAll('|', '\\|')} | ${fairlead ?? 'not run'} | ${peer ?? 'not run'} |`,
  );
  const total = (side: Side): string => {
    const states = Object.values(cases).map((each) => each[side]);
    return `${states.filter((state) => state === 'passed').length} of ${states.filter((state) => state !== undefined).length}`;
  };
  const table = [
    `Kubernetes ${kubernetes}: ${total('fairlead')} pass with Fairlead, ${total('peer')} with the peers.`,
    '',
    '| case | Fairlead | peers |',
    '|---|---|---|',
    ...rows,
  ];
  const [start, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (start < 0 || end < start) throw new Error(`docs/conformance.md: no lines "${BEGIN}" and "${END}"`);
  return `${text.slice(0, start)}${BEGIN}\n${table.join('\n')}\n${text.slice(end)}`;
}
