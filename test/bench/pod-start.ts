/**
 * Pod start on real kubelets: from the Pod created to Ready in the API, with Fairlead's CNI and with Debian's bridge, host-local
 * and portmap, each on a cluster of its own, the same pods one by one and twenty at once. Root; builds Kubernetes once.
 */
import { podBody, post, readyPod, removePod } from '../cluster/world.ts';
import { type Cluster, startCluster } from '../kube/nodes.ts';
import { installPackages } from '../packages.ts';

const ALONE = 12;
const TOGETHER = 20;

interface Times {
  readonly aloneMs: number;
  readonly togetherMs: number;
}

if (process.getuid?.() !== 0) {
  console.log('LEFT OUT: pod start on real kubelets (run as root)');
} else {
  installPackages();
  const fairlead = await measure('fairlead');
  const peer = await measure('peer');
  console.log('pod start, created -> Ready       Fairlead    Debian plugins    ratio');
  const row = (name: string, ours: number, theirs: number): void =>
    console.log(
      `${name.padEnd(30)} ${`${ours.toFixed(0)} ms`.padStart(11)} ${`${theirs.toFixed(0)} ms`.padStart(17)} ${(ours / theirs).toFixed(2).padStart(8)}`,
    );
  row(`alone, p50 of ${ALONE}`, fairlead.aloneMs, peer.aloneMs);
  row(`${TOGETHER} at once, last one`, fairlead.togetherMs, peer.togetherMs);
}

/** Without any proxy: only the pods' network differs. */
async function measure(cni: 'fairlead' | 'peer'): Promise<Times> {
  const ends: (() => void | Promise<void>)[] = [];
  try {
    const cluster = await startCluster({ after: (end) => ends.push(end) }, { nodes: 1, cni, proxy: 'none' });
    await startPod(cluster, 'warm-up');
    const alone: number[] = [];
    for (let i = 0; i < ALONE; i += 1) {
      alone.push(await startPod(cluster, `alone-${i}`));
      await removePod(cluster, `alone-${i}`);
    }
    const startMs = performance.now();
    await Promise.all(Array.from({ length: TOGETHER }, (_, i) => startPod(cluster, `together-${i}`)));
    const togetherMs = performance.now() - startMs;
    return { aloneMs: alone.sort((a, b) => a - b)[ALONE / 2] ?? Number.NaN, togetherMs };
  } finally {
    for (const end of ends) await end();
  }
}

async function startPod(cluster: Cluster, name: string): Promise<number> {
  const startMs = performance.now();
  await post(cluster, 'pods', podBody(name, { node: 'n1', args: ['pause'] }));
  await readyPod(cluster, name);
  return performance.now() - startMs;
}
