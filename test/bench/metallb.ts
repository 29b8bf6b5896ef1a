import { spawn } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ask, kubectl } from '../kube/ask.ts';
import { cacheFolder } from '../kube/build.ts';
import { type Api, freePort } from '../kube/cluster.ts';
import type { Guarded } from '../kube/guard.ts';

const modules = fileURLToPath(new URL('metallb', import.meta.url));
const version = '0.15.2';

/** MetalLB's own controller program, built once into the cache. Needs Go. */
async function controllerProgram(): Promise<string> {
  const folder = join(cacheFolder(), `metallb-${version}`);
  const program = join(folder, 'controller');
  if (existsSync(program)) return program;
  mkdirSync(folder, { recursive: true });
  await run('go', ['build', '-ldflags=-s -w', '-o', program, 'go.universe.tf/metallb/controller'], modules);
  return program;
}

/** Runs MetalLB's controller as its manifests do, without webhooks. Returns what ends it. */
export async function startMetallb(guard: Guarded, api: Api): Promise<() => Promise<void>> {
  const program = await controllerProgram();
  const deployment = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'controller', namespace: 'metallb-system' },
    spec: {
      replicas: 0,
      selector: { matchLabels: { app: 'metallb' } },
      template: {
        metadata: { labels: { app: 'metallb' } },
        spec: { containers: [{ name: 'controller', image: 'none' }] },
      },
    },
  };
  const { code, stderr } = await kubectl(api, ['apply', '-f', '-'], JSON.stringify(deployment));
  if (code !== 0) throw new Error(stderr);
  const env = `METALLB_POD_NAME=controller METALLB_DEPLOYMENT=controller METALLB_ML_SECRET_NAME=memberlist`;
  const flags = [
    `-kubeconfig ${api.kubeconfig}`,
    '-namespace metallb-system',
    '-webhook-mode disabled',
    '-disable-cert-rotation',
    '-log-level error',
    `-port ${await freePort()}`,
  ];
  const running = guard.start('metallb', '/bin/sh', ['-c', `exec env ${env} ${program} ${flags.join(' ')}`]);
  const health = await ask(api, 'GET', '/readyz');
  if (health.status !== 200) throw new Error(`the API server is not ready: ${health.text}`);
  return async () => {
    running.signal('SIGTERM');
    await running.ended;
  };
}

async function run(command: string, args: readonly string[], cwd: string): Promise<void> {
  const child = spawn(command, args, { cwd, stdio: 'inherit', env: { ...process.env, CGO_ENABLED: '0' } });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', resolve);
  });
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}`);
}
