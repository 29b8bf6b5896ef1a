import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  addShutdown,
  isShutdownNode,
  isUninitializedNode,
  removeShutdown,
  removeUninitialized,
} from '../../../src/core/node/taints.ts';
import type { NodeWrite } from '../../../src/core/node/write.ts';
import type { Taint } from '../../../src/core/objects.ts';
import { nodeOf, shutdown, uninitialized } from './fixture.ts';

const foreign: Taint = { key: 'ImproveCoverageTaint', value: 'true', effect: 'NoSchedule' };
const other: Taint = { key: 'node.kubernetes.io/not-ready', effect: 'NoExecute', timeAdded: '2026-11-20T12:00:00Z' };

/** What the API server makes of it, with `now` as the taints that the Node has by then; undefined: refused. */
function applied(write: NodeWrite | undefined, now: readonly Taint[]): readonly Taint[] | undefined {
  assert.ok(write);
  if (write.as === 'merge') return (write.body as { spec: { taints: readonly Taint[] } }).spec.taints;
  assert.ok(write.as === 'json');
  const taints = [...now];
  for (const operation of write.operations) {
    if (operation.path === '/metadata/uid') continue;
    const index = Number(/^\/spec\/taints\/(\d+)$/.exec(operation.path)?.[1]);
    if (operation.op === 'remove') taints.splice(index, 1);
    else if (JSON.stringify(taints[index]) !== JSON.stringify(operation.value)) return undefined;
  }
  return taints;
}

const removals: readonly { name: string; taints: readonly Taint[] | undefined; left: readonly Taint[] | undefined }[] =
  [
    { name: 'the only taint', taints: [uninitialized], left: [] },
    { name: 'behind a foreign one', taints: [foreign, uninitialized], left: [foreign] },
    { name: 'before a foreign one', taints: [uninitialized, foreign, other], left: [foreign, other] },
    { name: 'between two', taints: [foreign, uninitialized, other], left: [foreign, other] },
    { name: 'another value and effect', taints: [{ ...uninitialized, value: '', effect: 'NoExecute' }], left: [] },
    {
      name: 'twice, with two effects',
      taints: [uninitialized, foreign, { ...uninitialized, effect: 'PreferNoSchedule' }],
      left: [foreign],
    },
    { name: 'none of ours', taints: [foreign, shutdown], left: undefined },
    { name: 'no taints at all', taints: undefined, left: undefined },
  ];
for (const { name, taints, left } of removals) {
  test(`taints: uninitialized removed: ${name}`, () => {
    const node = nodeOf(taints === undefined ? {} : { taints });
    assert.equal(isUninitializedNode(node), left !== undefined);
    if (left === undefined) assert.equal(removeUninitialized(node), undefined);
    else assert.deepEqual(applied(removeUninitialized(node), taints ?? []), left);
  });
}

test('taints: the removal is whole as a request: the Node, each element as it was, then the removals from the end', () => {
  const twice = [uninitialized, foreign, { ...uninitialized, effect: 'NoExecute' as const }];
  assert.deepEqual(removeUninitialized(nodeOf({ taints: twice })), {
    kind: 'RemoveNodeTaint',
    target: 'node0',
    reason: 'the node is initialised',
    as: 'json',
    operations: [
      { op: 'test', path: '/metadata/uid', value: 'uid-node0' },
      { op: 'test', path: '/spec/taints/0', value: twice[0] },
      { op: 'test', path: '/spec/taints/2', value: twice[2] },
      { op: 'remove', path: '/spec/taints/2' },
      { op: 'remove', path: '/spec/taints/0' },
    ],
  });
});

test('taints: a removal is refused when the list has moved, and passes when somebody added one behind', () => {
  const write = removeUninitialized(nodeOf({ taints: [foreign, uninitialized] }));
  assert.equal(applied(write, [uninitialized]), undefined);
  assert.equal(applied(write, [other, foreign, uninitialized]), undefined);
  assert.deepEqual(applied(write, [foreign, uninitialized, other]), [foreign, other]);
});

test('taints: shutdown is added behind the others, once, and only to the copy that was read', () => {
  assert.deepEqual(addShutdown(nodeOf({ taints: [foreign] })), {
    kind: 'AddNodeTaint',
    target: 'node0',
    reason: 'its instance is shut down',
    as: 'merge',
    body: { metadata: { uid: 'uid-node0', resourceVersion: '7' }, spec: { taints: [foreign, shutdown] } },
  });
  assert.deepEqual(applied(addShutdown(nodeOf()), []), [shutdown]);
  assert.equal(addShutdown(nodeOf({ taints: [shutdown, foreign] })), undefined);
});

test('taints: shutdown is known by key and effect, and removed alone', () => {
  assert.deepEqual(applied(removeShutdown(nodeOf({ taints: [foreign, shutdown] })), [foreign, shutdown]), [foreign]);
  assert.equal(isShutdownNode(nodeOf({ taints: [{ ...shutdown, effect: 'NoExecute' }] })), false);
  assert.equal(removeShutdown(nodeOf({ taints: [{ ...shutdown, effect: 'NoExecute' }] })), undefined);
  assert.equal(removeShutdown(nodeOf({ taints: [uninitialized] })), undefined);
});
