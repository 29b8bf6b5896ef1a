import { createHash } from 'node:crypto';

/** Values of spec.loadBalancerClass that are ours besides none. */
export const CLASS = 'fairlead.dev/memory';

/** What marks a balancer as ours. Names can collide and be guessed; ownership is by tags alone. */
export interface Tags {
  readonly cluster: string;
  readonly uid: string;
  /** 'namespace/name': for people. */
  readonly service: string;
}

/** The name of a Service's balancer: by hash, so that it is the same after every restart and fits the cloud's limit of 32. */
export function nameOf(cluster: string, uid: string): string {
  return `fl-${createHash('sha256').update(`${cluster}/${uid}`).digest('hex').slice(0, 20)}`;
}
