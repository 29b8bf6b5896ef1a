import type { Node } from '../objects.ts';

/** The cloud that a providerID names: 'aws' of 'aws:///eu-west-1a/i-1'. Absent for one without a scheme, as a bare 'i-1'. */
export function schemeOf(providerId: string): string | undefined {
  return /^([^:/]+):\/\//.exec(providerId)?.[1];
}

/**
 * Whether the cloud with this scheme may be asked about the node: it has no providerID yet, one without a scheme, or one
 * of this cloud. Nodes of another cloud ('eks-hybrid://' beside 'aws://') are never touched.
 */
export function isOfCloud({ spec }: Node, scheme: string): boolean {
  if (spec.providerID === undefined || spec.providerID === '') return true;
  return (schemeOf(spec.providerID) ?? scheme) === scheme;
}
