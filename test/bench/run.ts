/** Runs the benchmarks one after another: `npm run bench`, or `npm run bench -- allocator services`. */
import { spawn } from 'node:child_process';
import { globSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('.', import.meta.url));
/** Parts of other benchmarks, not benchmarks. */
const parts = new Set(['run.ts', 'load.ts', 'controller.ts', 'metallb.ts']);

const all = globSync('*.ts', { cwd: folder })
  .filter((file) => !parts.has(file))
  .sort();
const asked = process.argv.slice(2);
const chosen = asked.length === 0 ? all : all.filter((file) => asked.includes(basename(file, '.ts')));
if (chosen.length === 0) {
  process.stderr.write(
    `none of ${asked.join(', ')} is a benchmark; there are ${all.map((file) => basename(file, '.ts')).join(', ')}\n`,
  );
  process.exit(2);
}
let failed = 0;
for (const file of chosen) {
  process.stdout.write(`\n== ${basename(file, '.ts')}\n`);
  const child = spawn(process.execPath, [`${folder}${file}`], { stdio: 'inherit' });
  const code = await new Promise((resolve) => child.once('exit', resolve));
  if (code !== 0) failed += 1;
}
process.exitCode = failed === 0 ? 0 : 1;
