import { reachable, type Scope } from '../cloud.ts';
import { AwsError, invalid } from '../error.ts';
import type { Listener, LoadBalancer, TargetGroup } from '../records.ts';

/** What ELBv2 says of an ARN that it does not know. */
export function notFound(arn: string): AwsError {
  const kind = /^arn:aws:elasticloadbalancing:[^:]*:\d*:(loadbalancer|listener|targetgroup)\//.exec(arn)?.[1];
  switch (kind) {
    case 'loadbalancer':
      return new AwsError('LoadBalancerNotFound', `Load balancer '${arn}' not found`);
    case 'listener':
      return new AwsError('ListenerNotFound', `Listener '${arn}' not found`);
    case 'targetgroup':
      return new AwsError('TargetGroupNotFound', `Target group '${arn}' not found`);
    default:
      return invalid(`'${arn}' is not a valid ARN`);
  }
}

/** Of a write: throws when it is not there, or not yet. */
export function loadBalancerOf(scope: Scope, arn: string): LoadBalancer {
  const found = reachable(scope.cloud.loadBalancers, arn, scope);
  if (found === undefined) throw kindOf(arn, 'loadbalancer');
  return found;
}

export function listenerOf(scope: Scope, arn: string): Listener {
  const found = reachable(scope.cloud.listeners, arn, scope);
  if (found === undefined) throw kindOf(arn, 'listener');
  return found;
}

export function targetGroupOf(scope: Scope, arn: string): TargetGroup {
  const found = reachable(scope.cloud.targetGroups, arn, scope);
  if (found === undefined) throw kindOf(arn, 'targetgroup');
  return found;
}

/** An ARN of another kind is no valid value at all. */
function kindOf(arn: string, kind: string): AwsError {
  return arn.includes(`:${kind}/`) ? notFound(arn) : invalid(`'${arn}' is not a valid ${kind} ARN`);
}

/** Names of load balancers and target groups. */
export function checkName(name: string, what: string): void {
  if (!/^[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?$/.test(name) || name.startsWith('internal-')) {
    throw invalid(
      `The ${what} name '${name}' must have 1 to 32 letters, digits or hyphens, and must not begin or end with a hyphen or begin with 'internal-'`,
    );
  }
}
