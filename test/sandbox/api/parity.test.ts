/**
 * The sandbox answers as kube-apiserver 1.37.2 does: the same requests to both, compared with the recorded answers of the
 * real one (golden/parity.json), so that the sandbox is held to them also where no real one is at hand.
 * `RECORD_PARITY=1 node --test test/sandbox/api/parity.test.ts` records anew, from a real server only.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Transport } from '../../../src/kube/request.ts';
import { createSandboxApi } from '../../../src/sandbox/api/server.ts';
import { systemClock } from '../../../src/work/clock.ts';
import { realApi } from '../../kube/cluster.ts';
import { scenarios, widgetDefinition } from './parity-cases.ts';
import { get, type Json, post, run } from './parity-steps.ts';

const file = new URL('./golden/parity.json', import.meta.url);
const recording = process.env['RECORD_PARITY'] === '1';
const serviceClusterIpRange = '10.96.0.0/16,fd00:10:96::/112';

interface Server {
  readonly name: 'sandbox' | 'kube-apiserver';
  start(t: TestContext): Promise<Transport | undefined>;
}

const servers: readonly Server[] = [
  {
    name: 'kube-apiserver',
    start: async (t) => (await realApi(t, { serviceClusterIpRange }))?.transport(),
  },
  {
    name: 'sandbox',
    async start(t) {
      const api = createSandboxApi({
        clock: systemClock,
        serviceCidrs: serviceClusterIpRange.split(','),
        plane: false,
      });
      t.after(() => api.close());
      return api.transport();
    },
  },
];

const golden = recording ? {} : (JSON.parse(readFileSync(file, 'utf8')) as Record<string, readonly Json[]>);

for (const { name, start } of servers) {
  if (recording && name === 'sandbox') continue;
  suite(`answers of ${name}`, { timeout: 180_000 }, () => {
    test('every scenario', async (t) => {
      const transport = await start(t);
      if (transport === undefined) return;
      await prepare(transport);
      for (const scenario of scenarios) {
        const answers = await run(transport, scenario);
        if (recording) golden[scenario.name] = answers;
        else await t.test(scenario.name, () => compare(answers, golden[scenario.name] ?? []));
      }
      if (recording) writeFileSync(file, printed(golden));
    });
  });
}

/** The namespace and the definition that all scenarios use. */
async function prepare(transport: Transport): Promise<void> {
  const setUp = [
    post('/api/v1/namespaces', { metadata: { name: 'parity' } }),
    post('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', widgetDefinition),
  ];
  for (const { status } of await run(transport, { name: 'set up', steps: setUp })) assert.equal(status, 201);
  const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.parity.example.com';
  for (let tries = 100; ; tries -= 1) {
    const [definition] = await run(transport, { name: 'definition', steps: [get(path)] });
    const established = (definition.body.status?.conditions ?? []).some(
      ({ type, status }: Json) => type === 'Established' && status === 'True',
    );
    const [served] = await run(transport, {
      name: 'served',
      steps: [get('/apis/parity.example.com/v1/namespaces/parity/widgets')],
    });
    if (established && served.status === 200) return;
    assert.ok(tries > 0, 'the definition is not established');
    await sleep(50);
  }
}

/** One answer a line, so that a newer Kubernetes shows as a readable diff. */
function printed(all: Readonly<Record<string, readonly Json[]>>): string {
  const entries = Object.entries(all).map(
    ([name, answers]) => `${JSON.stringify(name)}:[\n${answers.map((answer) => JSON.stringify(answer)).join(',\n')}\n]`,
  );
  return `{\n${entries.join(',\n')}\n}\n`;
}

/** One comparison for each request, so that the report names it. */
function compare(answers: readonly Json[], wanted: readonly Json[]): void {
  for (const [index, answer] of answers.entries())
    assert.deepEqual(answer, wanted[index], `request ${index}: ${answer.ask}`);
  assert.equal(answers.length, wanted.length);
}
