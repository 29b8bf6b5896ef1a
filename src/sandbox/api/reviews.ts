import { type Draft, isObject, type JsonObject, rfc3339 } from './json.ts';
import { ownersAfterWrite, type Writer } from './ownership.ts';
import { groupVersionOf, type Resource } from './resources.ts';

/**
 * Answers the kinds that are questions and are never stored. There is no RBAC here: whoever may connect may do
 * everything. Undefined for any other kind.
 */
export function review(resource: Resource, body: Draft, writer: Writer): JsonObject | undefined {
  const status = statusOf(resource, body);
  if (status === undefined) return undefined;
  const { status: _asked, ...asked } = body;
  const managedFields = ownersAfterWrite(resource, undefined, { ...asked, metadata: body.metadata }, writer);
  return {
    kind: resource.kind,
    apiVersion: groupVersionOf(resource),
    ...asked,
    metadata: { ...body.metadata, ...(managedFields.length === 0 ? {} : { managedFields }) },
    status,
  };
}

const user = { username: 'sandbox', uid: 'sandbox', groups: ['system:masters', 'system:authenticated'] };

function statusOf({ kind, group }: Resource, body: JsonObject): JsonObject | undefined {
  if (group !== 'authentication.k8s.io' && group !== 'authorization.k8s.io') return undefined;
  switch (kind) {
    case 'TokenReview': {
      const token = isObject(body['spec']) ? body['spec']['token'] : undefined;
      return typeof token === 'string' && token !== '' ? { authenticated: true, user } : { user: {} };
    }
    case 'SelfSubjectReview':
      return { userInfo: user };
    case 'SelfSubjectRulesReview':
      return {
        resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }],
        nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }],
        incomplete: false,
      };
    default:
      return { allowed: true };
  }
}

/** A TokenRequest of a service account: good for anything, until the server ends. */
export function tokenRequest(body: JsonObject, token: string, nowMs: number): JsonObject {
  const spec = isObject(body['spec']) ? body['spec'] : {};
  const seconds = typeof spec['expirationSeconds'] === 'number' ? spec['expirationSeconds'] : 3600;
  return {
    kind: 'TokenRequest',
    apiVersion: 'authentication.k8s.io/v1',
    metadata: isObject(body['metadata']) ? body['metadata'] : {},
    spec: { audiences: ['https://kubernetes.default.svc'], expirationSeconds: seconds, boundObjectRef: null, ...spec },
    status: { token, expirationTimestamp: rfc3339(nowMs + seconds * 1000) },
  };
}
