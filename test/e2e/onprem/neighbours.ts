/** Others who give out addresses: a MetalLB controller beside us, and an IPAM behind us. */
import assert from 'node:assert/strict';
import { eventually, METALLB, type World } from '../world.ts';
import { type Cases, served, waiting } from './cases.ts';

async function runMetallb(w: World, args: readonly string[] = []): Promise<void> {
  const path = `/api/v1/namespaces/${METALLB}/pods`;
  const body = {
    metadata: { name: 'controller-1', labels: { app: 'metallb', component: 'controller' } },
    spec: { containers: [{ name: 'controller', image: 'quay.io/metallb/controller:v0.15.2', args }] },
  };
  const made = await w.request('POST', path, body);
  assert.equal(made.status, 201, made.text);
  const running = await w.request('PATCH', `${path}/controller-1/status`, { status: { phase: 'Running' } });
  assert.equal(running.status, 200, running.text);
}

/** An address book of its own: what is claimed and what was released. */
function book(range: (at: number) => string) {
  const claims = new Map<string, readonly string[]>(); // uid -> addresses
  const released: string[] = [];
  const asked: { readonly name: string; readonly requested: readonly string[]; readonly count: number }[] = [];
  let next = 0;
  let failures = 0;
  return {
    claims,
    released,
    asked,
    fail(times: number) {
      failures = times;
    },
    plugin: {
      async claim({
        uid,
        name,
        requested,
        families,
        count,
      }: {
        uid: string;
        name: string;
        requested: readonly string[];
        families: readonly string[];
        count: number;
      }) {
        if (failures > 0) {
          failures -= 1;
          throw new Error('the address book is closed');
        }
        asked.push({ name, requested, count });
        const known = claims.get(uid);
        if (known !== undefined) return known;
        const addresses =
          requested.length > 0
            ? requested
            : Array.from({ length: families.length * count }, () => {
                next += 1;
                return range(next);
              });
        claims.set(uid, addresses);
        return addresses;
      },
      async release({ uid, addresses }: { uid: string; addresses: readonly string[] }) {
        claims.delete(uid);
        released.push(...addresses);
      },
    },
  };
}

export const cases: Cases = {
  async 'a running MetalLB that serves the same Services is refused at the start, with the way out'(w) {
    await w.pool('default', ['10.77.0.0/24']);
    await runMetallb(w);
    const controller = await w.start();
    await eventually(async () => assert.ok(controller.end !== undefined));
    const { code, message } = controller.end as Error & { code: string };
    assert.equal(code, 'FL_METALLB_RUNNING');
    assert.match(
      message,
      /controller-1.*scale deployment controller --replicas=0.*--load-balancer-class=fairlead\.dev\/onprem/,
    );
    const { json } = await w.request(
      'GET',
      '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/fairlead-controller',
    );
    assert.equal(
      (json as { spec: { holderIdentity?: string } }).spec.holderIdentity ?? '',
      '',
      'and the lease is free',
    );
  },

  async 'with a class of its own each side serves its own'(w) {
    await w.pool('default', ['10.77.0.0/24']);
    await runMetallb(w);
    await w.start({ classes: ['fairlead.dev/onprem'] });
    await w.create('ours', { loadBalancerClass: 'fairlead.dev/onprem' });
    await w.gets('ours', ['10.77.0.0']);
  },

  async 'the other way round: MetalLB has the class'(w) {
    await w.pool('default', ['10.77.0.0/24']);
    await runMetallb(w, ['--lb-class=metallb.io/metallb']);
    await w.start();
    await w.create('ours');
    await w.gets('ours', ['10.77.0.0']);
  },

  async 'addresses come from the plug-in, are kept over a restart, and go back to it'(w) {
    const ipam = book((at) => `10.77.0.${100 + at}`);
    await w.pool('default', ['10.77.0.0/24']);
    const first = await w.start({ name: 'one', ipam: ipam.plugin });
    await w.create('a');
    await w.gets('a', ['10.77.0.101']);
    await w.create('b', { annotations: { 'metallb.io/loadBalancerIPs': '10.77.0.7' } });
    await w.gets('b', ['10.77.0.7']);
    assert.deepEqual(
      ipam.asked.map(({ name, requested }) => [name, requested]),
      [
        ['a', []],
        ['b', ['10.77.0.7']],
      ],
    );
    await first.stop();
    const asked = ipam.asked.length;
    await w.start({ name: 'two', ipam: ipam.plugin });
    await w.create('c', { annotations: { 'fairlead.dev/address-count': '2' } });
    await w.gets('c', ['10.77.0.102', '10.77.0.103']);
    assert.equal(ipam.asked.length, asked + 1, 'what is reserved is not claimed again');
    await w.remove('a');
    await eventually(async () => assert.deepEqual(ipam.released, ['10.77.0.101']));
    assert.equal(await w.find('a'), undefined);
    assert.equal(ipam.claims.size, 2);
  },

  async 'a Service deleted while no controller ran is given back to the plug-in at the start'(w) {
    const ipam = book((at) => `10.77.0.${100 + at}`);
    await w.pool('default', ['10.77.0.0/24']);
    const first = await w.start({ name: 'one', ipam: ipam.plugin });
    await w.create('a');
    await w.gets('a', ['10.77.0.101']);
    await first.stop();
    await w.edit('a', { metadata: { finalizers: null } });
    await w.remove('a');
    await w.create('a', { annotations: { x: 'a new Service of the same name' } });
    await w.start({ name: 'two', ipam: ipam.plugin });
    await w.gets('a', ['10.77.0.102']);
    await eventually(async () => assert.deepEqual(ipam.released, ['10.77.0.101']));
    await eventually(async () => assert.deepEqual(await w.reserved(), { '10.77.0.102': [`${w.namespace}/a`] }));
  },

  async 'a plug-in that fails is asked again, and what it says is told'(w) {
    const ipam = book((at) => `10.77.0.${100 + at}`);
    ipam.fail(3);
    await w.pool('default', ['10.77.0.0/24']);
    await w.start({ ipam: ipam.plugin });
    await w.create('a');
    await eventually(async () =>
      assert.match((await w.events('a')).join(), /FL_IPAM_FAILED: .*the address book is closed/),
    );
    await w.gets('a', ['10.77.0.101']);
    assert.deepEqual(await w.conditions('a'), served);
  },

  async 'a plug-in that gives what is in no pool is refused, and holds nothing'(w) {
    const ipam = book(() => '192.0.2.1');
    await w.pool('default', ['10.77.0.0/24']);
    await w.start({ ipam: ipam.plugin });
    await w.create('a');
    await eventually(async () => assert.match((await w.conditions('a')).join(), /Serving False/));
    assert.match(await w.message('a', 'Serving'), /192\.0\.2\.1/);
    assert.deepEqual([await w.shown('a'), await w.reserved()], [[], {}]);
  },

  async 'with a plug-in too, finalizers that somebody else wrote are left alone'(w) {
    const ipam = book((at) => `10.77.0.${100 + at}`);
    await w.pool('default', ['10.77.0.0/24']);
    const path = `/api/v1/namespaces/${w.namespace}/services?fieldManager=somebody`;
    const finalizers = ['service.kubernetes.io/load-balancer-cleanup'];
    const foreign = { metadata: { name: 'foreign', finalizers }, spec: { type: 'NodePort', ports: [{ port: 80 }] } };
    assert.equal((await w.request('POST', path, foreign)).status, 201);
    await w.start({ ipam: ipam.plugin });
    await w.create('a');
    await w.gets('a', ['10.77.0.101']);
    await eventually(async () => assert.match((await w.events('foreign')).join(), /^Warning ForeignFinalizer/));
    assert.deepEqual((await w.get('foreign')).metadata.finalizers, finalizers);
    assert.deepEqual(ipam.released, []);
  },

  async 'a module that is no plug-in is refused at the start'(w) {
    const controller = await w.start({ ipam: { claim: 'not a function' } });
    await eventually(async () =>
      assert.equal((controller.end as { code?: string } | undefined)?.code, 'FL_IPAM_MODULE'),
    );
  },

  async 'without a plug-in for what it gave, its addresses are ours like all others'(w) {
    const ipam = book((at) => `10.77.0.${100 + at}`);
    await w.pool('default', ['10.77.0.0/24']);
    const first = await w.start({ name: 'one', ipam: ipam.plugin });
    await w.create('a');
    await w.gets('a', ['10.77.0.101']);
    await first.stop();
    await w.start({ name: 'two' });
    await w.create('b', { annotations: { 'metallb.io/loadBalancerIPs': '10.77.0.101' } });
    await eventually(async () => assert.deepEqual(await w.conditions('b'), waiting));
    await w.remove('a');
    await w.gets('b', ['10.77.0.101']);
  },
};
