import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createShelf, type Row } from '../../../providers/aws/shelf.ts';

interface Thing {
  readonly name: string;
  readonly owner: string;
  readonly setting: number;
  readonly state: string;
}
const thing = (name: string, more: Partial<Thing> = {}): Thing => ({
  name,
  owner: 'me',
  setting: 1,
  state: 'new',
  ...more,
});

function rig() {
  let ms = 0;
  const shelf = createShelf<Thing>({
    nowMs: () => ms,
    nameOf: ({ name }) => name,
    ownersOf: ({ owner }) => [owner],
    settle: (known, { state }) => ({ ...known, state }),
  });
  const rows = (things: Readonly<Record<string, Thing>>): readonly Row<Thing>[] =>
    Object.entries(things).map(([id, value]) => ({ id, name: value.name, make: () => value }));
  return { shelf, rows, at: (now: number) => (ms = now) };
}

test('a list that was sent before, or shortly after, our write does not undo it', () => {
  const { shelf, rows, at } = rig();
  shelf.listed(0, rows({ a: thing('a') }));
  at(1000);
  shelf.wrote('a', thing('a', { setting: 2 }));
  shelf.wrote('b', thing('b'));
  shelf.listed(5000, rows({ a: thing('a', { state: 'active' }) }));
  assert.deepEqual([shelf.get('a'), shelf.get('b')?.name], [thing('a', { setting: 2, state: 'active' }), 'b']);
  shelf.listed(20_000, rows({ a: thing('a', { setting: 3 }) }));
  assert.deepEqual([shelf.get('a')?.setting, shelf.get('b')], [3, undefined]);
});

test('what we deleted does not come back with a list that still has it', () => {
  const { shelf, rows } = rig();
  shelf.listed(0, rows({ a: thing('a') }));
  shelf.wrote('a', undefined);
  shelf.listed(5000, rows({ a: thing('a') }));
  assert.deepEqual([shelf.get('a'), shelf.names.get('a'), shelf.of('me')], [undefined, undefined, []]);
  shelf.listed(20_000, rows({ a: thing('a') }));
  assert.equal(shelf.get('a')?.name, 'a');
});

test('a write in doubt lets the next list have its say', () => {
  const { shelf, rows } = rig();
  shelf.wrote('a', thing('a', { setting: 2 }));
  shelf.doubt('a');
  shelf.listed(1, rows({ a: thing('a', { setting: 1 }) }));
  assert.equal(shelf.get('a')?.setting, 1);
});

test('names and owners follow changes, also of things that only hold a name', () => {
  const { shelf, rows } = rig();
  shelf.listed(0, [...rows({ a: thing('one') }), { id: 'alb', name: 'two' }]);
  assert.deepEqual([...shelf.names].sort(), [
    ['one', 'a'],
    ['two', 'alb'],
  ]);
  assert.equal(shelf.get('alb'), undefined);
  shelf.read('a', thing('one', { owner: 'you' }));
  assert.deepEqual([shelf.of('me'), shelf.of('you').map(({ name }) => name)], [[], ['one']]);
  shelf.listed(1, []);
  assert.deepEqual([[...shelf.names], shelf.of('you')], [[], []]);
});

test('equal values keep their identity and their revision', () => {
  const { shelf, rows } = rig();
  shelf.listed(0, rows({ a: thing('a') }));
  const [first, { revision }] = [shelf.get('a'), shelf];
  shelf.listed(1, rows({ a: thing('a') }));
  assert.equal(shelf.get('a'), first);
  assert.equal(shelf.revision, revision);
});
