import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { kubeVersion } from '../kube/build.ts';
import { casesOf } from '../kube/suite.ts';
import { CI_FOCUS } from './cases.ts';
import { expectedPage, recorded } from './recorded.ts';

test('docs/conformance.md shows what was recorded', () => {
  const { path, text } = expectedPage();
  assert.equal(readFileSync(path, 'utf8'), text, 'run `npm run conformance -- --record`, or edit around the table');
});

test('what is recorded is of the version that is built, and no case that CI runs failed with Fairlead', () => {
  const { kubernetes, cases } = recorded();
  assert.equal(kubernetes, kubeVersion());
  const focus = new RegExp(CI_FOCUS);
  const inCi = Object.entries(cases).filter(([name]) => focus.test(name));
  assert.ok(inCi.length >= 20, `${inCi.length} cases`);
  assert.deepEqual(
    inCi.filter(([, { fairlead }]) => fairlead !== 'passed'),
    [],
  );
});

test("a report of Kubernetes' tests: what was skipped is left out, what did not pass says why", () => {
  const spec = { LeafNodeType: 'It', ContainerHierarchyTexts: ['[sig-network] Services'], RunTime: 2_000_000_000 };
  const report = [
    { SpecReports: null },
    {
      SpecReports: [
        { ...spec, LeafNodeText: 'should work', State: 'passed' },
        { ...spec, LeafNodeText: 'should fail', State: 'failed', Failure: { Message: 'no answer' } },
        { ...spec, LeafNodeText: 'should end', State: 'interrupted' },
        { ...spec, LeafNodeText: 'should be elsewhere', State: 'skipped' },
        { ...spec, LeafNodeType: 'SynchronizedBeforeSuite', LeafNodeText: '', State: 'passed' },
      ],
    },
  ];
  assert.deepEqual(casesOf(JSON.stringify(report)), [
    { name: '[sig-network] Services should end', state: 'failed', seconds: 2, message: 'interrupted' },
    { name: '[sig-network] Services should fail', state: 'failed', seconds: 2, message: 'no answer' },
    { name: '[sig-network] Services should work', state: 'passed', seconds: 2, message: '' },
  ]);
});
