import type { World } from '../world.ts';

/** What is expected -> how it is seen. */
export type Cases = Readonly<Record<string, (world: World) => Promise<void>>>;

export const served = ['Provisioning False/Complete', 'Serving True/Serving'];
export const refused = ['Provisioning False/Complete', 'Serving False/Invalid'];
export const waiting = ['Provisioning False/Complete', 'Serving False/Infrastructure'];

export const POOL = 'metallb.io/ip-allocated-from-pool';
