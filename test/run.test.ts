import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const runner = fileURLToPath(new URL('./run.ts', import.meta.url));
const leftOut = JSON.stringify(new URL('./left-out.ts', import.meta.url).href);

const passes = (count: number): string =>
  `import { test } from 'node:test';\n${Array.from({ length: count }, (_, n) => `test('${n}', () => {});`).join('\n')}`;
const fails = `import { test } from 'node:test';\ntest('bad', () => { throw new Error('no'); });`;
const throwsAtLoad = `throw new Error('at load');`;
const leavesOut = `import { test } from 'node:test';
import { leaveOut } from ${leftOut};
for (const name of ['a', 'b']) test(name, (t) => leaveOut(t, 'real kube-apiserver', 'npm run kube'));
test('c', () => {});`;

/** Runs the runner in a folder with these files. */
function run(
  t: TestContext,
  files: Readonly<Record<string, string>>,
  how: { readonly args?: readonly string[]; readonly ci?: boolean } = {},
): { readonly code: number | null; readonly last: string; readonly out: string } {
  const cwd = mkdtempSync(join(tmpdir(), 'fairlead-run-'));
  t.after(() => rmSync(cwd, { recursive: true }));
  for (const [path, text] of Object.entries({ 'package.json': '{"type":"module"}', ...files })) {
    mkdirSync(dirname(join(cwd, path)), { recursive: true });
    writeFileSync(join(cwd, path), text);
  }
  // NODE_TEST_CONTEXT would tell the inner runner that it runs inside this one, and it would run nothing.
  const { NODE_TEST_CONTEXT: _, CI: __, ...env } = process.env;
  const { status, stdout, stderr } = spawnSync(process.execPath, [runner, ...(how.args ?? [])], {
    cwd,
    env: { ...env, ...(how.ci ? { CI: 'true' } : {}) },
    encoding: 'utf8',
    timeout: 60_000,
  });
  return { code: status, last: stdout.trimEnd().split('\n').at(-1) ?? '', out: stdout + stderr };
}

interface Case {
  readonly name: string;
  readonly files: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
  readonly ci?: boolean;
  readonly code: number;
  readonly last: string;
  readonly says?: RegExp;
}
const cases: readonly Case[] = [
  {
    name: 'all pass, in one process and in their own; fakes and other files are not run',
    files: {
      'test/core/a.test.ts': passes(3),
      'test/work/b.test.ts': passes(3),
      'test/fake/clock.ts': throwsAtLoad,
      'node_modules/x/c.test.ts': throwsAtLoad,
    },
    code: 0,
    last: '6 passed, 0 failed, 0 skipped',
  },
  {
    name: 'one failing test fails the run',
    files: { 'test/core/a.test.ts': passes(2), 'test/work/b.test.ts': fails },
    code: 1,
    last: '2 passed, 1 failed, 0 skipped',
  },
  {
    name: 'a file that throws at load is one failure, and the others still run',
    files: { 'test/core/a.test.ts': throwsAtLoad, 'test/core/b.test.ts': passes(2), 'test/work/c.test.ts': passes(1) },
    code: 1,
    last: '3 passed, 1 failed, 0 skipped',
  },
  {
    name: 'a file that throws at load in a process of its own is one failure, too',
    files: { 'test/work/a.test.ts': throwsAtLoad, 'test/work/b.test.ts': passes(2) },
    code: 1,
    last: '2 passed, 1 failed, 0 skipped',
  },
  { name: 'no files is a failure', files: {}, code: 1, last: '0 passed, 1 failed, 0 skipped', says: /no test file/ },
  {
    name: 'a file without a test is a failure',
    files: {
      'test/core/a.test.ts': 'export {};',
      'test/work/a.test.ts': 'export {};',
      'test/core/b.test.ts': passes(1),
    },
    code: 1,
    last: '1 passed, 2 failed, 0 skipped',
    says: /FAILED: .*test\/work\/a\.test\.ts: holds no test/,
  },
  {
    name: 'patterns choose: a file, a folder, a glob',
    files: {
      'test/core/a.test.ts': passes(1),
      'test/work/b.test.ts': passes(2),
      'test/work/c.test.ts': passes(4),
      'test/kube/d.test.ts': fails,
    },
    args: ['test/core/a.test.ts', 'test/work'],
    code: 0,
    last: '7 passed, 0 failed, 0 skipped',
  },
  {
    name: 'a pattern that meets nothing is a failure, although others meet something',
    files: { 'test/core/a.test.ts': passes(1) },
    args: ['test/c*/*.ts', 'test/wrok'],
    code: 1,
    last: '1 passed, 1 failed, 0 skipped',
    says: /FAILED: test\/wrok: no test file/,
  },
  {
    name: 'what is left out is said once, loudly, and is no pass',
    files: { 'test/core/a.test.ts': leavesOut, 'test/work/a.test.ts': leavesOut },
    code: 0,
    last: '2 passed, 0 failed, 4 skipped',
    says: /^LEFT OUT, 4 tests: real kube-apiserver \(npm run kube\)$/m,
  },
  {
    name: 'when everything is left out nothing has passed',
    files: { 'test/core/a.test.ts': `import { test } from 'node:test';\ntest('later', { todo: true }, () => {});` },
    code: 1,
    last: '0 passed, 0 failed, 1 skipped',
    says: /LEFT OUT, 1 test: to do: later/,
  },
  {
    name: 'with CI=true leaving out fails',
    files: { 'test/core/a.test.ts': leavesOut },
    ci: true,
    code: 1,
    last: '1 passed, 2 failed, 0 skipped',
    says: /CI=true leaves nothing out/,
  },
  {
    name: 'with CI=true a plain skip fails, too',
    files: { 'test/core/a.test.ts': `${passes(1)}\ntest('x', { skip: 'no root' }, () => {});` },
    ci: true,
    code: 1,
    last: '1 passed, 0 failed, 1 skipped',
    says: /LEFT OUT, 1 test: no root\nFAILED: with CI=true/,
  },
];

for (const { name, files, args, ci, code, last, says } of cases) {
  test(`npm test: ${name}`, (t) => {
    const end = run(t, files, { ...(args === undefined ? {} : { args }), ...(ci === undefined ? {} : { ci }) });
    assert.deepEqual([end.code, end.last], [code, last], end.out);
    if (says !== undefined) assert.match(end.out, says);
  });
}
