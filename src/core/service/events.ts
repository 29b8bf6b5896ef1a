import type { Progress } from '../provider.ts';

/** An Event on a Service; reasons and messages are a contract (controllers.md, Events). */
export interface EventText {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
}

/** Longest message of a core v1 Event. */
const MESSAGE_LIMIT = 1024;
/** Node names in one message. */
const NAME_LIMIT = 20;

export const ensuring: EventText = normal('EnsuringLoadBalancer', 'Ensuring load balancer');
export const ensured: EventText = normal('EnsuredLoadBalancer', 'Ensured load balancer');
export const updatedHosts: EventText = normal('UpdatedLoadBalancer', 'Updated load balancer with new hosts');
export const deleting: EventText = normal('DeletingLoadBalancer', 'Deleting load balancer');
export const deleted: EventText = normal('DeletedLoadBalancer', 'Deleted load balancer');
export const noNodes: EventText = warning('UnAvailableLoadBalancer', 'There are no available nodes for LoadBalancer');

export const drifted = (fields: readonly string[]): EventText =>
  warning('LoadBalancerDrifted', `Changed from outside and repaired: ${[...new Set(fields)].sort().join(', ')}`);

export const removalHeld = (held: readonly string[], of: number): EventText =>
  warning(
    'TargetRemovalHeld',
    `${held.length} of ${of} targets would go in one step: kept until a second look 30 s later. ${names(held)}`,
  );

export const syncFailed = (text: string): EventText =>
  warning('SyncLoadBalancerFailed', `Error syncing load balancer: ${text}`);

export const deleteFailed = (text: string): EventText =>
  warning('DeleteLoadBalancerFailed', `Error deleting load balancer: ${text}`);

export const updateFailed = (text: string, nodes: readonly string[]): EventText =>
  warning(
    'UpdateLoadBalancerFailed',
    `Error updating load balancer with new hosts ${names(nodes)} [node names limited, total number of nodes: ${nodes.length}], error: ${text}`,
  );

export interface Served {
  /** What the run was for: 'hosts' when only the targets differ from the last spec that settled. */
  readonly cause: 'first' | 'spec' | 'hosts' | 'none';
  /** Targets in the spec. */
  readonly hosts: number;
}

/** Events of a run that did not fail: the provider's own in place of ours, never beside it. `pending` says nothing of its own. */
export function eventsOf(progress: Progress, { cause, hosts }: Served): readonly EventText[] {
  if (progress.events !== undefined && progress.events.length > 0) return progress.events;
  if (progress.state === 'pending') return [];
  switch (cause) {
    case 'first':
    case 'spec':
      return [ensured];
    case 'hosts':
      return hosts === 0 ? [] : [updatedHosts];
    case 'none':
      return [];
    default:
      return cause satisfies never;
  }
}

export function normal(reason: string, message: string): EventText {
  return { type: 'Normal', reason, message: clip(message) };
}

export function warning(reason: string, message: string): EventText {
  return { type: 'Warning', reason, message: clip(message) };
}

/** As Go prints a slice: `[a b c <2 more>]`. */
function names(all: readonly string[]): string {
  const shown = all.slice(0, NAME_LIMIT);
  return `[${[...shown, ...(all.length > shown.length ? [`<${all.length - shown.length} more>`] : [])].join(' ')}]`;
}

function clip(message: string): string {
  return message.length <= MESSAGE_LIMIT ? message : `${message.slice(0, MESSAGE_LIMIT - 3)}...`;
}
