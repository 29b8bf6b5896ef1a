import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defineLoadBalancers } from '../../src/core/define.ts';
import { ProviderError } from '../../src/core/errors.ts';
import type {
  Action,
  Call,
  LoadBalancerParts,
  LoadBalancerSpec,
  LoadBalancers,
  Progress,
  Step,
} from '../../src/core/provider.ts';

type Parts = LoadBalancerParts<string, string, Action>;

const spec = { key: 'web/shop', uid: 'uid-shop' } as LoadBalancerSpec;
const action = (kind: string): Action => ({ kind, target: 't', reason: `${kind} is needed` });
const ready: Progress = { state: 'ready', ingress: [{ ip: '192.0.2.1' }] };

interface Rig {
  readonly loadBalancers: LoadBalancers;
  /** Everything that was called, in order. */
  readonly calls: string[];
}

/** Desired and Observed are words; `plans` says which stages of actions are left at each diff, [] once it is used up. */
function rig(plans: readonly (readonly (readonly string[])[])[], more: Partial<Parts> = {}): Rig {
  const calls: string[] = [];
  const left = [...plans];
  const parts: Parts = {
    plan(wanted) {
      calls.push(`plan ${wanted.uid}`);
      return `desired ${wanted.uid}`;
    },
    async observe({ uid, key }) {
      calls.push(`observe ${uid} ${key}`);
      return `observed ${uid}`;
    },
    async observeAll() {
      calls.push('observeAll');
      return [];
    },
    diff(desired, observed) {
      calls.push(`diff ${desired}, ${observed}`);
      return (left.shift() ?? []).map((stage) => stage.map(action));
    },
    async apply({ kind }) {
      calls.push(`apply ${kind}`);
    },
    progress(desired, observed) {
      calls.push(`progress ${desired}, ${observed}`);
      return ready;
    },
    ...more,
  };
  return { loadBalancers: defineLoadBalancers(parts), calls };
}

const log = { debug() {}, info() {}, warn() {}, error() {} };
const callOf = (more: Partial<Call> = {}): Call => ({
  signal: new AbortController().signal,
  log,
  limit: (fn) => fn(),
  ...more,
});

test('ensure of an unchanged world reads once and writes nothing', async () => {
  const { loadBalancers, calls } = rig([]);
  assert.equal(await loadBalancers.ensure(spec, callOf()), ready);
  assert.deepEqual(calls, [
    'plan uid-shop',
    'observe uid-shop web/shop',
    'diff desired uid-shop, observed uid-shop',
    'progress desired uid-shop, observed uid-shop',
  ]);
});

test('ensure looks again after its writes, and empty stages are none', async () => {
  const { loadBalancers, calls } = rig([[[], ['create'], []], [[]]]);
  assert.equal(await loadBalancers.ensure(spec, callOf()), ready);
  assert.deepEqual(calls.slice(3), [
    'apply create',
    'observe uid-shop web/shop',
    'diff desired uid-shop, observed uid-shop',
    'progress desired uid-shop, observed uid-shop',
  ]);
});

test('input that is invalid is refused before anything is read', async () => {
  const error = new ProviderError('invalid', 'T_BAD', 'spec.ports', { field: 'spec.ports' });
  const { loadBalancers, calls } = rig([], {
    plan() {
      throw error;
    },
  });
  await assert.rejects(loadBalancers.ensure(spec, callOf()), (thrown) => thrown === error);
  assert.deepEqual(calls, []);
});

test('a second round does what the first could not know; what is left then is a wait, not ready', async () => {
  const { loadBalancers, calls } = rig([[['create']], [['tag']], [['open', 'close']]]);
  assert.deepEqual(await loadBalancers.ensure(spec, callOf()), {
    state: 'pending',
    reason: '2 actions left, first: open is needed',
    retryAfterMs: 1000,
  });
  assert.deepEqual(
    calls.filter((call) => call.startsWith('apply') || call.startsWith('observe')),
    [
      'observe uid-shop web/shop',
      'apply create',
      'observe uid-shop web/shop',
      'apply tag',
      'observe uid-shop web/shop',
    ],
  );
});

test('the actions of a stage begin side by side, those of the next when all have ended', async () => {
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const { loadBalancers } = rig([[['a', 'b'], ['c']]], {
    apply({ kind }) {
      begun.push(kind);
      return new Promise((resolve) => ends.set(kind, resolve));
    },
  });
  const run = loadBalancers.ensure(spec, callOf());
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  await turn();
  assert.deepEqual(begun, ['a', 'b']);
  ends.get('b')?.();
  await turn();
  assert.deepEqual(begun, ['a', 'b']);
  ends.get('a')?.();
  await turn();
  assert.deepEqual(begun, ['a', 'b', 'c']);
  ends.get('c')?.();
  assert.equal(await run, ready);
});

const busy = (retryAfterMs?: number): ProviderError =>
  new ProviderError('conflict', 'T_BUSY', 'still in use', retryAfterMs === undefined ? {} : { retryAfterMs });
const hard = new ProviderError('denied', 'T_DENIED', 'not allowed');

const failures: readonly {
  readonly name: string;
  /** kind -> what apply throws */
  readonly throws: Readonly<Record<string, Error>>;
  readonly error?: Error;
  readonly progress?: Progress;
}[] = [
  { name: 'an error passes unchanged', throws: { a: hard }, error: hard },
  {
    name: 'a conflict with a time is a wait of that time',
    throws: { a: busy(700) },
    progress: { state: 'pending', reason: 'still in use', retryAfterMs: 700 },
  },
  { name: 'a conflict without a time is an error', throws: { a: busy() }, error: busy() },
  { name: 'an error beside a wait is an error', throws: { a: busy(700), b: hard }, error: hard },
  {
    name: 'of two waits the first counts',
    throws: { a: busy(700), b: busy(100) },
    progress: { state: 'pending', reason: 'still in use', retryAfterMs: 700 },
  },
];
for (const { name, throws, error, progress } of failures) {
  test(`a failed write does not cancel its siblings and ends the run: ${name}`, async () => {
    const applied: string[] = [];
    const { loadBalancers } = rig([[['a', 'b', 'c'], ['d']]], {
      async apply({ kind }) {
        applied.push(kind);
        if (throws[kind] !== undefined) throw throws[kind];
      },
    });
    const run = loadBalancers.ensure(spec, callOf());
    if (error === undefined) assert.deepEqual(await run, progress);
    else await assert.rejects(run, (thrown) => thrown === error || (thrown as Error).message === error.message);
    assert.deepEqual(applied, ['a', 'b', 'c']);
  });
}

test('a conflict with a time counts by shape: a third party brings its own class', async () => {
  const theirs = Object.assign(new Error('in use'), { name: 'ProviderError', kind: 'conflict', retryAfterMs: 50 });
  const { loadBalancers } = rig([[['a']]], { apply: () => Promise.reject(theirs) });
  assert.deepEqual(await loadBalancers.ensure(spec, callOf()), {
    state: 'pending',
    reason: 'in use',
    retryAfterMs: 50,
  });
});

test('no further stage begins once the call is aborted', async () => {
  const stop = new AbortController();
  const applied: string[] = [];
  const { loadBalancers } = rig([[['a'], ['b']]], {
    async apply({ kind }) {
      applied.push(kind);
      stop.abort(new Error('leadership lost'));
    },
  });
  await assert.rejects(loadBalancers.ensure(spec, callOf({ signal: stop.signal })), /leadership lost/);
  assert.deepEqual(applied, ['a']);
});

test('remove plans nothing, and is done when progress says ready', async () => {
  const { loadBalancers, calls } = rig([[['delete']]]);
  assert.deepEqual(await loadBalancers.remove({ uid: 'u', key: 'k' }, callOf()), { done: true });
  assert.deepEqual(calls, [
    'observe u k',
    'diff undefined, observed u',
    'apply delete',
    'observe u k',
    'diff undefined, observed u',
    'progress undefined, observed u',
  ]);
});

test('an empty diff is not the end of a removal while progress is pending, and what it reports goes along', async () => {
  const events = [{ type: 'Normal', reason: 'Draining', message: 'x' }] as const;
  const annotations = { 'example.com/a': null };
  const { loadBalancers } = rig([], {
    progress: () => ({ state: 'pending', reason: 'deleting', retryAfterMs: 300, events, annotations }),
  });
  assert.deepEqual(await loadBalancers.remove(spec, callOf()), {
    done: false,
    reason: 'deleting',
    retryAfterMs: 300,
    events,
    annotations,
  });
  const done = rig([], { progress: () => ({ ...ready, events }) });
  assert.deepEqual(await done.loadBalancers.remove(spec, callOf()), { done: true, events });
});

test('preview gives the stages and writes nothing; without a spec, those of a removal', async () => {
  const { loadBalancers, calls } = rig([[['create'], [], ['open']], [['delete']]]);
  assert.deepEqual(await loadBalancers.preview(spec, spec, callOf()), [[action('create')], [action('open')]]);
  assert.deepEqual(await loadBalancers.preview(undefined, spec, callOf()), [[action('delete')]]);
  assert.deepEqual(
    calls.filter((call) => call.startsWith('apply') || call.startsWith('plan')),
    ['plan uid-shop'],
  );
});

const named = (uid: string, key = `ns/${uid}`): LoadBalancerSpec => ({ ...spec, uid, key });

test('an audit matches by uid, by key only without one, and asks once for what the bulk read lacks', async () => {
  const asked: string[] = [];
  const compared: string[] = [];
  const { loadBalancers, calls } = rig([], {
    observeAll: async () => [
      { uid: 'a', key: 'ns/b', observed: 'bulk a' },
      { key: 'ns/c', observed: 'bulk c' },
      { uid: 'gone', observed: 'bulk gone' },
      { key: 'ns/lost', observed: 'bulk lost' },
      { uid: 'empty', observed: 'nothing to do' },
    ],
    async observe({ uid }) {
      asked.push(uid);
      return `live ${uid}`;
    },
    diff(desired, observed) {
      compared.push(`${desired}, ${observed}`);
      return observed === 'nothing to do' ? [[]] : [[action('x')], []];
    },
  });
  const { specs, orphans } = await loadBalancers.audit([named('a'), named('b'), named('c')], callOf());
  assert.deepEqual(compared, [
    'desired a, bulk a',
    'desired b, live b',
    'desired c, bulk c',
    'undefined, bulk gone',
    'undefined, nothing to do',
    'undefined, bulk lost',
  ]);
  assert.deepEqual(asked, ['b']);
  assert.deepEqual([...specs.keys()], ['a', 'b', 'c']);
  assert.deepEqual(specs.get('a'), { actions: [action('x')], progress: ready });
  assert.deepEqual(
    [...orphans],
    [
      ['gone', [action('x')]],
      ['ns/lost', [action('x')]],
    ],
  );
  assert.equal(calls.includes('apply x'), false);
});

test('one bad spec of an audit has its error and hides no other', async () => {
  const bad = new ProviderError('invalid', 'T_BAD', 'spec.ports');
  const broken = new Error('no answer');
  const { loadBalancers } = rig([], {
    plan(wanted) {
      if (wanted.uid === 'bad') throw bad;
      return wanted.uid;
    },
    async observe({ uid }) {
      if (uid === 'broken') throw broken;
      return uid;
    },
  });
  const { specs } = await loadBalancers.audit([named('bad'), named('broken'), named('good')], callOf());
  assert.deepEqual(
    [...specs],
    [
      ['bad', { error: bad }],
      ['broken', { error: broken }],
      ['good', { actions: [], progress: ready }],
    ],
  );
});

test('an audit whose bulk read fails, or whose call aborts, rejects: it is no verdict', async () => {
  const error = new Error('no list');
  await assert.rejects(rig([], { observeAll: () => Promise.reject(error) }).loadBalancers.audit([], callOf()), error);
  const stop = new AbortController();
  const { loadBalancers } = rig([], {
    async observe() {
      stop.abort(new Error('shutdown'));
      throw new Error('connection closed');
    },
  });
  await assert.rejects(loadBalancers.audit([named('a')], callOf({ signal: stop.signal })), /shutdown/);
  // It aborted in the bulk read, after which no spec needs a read of its own.
  const bulk = rig([], { observeAll: async () => [{ uid: 'a', observed: 'x' }] });
  await assert.rejects(bulk.loadBalancers.audit([named('a')], callOf({ signal: stop.signal })), /shutdown/);
});

test('selfCleaning and interpret are there when the parts have them, bound to the parts', () => {
  const { loadBalancers } = rig([]);
  assert.deepEqual(['selfCleaning' in loadBalancers, 'interpret' in loadBalancers], [false, false]);
  const parts = {
    selfCleaning: true as const,
    kind: 'pod' as const,
    interpret() {
      return { targetKind: this.kind };
    },
  };
  const made = defineLoadBalancers(parts as unknown as Parts & typeof parts);
  assert.equal(made.selfCleaning, true);
  assert.deepEqual(made.interpret?.({} as never), { targetKind: 'pod' });
});

test('each action is logged with its reason, and trace is told each phase and how each write ended', async () => {
  const steps: Step[] = [];
  const logged: unknown[] = [];
  const { loadBalancers } = rig([[['good', 'bad']]], {
    async apply({ kind }) {
      if (kind === 'bad') throw hard;
    },
  });
  const call = callOf({
    log: { ...log, info: (fields, message) => logged.push([fields, message]) },
    trace: (step) => steps.push(step),
  });
  await assert.rejects(loadBalancers.ensure(spec, call), hard);
  assert.deepEqual(steps, [
    { at: 'plan' },
    { at: 'observe' },
    { at: 'diff' },
    { at: 'apply', action: action('good') },
    { at: 'apply', action: action('bad') },
    { at: 'applied', action: action('good') },
    { at: 'applied', action: action('bad'), error: hard },
  ]);
  assert.deepEqual(logged, [
    [{ service: 'web/shop', action: 'good', target: 't', reason: 'good is needed' }, 'apply'],
    [{ service: 'web/shop', action: 'bad', target: 't', reason: 'bad is needed' }, 'apply'],
  ]);
});
