import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { InputError } from '../../src/cli/command.ts';
import { readManifests } from '../../src/cli/manifest.ts';
import { fakeTerminal } from './terminal.ts';

const service = (name: string) => `apiVersion: v1\nkind: Service\nmetadata: {name: ${name}}\n`;

test('several documents and a List are read in their order, empty ones skipped', async () => {
  const stdin = `---\n${service('a')}---\n---\napiVersion: v1\nkind: List\nitems:\n- ${service('b').replaceAll('\n', '\n  ')}\n`;
  const found = await readManifests(['-'], fakeTerminal({ stdin }));
  assert.deepEqual(
    found.map(({ kind, metadata }) => [kind, metadata.name]),
    [
      ['Service', 'a'],
      ['Service', 'b'],
    ],
  );
});

test('every problem of every document is named, with its place', async () => {
  const stdin = `kind: Service\n---\n- a\n---\nfoo: [\n---\n${service('ok')}`;
  await assert.rejects(readManifests(['-'], fakeTerminal({ stdin })), (error) => {
    assert.ok(error instanceof InputError);
    assert.equal(error.problems.length, 4);
    assert.match(error.problems[0] as string, /^standard input, document 1: apiVersion is missing/);
    assert.match(error.problems[1] as string, /^standard input, document 1: metadata.name is missing/);
    assert.match(error.problems[2] as string, /^standard input, document 2: is no Kubernetes object but a list/);
    assert.match(error.problems[3] as string, /^standard input, document 3: /);
    return true;
  });
});

test('a file that is not there and one without an object are problems of the input', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'fairlead-manifest-'));
  t.after(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, 'empty.yaml'), '# nothing\n');
  const terminal = fakeTerminal({ cwd: folder });
  await assert.rejects(readManifests(['missing.yaml'], terminal), /missing\.yaml: cannot be read/);
  await assert.rejects(readManifests(['empty.yaml'], terminal), /empty\.yaml: holds no object/);
});
