/** Algebra of the planner: histories, minimality, and no packet that finds nothing while a change is under way. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Element, TableFamily } from '../../../src/core/net/element.ts';
import type { Plan, Planner, Removal } from '../../../src/core/proxy/model.ts';
import { classidAt, classidRegisters } from '../../../src/core/proxy/registers.ts';
import { decodeValue, isLocal, isRemembered, LOCAL_OFFSET } from '../../../src/core/proxy/value.ts';
import { commit, describe, type FakeTable, fakeTable, lines, meaning, planner } from './fixture.ts';
import { history, modelOf, type Name, type State } from './histories.ts';

/** IPv6 has 251 slots for each frontend with affinity, which takes its time. */
const RUNS = { ip: 300, ip6: 60 } as const satisfies Record<TableFamily, number>;

interface World {
  readonly planner: Planner;
  readonly table: FakeTable;
  readonly states: Map<Name, State | undefined>;
  readonly removals: Removal[];
}

const newWorld = (family: TableFamily): World => ({
  planner: planner(family),
  table: fakeTable(family),
  states: new Map(),
  removals: [],
});

function step(world: World, changes: readonly (readonly [Name, State | undefined])[]): Plan {
  for (const [name, state] of changes) world.states.set(name, state);
  const names = [...new Set(changes.map(([name]) => name))];
  return world.planner.plan(names.map((name) => [`default/${name}`, modelOf(world.states.get(name))] as const));
}

function releaseAll({ planner: from, table, removals }: World): void {
  for (const removal of removals.splice(0)) table.apply(from.release(removal));
}

/** Every chain that a packet may have been sent to before the transaction finds all of its slots after it. */
function assertNoMiss(before: readonly Element[], after: readonly Element[], family: TableFamily): void {
  const index = (elements: readonly Element[]) =>
    new Map(elements.map((element) => [`${element.set} ${element.key}`, element]));
  const now = index(after);
  for (const element of before) {
    if (element.set !== 'services' && element.set !== 'services-near') continue;
    const chain = decodeValue(classidAt(element.data ?? '', 0));
    assert.ok(chain);
    const set = isRemembered(chain.kind) ? 'ep-id' : 'endpoints';
    for (let slot = 0; slot < chain.slots; slot += 1) {
      const key = `${element.key}${classidRegisters((isLocal(chain.kind) ? LOCAL_OFFSET : 0) + slot)}`;
      const found = now.get(`${set} ${key}`);
      assert.ok(found, `${describe(element, family)}: slot ${slot} is missing in ${set}`);
      if (set === 'ep-id')
        assert.ok(now.has(`ep-by-id ${found.data}`), `${describe(element, family)}: the id of slot ${slot} is gone`);
    }
  }
}

for (const family of ['ip', 'ip6'] as const) {
  test(`${family}: any history gives the tables of a fresh start, and no packet in flight finds nothing`, () => {
    fc.assert(
      fc.property(history, (batches) => {
        const world = newWorld(family);
        for (const { changes, releasesAll } of batches) {
          const before = world.table.elements();
          const plan = step(world, changes);
          world.table.apply(plan.now);
          assertNoMiss(before, world.table.elements(), family);
          assertNoMiss(world.table.elements(), world.table.elements(), family);
          if (plan.later !== undefined) world.removals.push(plan.later);
          if (releasesAll) {
            releaseAll(world);
            assertNoMiss(world.table.elements(), world.table.elements(), family);
            assert.deepEqual(lines(world.planner.elements(), family), lines(world.table.elements(), family));
          }
        }
        releaseAll(world);
        const fresh = newWorld(family);
        const plan = step(fresh, [...world.states]);
        commit(fresh.table, plan, fresh.planner);
        assert.equal(plan.later, undefined);
        const expected = meaning(fresh.table.elements(), family).map(untimed(fresh));
        assert.deepEqual(meaning(world.table.elements(), family).map(untimed(world)), expected);
        assert.deepEqual(conflictsOf(world), conflictsOf(fresh));
      }),
      { numRuns: RUNS[family] },
    );
  });

  test(`${family}: equal models plan nothing`, () => {
    fc.assert(
      fc.property(history, (batches) => {
        const world = newWorld(family);
        for (const { changes } of batches) {
          commit(world.table, step(world, changes), world.planner);
          // The same objects read again: other arrays, other strings.
          assert.deepEqual(step(world, [...world.states]), { chains: [], now: [], flows: [], conflicted: [] });
        }
      }),
      { numRuns: RUNS[family] / 2 },
    );
  });

  test(`${family}: a transaction touches each element once, and never replaces one by itself`, () => {
    fc.assert(
      fc.property(history, (batches) => {
        const world = newWorld(family);
        for (const { changes } of batches) {
          const before = new Map(world.table.elements().map((element) => [`${element.set} ${element.key}`, element]));
          const plan = step(world, changes);
          const ops = new Map<string, string>();
          for (const { op, element } of plan.now) {
            const name = `${element.set} ${element.key}`;
            const seen = ops.get(name);
            assert.ok(
              seen === undefined || (seen === 'delete' && op === 'add'),
              `${op} after ${seen}: ${describe(element, family)}`,
            );
            ops.set(name, op);
            const old = before.get(name);
            if (op === 'add' && old !== undefined) assert.notDeepEqual(lines([old], family), lines([element], family));
          }
          commit(world.table, plan, world.planner);
        }
      }),
      { numRuns: RUNS[family] / 2 },
    );
  });

  test(`${family}: a table that somebody else wrote, or an earlier run, is adopted with the differences only`, () => {
    fc.assert(
      fc.property(history, history, fc.boolean(), (earlier, batches, isRestart) => {
        const world = newWorld(family);
        for (const { changes } of batches) commit(world.table, step(world, changes), world.planner);
        const foreign = newWorld(family);
        for (const { changes } of earlier) {
          const plan = step(foreign, changes);
          foreign.table.apply(plan.now);
        }
        const { table } = foreign;
        const adopter = isRestart ? planner(family) : world.planner;
        adopter.loaded([], world.planner.timeouts());
        adopter.adopt(table.elements());
        adopter.announce([...world.states.values()].flatMap((state) => modelOf(state) ?? []));
        for (const [name, state] of world.states) {
          const key = `default/${name}`;
          const plan = isRestart ? adopter.plan([[key, modelOf(state)]]) : adopter.replan([key]);
          const before = table.elements();
          table.apply(plan.now);
          assertNoMiss(before, table.elements(), family);
          if (plan.later !== undefined) table.apply(adopter.release(plan.later));
          assertNoMiss(table.elements(), table.elements(), family);
        }
        commit(table, adopter.sweep(), adopter);
        assert.deepEqual(meaning(table.elements(), family), meaning(world.table.elements(), family));
        assert.deepEqual(lines(adopter.elements(), family), lines(table.elements(), family));
      }),
      { numRuns: RUNS[family] },
    );
  });

  test(`${family}: adopting what is right already writes nothing`, () => {
    fc.assert(
      fc.property(history, fc.boolean(), (batches, isRestart) => {
        const world = newWorld(family);
        for (const { changes } of batches) commit(world.table, step(world, changes), world.planner);
        const adopter = isRestart ? planner(family) : world.planner;
        adopter.loaded(world.planner.chains(), world.planner.timeouts());
        adopter.adopt(world.table.elements());
        const plan = adopter.plan(
          [...world.states].map(([name, state]) => [`default/${name}`, modelOf(state)] as const),
        );
        assert.deepEqual([plan.now, plan.later, plan.chains], [[], undefined, []]);
        const rest = adopter.sweep();
        assert.deepEqual([rest.now, rest.later, rest.chains], [[], undefined, []]);
      }),
      { numRuns: RUNS[family] },
    );
  });
}

/** The kinds of chains with other timeouts are numbered in the order of their first use: tell the timeout instead. */
function untimed({ planner: from }: World): (line: string) => string {
  return (line) =>
    line.replace(
      /^(services(?:-near)? .* : )([0-9a-f]+):([0-9a-f]+) }$/,
      (all, start: string, kind: string, slots: string) => {
        const number = Number.parseInt(kind, 16);
        if (number < 16) return all;
        return `${start}${number % 2 === 0 ? 'aff' : 'affloc'} ${from.timeouts()[(number - 16) >> 1]}s:${slots} }`;
      },
    );
}

const conflictsOf = ({ planner: from }: World) =>
  [...from.keys()].sort().map((key) => [key, from.conflicts(key).map(({ kind, owner }) => `${kind} ${owner}`)]);
