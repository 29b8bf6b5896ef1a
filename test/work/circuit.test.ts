import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createCircuit, type Ending } from '../../src/work/circuit.ts';

function rig() {
  let nowMs = 0;
  let opened = 0;
  const circuit = createCircuit({ monotonicMs: () => nowMs }, () => {
    opened += 1;
  });
  return {
    circuit,
    opened: () => opened,
    pass: (ms: number) => {
      nowMs += ms;
    },
    /** A request that ends at once; how long it was refused for, or 'sent'. */
    send(how: Ending): number | 'sent' {
      const entry = circuit.enter();
      if ('refusedForMs' in entry) return entry.refusedForMs;
      entry.end(how);
      return 'sent';
    },
    /** One that is under way. */
    begin(): (how: Ending) => void {
      const entry = circuit.enter();
      if ('refusedForMs' in entry) throw new Error(`refused for ${entry.refusedForMs} ms`);
      return entry.end;
    },
  };
}
const failAll = ({ send }: ReturnType<typeof rig>, times: number) => {
  for (let at = 0; at < times; at += 1) send('failed');
};

test('five failures in a row open it for a second, four do not', () => {
  const it = rig();
  failAll(it, 4);
  assert.equal(it.send('failed'), 'sent');
  assert.equal(it.send('answered'), 1000);
  it.pass(400);
  assert.equal(it.send('answered'), 600);
  assert.equal(it.opened(), 1);
});

test('an answer in between, also a refusal, starts the row anew; what ends without one does not count', () => {
  const it = rig();
  for (let at = 0; at < 10; at += 1) {
    failAll(it, 4);
    it.send('unknown');
    it.send('answered');
  }
  assert.equal(it.opened(), 0);
});

test('after its time one request probes, the others come again later', () => {
  const it = rig();
  failAll(it, 5);
  it.pass(1000);
  const probe = it.begin();
  assert.equal(it.send('answered'), 1000);
  probe('answered');
  assert.equal(it.send('answered'), 'sent');
});

test('each probe that fails doubles the time, up to half a minute; an answer starts it anew', () => {
  const it = rig();
  failAll(it, 5);
  for (const openMs of [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]) {
    assert.equal(it.send('answered'), openMs);
    it.pass(openMs);
    assert.equal(it.send('failed'), 'sent');
  }
  it.pass(30_000);
  assert.equal(it.send('answered'), 'sent');
  failAll(it, 5);
  assert.equal(it.send('answered'), 1000);
});

test('a probe that ends without an answer leaves it to the next one', () => {
  const it = rig();
  failAll(it, 5);
  it.pass(1000);
  assert.equal(it.send('unknown'), 'sent');
  assert.equal(it.send('answered'), 'sent');
});

test('what began before it opened: its failure changes nothing, its answer closes it', () => {
  const it = rig();
  const early = [it.begin(), it.begin()] as const;
  failAll(it, 5);
  early[0]('failed');
  assert.deepEqual([it.send('answered'), it.opened()], [1000, 1]);
  early[1]('answered');
  assert.equal(it.send('answered'), 'sent');
});

test('property: no request is refused for longer than half a minute, whatever came before', () => {
  const step = fc.oneof(
    fc.record({ pass: fc.nat(40_000) }),
    fc.constant({ begin: true as const }),
    fc.record({ end: fc.constantFrom<Ending>('answered', 'failed', 'unknown') }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const { circuit, pass } = rig();
      const running: ((how: Ending) => void)[] = [];
      for (const one of steps) {
        if ('pass' in one) pass(one.pass);
        else if ('end' in one) running.shift()?.(one.end);
        else {
          const entry = circuit.enter();
          if ('refusedForMs' in entry) assert.ok(entry.refusedForMs > 0 && entry.refusedForMs <= 30_000);
          else running.push(entry.end);
        }
      }
      for (const end of running) end('unknown');
      pass(30_000);
      assert.ok('end' in circuit.enter());
    }),
  );
});
