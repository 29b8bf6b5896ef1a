import { spawnSync } from 'node:child_process';
import { NETNS_PROGRAMS } from '../../../src/sandbox/netns.ts';

/** What a test of namespaces lacks on this machine, for leaveOut; undefined: nothing. */
export function netnsMissing(
  programs: Readonly<Record<string, string>> = {},
): readonly [what: string, how: string] | undefined {
  if (process.geteuid?.() !== 0) return ['network namespaces', 'run the tests as root'];
  for (const [program, source] of Object.entries({ ...NETNS_PROGRAMS, ...programs })) {
    const found = spawnSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' }).status === 0;
    if (!found) return [`network namespaces: no ${program}`, `install ${source}`];
  }
  if (spawnSync('unshare', ['--net', 'true'], { stdio: 'ignore' }).status !== 0)
    return ['network namespaces: this container may not make them', 'run it privileged'];
  return undefined;
}
