import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { metallbDefinitions } from '../../deploy/metallb.ts';
import { leaveOut } from '../left-out.ts';

const release = 'go.universe.tf/metallb@v0.16.2';

test(`the kinds of metallb.io are those of ${release}, but for the words that describe them`, async (t) => {
  const folder = await download();
  if (folder instanceof Error) {
    leaveOut(t, `the comparison with ${release}`, `it needs Go and its module proxy: ${folder.message.split('\n')[0]}`);
    return;
  }
  const bases = join(folder, 'config', 'crd', 'bases');
  const theirs = readdirSync(bases).map((file) => parse(readFileSync(join(bases, file), 'utf8')) as Definition);
  const ours = metallbDefinitions() as unknown as readonly Definition[];
  assert.deepEqual(ours.map(nameOf), theirs.map(nameOf).sort());
  for (const definition of ours) {
    const name = nameOf(definition);
    await t.test(name, () => {
      assert.deepEqual(
        withoutWords(definition.spec),
        withoutWords(theirs.find((other) => nameOf(other) === name)?.spec),
      );
    });
  }
});

interface Definition {
  readonly metadata: { readonly name: string };
  readonly spec: unknown;
}

function nameOf(definition: Definition): string {
  return definition.metadata.name;
}

/** Where Go unpacked the module (fetched and checked against the checksum database, not built), or why it could not. */
async function download(): Promise<string | Error> {
  try {
    const { stdout } = await promisify(execFile)('go', ['mod', 'download', '-json', release], {
      cwd: tmpdir(),
      timeout: 120_000,
      env: { ...process.env, GOFLAGS: '-mod=mod', GOWORK: 'off' },
    });
    return (JSON.parse(stdout) as { Dir: string }).Dir;
  } catch (error) {
    return error as Error;
  }
}

/** Deep copy without descriptions; the order of `required` means nothing. */
function withoutWords(value: unknown, key = ''): unknown {
  if (Array.isArray(value)) {
    const items = value.map((item) => withoutWords(item));
    return key === 'required' ? items.toSorted() : items;
  }
  if (typeof value !== 'object' || value === null) return value;
  const kept = Object.entries(value).filter(([name, item]) => name !== 'description' || typeof item !== 'string');
  return Object.fromEntries(kept.map(([name, item]) => [name, withoutWords(item, name)]));
}
