import type { Rules } from './admit.ts';

/** Rules of a kind that is only stored. */
export const plain: Rules = { fields: {} };
