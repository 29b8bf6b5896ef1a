import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createBatchLoader } from '../../../src/agent/proxy/loader.ts';

test('texts of one moment are one run of nft, and later ones another', async () => {
  const runs: string[] = [];
  const { load, transactions } = createBatchLoader(async (text) => void runs.push(text));
  await Promise.all([load('a\n'), load('b\n')]);
  await load('c\n');
  assert.deepEqual(runs, ['a\nb\n', 'c\n']);
  assert.equal(transactions(), 2);
});

test('what comes during a run waits for the next', async () => {
  const gate = Promise.withResolvers<void>();
  const runs: string[] = [];
  const { load } = createBatchLoader(async (text) => {
    runs.push(text);
    if (text === 'a\n') await gate.promise;
  });
  const first = load('a\n');
  while (runs.length === 0) await new Promise((resolve) => setImmediate(resolve));
  const others = [load('b\n'), load('c\n')];
  gate.resolve();
  await Promise.all([first, ...others]);
  assert.deepEqual(runs, ['a\n', 'b\nc\n']);
});

test('a text that is refused does not take the others with it', async () => {
  const { load, transactions } = createBatchLoader(async (text) => {
    if (text.includes('bad')) throw new Error('refused');
  });
  const [good, bad, fine] = await Promise.allSettled([load('good\n'), load('bad\n'), load('fine\n')]);
  assert.deepEqual([good?.status, bad?.status, fine?.status], ['fulfilled', 'rejected', 'fulfilled']);
  assert.equal(transactions(), 2);
});
