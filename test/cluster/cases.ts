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
