/** Which of Kubernetes' own tests are run. */

/** What the node's parts answer for: Services, pods' network, EndpointSlices and how soon they take effect. */
export const FOCUS = '\\[sig-network\\] (Services|Networking|EndpointSlice|Service endpoints latency)';

/** Why each is left out stands in docs/conformance.md. */
export const SKIP = [
  'Disruptive',
  'Serial',
  'SCTP',
  'sctp',
  'IPv6',
  'Internet',
  'IPerf2',
  'kube-proxy urls',
  'static URL paths',
  'Slow',
  'invalid conntrack state',
].join('|');

/** What CI runs, within 8 minutes: what every conformant cluster must pass, and the quick ones of what it may lack. */
export const CI_FOCUS = `${FOCUS}.*(\\[Conformance\\]|hairpin|source pod IP|rejected when no|only terminating|Local Pod to Pod)`;
