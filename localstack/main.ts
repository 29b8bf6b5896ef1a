/**
 * `npm run localstack`: an AWS API on this machine, seeded, and the exports to use it. What it starts runs until Ctrl-C;
 * an endpoint in AWS_ENDPOINT_URL is only seeded. `-- --install` brings moto and ends.
 */
import { parseArgs } from 'node:util';
import { freePort } from '../test/kube/cluster.ts';
import { type Guarded, guarded, type Running } from '../test/kube/guard.ts';
import { accessTo } from './access.ts';
import { type Choice, choose } from './choose.ts';
import { exportsOf } from './exports.ts';
import { defaultImage, dockerProblem, startImage } from './image.ts';
import { installMoto, startMoto } from './moto.ts';
import { seed } from './seed.ts';

const usage = 'npm run localstack -- [--install] [--port=PORT] [--cluster-name=NAME]';
const say = (line: string): void => void process.stderr.write(`${line}\n`);

interface Started {
  readonly url: string;
  /** Absent: somebody else runs it. */
  readonly program?: Running;
}

try {
  const { values } = parseArgs({
    options: {
      install: { type: 'boolean', default: false },
      port: { type: 'string', default: '4566' }, // where LocalStack's own tools look
      'cluster-name': { type: 'string', default: 'kubernetes' },
    },
  });
  if (values.install) say(`localstack: moto is in ${await installMoto(process.env, say)}`);
  else await serve({ port: await portOf(values.port), cluster: values['cluster-name'] });
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS') ? 2 : 1;
  if (process.exitCode === 2) say(usage);
}

async function serve({ port, cluster }: { readonly port: number; readonly cluster: string }): Promise<void> {
  const { env } = process;
  const choice = choose({
    endpoint: env['AWS_ENDPOINT_URL'],
    token: env['LOCALSTACK_AUTH_TOKEN'],
    dockerProblem: env['AWS_ENDPOINT_URL'] ? undefined : dockerProblem(),
  });
  say(`localstack: ${choice.kind} (${choice.reason})`);
  const guard = guarded('fairlead-localstack-');
  const stop = Promise.withResolvers<void>();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.resolve());
  try {
    const { url, program } = await start(guard, choice, port);
    const access = accessTo(url, env);
    process.stdout.write(exportsOf(access, await seed({ ...access, cluster })));
    if (program === undefined) return;
    say('localstack: running until Ctrl-C');
    const end = await Promise.race([stop.promise, program.ended]);
    if (end !== undefined) throw new Error(`${program.name} ended by itself (${end}):\n${program.log()}`);
  } finally {
    await guard.close();
  }
}

async function start(guard: Guarded, choice: Choice, port: number): Promise<Started> {
  switch (choice.kind) {
    case 'endpoint':
      return { url: choice.url };
    case 'localstack':
      return startImage(guard, { image: process.env['LOCALSTACK_IMAGE'] || defaultImage, port });
    case 'moto':
      return startMoto(guard, { python: await installMoto(process.env, say), port });
    default:
      return choice satisfies never;
  }
}

/** 0: any free one. */
async function portOf(text: string): Promise<number> {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65_535) throw new Error(`--port: ${JSON.stringify(text)} is no port; write 4566`);
  return port === 0 ? freePort() : port;
}
