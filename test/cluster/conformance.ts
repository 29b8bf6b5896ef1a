/**
 * `npm run conformance`: Kubernetes' own tests of Services, pods' network and EndpointSlices on a cluster of real nodes with
 * `fairlead agent`. `-- --peers`: with kube-proxy and Debian's CNI plugins in its place. `-- --record` writes down what
 * passed, for docs/conformance.md. Root; the first run builds Kubernetes (10 minutes).
 */
import { parseArgs } from 'node:util';
import { kubeVersion } from '../kube/build.ts';
import { startCluster, type Whose } from '../kube/nodes.ts';
import { runSuite } from '../kube/suite.ts';
import { installPackages } from '../packages.ts';
import { FOCUS, SKIP } from './cases.ts';
import { record } from './recorded.ts';

const { values } = parseArgs({
  options: {
    peers: { type: 'boolean', default: false },
    cni: { type: 'string' },
    proxy: { type: 'string' },
    nodes: { type: 'string', default: '2' },
    procs: { type: 'string', default: '4' },
    focus: { type: 'string', default: FOCUS },
    skip: { type: 'string', default: SKIP },
    record: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
  },
});
const whose = (given: string | undefined): Whose => (given ?? (values.peers ? 'peer' : 'fairlead')) as Whose;

const ends: (() => void | Promise<void>)[] = [];
try {
  installPackages();
  const cluster = await startCluster(
    { after: (end) => ends.push(end) },
    { nodes: Number(values.nodes), cni: whose(values.cni), proxy: whose(values.proxy) },
  );
  process.stdout.write(`cluster: ${cluster.folder}, KUBECONFIG=${cluster.api.kubeconfig}\n`);
  const startMs = performance.now();
  const cases = await runSuite(cluster, {
    focus: values.focus,
    skip: values.skip,
    procs: Number(values.procs),
    timeoutMs: 3 * 3_600_000,
  });
  for (const { name, state, seconds, message } of cases) {
    process.stdout.write(`${state} ${name} (${seconds.toFixed(0)} s)\n`);
    if (message !== '') process.stdout.write(`${message.replace(/^/gm, '    ')}\n`);
  }
  const failed = cases.filter(({ state }) => state === 'failed').length;
  const minutes = ((performance.now() - startMs) / 60_000).toFixed(1);
  process.stdout.write(
    `Kubernetes ${kubeVersion()}: ${cases.length - failed} passed, ${failed} failed, ${minutes} min\n`,
  );
  if (values.record) record(values.peers ? 'peer' : 'fairlead', cases, values.focus === FOCUS && values.skip === SKIP);
  if (failed > 0 || cases.length === 0) process.exitCode = 1;
  if (values.keep) {
    process.stdout.write('--keep: the cluster runs until this input ends\n');
    for await (const _ of process.stdin);
  }
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
} finally {
  for (const end of ends) await end();
}
