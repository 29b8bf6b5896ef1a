import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { shuffled } from './fixtures.ts';
import { type Golden, player, type Step } from './golden.ts';

const folder = new URL('golden/', import.meta.url);
const read = (file: string): Golden => JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as Golden;

// Files with a `validate` step are played by validate.test.ts.
const files = readdirSync(folder)
  .filter((file) => file.endsWith('.json'))
  .map((file) => ({ file, golden: read(file) }))
  .filter(({ golden }) => golden.steps.every((step) => (step.do as string) !== 'validate'));

const say = (step: Step, index: number) => `step ${index + 1}: ${JSON.stringify(step)}`;

test('the golden cases G1 to G18 are all there', () => {
  const numbers = files.flatMap(({ file }) => /^g(\d\d)-/.exec(file)?.[1] ?? []).map(Number);
  assert.deepEqual(
    numbers,
    Array.from({ length: 18 }, (_, index) => index + 1),
  );
});

for (const { file, golden } of files) {
  test(`golden: ${file.replace('.json', '')}`, () => {
    const { play } = player(golden);
    for (const [index, step] of golden.steps.entries()) explained(say(step, index), () => play(step));
  });
}

test('100 shuffles of pools and Services give every Service the same addresses', (t) => {
  const converging = files.filter(({ golden }) => golden.steps.every((step) => step.do === 'converge'));
  const [first] = converging;
  assert.ok(first !== undefined && converging.length >= 14);
  for (const { file, golden } of converging) assert.deepEqual(golden.pools, first.golden.pools, file);
  const steps = converging.flatMap(({ golden }) => golden.steps);
  const base = Math.trunc(Number(process.env['SEED'] ?? Date.now() % 2 ** 31));
  t.diagnostic(`seeds ${base} to ${base + 99}; SEED=${base} plays them again`);
  for (let seed = base; seed < base + 100; seed += 1) {
    const { play } = player({ pools: shuffled(first.golden.pools, seed) });
    for (const [index, step] of shuffled(steps, seed).entries())
      explained(`seed ${seed}, ${say(step, index)}`, () => play(step));
  }
});

test('the player finds a wrong address, a wrong pool, a missing warning and a wrong count', () => {
  const { play } = player(read('g02-requested-address.json'));
  const [step] = read('g02-requested-address.json').steps as [Extract<Step, { do: 'converge' }>];
  play(step);
  for (const wrong of [{ ingress: ['1.2.3.0'] }, { ingress: [] }, { pool: 'pool5' }, { warning: true }])
    assert.throws(() => play({ ...step, ...wrong }), assert.AssertionError);
  assert.throws(() => play({ do: 'count', pool: 'pool1', ipv4: '3' }), assert.AssertionError);
  assert.throws(() => play({ do: 'split', addresses: '1.2.3.0/31', cidrs: ['1.2.3.0/32'] }), assert.AssertionError);
});

function explained(where: string, run: () => void): void {
  try {
    run();
  } catch (error) {
    throw new assert.AssertionError({ message: `${where}\n${(error as Error).message}`, stackStartFn: explained });
  }
}
