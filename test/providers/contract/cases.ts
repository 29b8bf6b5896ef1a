import assert from 'node:assert/strict';
import { isProviderError } from '../../../src/core/errors.ts';
import type { Call, Ingress } from '../../../src/core/provider.ts';
import type { Cases } from './case.ts';
import { crashCases } from './crash.ts';

const ensureCases: Cases = {
  'ensure ends ready, with an ingress': async (make, { first }) => {
    const rig = await make();
    const progress = await rig.ensured(first);
    assert.ok(progress.ingress.length > 0, 'ready without an ingress');
    for (const { ip, hostname } of progress.ingress) assert.ok(ip ?? hostname, 'an ingress without ip or hostname');
  },
  'a preview says what ensure would write, and writes nothing': async (make, { first }) => {
    const rig = await make();
    const before = await rig.snapshot();
    const stages = await rig.drive(rig.loadBalancers.preview(first, first, rig.call()));
    const previewed = stages.flat();
    assert.ok(previewed.length > 0, 'nothing to write for a new Service');
    for (const { kind, target, reason } of previewed) assert.ok(kind && target && reason, 'an action needs all three');
    assert.deepEqual([rig.writes, await rig.snapshot()], [0, before]);
    await rig.ensured(first);
    assert.deepEqual(
      rig.applied
        .slice(0, previewed.length)
        .map(({ kind }) => kind)
        .sort(),
      previewed.map(({ kind }) => kind).sort(),
      'ensure wrote something else than the preview said',
    );
  },
  'a second ensure writes nothing, also after a restart': async (make, { first, changed }) => {
    const rig = await make();
    for (const spec of [first, changed]) {
      const { ingress } = await rig.ensured(spec);
      const before = await rig.settled();
      for (const restart of [false, true]) {
        if (restart) await rig.restart();
        rig.forget();
        const again = await rig.ensured(spec);
        assert.deepEqual([rig.applied, again.ingress], [[], ingress], `restart: ${restart}`);
        assert.deepEqual(await rig.snapshot(), before, 'the backend changed without an action');
      }
    }
  },
  'a change of ports is written, and keeps the address': async (make, { first, changed }) => {
    const rig = await make();
    const before = await rig.ensured(first);
    rig.forget();
    const after = await rig.ensured(changed);
    assert.ok(rig.writes > 0, 'nothing was written for the change');
    assert.deepEqual(addressesOf(after.ingress), addressesOf(before.ingress));
  },
  'invalid input names its field, writes nothing, and leaves what serves': async (make, { first, invalid }) => {
    for (const { spec, field } of invalid) {
      const rig = await make();
      assert.equal(spec.uid, first.uid, 'the invalid spec is of the first Service');
      await rig.ensured(first);
      const before = await rig.settled();
      rig.forget();
      const error = await rig.fails(rig.loadBalancers.ensure(spec, rig.call()));
      assert.ok(isProviderError(error), `not a ProviderError: ${error}`);
      assert.deepEqual([error.kind, error.field], ['invalid', field]);
      assert.deepEqual([rig.writes, await rig.settled()], [0, before]);
    }
  },
  'an aborted call writes nothing and is no success': async (make, { first }) => {
    const rig = await make();
    const before = await rig.snapshot();
    const call = rig.call(AbortSignal.abort(new Error('leadership lost')));
    await rig.fails(rig.loadBalancers.ensure(first, call));
    assert.deepEqual([rig.writes, await rig.settled()], [0, before]);
  },
};

const removeCases: Cases = {
  'a removal is done exactly when nothing is left, and doing it again writes nothing': async (make, { first }) => {
    const rig = await make();
    const empty = await rig.snapshot();
    await rig.ensured(first);
    assert.notDeepEqual(await rig.snapshot(), empty, 'ensure left nothing in the backend');
    // `removed` compares the backend at the very moment of `done`: a read that lags must not make it early.
    await rig.removed(first, empty);
    rig.forget();
    const again = await rig.drive(rig.loadBalancers.remove(first, rig.call()));
    assert.deepEqual([again.done, rig.writes], [true, 0]);
  },
  'removing what never was is done at once': async (make, { first }) => {
    const rig = await make();
    const removal = await rig.drive(rig.loadBalancers.remove(first, rig.call()));
    assert.deepEqual([removal.done, rig.writes], [true, 0]);
  },
  'removing one Service leaves the others': async (make, { first, other }) => {
    const rig = await make();
    await rig.ensured(other);
    const onlyOther = await rig.settled();
    await rig.ensured(first);
    await rig.removed(first, onlyOther);
    rig.forget();
    await rig.ensured(other);
    assert.equal(rig.writes, 0, 'the other Service lost something');
  },
  'a Service that comes back after its removal is served again': async (make, { first }) => {
    const rig = await make();
    const empty = await rig.snapshot();
    await rig.ensured(first);
    const served = await rig.settled();
    await rig.removed(first, empty);
    await rig.ensured(first);
    assert.deepEqual(await rig.settled(), served);
  },
};

const foreignCases: Cases = {
  'what others own stays as it is through create, change and removal': async (make, { first, changed, other }) => {
    const rig = await make();
    await rig.foreign();
    const before = await rig.snapshot();
    await rig.ensured(first);
    await rig.ensured(other);
    await rig.ensured(changed);
    await rig.removed(first);
    await rig.removed(other, before);
  },
  'what others own is no orphan and no business of an audit': async (make, { first }) => {
    const rig = await make();
    await rig.foreign();
    await rig.ensured(first);
    await rig.advance(60_000);
    const { orphans } = await rig.drive(rig.loadBalancers.audit([first], rig.call()));
    assert.deepEqual([...orphans.keys()], []);
  },
};

const readCases: Cases = {
  'a read that fails is no absence: ensure, remove, preview and audit reject, and nothing is written': async (
    make,
    { first, changed },
  ) => {
    const rig = await make();
    await rig.foreign();
    await rig.ensured(first);
    const before = await rig.settled();
    rig.forget();
    rig.failReads(true);
    const { loadBalancers } = rig;
    const tries: Readonly<Record<string, (call: Call) => Promise<unknown>>> = {
      ensure: (call) => loadBalancers.ensure(changed, call),
      remove: (call) => loadBalancers.remove(first, call),
      preview: (call) => loadBalancers.preview(undefined, first, call),
      audit: (call) => loadBalancers.audit([], call),
    };
    for (const [name, run] of Object.entries(tries)) {
      await rig.fails(run(rig.call()), name);
      assert.deepEqual([rig.applied, await rig.settled()], [[], before], name);
    }
    rig.failReads(false);
    await rig.ensured(changed);
  },
};

const auditCases: Cases = {
  'an audit of a settled world finds nothing to do and writes nothing, also after a restart': async (
    make,
    { first, other },
  ) => {
    const rig = await make();
    await rig.ensured(first);
    await rig.ensured(other);
    for (const restart of [false, true]) {
      if (restart) await rig.restart();
      const before = await rig.settled();
      rig.forget();
      const { specs, orphans } = await rig.drive(rig.loadBalancers.audit([first, other], rig.call()));
      for (const { uid } of [first, other]) {
        const verdict = specs.get(uid);
        assert.ok(verdict !== undefined && !('error' in verdict), `no verdict on ${uid}`);
        assert.deepEqual([verdict.actions, verdict.progress.state], [[], 'ready']);
      }
      assert.equal(orphans.size, 0);
      assert.deepEqual([rig.writes, await rig.snapshot()], [0, before]);
    }
  },
  'an audit finds what is to do, what is wrong and what nobody wants, and writes nothing': async (
    make,
    { first, changed, other, invalid },
  ) => {
    const [{ spec: wrong, field } = { spec: first, field: '' }] = invalid;
    const rig = await make();
    await rig.ensured(first);
    await rig.ensured(other);
    const before = await rig.settled();
    rig.forget();
    const bad = { ...wrong, uid: `${wrong.uid}-bad`, key: `${wrong.key}-bad` };
    const { specs, orphans } = await rig.drive(rig.loadBalancers.audit([changed, bad], rig.call()));
    const drifted = specs.get(changed.uid);
    assert.ok(drifted !== undefined && 'actions' in drifted && drifted.actions.length > 0, 'the change was not found');
    if (invalid.length > 0) {
      const verdict = specs.get(bad.uid);
      assert.ok(
        verdict !== undefined && 'error' in verdict && isProviderError(verdict.error),
        'no error for bad input',
      );
      assert.deepEqual([verdict.error.kind, verdict.error.field], ['invalid', field]);
    }
    const orphan = orphans.get(other.uid) ?? orphans.get(other.key);
    assert.ok(orphan !== undefined && orphan.length > 0, 'the orphan was not found');
    assert.equal(orphans.size, 1);
    assert.deepEqual([rig.writes, await rig.snapshot()], [0, before]);
  },
  'an audit misses no Service that the bulk read lacks': async (make, { first, other }) => {
    const rig = await make();
    await rig.ensured(other);
    await rig.advance(60_000);
    const { specs } = await rig.drive(rig.loadBalancers.audit([first, other], rig.call()));
    const verdict = specs.get(first.uid);
    assert.ok(verdict !== undefined && 'actions' in verdict && verdict.actions.length > 0);
  },
};

const addressesOf = (ingress: readonly Ingress[]): readonly unknown[] =>
  ingress.map(({ ip, hostname }) => [ip, hostname]);

/** What is promised -> its test. */
export const cases: Cases = {
  ...ensureCases,
  ...removeCases,
  ...crashCases,
  ...foreignCases,
  ...readCases,
  ...auditCases,
};
