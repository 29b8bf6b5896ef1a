/** The tables against kube-proxy: what they expect is what the reference does, but for what differences.ts lists. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Case } from './cases.ts';
import { type Difference, differences, ofKubeProxy } from './differences.ts';
import { kubeProxy, kubeProxyProgram } from './proxies.ts';
import { testTables } from './suites.ts';

const met = new Set<Difference>();

testTables(
  async () => {
    const program = await kubeProxyProgram();
    return program === undefined ? undefined : kubeProxy(program);
  },
  'kube-proxy',
  (cases): readonly Case[] => {
    const adapted = ofKubeProxy(cases);
    for (const difference of differences) if (!adapted.unused.includes(difference)) met.add(difference);
    return adapted.cases;
  },
);

test('no difference is listed in vain', () => {
  assert.deepEqual(
    differences.filter((difference) => met.size > 0 && !met.has(difference)),
    [],
  );
});
