import type { KubeObject, Service } from '../core/objects.ts';
import { injection, type NewPod } from '../core/readiness/inject.ts';
import type { Store } from '../kube/store.ts';
import type { Answer } from '../obs/checks.ts';
import { type Responder, text } from '../obs/serve.ts';

/** The part of an AdmissionReview that is read (admission.k8s.io/v1). */
interface Request {
  readonly uid: string;
  readonly operation?: string;
  readonly namespace?: string;
  readonly resource?: { readonly group: string; readonly version: string; readonly resource: string };
  readonly subResource?: string;
  readonly object?: NewPod;
}
/** The answer to an AdmissionReview, to be sent as JSON. */
export interface Review {
  readonly apiVersion: 'admission.k8s.io/v1';
  readonly kind: 'AdmissionReview';
  readonly response: {
    readonly uid: string;
    readonly allowed: true;
    readonly patchType?: 'JSONPatch';
    /** Base64. */
    readonly patch?: string;
  };
}

export interface Webhook {
  /**
   * Puts readiness gates on pods that are being created, and lets everything pass: whatever else it is asked about, and
   * what it cannot understand the object of. Throws a SyntaxError or TypeError for a body that is no AdmissionReview.
   */
  review(body: string): Review;
}

/** Where the API server posts its reviews (AWS Load Balancer Controller's path). */
const PATH = '/mutate-v1-pod';

/** The webhook over HTTP; `undefined` from `review` means that it cannot tell yet. */
export function webhookResponder(review: (body: string) => Review | undefined): Responder {
  return async ({ url, body }): Promise<Answer | undefined> => {
    if (url.pathname !== PATH) return undefined;
    try {
      const answer = review(body);
      if (answer === undefined) return text(503, 'Services and Namespaces have not been read yet.');
      return { status: 200, contentType: 'application/json', body: JSON.stringify(answer) };
    } catch (error) {
      if (error instanceof SyntaxError || error instanceof TypeError) return text(400, error.message);
      throw error;
    }
  };
}

/** `services`: indexed by 'gated', the namespace of those that show gates. */
export function createWebhook(stores: {
  readonly services: Store<Service>;
  readonly namespaces: Store<KubeObject>;
}): Webhook {
  return {
    review(body) {
      const request = requestOf(JSON.parse(body));
      const operations = isNewPod(request) ? operationsFor(request, stores) : [];
      const patch = Buffer.from(JSON.stringify(operations)).toString('base64');
      return {
        apiVersion: 'admission.k8s.io/v1',
        kind: 'AdmissionReview',
        response: {
          uid: request.uid,
          allowed: true,
          ...(operations.length === 0 ? {} : { patchType: 'JSONPatch', patch }),
        },
      };
    },
  };
}

function requestOf(review: unknown): Request {
  const { apiVersion, request } = (review ?? {}) as {
    readonly apiVersion?: string;
    readonly request?: Partial<Request>;
  };
  if (apiVersion !== 'admission.k8s.io/v1' || typeof request?.uid !== 'string')
    throw new TypeError(`no AdmissionReview of admission.k8s.io/v1 with a request: ${JSON.stringify(apiVersion)}`);
  return request as Request;
}

function isNewPod({ operation, resource, subResource = '', object }: Request): boolean {
  const isPod = resource?.group === '' && resource.resource === 'pods' && subResource === '';
  return isPod && operation === 'CREATE' && object !== undefined && object !== null;
}

/** The pod's own namespace may be missing: the request's counts. */
function operationsFor(
  { namespace = '', object }: Request,
  { services, namespaces }: Parameters<typeof createWebhook>[0],
): ReturnType<typeof injection> {
  return injection(object as NewPod, {
    namespace: namespaces.get(namespace),
    services: services.by('gated', namespace),
  });
}
