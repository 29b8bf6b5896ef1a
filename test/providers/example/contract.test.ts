/** A third party's provider passes the suite, and one that breaks a promise fails the test of that promise. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createVirtualClock } from '../../fake/clock.ts';
import { contract, contractCases, exampleSpecs, type Harness } from '../contract.ts';
import { type Appliance, createAppliance, type NewServer, type Server } from './appliance.ts';
import { type Act, breaches, type Parts } from './breaches.ts';

// As the command line loads it: JavaScript, whose types nobody has.
const { parts } = (await import(new URL('./provider.js', import.meta.url).href)) as {
  readonly parts: (appliance: Appliance, cluster: string) => Parts;
};

function harness(
  breaks: (sound: Parts, appliance: Appliance) => Partial<Parts> = () => ({}),
): Harness<NewServer, Server | undefined, Act> {
  const clock = createVirtualClock();
  const { appliance, all, failing } = createAppliance(clock);
  const make = (): Parts => {
    const sound = parts(appliance, 'contract');
    return { ...sound, ...breaks(sound, appliance) };
  };
  return {
    parts: make(),
    restart: make,
    async foreign() {
      const { uid } = exampleSpecs().first;
      await appliance.put({ name: 'by-hand', owner: 'an administrator', label: '', ports: ['TCP 80 to 80'] });
      await appliance.put({ name: `elsewhere-${uid}`, owner: `fairlead/elsewhere/${uid}`, label: '', ports: [] });
    },
    snapshot: all,
    failReads(on) {
      failing.reads = on;
    },
    advance: (ms) => clock.advance(ms),
  };
}

contract('a third party', () => harness());

for (const { name, breaks, seenBy } of breaches) {
  test(`the suite fails a provider that ${name}`, async () => {
    const cases = new Map(contractCases(() => harness(breaks)).map((one) => [one.name, one]));
    for (const promise of seenBy) {
      const one = cases.get(promise);
      assert.ok(one, `no such test: ${promise}`);
      await assert.rejects(one.run(), `not seen by: ${promise}`);
    }
  });
}

test('every test of the suite is seen failing', () => {
  const seen = new Set(breaches.flatMap(({ seenBy }) => seenBy));
  const unseen = contractCases(() => harness()).filter(({ name }) => !seen.has(name));
  assert.deepEqual(
    unseen.map(({ name }) => name),
    [],
  );
});
