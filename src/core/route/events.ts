import { formatDuration } from '../duration.ts';
import type { Cidr, RouteTable } from '../provider.ts';
import { type EventText, warning } from '../service/events.ts';
import { remainingIn } from './quota.ts';
import type { RouteProblem } from './wanted.ts';

/** Events on Nodes; reasons and messages are a contract (controllers.md, Events). */
export interface FailedRoute {
  readonly uid: string;
  readonly node: string;
  readonly destination: Cidr;
  /** How long this try took. */
  readonly tookMs: number;
  readonly text: string;
}

export const createFailed = ({ uid, node, destination, tookMs, text }: FailedRoute): EventText =>
  warning(
    'FailedToCreateRoute',
    `Could not create route ${uid} ${destination} for node ${node} after ${took(tookMs)}: ${text}`,
  );

export const deleteFailed = ({ uid, node, destination, tookMs, text }: FailedRoute): EventText =>
  warning(
    'FailedToDeleteRoute',
    `Could not delete route ${uid} ${destination} of node ${node} after ${took(tookMs)}: ${text}`,
  );

/** Of a pod CIDR that gets no route, whatever the cloud says. */
export const refused = ({ reason, code, text }: RouteProblem): EventText =>
  warning(reason, `invalid: ${text} (${code})`);

export const contested: EventText = warning(
  'NetworkUnavailableContested',
  'The routes of this node are there, and somebody else set NetworkUnavailable True again within 10 min: left alone from now on',
);

export const quotaLow = (table: RouteTable): EventText =>
  warning(
    'RouteQuotaLow',
    `Route table ${table.id} holds ${table.used} routes and takes ${remainingIn(table)} more; ask the cloud for a higher quota`,
  );

const took = (ms: number): string => formatDuration(Math.round(ms));
