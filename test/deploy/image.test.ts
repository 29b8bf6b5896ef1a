import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { nodeFlags } from '../../deploy/build.ts';

test('the image runs the bundle with the same flags of Node as its launcher', async () => {
  const file = await readFile(new URL('../../deploy/images/controller.Dockerfile', import.meta.url), 'utf8');
  const entrypoint = /^ENTRYPOINT (.+)$/m.exec(file)?.[1] ?? 'null';
  assert.deepEqual(JSON.parse(entrypoint), ['node', ...nodeFlags, '/fairlead/fairlead.js']);
});
