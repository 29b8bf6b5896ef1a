import type { TestContext } from 'node:test';

/** How a skip begins that the runner prints again at its end. */
export const LEFT_OUT = 'left out: ';

/**
 * Leaves a test out because this machine lacks something: a skip with its reason, which `npm test` repeats in one line at
 * the end. With CI=true nothing may be left out, so it throws. Use: `if (missing) return leaveOut(t, what, how)`.
 *
 * `what` says what is not tested ("real kube-apiserver"), `howToGet` what would bring it ("run npm run kube"). Tests
 * that lack the same thing use the same two texts, and share a line.
 */
export function leaveOut(t: Pick<TestContext, 'skip'>, what: string, howToGet: string): void {
  const message = `${LEFT_OUT}${what} (${howToGet})`;
  if (process.env['CI'] === 'true') throw new Error(`${message}: CI=true leaves nothing out`);
  t.skip(message);
}
