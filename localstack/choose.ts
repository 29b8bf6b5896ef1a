/** What this machine offers, as `npm run localstack` found it. */
export interface Offers {
  /** AWS_ENDPOINT_URL; absent or '': not set. */
  readonly endpoint?: string | undefined;
  /** LOCALSTACK_AUTH_TOKEN; absent or '': not set. */
  readonly token?: string | undefined;
  /** Absent: Docker's daemon answers. Else why it does not. */
  readonly dockerProblem?: string | undefined;
}
/** Which AWS API to use, and a sentence for the person who waits. */
export type Choice =
  | { readonly kind: 'endpoint'; readonly url: string; readonly reason: string }
  | { readonly kind: 'localstack'; readonly token: string; readonly reason: string }
  | { readonly kind: 'moto'; readonly reason: string };

/**
 * An endpoint that is given, else the LocalStack image where Docker and a token are (its open edition has no elbv2), else
 * moto's server. Throws for an endpoint that is no URL, or is Amazon's own: the seed makes instances, which cost money there.
 */
export function choose({ endpoint, token, dockerProblem }: Offers): Choice {
  if (endpoint) return { kind: 'endpoint', url: standIn(endpoint), reason: `AWS_ENDPOINT_URL is ${endpoint}` };
  const missing = [
    ...(token ? [] : ['LOCALSTACK_AUTH_TOKEN is not set']),
    ...(dockerProblem === undefined ? [] : [dockerProblem]),
  ];
  if (token && missing.length === 0) {
    return { kind: 'localstack', token, reason: 'Docker and LOCALSTACK_AUTH_TOKEN are there' };
  }
  return { kind: 'moto', reason: `not the LocalStack image: ${missing.join(', ')}` };
}

function standIn(endpoint: string): string {
  const url = URL.parse(endpoint);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new Error(`AWS_ENDPOINT_URL: ${JSON.stringify(endpoint)} is no URL; write http://127.0.0.1:5000`);
  }
  if (/(^|\.)amazonaws\.com(\.cn)?$|(^|\.)api\.aws$/.test(url.hostname)) {
    throw new Error(`AWS_ENDPOINT_URL: ${url.hostname} is Amazon's own; the seed is for stand-ins only`);
  }
  return endpoint.replace(/\/+$/, '');
}
