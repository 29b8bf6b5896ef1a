import type { Service } from '../objects.ts';

/**
 * On a Service: its UID, a colon and the readiness gates of the pods behind it, separated by commas. Every replica reads
 * there what it puts on new pods. The UID makes a copy on another Service mean nothing. On a Pod: the gates that Fairlead
 * put on it, without a UID: they are Fairlead's to open also when the Service is long gone.
 */
export const GATES_ANNOTATION = 'fairlead.dev/readiness-gates';

/** What a Service shows of the gates that its provider names; null takes it off. */
export function gatesAnnotation(
  { metadata: { uid } }: Service,
  gates: readonly string[] = [],
): Readonly<Record<string, string | null>> {
  return { [GATES_ANNOTATION]: gates.length === 0 ? null : `${uid}:${gates.toSorted().join(',')}` };
}

/** The gates of a Service whose load balancer stays: of one that is deleted or leaves its type they are no more. */
export function gatesOf(service: Service): readonly string[] {
  const { metadata, spec } = service;
  return spec.type === 'LoadBalancer' && metadata.deletionTimestamp === undefined ? namedGates(service) : [];
}

/** The gates that a Service shows, whatever becomes of it. */
export function namedGates({ metadata: { uid, annotations } }: Service): readonly string[] {
  const text = annotations?.[GATES_ANNOTATION] ?? '';
  return text.startsWith(`${uid}:`) ? listOf(text.slice(uid.length + 1)) : [];
}

/** Those of the value of `GATES_ANNOTATION` on a Pod. */
export const listOf = (text: string): readonly string[] => text.split(',').filter((gate) => gate !== '');
