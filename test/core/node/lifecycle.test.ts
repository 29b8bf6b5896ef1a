/** Which Nodes go, and which are kept: the reference's cases, and the guards over them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  deletion,
  isBack,
  judge,
  lookedAfter,
  nothingSeen,
  type Sightings,
  type Verdicts,
} from '../../../src/core/node/lifecycle.ts';
import type { Node } from '../../../src/core/objects.ts';
import type { Instance } from '../../../src/core/provider.ts';
import { instanceOf, type NodeParts, nodeOf, shutdown } from './fixture.ts';

const PERIOD_MS = 5000;
const WALL_MS = Date.UTC(2026, 10, 20, 12);

/** What the cloud says of a node: there, switched off, gone, or nothing at all. */
type Answer = 'exists' | 'stopped' | 'gone' | 'unknown';
const instances: Readonly<Record<Exclude<Answer, 'unknown'>, Instance | undefined>> = {
  exists: instanceOf(),
  stopped: instanceOf({ shutdown: true }),
  gone: undefined,
};

const namesOf = (nodes: readonly Node[]) => nodes.map(({ metadata }) => metadata.name);

/** One look after another; each answer is for the Nodes that are asked about. `error`: the cloud did not answer, so nobody looks. */
function createWatch() {
  let sightings: Sightings = nothingSeen;
  let nowMs = 0;
  return {
    look(nodes: readonly Node[], answers: Readonly<Record<string, Answer>>): Verdicts {
      const asked = lookedAfter(nodes, 'fake');
      const found = new Map(
        asked.flatMap(({ metadata: { name } }) => {
          const answer = answers[name] ?? 'exists';
          return answer === 'unknown' ? [] : [[name, instances[answer]] as const];
        }),
      );
      nowMs += PERIOD_MS;
      const verdicts = judge(sightings, { nodes, found, scheme: 'fake', nowMs, wallMs: WALL_MS + nowMs });
      sightings = verdicts.sightings;
      return verdicts;
    },
    pass(ms: number) {
      nowMs += ms;
    },
  };
}

const others = Array.from({ length: 9 }, (_, n) => nodeOf({ name: `other-${n}`, ready: 'True' }));

// One node among nine that are ready; `looks` in a row, each with the same answer unless there are more of them.
const cases: readonly {
  name: string;
  node: NodeParts;
  answers: readonly Answer[];
  want: 'kept' | 'deleted' | 'shut down';
  /** Asked about at all; default true. */
  asked?: false;
}[] = [
  {
    name: 'not ready, gone, three times',
    node: { ready: 'False' },
    answers: ['gone', 'gone', 'gone'],
    want: 'deleted',
  },
  { name: 'not ready, gone, twice', node: { ready: 'False' }, answers: ['gone', 'gone'], want: 'kept' },
  { name: 'not ready, gone, once', node: { ready: 'False' }, answers: ['gone'], want: 'kept' },
  {
    name: 'unknown, gone, three times',
    node: { ready: 'Unknown' },
    answers: ['gone', 'gone', 'gone'],
    want: 'deleted',
  },
  { name: 'no condition at all, gone, three times', node: {}, answers: ['gone', 'gone', 'gone'], want: 'deleted' },
  { name: 'not ready, exists', node: { ready: 'False' }, answers: ['exists', 'exists', 'exists'], want: 'kept' },
  { name: 'unknown, exists', node: { ready: 'Unknown' }, answers: ['exists', 'exists', 'exists'], want: 'kept' },
  {
    name: 'ready, gone (a bug of the provider)',
    node: { ready: 'True' },
    answers: ['gone', 'gone', 'gone', 'gone'],
    want: 'kept',
    asked: false,
  },
  { name: 'ready, switched off', node: { ready: 'True' }, answers: ['stopped', 'stopped'], want: 'kept', asked: false },
  {
    name: 'a provider that cannot tell',
    node: { ready: 'False' },
    answers: ['unknown', 'unknown', 'unknown', 'unknown'],
    want: 'kept',
  },
  {
    name: 'seen in between: the row begins anew',
    node: { ready: 'False' },
    answers: ['gone', 'gone', 'exists', 'gone', 'gone'],
    want: 'kept',
  },
  {
    name: 'not told in between: no sighting, the row goes on',
    node: { ready: 'False' },
    answers: ['gone', 'gone', 'unknown', 'gone'],
    want: 'deleted',
  },
  {
    name: 'not told in between counts for nothing',
    node: { ready: 'False' },
    answers: ['gone', 'unknown', 'unknown', 'gone'],
    want: 'kept',
  },
  {
    name: 'switched off in between: it exists',
    node: { ready: 'False' },
    answers: ['gone', 'gone', 'stopped', 'gone'],
    want: 'kept',
  },
  { name: 'not ready, switched off', node: { ready: 'False' }, answers: ['stopped'], want: 'shut down' },
  { name: 'unknown, switched off', node: { ready: 'Unknown' }, answers: ['stopped'], want: 'shut down' },
  {
    name: 'switched off and shows it',
    node: { ready: 'False', taints: [shutdown] },
    answers: ['stopped'],
    want: 'kept',
  },
  {
    name: 'switched off and gone: gone wins',
    node: { ready: 'False', taints: [shutdown] },
    answers: ['gone', 'gone', 'gone'],
    want: 'deleted',
  },
  {
    name: 'runs again but is not ready: the taint waits for that',
    node: { ready: 'False', taints: [shutdown] },
    answers: ['exists'],
    want: 'kept',
  },
  {
    name: 'no providerID: known by its name',
    node: { ready: 'False', providerID: '' },
    answers: ['gone', 'gone', 'gone'],
    want: 'deleted',
  },
  {
    name: "another cloud's",
    node: { ready: 'False', providerID: 'eks-hybrid:///x/mi-1' },
    answers: ['gone', 'gone', 'gone'],
    want: 'kept',
    asked: false,
  },
  {
    name: "this cloud's",
    node: { ready: 'False', providerID: 'fake://1' },
    answers: ['gone', 'gone', 'gone'],
    want: 'deleted',
  },
  {
    name: 'being deleted already',
    node: { ready: 'False', deleting: true },
    answers: ['gone', 'gone', 'gone'],
    want: 'kept',
    asked: false,
  },
  {
    name: 'younger than a minute',
    node: { ready: 'False', created: '2026-11-20T11:59:30Z' },
    answers: ['gone', 'gone', 'gone', 'gone'],
    want: 'kept',
  },
  {
    name: 'a minute old by the last look',
    node: { ready: 'False', created: '2026-11-20T11:59:15Z' },
    answers: ['gone', 'gone', 'gone'],
    want: 'deleted',
  },
  {
    name: 'not initialised yet, and gone',
    node: { ready: 'False', taints: [{ key: 'node.cloudprovider.kubernetes.io/uninitialized', effect: 'NoSchedule' }] },
    answers: ['gone', 'gone', 'gone'],
    want: 'deleted',
  },
];
for (const { name, node: parts, answers, want, asked = true } of cases) {
  test(`lifecycle: ${name}: ${want}`, () => {
    const node = nodeOf(parts);
    const nodes = [...others, node];
    const watch = createWatch();
    let last: Verdicts | undefined;
    for (const answer of answers) {
      assert.deepEqual(last?.remove ?? [], [], 'not before the last look');
      last = watch.look(nodes, { node0: answer });
    }
    assert.ok(last);
    assert.equal(namesOf(lookedAfter(nodes, 'fake')).includes('node0'), asked);
    assert.deepEqual(
      [namesOf(last.remove), namesOf(last.shutDown)],
      [want === 'deleted' ? ['node0'] : [], want === 'shut down' ? ['node0'] : []],
    );
    assert.deepEqual(last.held, []);
  });
}

const back: readonly { name: string; node: NodeParts; want: boolean }[] = [
  { name: 'ready with the taint', node: { ready: 'True', taints: [shutdown] }, want: true },
  { name: 'ready without it', node: { ready: 'True' }, want: false },
  { name: 'not ready with it', node: { ready: 'False', taints: [shutdown] }, want: false },
  { name: "another cloud's", node: { ready: 'True', taints: [shutdown], providerID: 'gce://a/b/c' }, want: false },
  { name: 'being deleted', node: { ready: 'True', taints: [shutdown], deleting: true }, want: false },
];
for (const { name, node, want } of back) {
  test(`lifecycle: the shutdown taint goes: ${name}: ${want}`, () => assert.equal(isBack(nodeOf(node), 'fake'), want));
}

const cluster = (ready: number, lost: number) => [
  ...Array.from({ length: ready }, (_, n) => nodeOf({ name: `ready-${n}`, ready: 'True' })),
  ...Array.from({ length: lost }, (_, n) => nodeOf({ name: `lost-${String(n).padStart(3, '0')}`, ready: 'Unknown' })),
];
const allGone = (nodes: readonly Node[]) =>
  Object.fromEntries(
    nodes
      .filter(({ metadata }) => metadata.name.startsWith('lost'))
      .map(({ metadata }) => [metadata.name, 'gone' as const]),
  );

const shares: readonly { ready: number; lost: number; deleted: number }[] = [
  { ready: 0, lost: 1, deleted: 1 },
  { ready: 0, lost: 2, deleted: 2 },
  { ready: 0, lost: 3, deleted: 0 },
  { ready: 6, lost: 3, deleted: 0 }, // 33.3 %
  { ready: 7, lost: 3, deleted: 3 },
  { ready: 67, lost: 33, deleted: 10 }, // exactly 33 % is not over it
  { ready: 66, lost: 34, deleted: 0 },
];
for (const { ready, lost, deleted } of shares) {
  test(`lifecycle: ${lost} of ${ready + lost} missing: ${deleted} go at once`, () => {
    const nodes = cluster(ready, lost);
    const watch = createWatch();
    watch.look(nodes, allGone(nodes));
    watch.look(nodes, allGone(nodes));
    const { remove, held } = watch.look(nodes, allGone(nodes));
    assert.equal(remove.length, deleted);
    assert.equal(held.length, lost - deleted);
  });
}

test('lifecycle: while too many are missing nothing goes, also what was missed before; once they are back it does', () => {
  const nodes = cluster(8, 4);
  const watch = createWatch();
  const one = { 'lost-000': 'gone' } as const;
  watch.look(nodes, one);
  watch.look(nodes, one);
  const during = watch.look(nodes, allGone(nodes));
  assert.deepEqual(namesOf(during.remove), []);
  assert.deepEqual(
    during.held.map(({ node, isNew }) => [node.metadata.name, isNew]),
    [['lost-000', true]],
  );
  assert.match(during.held[0]?.why ?? '', /4 of 12 nodes are missing at once/);
  const again = watch.look(nodes, allGone(nodes));
  assert.deepEqual(
    again.held.map(({ isNew }) => isNew),
    [false],
    'told once',
  );
  assert.deepEqual(namesOf(watch.look(nodes, one).remove), ['lost-000']);
});

test('lifecycle: what counts as missing are the nodes of this cloud', () => {
  const foreign = Array.from({ length: 20 }, (_, n) =>
    nodeOf({ name: `foreign-${n}`, providerID: 'gce://a', ready: 'True' }),
  );
  const nodes = [...foreign, ...cluster(4, 3)];
  const watch = createWatch();
  for (let look = 0; look < 2; look += 1) watch.look(nodes, allGone(nodes));
  const { remove, held } = watch.look(nodes, allGone(nodes));
  assert.deepEqual([remove.length, held.length], [0, 3]);
});

test('lifecycle: ten in any minute, the longest missed first, and the rest one minute later', () => {
  const nodes = cluster(100, 25);
  const watch = createWatch();
  watch.look(nodes, { 'lost-024': 'gone' });
  watch.look(nodes, allGone(nodes));
  watch.look(nodes, allGone(nodes)); // the third look for one of them, the second for the rest
  const left = nodes.filter(({ metadata }) => metadata.name !== 'lost-024');
  const first = watch.look(left, allGone(left));
  assert.deepEqual(
    namesOf(first.remove),
    Array.from({ length: 9 }, (_, n) => `lost-00${n}`),
    'nine, after the one before',
  );
  assert.equal(first.held.length, 15);
  assert.match(first.held[0]?.why ?? '', /10 nodes were deleted within a minute/);
  const rest = left.filter(({ metadata }) => !namesOf(first.remove).includes(metadata.name));
  for (let ms = PERIOD_MS; ms < 55_000; ms += PERIOD_MS)
    assert.deepEqual(namesOf(watch.look(rest, allGone(rest)).remove), [], `${ms}`);
  assert.equal(watch.look(rest, allGone(rest)).remove.length, 1, 'a minute after the first one');
  watch.pass(60_000);
  assert.equal(watch.look(rest, allGone(rest)).remove.length, 10);
});

test('lifecycle: a Node that came back under its name is another one', () => {
  const watch = createWatch();
  const old = [...others, nodeOf({ ready: 'False' })];
  watch.look(old, { node0: 'gone' });
  watch.look(old, { node0: 'gone' });
  const now = [...others, nodeOf({ ready: 'False', uid: 'another' })];
  assert.deepEqual(namesOf(watch.look(now, { node0: 'gone' }).remove), []);
});

test('lifecycle: a Node that was ready in between starts anew', () => {
  const watch = createWatch();
  const lost = [...others, nodeOf({ ready: 'False' })];
  watch.look(lost, { node0: 'gone' });
  watch.look(lost, { node0: 'gone' });
  watch.look([...others, nodeOf({ ready: 'True' })], {});
  assert.deepEqual(namesOf(watch.look(lost, { node0: 'gone' }).remove), []);
});

test('lifecycle: the deletion names the copy that was judged', () => {
  assert.deepEqual(deletion(nodeOf()), {
    kind: 'DeleteNode',
    target: 'node0',
    reason: 'its instance does not exist any more',
    as: 'delete',
    preconditions: { uid: 'uid-node0', resourceVersion: '7' },
  });
});
