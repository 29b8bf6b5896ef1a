import { chmod, cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));

/** What commands read at run time (src/cli/assets.ts). */
const assets = ['deploy/crds', 'deploy/kustomize', 'deploy/examples'];

/**
 * How Node runs the bundle, in the image too. The young generation would grow to 128 MB and stay there: that much memory for
 * nothing. With 1 MB of it a burst spends a third of its time on collecting garbage; beyond 8 MB nothing is gained.
 */
export const nodeFlags: readonly string[] = ['--max-semi-space-size=8'];

/** glibc: one arena, given back when it is free. An arena per thread keeps 15 MB more of what the lists needed. */
export const environment: readonly string[] = ['MALLOC_ARENA_MAX=1', 'MALLOC_TRIM_THRESHOLD_=131072'];

/** Statically imported packages would load before the check of the Node version: hence a launcher without imports. */
const launcher = `#!/usr/bin/env -S ${environment.join(' ')} node ${nodeFlags.join(' ')}
const [major] = process.versions.node.split('.').map(Number);
if (major < 24) {
  process.stderr.write(\`fairlead needs Node 24 or newer, found \${process.versions.node}\\n\`);
  process.exit(2);
}
await import('./main.js');
`;

/**
 * Bundles the command line, and for authors of providers `defineLoadBalancers` and the contract suite, into `outdir`
 * (default dist/), with the package.json of what is published. Resolves to the size of all in bytes.
 */
export async function bundle(outdir = `${root}dist`): Promise<number> {
  const { version, license, description, optionalDependencies } = JSON.parse(
    await readFile(`${root}package.json`, 'utf8'),
  ) as Readonly<Record<string, string>> & { readonly optionalDependencies: Readonly<Record<string, string>> };
  await rm(outdir, { recursive: true, force: true });
  await mkdir(outdir, { recursive: true });
  const { metafile } = await build({
    entryPoints: {
      main: `${root}src/main.ts`,
      contract: `${root}test/providers/contract.ts`,
      provider: `${root}src/core/define.ts`,
    },
    outdir,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node24',
    splitting: true,
    // The AWS clients as ES modules: what is not called is left out.
    mainFields: ['module', 'main'],
    // The sources stay in memory; names stay readable in stack traces.
    minifyWhitespace: true,
    minifySyntax: true,
    metafile: true,
    legalComments: 'linked',
    external: ['koffi'],
    define: { FAIRLEAD_VERSION: JSON.stringify(version) },
    banner: {
      // Packages in CommonJS ask for require; a short name collided with one of theirs.
      js: "import{createRequire as __fairleadRequire}from'node:module';const require=__fairleadRequire(import.meta.url);",
    },
  });
  const koffi = optionalDependencies['koffi'];
  const published = {
    name: 'fairlead',
    version,
    description,
    license,
    type: 'module',
    engines: { node: '>=24' },
    bin: { fairlead: './fairlead.js' },
    exports: {
      './contract': './contract.js',
      './package.json': './package.json',
      './provider': './provider.js',
    },
    ...(koffi === undefined ? {} : { optionalDependencies: { koffi } }),
  };
  for (const folder of assets) await cp(`${root}${folder}`, `${outdir}/${folder}`, { recursive: true });
  // The CNI plugin where nobody built the C program (src/cli/agent.ts looks for it beside the bundle).
  await cp(`${root}src/agent/native/shim.sh`, `${outdir}/shim.sh`);
  await writeFile(`${outdir}/package.json`, `${JSON.stringify(published, null, 2)}\n`);
  await writeFile(`${outdir}/fairlead.js`, launcher);
  await chmod(`${outdir}/fairlead.js`, 0o755);
  return Object.values(metafile.outputs).reduce((sum, { bytes }) => sum + bytes, 0);
}

if (import.meta.main) {
  const bytes = await bundle();
  process.stdout.write(`dist: ${(bytes / 2 ** 20).toFixed(1)} MiB\n`);
}
