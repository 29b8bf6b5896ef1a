/** The LocalStack image. Not run where this was written, for want of Docker and a licence: see docs/providers/aws.md. */
import { spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Guarded, Running } from '../test/kube/guard.ts';
import { answers } from './moto.ts';

/** One licensed image since the open edition was archived. LOCALSTACK_IMAGE names another. */
export const defaultImage = 'localstack/localstack';

/** Why Docker cannot be used; `undefined` when its daemon answers. A client without a daemon is no Docker. */
export function dockerProblem(): string | undefined {
  const { error, status } = spawnSync('docker', ['version', '--format', '{{.Server.Version}}'], {
    stdio: 'ignore',
    timeout: 10_000,
  });
  if ((error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') return 'Docker is not installed';
  return status === 0 ? undefined : "Docker's daemon does not answer";
}

/** The arguments of `docker`. The token goes by the environment, so that no list of processes shows it. */
export function dockerArgs({ image, port }: { readonly image: string; readonly port: number }): readonly string[] {
  const publish = `127.0.0.1:${port}:4566`;
  return [
    'run',
    '--rm',
    '--init',
    '--name',
    `fairlead-localstack-${port}`,
    '-p',
    publish,
    '-e',
    'LOCALSTACK_AUTH_TOKEN',
    image,
  ];
}

/** The image on this port; ready when it resolves. A first start loads the image, so it waits as long as Docker runs. */
export async function startImage(
  guard: Guarded,
  { image, port }: { readonly image: string; readonly port: number },
): Promise<{ readonly url: string; readonly program: Running }> {
  const program = guard.start('localstack', 'docker', dockerArgs({ image, port }));
  const url = `http://127.0.0.1:${port}`;
  while (!(await answers(`${url}/_localstack/health`))) {
    if (program.end !== undefined) throw new Error(`${image} ended by itself (${program.end}):\n${program.log()}`);
    await sleep(500);
  }
  return { url, program };
}
