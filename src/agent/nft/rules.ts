import { failure } from '../../core/errors.ts';
import type { Exec } from '../exec.ts';

/**
 * Loads nft text as one transaction, checked before (`nft -c -f -`, then `nft -f -`). Throws FL_COMMAND_MISSING (no nft),
 * FL_NFT_TOO_OLD, FL_NET_ADMIN, and FL_NFT_REFUSED with nft's words; the kernel's rules are then as they were.
 */
export type LoadText = (text: string) => Promise<void>;

/** `meta l4proto` in concatenations and maps of verdicts by number; kube-proxy asks for the same. */
const OLDEST = [1, 0, 1] as const;

/** nft itself is asked for its version once, at the first text. */
export function createTextLoader({ exec }: { readonly exec: Exec }): LoadText {
  let checked: Promise<void> | undefined;
  return async (text) => {
    checked ??= requireVersion(exec);
    try {
      await checked;
    } catch (error) {
      checked = undefined; // it may be installed by the next time
      throw error;
    }
    await nft(exec, ['-c', '-f', '-'], text);
    await nft(exec, ['-f', '-'], text);
  };
}

async function requireVersion(exec: Exec): Promise<void> {
  const { stdout, stderr } = await exec('nft', ['--version']);
  const match = /v(\d+)\.(\d+)(?:\.(\d+))?/.exec(stdout);
  if (match === null) throw failure('FL_NFT_TOO_OLD', `nft --version says ${JSON.stringify(stdout + stderr)}`);
  const version = match.slice(1, 4).map((part) => Number(part ?? 0));
  for (const [index, least] of OLDEST.entries()) {
    const part = version[index] ?? 0;
    if (part > least) return;
    if (part < least) throw failure('FL_NFT_TOO_OLD', `nft is ${match[0]}, and must be v${OLDEST.join('.')} or newer`);
  }
}

async function nft(exec: Exec, args: readonly string[], text: string): Promise<void> {
  const { code, stderr } = await exec('nft', args, { input: text });
  if (code === 0) return;
  const words = stderr.trim();
  throw /Operation not permitted|must be root/.test(words)
    ? failure('FL_NET_ADMIN', `nft ${args.join(' ')}: ${words}: it needs CAP_NET_ADMIN`)
    : failure('FL_NFT_REFUSED', `nft ${args.join(' ')}: exit status ${code}: ${words}`);
}
