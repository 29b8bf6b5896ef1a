/**
 * `npm test`, or `npm test -- PATTERN...` with files, folders or globs: runs test files and ends with two things that
 * every CI reads: one line for each thing that was left out, and `N passed, N failed, N skipped`. Exit code 1 when a test
 * failed, none passed, a pattern met no file, or, with CI=true, anything was skipped.
 */
import { globSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { LEFT_OUT } from './left-out.ts';

/** Quick, and free of processes, sockets, files and globals: these run together in this process, 30 times as fast. */
const PURE = ['test/core/', 'test/providers/example/', 'test/providers/memory/'];
const PURE_TIMEOUT_MS = 120_000;
/** Of one file; the slowest builds Kubernetes. */
const FILE_TIMEOUT_MS = 1_800_000;

const totals = { passed: 0, failed: 0, skipped: 0 };
const failures: string[] = []; // beyond those that the reporter lists
const skips = new Map<string, number>(); // what was said -> tests

const files = testFiles(process.argv.slice(2));
const isPure = (file: string): boolean => PURE.some((folder) => file.startsWith(folder));
await phase(files.filter(isPure), 'none');
await phase(
  files.filter((file) => !isPure(file)),
  'process',
);
process.exitCode = conclude();

/** Relative to the working directory, sorted. A pattern that meets nothing is a failure, not an empty success. */
function testFiles(patterns: readonly string[]): readonly string[] {
  const found = new Set<string>();
  for (const pattern of patterns.length === 0 ? ['test'] : patterns) {
    const matches = globSync(isFolder(pattern) ? `${pattern}/**/*.test.ts` : pattern);
    const tests = matches.filter((file) => file.endsWith('.test.ts') && !file.includes('node_modules'));
    if (tests.length === 0) fail(`${pattern}: no test file (*.test.ts)`);
    for (const file of tests) found.add(file);
  }
  return [...found].sort();
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

async function phase(list: readonly string[], isolation: 'none' | 'process'): Promise<void> {
  if (list.length === 0) return;
  const stream = run({
    files: list.map((file) => resolve(file)),
    isolation,
    ...(isolation === 'none' ? { timeout: PURE_TIMEOUT_MS } : { timeout: FILE_TIMEOUT_MS, concurrency: 2 }),
  });
  stream.on('test:pass', ({ details, skip, todo, name, file }) => {
    if (details.type === 'suite') return;
    // A file that holds no test is reported as if it were one.
    if (file !== undefined && resolve(name) === file) fail(`${name}: holds no test`);
    else if (todo !== undefined) skipped(`to do: ${name}`);
    else if (skip !== undefined) skipped(typeof skip === 'string' && skip !== '' ? skip : `${name}: no reason given`);
    else totals.passed += 1;
  });
  stream.on('test:fail', ({ details, todo, name }) => {
    if (details.type === 'suite') return;
    if (todo !== undefined) skipped(`to do: ${name}`);
    else totals.failed += 1;
  });
  for await (const chunk of stream.compose(new spec())) process.stdout.write(chunk);
}

function skipped(reason: string): void {
  totals.skipped += 1;
  skips.set(reason, (skips.get(reason) ?? 0) + 1);
}

function fail(reason: string): void {
  totals.failed += 1;
  failures.push(reason);
}

function conclude(): number {
  const { passed, failed, skipped: left } = totals;
  for (const [reason, count] of [...skips].sort()) {
    const what = reason.startsWith(LEFT_OUT) ? reason.slice(LEFT_OUT.length) : reason;
    console.log(`LEFT OUT, ${count} ${count === 1 ? 'test' : 'tests'}: ${what}`);
  }
  for (const reason of failures) console.log(`FAILED: ${reason}`);
  const strict = process.env['CI'] === 'true' && left > 0;
  if (strict) console.log('FAILED: with CI=true nothing may be left out');
  console.log(`${passed} passed, ${failed} failed, ${left} skipped`);
  return failed > 0 || passed === 0 || strict ? 1 : 0;
}
