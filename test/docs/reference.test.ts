import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { reference } from '../../deploy/reference.ts';
import { allCommands } from '../../src/cli/run.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const read = (path: string) => readFileSync(`${root}${path}`, 'utf8');
const pages = ['README.md', 'CONTRIBUTING.md', ...globSync('docs/**/*.md', { cwd: root })];
const sources = globSync(['src/**/*.ts', 'providers/**/*.ts'], { cwd: root }).map(read).join('\n');

test('docs/reference.md is what the code says (node deploy/reference.ts writes it)', async () => {
  assert.equal(read('docs/reference.md'), await reference());
});

test('every flag in a code span of the documents is a flag of some command', async () => {
  const known = new Set(['help', 'version']);
  for (const { flags } of await allCommands())
    for (const { name, aliases = [] } of flags) for (const one of [name, ...aliases]) known.add(one);
  // Flags of programs that are not ours, as the documents tell people to use them.
  const others = new Set([
    'ignore-scripts',
    'omit',
    'lb-class',
    'replicas',
    'timeout',
    'all-namespaces',
    'watch',
    'tcp',
    'test',
    'port',
    'install',
    'node-ip',
  ]);
  for (const page of pages) {
    for (const [, span = ''] of read(page).matchAll(/`([^`\n]+)`/g)) {
      for (const [, name = ''] of span.matchAll(/(?:^|\s)--([a-z][a-z0-9-]*)/g)) {
        assert.ok(known.has(name) || others.has(name), `${page}: --${name}`);
      }
    }
  }
});

test('every annotation and event in the documents is in the code', () => {
  for (const page of pages) {
    for (const [, key = ''] of read(page).matchAll(/`((?:fairlead\.dev|metallb\.io)\/[\w-]+)`/g)) {
      const name = key.split('/')[1] as string;
      assert.ok(sources.includes(key) || sources.includes(`'${name}'`), `${page}: ${key}`);
    }
    for (const [, reason = ''] of read(page).matchAll(
      /`([A-Z][a-z]+(?:[A-Z][a-z]+)+(?:Failed|Annotation|Balancer|Held|Finalizer|Resource))`/g,
    )) {
      assert.ok(sources.includes(reason), `${page}: ${reason}`);
    }
  }
});

test('every link between the documents leads somewhere', () => {
  for (const page of pages) {
    const folder = page.includes('/') ? page.slice(0, page.lastIndexOf('/') + 1) : '';
    for (const [, target = ''] of read(page).matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)) {
      const path = new URL(target, `file://${root}${folder}`).pathname;
      assert.ok(existsSync(path), `${page}: ${target}`);
    }
  }
});
