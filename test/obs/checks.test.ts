import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answerHealth, type Checks, createLoopCheck } from '../../src/obs/checks.ts';

let synced: string | undefined;
let renewed: string | undefined;
const checks: Checks = {
  livez: { 'event-loop': () => undefined },
  readyz: { stores: () => synced },
  healthz: { lease: () => renewed },
};
const ask = (path: string): readonly [number, string] | undefined => {
  const answer = answerHealth(checks, new URL(path, 'http://host'));
  return answer && [answer.status, answer.body];
};

interface Case {
  readonly name: string;
  readonly path: string;
  readonly stores?: string;
  readonly lease?: string;
  readonly expected: readonly [number, string] | undefined;
}
const cases: readonly Case[] = [
  { name: 'all well', path: '/healthz', expected: [200, 'ok'] },
  { name: 'a slash at the end', path: '/livez/', expected: [200, 'ok'] },
  {
    name: 'verbose lists every check',
    path: '/healthz?verbose',
    expected: [200, '[+]ping ok\n[+]event-loop ok\n[+]stores ok\n[+]lease ok\nhealthz check passed\n'],
  },
  { name: 'not ready is still alive', path: '/livez', stores: 'not synced: nodes', expected: [200, 'ok'] },
  {
    name: 'not ready says why without verbose',
    path: '/readyz',
    stores: 'not synced: nodes',
    expected: [500, '[+]ping ok\n[-]stores failed: not synced: nodes\nreadyz check failed\n'],
  },
  { name: 'a lease that is late does not concern readiness', path: '/readyz', lease: 'late', expected: [200, 'ok'] },
  {
    name: 'a lease that is late is unhealthy',
    path: '/healthz',
    lease: 'late',
    expected: [500, '[+]ping ok\n[+]event-loop ok\n[+]stores ok\n[-]lease failed: late\nhealthz check failed\n'],
  },
  { name: 'an excluded check does not fail', path: '/healthz?exclude=lease', lease: 'late', expected: [200, 'ok'] },
  {
    name: 'several are excluded, an unknown one is named',
    path: '/readyz?verbose&exclude=stores&exclude=x',
    stores: 'late',
    expected: [
      200,
      '[+]ping ok\n[+]stores excluded: ok\nwarn: there is no health check "x" to exclude\nreadyz check passed\n',
    ],
  },
  { name: 'one check alone', path: '/healthz/lease', stores: 'late', expected: [200, 'ok'] },
  {
    name: 'one check alone that fails',
    path: '/readyz/stores',
    stores: 'late',
    expected: [500, '[-]stores failed: late\nreadyz check failed\n'],
  },
  { name: 'a check of another group', path: '/livez/stores', expected: undefined },
  { name: 'no such check', path: '/livez/toString', expected: undefined },
  { name: 'another path', path: '/metrics', expected: undefined },
  { name: 'deeper than a check', path: '/livez/ping/more', expected: undefined },
];

for (const { name, path, stores, lease, expected } of cases) {
  test(`health path ${path}: ${name}`, () => {
    synced = stores;
    renewed = lease;
    assert.deepEqual(ask(path), expected);
  });
}

/** A loop whose timers fire when the test says so, as a real one's do after a stall: late. */
function loop() {
  let nowMs = 0;
  let due: { readonly ms: number; readonly run: () => void } | undefined;
  return {
    clock: {
      monotonicMs: () => nowMs,
      after(ms: number, run: () => void) {
        due = { ms: nowMs + ms, run };
        return () => {
          due = undefined;
        };
      },
    },
    /** Time passes; the loop turns at the end of it. */
    pass(ms: number, turn = true) {
      nowMs += ms;
      if (turn && due !== undefined && due.ms <= nowMs) due.run();
    },
    armed: () => due !== undefined,
  };
}

test('a loop that turns every second is well; one that stood still for 31 s is not, until 10 s later', () => {
  const { clock, pass } = loop();
  const { check } = createLoopCheck(clock);
  for (let second = 0; second < 30; second += 1) pass(1000);
  assert.equal(check(), undefined);
  pass(9000);
  assert.equal(check(), undefined);
  pass(31_000);
  assert.equal(check(), 'the event loop stood still for 31 s');
  pass(10_000);
  assert.equal(check(), 'the event loop stood still for 31 s');
  pass(1000);
  assert.equal(check(), undefined);
});

test('a stall is seen also by a request that comes before the late timer', () => {
  const { clock, pass } = loop();
  const { check } = createLoopCheck(clock);
  pass(12_000, false);
  assert.equal(check(), 'the event loop stood still for 12 s');
});

test('stop leaves no timer', () => {
  const { clock, pass, armed } = loop();
  const { stop } = createLoopCheck(clock);
  pass(1000);
  assert.equal(armed(), true);
  stop();
  assert.equal(armed(), false);
});
