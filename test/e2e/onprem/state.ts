/** ConfigurationState: whether the pools in the cluster are those in use. Where MetalLB has webhooks, we have this. */
import assert from 'node:assert/strict';
import { eventually, METALLB, type World } from '../world.ts';
import { type Cases, waiting } from './cases.ts';

async function becomes(w: World, result: 'Valid' | 'Invalid', summary: RegExp | '' = ''): Promise<void> {
  await eventually(async () => {
    const status = (await w.state())?.status;
    assert.equal(status?.result, result, status?.errorSummary);
    if (summary === '') assert.equal(status?.errorSummary ?? '', '');
    else assert.match(status?.errorSummary ?? '', summary);
  });
}

const DEFAULT = 'default';
const good = ['10.77.0.0/24'];

/** The edit is refused with these words; then the right one ends it. */
async function wrongPools(
  w: World,
  wrong: () => Promise<unknown>,
  summary: RegExp,
  right: () => Promise<unknown>,
): Promise<void> {
  await w.pool(DEFAULT, good);
  await w.start();
  await becomes(w, 'Valid');
  await wrong();
  await becomes(w, 'Invalid', summary);
  await w.create('meanwhile');
  await w.gets('meanwhile', ['10.77.0.0']); // the last good pools are in use
  await right();
  await becomes(w, 'Valid');
  assert.deepEqual(await w.shown('meanwhile'), ['10.77.0.0']);
}

export const cases: Cases = {
  async 'valid pools, and none at all, are Valid, in MetalLB’s words'(w) {
    await w.start();
    await becomes(w, 'Valid');
    await w.pool(DEFAULT, good);
    await w.create('a');
    await w.gets('a', ['10.77.0.0']);
    await becomes(w, 'Valid');
    const state = await w.state();
    assert.deepEqual(state?.metadata.labels, { 'metallb.io/component-type': 'controller' });
    const [condition, ...more] = state?.status?.conditions ?? [];
    assert.deepEqual(
      [condition?.type, condition?.status, condition?.reason, more],
      ['poolReconcilerValid', 'True', 'Reconciled', []],
    );
  },

  async 'a reversed range'(w) {
    await wrongPools(
      w,
      () => w.editPool(DEFAULT, { spec: { addresses: [...good, '10.78.0.9-10.78.0.1'] } }),
      /^IPAddressPool default: spec\.addresses\[1\]: .*10\.78\.0\.9-10\.78\.0\.1/,
      () => w.editPool(DEFAULT, { spec: { addresses: [...good, '10.78.0.1-10.78.0.9'] } }),
    );
    const state = await w.state();
    assert.deepEqual(
      state?.status?.conditions?.map(({ status, reason }) => [status, reason]),
      [['True', 'Reconciled']],
    );
  },

  async 'a bare address'(w) {
    await wrongPools(
      w,
      () => w.editPool(DEFAULT, { spec: { addresses: [...good, '10.78.0.1'] } }),
      /spec\.addresses\[1\]: .*10\.78\.0\.1/,
      () => w.editPool(DEFAULT, { spec: { addresses: [...good, '10.78.0.1/32'] } }),
    );
  },

  async 'overlapping pools'(w) {
    await wrongPools(
      w,
      () => w.pool('second', ['10.77.0.128/25']),
      /overlap/i,
      () => w.removePool('second'),
    );
  },

  async 'a range of two families'(w) {
    await wrongPools(
      w,
      () => w.pool('second', ['10.78.0.1-fd00::1']),
      /IPAddressPool second: spec\.addresses\[0\]/,
      () => w.editPool('second', { spec: { addresses: ['10.78.0.0/24'] } }),
    );
  },

  async 'a wrong annotation of ours'(w) {
    await wrongPools(
      w,
      () =>
        w.editPool(DEFAULT, {
          metadata: { annotations: { 'fairlead.dev/quota': 'lots', 'fairlead.dev/order': 'alphabetical' } },
        }),
      /fairlead\.dev\/(quota|order)[\s\S]*fairlead\.dev\/(order|quota)/,
      () =>
        w.editPool(DEFAULT, {
          metadata: { annotations: { 'fairlead.dev/quota': '*=3', 'fairlead.dev/order': 'lowest' } },
        }),
    );
  },

  async 'several problems are told together, one per line'(w) {
    await wrongPools(
      w,
      async () => {
        await w.pool('second', ['nonsense', '10.78.0.0/33']);
        await w.pool('third', ['10.79.0.9-10.79.0.1']);
      },
      /second[\s\S]*nonsense[\s\S]*\n[\s\S]*10\.78\.0\.0\/33[\s\S]*\n[\s\S]*third/,
      async () => {
        await w.removePool('second');
        await w.removePool('third');
      },
    );
  },

  async 'the condition says ConfigurationError, when it began, and events sit on the pools at fault'(w) {
    await w.pool(DEFAULT, good);
    await w.start();
    await becomes(w, 'Valid');
    await w.pool('second', ['nonsense']);
    await becomes(w, 'Invalid', /nonsense/);
    const before = (await w.state())?.status?.conditions?.[0];
    assert.deepEqual([before?.status, before?.reason], ['False', 'ConfigurationError']);
    assert.match(before?.message ?? '', /nonsense/);
    await eventually(async () =>
      assert.match((await w.poolEvents('second')).join(), /^Warning PoolNotTaken: .*nonsense/),
    );
    assert.deepEqual(await w.poolEvents(DEFAULT), []);
    await w.editPool('second', { spec: { addresses: ['rubbish'] } });
    await becomes(w, 'Invalid', /rubbish/);
    assert.equal((await w.state())?.status?.conditions?.[0]?.lastTransitionTime, before?.lastTransitionTime);
  },

  async 'a state that somebody deletes or overwrites is told again; conditions of others stay'(w) {
    await w.pool(DEFAULT, good);
    await w.start();
    await becomes(w, 'Valid');
    const path = `/apis/metallb.io/v1beta1/namespaces/${METALLB}/configurationstates/controller`;
    await w.request('DELETE', path);
    await becomes(w, 'Valid');
    const other = {
      type: 'other',
      status: 'True',
      reason: 'X',
      message: '',
      lastTransitionTime: '2026-01-01T00:00:00Z',
    };
    const conditions = [...((await w.state())?.status?.conditions ?? []), other];
    await w.request('PATCH', `${path}/status`, { status: { result: 'Unknown', conditions } });
    await becomes(w, 'Valid');
    assert.ok((await w.state())?.status?.conditions?.some(({ type }) => type === 'other'));
  },

  async 'a shrink in use is Invalid, and Valid again when it is allowed'(w) {
    await w.pool(DEFAULT, good);
    await w.start();
    await w.create('a');
    await w.gets('a', ['10.77.0.0']);
    await w.editPool(DEFAULT, { spec: { addresses: ['10.78.0.0/24'] } });
    await becomes(w, 'Invalid', new RegExp(`10\\.77\\.0\\.0 \\(${w.namespace}/a\\)`));
    await w.editPool(DEFAULT, { metadata: { annotations: { 'fairlead.dev/allow-shrink': 'true' } } });
    await becomes(w, 'Valid');
    await w.gets('a', ['10.78.0.0']);
  },

  async 'pools that are invalid at the first start give nothing, say so, and are taken when they are right'(w) {
    await w.pool(DEFAULT, ['nonsense']);
    await w.create('published');
    await w.edit('published', { status: { loadBalancer: { ingress: [{ ip: '10.77.0.7' }] } } }, 'status');
    await w.start();
    await becomes(w, 'Invalid', /nonsense/);
    await w.create('a');
    await eventually(async () => assert.match((await w.conditions('a')).join(), /Serving False/));
    assert.match(
      await w.message('a', 'Serving'),
      /FL_POOL_INVALID: nothing is given until the pools are valid: .*nonsense/,
    );
    assert.deepEqual(await w.shown('published'), ['10.77.0.7'], 'what is published stays');
    await w.editPool(DEFAULT, { spec: { addresses: good } });
    await becomes(w, 'Valid');
    await w.gets('a', ['10.77.0.0']);
    await eventually(async () => assert.deepEqual((await w.reserved())['10.77.0.7'], [`${w.namespace}/published`]));
  },

  async 'a broken edit that stands over a restart leaves the last good pools in use'(w) {
    await w.pool(DEFAULT, good);
    const first = await w.start({ name: 'one' });
    await w.create('a');
    await w.gets('a', ['10.77.0.0']);
    await eventually(async () =>
      assert.equal(
        (await w.request('GET', `/api/v1/namespaces/${METALLB}/configmaps/fairlead-last-good-pools`)).status,
        200,
      ),
    );
    await w.editPool(DEFAULT, { spec: { addresses: ['nonsense'] } });
    await becomes(w, 'Invalid', /nonsense/);
    await first.stop();
    await w.start({ name: 'two' });
    await w.create('b');
    await w.gets('b', ['10.77.0.1']);
    await becomes(w, 'Invalid', /nonsense/);
    await w.create('c', { annotations: { 'metallb.io/address-pool': 'nowhere' } });
    await eventually(async () => assert.match(await w.message('c', 'Serving'), /FL_POOL_UNKNOWN/));
  },

  async 'a pool in another namespace is nobody’s pool'(w) {
    await w.start();
    const path = `/apis/metallb.io/v1beta1/namespaces/${w.namespace}/ipaddresspools`;
    const body = {
      apiVersion: 'metallb.io/v1beta1',
      kind: 'IPAddressPool',
      metadata: { name: 'elsewhere' },
      spec: { addresses: good },
    };
    assert.equal((await w.request('POST', path, body)).status, 201);
    await w.create('a');
    await eventually(async () => assert.deepEqual(await w.conditions('a'), waiting));
    await w.request('DELETE', `${path}/elsewhere`);
  },
};
