import { parseConfig } from '../../../providers/onprem/config.ts';
import type { Act, Observed } from '../../../providers/onprem/diff.ts';
import { resources } from '../../../providers/onprem/index.ts';
import type { Desired } from '../../../providers/onprem/plan.ts';
import { createRuntime, type Runtime } from '../../../providers/onprem/runtime.ts';
import type { LoadBalancerParts } from '../../../src/core/provider.ts';
import { createVirtualClock } from '../../fake/clock.ts';
import { createFakeCluster, type FakeContext } from '../../fake/context.ts';
import { contract, exampleSpecs, type Harness } from '../contract.ts';
import { during, METALLB } from './world.ts';

type Parts = LoadBalancerParts<Desired, Observed, Act>;

const { first, other } = exampleSpecs();

/** Two pools, and the Services that the specs are of. */
async function harness(): Promise<Harness<Desired, Observed, Act>> {
  const clock = createVirtualClock();
  let areReadsBroken = false;
  let processes = 0;
  const cluster = createFakeCluster({
    clock,
    fault: ({ verb }) =>
      areReadsBroken && (verb === 'list' || verb === 'get') ? { code: 'FL_KUBE_UNREACHABLE' } : undefined,
  });
  for (const [name, address] of [
    ['one', '10.77.0.0/30'],
    ['two', '10.78.0.0/24'],
  ])
    cluster.put(resources.ipaddresspools, { metadata: { namespace: METALLB, name }, spec: { addresses: [address] } });
  // Of a class that the process does not serve by itself: here only the suite says what is wanted.
  for (const { key, uid } of [first, other]) cluster.put(resources.services, serviceOf(key, uid));

  let context: FakeContext;
  let starting: Promise<Runtime> | undefined;
  const started = async (): Promise<Runtime> => await (starting as Promise<Runtime>);
  function start(): void {
    context?.kill();
    processes += 1;
    context = cluster.context({ identity: `controller-${processes}`, config: { seed: 'contract' } });
    starting = createRuntime(context, parseConfig(context.config));
    starting.catch(() => {}); // told by the calls that wait for it
  }
  start();
  const { parts: pure } = await during(clock, started());

  const parts: Parts = {
    ...pure,
    observe: async (ref, call) => await (await started()).parts.observe(ref, call),
    observeAll: async (call) => await (await started()).parts.observeAll(call),
    apply: async (act, call) => await (await started()).parts.apply(act, call),
  };
  return {
    parts,
    foreign() {
      cluster.put(resources.services, serviceOf('default/theirs', 'theirs', ['10.78.0.77']));
      cluster.put(resources.services, serviceOf('other/web', 'elsewhere', ['192.0.2.1']));
      cluster.put(resources.ipaddresspools, {
        metadata: { namespace: 'other', name: 'one' },
        spec: { addresses: ['10.79.0.0/24'] },
      });
      cluster.put(resources.configmaps, {
        metadata: { namespace: METALLB, name: 'metallb-excludel2' },
        data: { a: 'b' },
      });
      cluster.put(resources.configurationstates, {
        metadata: { namespace: METALLB, name: 'speaker-node-1' },
        status: { result: 'Valid' },
      });
    },
    // Addresses, whatever blocks they are in: an empty block on its way to deletion holds nothing. And what others own.
    snapshot() {
      const blocks = cluster.list(resources.ipblocks) as unknown as { spec: { addresses: object } }[];
      const theirs = [resources.services, resources.configmaps, resources.configurationstates]
        .flatMap((kind) => cluster.list(kind))
        .filter(({ metadata: { name } }) => name !== 'fairlead-last-good-pools' && name !== 'controller');
      const pools = cluster
        .list(resources.ipaddresspools)
        .map(({ metadata: { namespace, name } }) => `${namespace}/${name}`);
      return { addresses: Object.assign({}, ...blocks.map(({ spec }) => spec.addresses)), theirs, pools };
    },
    /** On-prem reads by watches alone: a read that fails is one before the first list is there. */
    failReads(on) {
      areReadsBroken = on;
      start();
    },
    advance: async (ms) => await clock.advance(ms),
    async restart() {
      start();
      await during(clock, started());
      return parts;
    },
    async close() {
      context.kill();
      await clock.advance(0);
    },
  };
}

function serviceOf(key: string, uid: string, ingress: readonly string[] = []) {
  const [namespace, name] = key.split('/');
  return {
    metadata: { namespace, name, uid },
    spec: { type: 'LoadBalancer', loadBalancerClass: 'example.com/contract', clusterIPs: ['10.96.0.10'] },
    status: { loadBalancer: { ingress: ingress.map((ip) => ({ ip })) } },
  };
}

const options = { 'metallb.io/loadBalancerIPs': '10.77.0.300' };
contract('onprem', harness, {
  specs: {
    invalid: [
      { spec: { ...first, addresses: ['10.77.0.1/32'] }, field: 'spec.loadBalancerIP' },
      { spec: { ...first, options }, field: 'metallb.io/loadBalancerIPs' },
      { spec: { ...first, options: { 'fairlead.dev/address-count': '9' } }, field: 'fairlead.dev/address-count' },
      { spec: { ...first, options: { 'fairlead.dev/retain': 'soon' } }, field: 'fairlead.dev/retain' },
    ],
  },
});
