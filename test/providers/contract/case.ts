import type { Rig } from './rig.ts';
import type { Specs } from './specs.ts';

/** `rig` makes a new one, which is closed at the end of the case. */
export type Case = (rig: () => Promise<Rig>, specs: Specs) => Promise<void>;

export type Cases = Readonly<Record<string, Case>>;
