/** What no single file can keep: boundaries, catalogue, generated files. Each check is seen failing once. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { generatedFiles as annotations } from '../deploy/annotations.ts';
import { generatedFiles as crds } from '../deploy/crds.ts';
import { generatedFiles as iam } from '../deploy/iam.ts';
import { errorCatalogue } from '../src/core/errors.ts';
import { leaveOut } from './left-out.ts';

const root = dirname(import.meta.dirname);
const require = createRequire(import.meta.url);
const config = join(root, '.dependency-cruiser.cjs');
const rules = (require(config) as { readonly forbidden: readonly { readonly name: string }[] }).forbidden.map(
  ({ name }) => name,
);

// ---------------------------------------------------------------------------------------------------------------------
// Boundaries

interface Cruise {
  readonly modules: number;
  /** 'rule: from -> to' */
  readonly violations: readonly string[];
}

function cruise(folder: string): Cruise {
  const bin = join(root, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs');
  const args = [bin, '--config', config, '--output-type', 'json', 'src', 'providers'];
  const { stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: folder,
    encoding: 'utf8',
    timeout: 120_000,
    maxBuffer: 2 ** 28,
  });
  assert.ok(stdout.startsWith('{'), stderr);
  const { summary } = JSON.parse(stdout) as {
    summary: { totalCruised: number; violations: { from: string; to: string; rule: { name: string } }[] };
  };
  return {
    modules: summary.totalCruised,
    violations: summary.violations.map(({ rule, from, to }) => `${rule.name}: ${from} -> ${to}`).sort(),
  };
}

test('no file crosses a boundary', () => {
  const { modules, violations } = cruise(root);
  assert.deepEqual(violations, []);
  // With TypeScript 7 dependency-cruiser sees nothing at all, and passes.
  assert.ok(modules > 100, `${modules} modules`);
});

/** Each rule is broken once, some in the ways that a rule could overlook: by a type, by a dynamic import, by a package. */
const planted: Readonly<Record<string, string>> = {
  'src/core/provider.ts': 'export type Cidr = string;',
  'src/core/net/ip.ts': "import { isIP } from 'node:net';\nexport const ip = isIP;",
  'src/core/impure.ts': "import { readFileSync } from 'node:fs';\nexport const read = readFileSync;",
  'src/core/typed.ts': "import type { Client } from '../kube/request.ts';\nexport type C = Client;",
  'src/kube/request.ts': 'export interface Client { readonly open: boolean }',
  'src/kube/upwards.ts': "export const load = () => import('../controllers/service.ts');",
  'src/controllers/service.ts': "import { help } from '../cli/help.ts';\nexport const service = help;",
  'src/controllers/cloud.ts': "export const load = () => import('../../providers/aws/index.ts');",
  'src/cli/help.ts': "export const load = () => import('../../providers/aws/index.ts');\nexport const help = 1;",
  'src/work/one.ts': "import { two } from './two.ts';\nexport const one = (): number => two();",
  'src/work/two.ts': "import { one } from './one.ts';\nexport const two = (): number => one();",
  'providers/aws/index.ts':
    "export { plan } from './plan.ts';\nexport type { Client } from '../../src/kube/request.ts';",
  'providers/aws/plan.ts':
    "import { get } from './client.ts';\nimport { createHash } from 'node:crypto';\nexport const plan = [get, createHash];",
  'providers/aws/client.ts': "import { get as send } from 'node:http';\nexport const get = send;",
};

test('every boundary rule is seen failing', (t) => {
  const folder = temporary(t);
  copyFileSync(join(root, 'tsconfig.json'), join(folder, 'tsconfig.json'));
  for (const [path, text] of Object.entries(planted)) write(join(folder, path), text);
  const { violations } = cruise(folder);
  assert.deepEqual(violations, [
    'cli-on-top: src/controllers/service.ts -> src/cli/help.ts',
    'core-is-pure: src/core/impure.ts -> fs',
    'core-is-pure: src/core/typed.ts -> src/kube/request.ts',
    'floors: src/kube/upwards.ts -> src/controllers/service.ts',
    'no-cycles: src/work/one.ts -> src/work/two.ts',
    'no-provider-from-src: src/controllers/cloud.ts -> providers/aws/index.ts',
    'provider-decisions-are-pure: providers/aws/plan.ts -> providers/aws/client.ts',
    'providers-know-core-only: providers/aws/index.ts -> src/kube/request.ts',
  ]);
  const seen = new Set(violations.map((violation) => violation.split(':')[0]));
  assert.deepEqual([...seen].sort(), rules.toSorted(), 'a rule without a planted violation');
});

/** Imports are not the only way out of purity: a clock, randomness, the environment and timers are globals. */
const IMPURE =
  /\b(Date\.now|new Date\(\)|Math\.random|crypto\.|performance\.|process\.|console\.|setTimeout|setInterval|setImmediate|queueMicrotask|fetch\()/;

/** 'file:line: what' */
function impurities(files: Iterable<readonly [string, string]>): readonly string[] {
  return [...files].flatMap(([file, text]) =>
    withoutComments(text)
      .split('\n')
      .flatMap((line, index) => {
        const found = IMPURE.exec(line);
        return found === null ? [] : [`${file}:${index + 1}: ${found[1]}`];
      }),
  );
}

test('core and the decisions of providers use no clock, randomness, environment or timer', () => {
  const pure = ['src/core/**/*.ts', 'providers/*/{names,plan,diff,progress}.ts'];
  assert.deepEqual(impurities(texts(pure)), []);
});

test('a clock in core is seen', () => {
  const text = '/* Date.now() in a comment */\nexport const a = 1;\nexport const now = () => Date.now(); // now\n';
  assert.deepEqual(impurities([['src/core/a.ts', text]]), ['src/core/a.ts:3: Date.now']);
});

// ---------------------------------------------------------------------------------------------------------------------
// The error catalogue

interface Errors {
  /** Codes in the order of the source. */
  readonly catalogue: readonly string[];
  /** docs/errors.md */
  readonly page: string;
  /** file -> text, of all that may use a code */
  readonly sources: Iterable<readonly [string, string]>;
}

function errorProblems({ catalogue, page, sources }: Errors): readonly string[] {
  const problems: string[] = [];
  const sections = new Map(
    page
      .split(/^## /m)
      .slice(1)
      .map((section) => [section.slice(0, section.indexOf('\n')).trim(), section] as const),
  );
  const used = new Map<string, string>(); // code -> a file that uses it
  for (const [file, text] of sources)
    for (const [, code = ''] of text.matchAll(/['"`](FL_[A-Z0-9_]+)['"`]/g)) used.set(code, file);
  for (const [index, code] of catalogue.entries()) {
    if (!used.has(code)) problems.push(`${code}: nothing in src or providers uses it`);
    if (!sections.has(code)) problems.push(`${code}: docs/errors.md has no section`);
    if (index > 0 && code < (catalogue[index - 1] ?? '')) problems.push(`${code}: the catalogue is not sorted`);
  }
  for (const [code, section] of sections) {
    if (!catalogue.includes(code)) problems.push(`${code}: only docs/errors.md knows it`);
    for (const part of ['**Cause.**', '**What you see.**', '**What to do.**']) {
      if (!section.includes(part)) problems.push(`${code}: its section lacks ${part}`);
    }
  }
  for (const [code, file] of used) {
    if (!catalogue.includes(code)) problems.push(`${code}: ${file} uses it, the catalogue does not have it`);
  }
  return problems;
}

test('the error catalogue, docs/errors.md and the code agree', () => {
  const sources = [...texts(['src/**/*.ts', 'providers/**/*.ts'])].filter(([file]) => file !== 'src/core/errors.ts');
  const page = readFileSync(join(root, 'docs/errors.md'), 'utf8');
  assert.deepEqual(errorProblems({ catalogue: Object.keys(errorCatalogue), page, sources }), []);
});

test('each kind of disagreement about errors is seen', () => {
  const problems = errorProblems({
    catalogue: ['FL_B', 'FL_A', 'FL_UNUSED'],
    page: '# Errors\n\n## FL_A\n\n**Cause.** a\n**What you see.** b\n**What to do.** c\n\n## FL_UNUSED\n\n**Cause.** a\n\n## FL_OLD\n\n**Cause.** a\n**What you see.** b\n**What to do.** c\n',
    sources: [
      ['src/a.ts', "throw failure('FL_A', 'x')"],
      ['providers/x/b.ts', "throw failure('FL_B', 'x'); new ProviderError('invalid', 'FL_NEW', 'x')"],
    ],
  });
  assert.deepEqual(problems, [
    'FL_B: docs/errors.md has no section',
    'FL_A: the catalogue is not sorted',
    'FL_UNUSED: nothing in src or providers uses it',
    'FL_UNUSED: its section lacks **What you see.**',
    'FL_UNUSED: its section lacks **What to do.**',
    'FL_OLD: only docs/errors.md knows it',
    'FL_NEW: providers/x/b.ts uses it, the catalogue does not have it',
  ]);
});

// ---------------------------------------------------------------------------------------------------------------------
// Generated files, and what is in the repository

/** How to make them -> path to text. Whoever adds a generator adds a line. */
const generators: Readonly<Record<string, () => ReadonlyMap<string, string>>> = {
  'node deploy/annotations.ts': annotations,
  'node deploy/crds.ts': crds,
  'node deploy/iam.ts': iam,
};

function stale(make: () => ReadonlyMap<string, string>, read: (path: string) => string | undefined): readonly string[] {
  return [...make()].filter(([path, text]) => read(path) !== text).map(([path]) => path);
}

for (const [command, make] of Object.entries(generators)) {
  test(`what \`${command}\` generates is current`, () => {
    const read = (path: string): string => readFileSync(join(root, path), 'utf8');
    assert.deepEqual(stale(make, read), [], `run ${command}`);
  });
}

test('a generated file that is missing or old is seen', () => {
  const make = () => new Map(Object.entries({ current: '1', old: '2', missing: '3' }));
  const onDisk: Record<string, string> = { current: '1', old: '1' };
  assert.deepEqual(
    stale(make, (path) => onDisk[path]),
    ['old', 'missing'],
  );
});

// Put together here, so that this file is no hit itself.
const HOSTS = [
  ['registry', 'npmjs', 'org'],
  ['registry', 'yarnpkg', 'com'],
  ['npm', 'pkg', 'github', 'com'],
  ['proxy', 'golang', 'org'],
  ['sum', 'golang', 'org'],
].map((parts) => parts.join('.'));

function registryHosts(files: Iterable<readonly [string, string]>): readonly string[] {
  return [...files].flatMap(([file, text]) => [
    ...HOSTS.filter((host) => text.includes(host)).map((host) => `${file}: ${host}`),
    ...(/"resolved":\s*"https?:/.test(text) ? [`${file}: a "resolved" address`] : []),
  ]);
}

test('no file of the repository names a package registry: whoever installs chooses theirs', (t) => {
  const { status, stdout } = spawnSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8', timeout: 60_000 });
  if (status !== 0) return leaveOut(t, 'the search of all committed files', 'git and a clone');
  const files = stdout.split('\0').filter((file) => file !== '');
  assert.ok(files.length > 100);
  assert.deepEqual(registryHosts(texts(files)), []);
});

test('a registry in a lockfile or a document is seen', () => {
  const [host = ''] = HOSTS;
  const files = [
    ['package-lock.json', JSON.stringify({ resolved: 'https://example.test/a.tgz' })],
    ['README.md', `npm config set registry https://${host}/`],
    ['fine.md', 'npm ci'],
  ] as const;
  assert.deepEqual(registryHosts(files), ['package-lock.json: a "resolved" address', `README.md: ${host}`]);
});

test('the longest files are listed for whoever reviews', (t) => {
  const sizes = [...texts(['src/**/*.ts', 'providers/**/*.ts'])]
    .map(([file, text]) => ({ file, lines: text.split('\n').length - 1 }))
    .sort((a, b) => b.lines - a.lines || a.file.localeCompare(b.file));
  const median = sizes[Math.floor(sizes.length / 2)]?.lines;
  t.diagnostic(`${sizes.length} files, median ${median} lines; the longest:`);
  for (const { file, lines } of sizes.slice(0, 10)) t.diagnostic(`${lines} ${file}`);
  assert.ok(sizes.length > 50);
});

// ---------------------------------------------------------------------------------------------------------------------

/** [path from the root, text]; files that git knows and the disk does not have are left out. */
function* texts(patterns: readonly string[]): Iterable<readonly [string, string]> {
  for (const file of globSync([...patterns], { cwd: root }).sort())
    yield [file, readFileSync(join(root, file), 'utf8')];
}

/** Comments become spaces, lines stay lines. Strings that look like comments do not occur in pure code. */
function withoutComments(text: string): string {
  return text
    .replaceAll(/\/\*[\s\S]*?\*\//g, (comment) => comment.replaceAll(/[^\n]/g, ' '))
    .replaceAll(/(^|\s)\/\/.*/g, '$1');
}

function temporary(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-architecture-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}
