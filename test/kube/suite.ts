/** Kubernetes' own end-to-end tests against a cluster of startCluster, from the client outside. */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { buildSuite } from './build.ts';
import type { Cluster } from './nodes.ts';

export interface SuiteOptions {
  /** Regular expressions over whole names. */
  readonly focus: string;
  readonly skip: string;
  /** Cases side by side (4). */
  readonly procs?: number;
  readonly timeoutMs: number;
}
export interface Case {
  readonly name: string;
  readonly state: 'passed' | 'failed';
  readonly seconds: number;
  /** What went wrong; empty for what passed. */
  readonly message: string;
}

/** What ran, sorted by name. Rejects when the suite itself does not work; a failed case is a result. */
export async function runSuite(cluster: Cluster, options: SuiteOptions): Promise<readonly Case[]> {
  const { e2e, ginkgo } = await buildSuite();
  const report = join(cluster.folder, 'report.json');
  rmSync(report, { force: true });
  const running = cluster.outside.start(
    'suite',
    ginkgo,
    [
      `--procs=${options.procs ?? 4}`,
      '--no-color',
      '--timeout=3h',
      `--focus=${options.focus}`,
      `--skip=${options.skip}`,
      `--output-dir=${cluster.folder}`,
      '--json-report=report.json',
      e2e,
      '--',
      `--kubeconfig=${cluster.api.kubeconfig}`,
      '--provider=skeleton',
      `--kubectl-path=${cluster.programs.kubectl}`,
      '--node-os-distro=custom',
      `--num-nodes=${cluster.nodes.length}`,
    ],
    { HOME: cluster.folder },
  );
  const timer = setTimeout(() => running.signal('SIGKILL'), options.timeoutMs);
  const end = await running.ended.finally(() => clearTimeout(timer));
  const text = read(report);
  if (text === undefined) throw new Error(`Kubernetes' tests ended without a report (${end}):\n${running.log()}`);
  return casesOf(text);
}

/** From ginkgo's JSON report. Exported for its test. */
export function casesOf(report: string): readonly Case[] {
  const suites = JSON.parse(report) as readonly { readonly SpecReports: readonly Spec[] | null }[];
  const specs = suites.flatMap(({ SpecReports }) => SpecReports ?? []);
  return specs
    .filter(({ LeafNodeType, State }) => LeafNodeType === 'It' && State !== 'skipped' && State !== 'pending')
    .map(caseOf)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

interface Spec {
  readonly LeafNodeType: string;
  readonly LeafNodeText: string;
  readonly ContainerHierarchyTexts: readonly string[] | null;
  readonly State: string;
  /** Nanoseconds. */
  readonly RunTime: number;
  readonly Failure?: { readonly Message: string };
}

function caseOf(spec: Spec): Case {
  const isPassed = spec.State === 'passed';
  return {
    name: [...(spec.ContainerHierarchyTexts ?? []), spec.LeafNodeText].join(' '),
    state: isPassed ? 'passed' : 'failed',
    seconds: spec.RunTime / 1e9,
    message: isPassed ? '' : (spec.Failure?.Message ?? spec.State),
  };
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined; // it was killed before it wrote one
  }
}
