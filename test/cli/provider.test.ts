import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { InputError } from '../../src/cli/command.ts';
import { loadProvider } from '../../src/cli/provider.ts';

let folder = '';
const good =
  'export const apiVersion = 1;\nexport const create = async () => ({ name: "x", close: async () => {} });\n';

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fairlead-provider-'));
  await writeFile(join(folder, 'mine.mjs'), good);
  await writeFile(join(folder, 'old.mjs'), 'export const apiVersion = 2;\n');
  await writeFile(join(folder, 'throws.mjs'), 'throw new Error("at load");\n');
  await addPackage('fine', { '.': { default: './index.js' } });
  await addPackage('@scope/fine', { '.': { import: './index.js', default: './index.js' } });
  await addPackage('import-only', { '.': { import: './index.js' } });
});
after(() => rm(folder, { recursive: true, force: true }));

async function addPackage(name: string, exports: object): Promise<void> {
  const home = join(folder, 'node_modules', name);
  await mkdir(home, { recursive: true });
  await writeFile(join(home, 'package.json'), JSON.stringify({ name, version: '1.0.0', type: 'module', exports }));
  await writeFile(join(home, 'index.js'), good);
}

for (const name of ['onprem', 'memory', './mine.mjs', 'fine', '@scope/fine']) {
  test(`--provider ${name} loads`, async () => {
    const module = await loadProvider(name, folder);
    assert.equal(module.apiVersion, 1);
    assert.equal(typeof module.create, 'function');
  });
}

test('--provider takes an absolute path and a file URL', async () => {
  assert.equal((await loadProvider(join(folder, 'mine.mjs'), '/')).apiVersion, 1);
  assert.equal((await loadProvider(new URL(`file://${folder}/mine.mjs`).href, '/')).apiVersion, 1);
});

const refused: readonly { readonly name: string; readonly says: RegExp }[] = [
  { name: './missing.mjs', says: /"\.\/missing\.mjs" does not load: .*Cannot find module/ },
  { name: './throws.mjs', says: /does not load: at load/ },
  { name: './old.mjs', says: /exports apiVersion 2; this Fairlead needs 1[\s\S]*exports no function "create"/ },
  {
    name: 'nobody-has-this',
    says: /is none of onprem, aws, memory, and no package of that name is installed here; write a path as \.\/mine\.js/,
  },
  { name: 'import-only', says: /its "exports" must have a "default" condition, "import" alone is not enough/ },
];
for (const { name, says } of refused) {
  test(`--provider ${name} is refused: ${says.source}`, async () => {
    await assert.rejects(loadProvider(name, folder), (error) => {
      assert.ok(error instanceof InputError);
      assert.match(error.message, says);
      return true;
    });
  });
}
