import { runCli } from './cli/run.ts';

const stop = new AbortController();
// A second signal ends at once: whoever presses Ctrl-C twice does not want to wait.
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, () => {
    stop.abort(new Error(name));
    process.once(name, () => process.exit(130));
  });
}
process.exitCode = await runCli(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  stdin: process.stdin,
  env: process.env,
  cwd: process.cwd(),
  signal: stop.signal,
});
